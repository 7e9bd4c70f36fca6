"""The scores of a run as a text table: base against tuned against published."""

from collections.abc import Mapping
from typing import Any

from selfalign.report.published import published

_COLUMNS = ("benchmark, greedy pass@1", "base", "tuned", "gain", "published base", "published tuned")


def score_table(evaluation: Mapping[str, Mapping[str, Any]]) -> str:
    """The table in Markdown. evaluation: as in summary.json, by benchmark and model. Empty cells are scores that nobody has."""
    rows = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    for benchmark, models in evaluation.items():
        base, tuned = (100 * models[which]["greedy"]["score"] if which in models else None for which in ("base", "tuned"))
        reference = published(benchmark)
        gain = "" if base is None or tuned is None else f"{tuned - base:+.1f}"
        theirs = (reference.base, reference.tuned) if reference else (None, None)
        rows.append((reference.name if reference else benchmark, _cell(base), _cell(tuned), gain, *map(_cell, theirs)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows)


def _cell(score: float | None) -> str:
    return "" if score is None else f"{score:.1f}"
