"""A picture of the pipeline with the counts of a run: python -m selfalign.report.pipeline results/summary.json > docs/pipeline.svg"""

import sys
from typing import Any
from xml.sax.saxutils import escape

from selfalign.data.job import read_json

_NAMES = {
    "extracted": "functions",
    "functions": "after filters",
    "seeds": "seeds",
    "concepts": "concept lists",
    "instructions": "instructions",
    "responses": "responses",
    "executed": "pass their tests",
    "candidates": "one each",
    "dataset": "final rows",
}
_BY_MODEL = {"seeds", "concepts", "instructions", "responses"}
_COLUMNS, _WIDTH, _HEIGHT, _LEFT, _STEP, _ROW = 5, 148, 92, 16, 196, 172  # pixels
_STYLE = """
.page{fill:#fff}.box{fill:#f4f6f5;stroke:#c8cfcc}.model{fill:#e3f4f0;stroke:#14a08c}.end{fill:#0b7565;stroke:#0b7565}
.arrow{stroke:#7b858c;fill:none;stroke-width:1.5}
text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1b1f27;text-anchor:middle;font-size:14px}
.number{font-size:24px;font-weight:700}.small{font-size:12px;fill:#5a626d}text.white{fill:#fff}
"""


def picture(summary: dict[str, Any]) -> str:
    """The pipeline as SVG, from the content of a run's summary.json: a box for each dataset, below it what the step before it dropped most."""
    boxes = []
    for step in summary["steps"]:
        reasons = sorted(((count, name) for name, count in step["reasons"].items() if count), key=lambda item: (-item[0], item[1]))
        lost = f"dropped {step['dropped']:,}" if step["dropped"] else "nothing dropped"
        why = f"most: {reasons[0][1].replace('_', ' ')}" if reasons else ""
        boxes.append((_NAMES[step["dataset"]], f"{step['kept']:,}", lost, why, "model" if step["dataset"] in _BY_MODEL else "box"))
    boxes.append(("tuned model", *_gain(summary["evaluation"]), "end"))
    rows = -(-len(boxes) // _COLUMNS)
    width, height = 2 * _LEFT + (_COLUMNS - 1) * _STEP + _WIDTH, rows * _ROW + 8
    parts = [f'<rect class="page" width="{width}" height="{height}" rx="8"/>']
    for place, (name, number, lost, why, kind) in enumerate(boxes):
        x, y = _LEFT + place % _COLUMNS * _STEP, 16 + place // _COLUMNS * _ROW
        middle, white = x + _WIDTH / 2, " white" if kind == "end" else ""
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="10"/>')
        texts = (("number" + white, 44, number), (white.strip(), 72, name), ("small", _HEIGHT + 20, lost), ("small", _HEIGHT + 37, why))
        parts += [f'<text class="{style}" x="{middle}" y="{y + down}">{escape(text)}</text>' for style, down, text in texts if text]
        if place + 1 < len(boxes):
            parts.append(_arrow(x, y, place % _COLUMNS == _COLUMNS - 1))
    label = "The pipeline with the rows that a run kept and dropped"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}">\n'
        f'<style>{_STYLE}</style>\n<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#7b858c"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _arrow(x: float, y: float, turns: bool) -> str:
    """From a box to the next: to the right, or from the end of a row to the beginning of the one below."""
    right, level = x + _WIDTH, y + _HEIGHT / 2
    if not turns:
        return f'<path class="arrow" marker-end="url(#tip)" d="M{right + 6} {level}H{x + _STEP - 6}"/>'
    below, start = y + _ROW - 16, _LEFT + _WIDTH / 2
    return f'<path class="arrow" marker-end="url(#tip)" d="M{right + 4} {level}h6V{below}H{start}v10"/>'


def _gain(evaluation: dict[str, Any]) -> tuple[str, str, str]:
    """Greedy score of the base and of the tuned model on the first benchmark that has both."""
    for name, scores in evaluation.items():
        if {"base", "tuned"} <= scores.keys():
            base, tuned = (100 * scores[which]["greedy"]["score"] for which in ("base", "tuned"))
            return f"{tuned:.1f}%", f"base model {base:.1f}%", f"{name}, greedy"
    return "", "", ""


if __name__ == "__main__":
    sys.stdout.write(picture(read_json(sys.argv[1])))
