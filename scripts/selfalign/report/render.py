"""results/report.html: one plain page, complete in itself, made from the summary and a few example rows."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import yaml

from selfalign.data.tables import REASONS

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4a7fb5; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; } .bar { background: var(--bar); height: .7rem; min-width: 1px; display: block; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; font-size: .85rem; margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .4rem 0; } summary { cursor: pointer; } .muted { opacity: .7; } svg { max-width: 100%; height: auto; }
"""


_STARTS = {"extracted": "functions", "executed": "passing responses", "dataset": "rows made elsewhere"}  # what a run begins with, in words


def render(
    summary: dict[str, Any],
    losses: Sequence[tuple[int, float]],
    final: Sequence[dict[str, Any]],
    dropped: dict[str, list[dict[str, Any]]],
    failures: dict[tuple[str, str], list[dict[str, Any]]],
) -> str:
    """The page. losses: (step, loss); failures: by (benchmark, model), items of the evaluation that did not pass."""
    config = summary["config"]
    cost, first = summary["cost"], summary["steps"][0]
    sections = [
        f"<h1>selfalign</h1><p class=muted>{escape(config['model']['path'])}, taught by itself: {summary['final_rows']:,} rows from "
        f"{first['kept']:,} {_STARTS.get(first['dataset'], first['dataset'])}. "
        f"{_time(cost['seconds'])} of work in all jobs, {cost['peak_memory_mb']:,} MB in the largest.</p>",
        _section("Scores", _scores(summary["evaluation"])),
        _section("From functions to the final dataset", _funnel(summary["steps"])),
        _section("Verdicts of the execution filter", _verdicts(summary["verdicts"]) if summary["verdicts"] else "<p>Nothing was executed.</p>"),
        _section("Training", _training(summary["training"], losses)),
        _section("Rows of the final dataset", "".join(map(_final, final)) or "<p>None.</p>"),
        _section("Rows that were dropped", "".join(_dropped(step, rows) for step, rows in dropped.items() if rows)),
        _section("Problems that the models fail", "".join(_failures(*key, items) for key, items in failures.items())),
        _section("What generation cost", _generation(summary["generation"])),
        _section("Few-shot examples in use", _fewshot(summary["fewshot"])),
        _section("What it cost", _costs(cost["rules"])),
        _section("Sources, versions, config", _facts(summary)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>selfalign report</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> str:
    """A table; cells are HTML already. `numbers` are the columns to align right."""
    right = set(numbers)

    def cells(tag: str, row: Sequence[Any]) -> str:
        return "".join(f"<{tag}{' class=n' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(row))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{cells('th', headers)}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _percent(score: dict[str, Any] | None) -> str:
    if score is None:
        return "-"
    low, high = (100 * value for value in score["interval"])
    return f"{100 * score['score']:.1f}% <span class=muted>({low:.1f} to {high:.1f})</span>"


def _scores(evaluation: dict[str, dict[str, Any]]) -> str:
    rows = []
    for benchmark, models in evaluation.items():
        for which in ("base", "tuned"):
            if which in models:
                model = models[which]
                rows.append(
                    (escape(benchmark), which, f"{model['problems']:,}", escape(model["form"]), _percent(model["greedy"]), _percent(model["mean"]))
                )
        if gain := models.get("gain"):
            points = ["-" if gain[kind] is None else f"{gain[kind]:+.1f} points" for kind in ("greedy", "mean")]
            rows.append((escape(benchmark), "gain", "", "", *points))
    note = "<p class=muted>pass@1 with 95% intervals; the base model with the better of its prompt forms.</p>"
    return _table(("Benchmark", "Model", "Problems", "Prompt", "Greedy", "Mean of samples"), rows, (2,)) + note if rows else "<p>No benchmark.</p>"


def _funnel(steps: Sequence[dict[str, Any]]) -> str:
    widest = max(1, *(step["kept"] for step in steps))
    rows = []
    for step in steps:
        reasons = "<br>".join(f"{escape(reason)} {count:,}" for reason, count in sorted(step["reasons"].items(), key=lambda item: -item[1]) if count)
        bar = f'<span class=bar style="width:{8 * step["kept"] / widest:.2f}rem"></span>'
        counts = [f"{step[key]:,}" for key in ("rows_in", "asked", "kept", "dropped")]
        rows.append((escape(step["dataset"]), *counts, _share(step["kept"], step["asked"]), bar, reasons or "-"))
    return _table(("Dataset", "Rows in", "Asked", "Kept", "Dropped", "Kept", "", "Reasons"), rows, (1, 2, 3, 4, 5))


def _verdicts(verdicts: dict[str, int]) -> str:
    total = sum(verdicts.values())
    meaning = {"passed": "implementation and tests ran, and every test held", **REASONS["execute_responses"]}
    rows = [(escape(name), f"{count:,}", _share(count, total), escape(meaning[name])) for name, count in verdicts.items()]
    return _table(("Verdict", "Responses", "Share", "Meaning"), rows, (1, 2))


def _training(facts: dict[str, Any], losses: Sequence[tuple[int, float]]) -> str:
    shown = {key: value for key, value in facts.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    numbers = ", ".join(
        f"{escape(key.replace('_', ' '))} {value:,.4g}" if isinstance(value, float) else f"{escape(key.replace('_', ' '))} {value:,}"
        for key, value in shown.items()
    )
    return f"{_curve(losses)}<p>{numbers}</p>"


def _curve(points: Sequence[tuple[int, float]], width: int = 720, height: int = 240, margin: int = 44) -> str:
    """The loss per optimizer step as inline SVG; of a long training every n-th step."""
    if len(points) < 2:
        return "<p class=muted>Too few steps for a curve.</p>"
    points = points[:: max(1, len(points) // 1000)]
    steps, values = [step for step, _ in points], [loss for _, loss in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(step: int, loss: float) -> str:
        x = margin + (step - steps[0]) / (steps[-1] - steps[0]) * (width - 2 * margin)
        y = margin / 2 + (high - loss) / span * (height - 1.5 * margin)
        return f"{x:.1f},{y:.1f}"

    line = " ".join(place(*point) for point in points)
    bottom = height - margin
    texts = [(4, margin / 2 + 4, f"{high:.3f}"), (4, bottom + 4, f"{low:.3f}"), (margin, height - 14, f"step {steps[0]}")]
    labels = "".join(f'<text x="{x}" y="{y}" font-size="12" fill="currentColor">{text}</text>' for x, y, text in texts)
    end = f'<text x="{width - margin}" y="{height - 14}" font-size="12" text-anchor="end" fill="currentColor">step {steps[-1]}</text>'
    frame = f'<path d="M{margin},{margin / 2} V{bottom} H{width - margin}" fill="none" stroke="currentColor" opacity=".4"/>'
    curve = f'<polyline points="{line}" fill="none" stroke="#4a7fb5" stroke-width="1.5"/>'
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="Training loss per step">{frame}{curve}{labels}{end}</svg>'


def _final(row: dict[str, Any]) -> str:
    title = row["instruction"].strip().splitlines()[0][:120]
    return (
        f"<details><summary>{escape(title)}</summary><p class=muted>{escape(row['id'])}; concepts: {escape(', '.join(row['concepts']))}</p>"
        f"<b>Instruction</b><pre>{escape(row['instruction'])}</pre><b>Response</b><pre>{escape(row['response'])}</pre>"
        f"<b>Seed</b><pre>{escape(row['seed'])}</pre></details>"
    )


def _dropped(step: str, rows: Sequence[dict[str, Any]]) -> str:
    items = []
    for row in rows:
        text = f"<pre>{escape(row['text'][:4000])}</pre>" if row["text"] else ""
        detail = f"<pre>{escape(row['detail'][:2000])}</pre>" if row["detail"] else ""
        items.append(f"<details><summary>{escape(row['reason'])} <span class=muted>{escape(row['id'])}</span></summary>{detail}{text}</details>")
    return f"<h3>{escape(step)}</h3>{''.join(items)}"


def _failures(benchmark: str, which: str, items: Sequence[dict[str, Any]]) -> str:
    shown = [
        f"<details><summary>{escape(item['task_id'])}: {escape(item['verdict'])}</summary><pre>{escape(item['detail'])}</pre>"
        f"<pre>{escape(item['completion'] or '')}</pre></details>"
        for item in items
    ]
    return f"<h3>{escape(benchmark)}, {escape(which)} model</h3>{''.join(shown) or '<p>None.</p>'}"


def _generation(costs: dict[str, dict[str, Any]]) -> str:
    """What each model step took, per row that was kept too."""
    columns = ("requests", "cached_requests", "prompt_tokens", "computed_tokens", "output_tokens", "tokens_per_row", "tokens_per_second")
    columns += ("gpu_hours", "cost")
    rows = [(escape(step), *("-" if cost[key] is None else f"{cost[key]:,}" for key in columns)) for step, cost in costs.items()]
    headers = ("Step", "Requests", "From cache", "Prompt tokens", "Computed", "Output", "Tokens per kept row", "Output tokens/s", "GPU hours", "Cost")
    return _table(headers, rows, range(1, len(headers))) if rows else "<p>No model step.</p>"


def _fewshot(usage: dict[str, dict[str, dict[str, int]]]) -> str:
    """How many rows of each step saw each example, saw it first, and how many orders there were."""
    rows = []
    for step, counts in usage.items():
        orders = [times for order, times in counts["orders"].items() if order != "own"]
        spread = f"{len(orders):,} orders, {min(orders):,} to {max(orders):,} rows each" if orders else ""
        own = f"{counts['orders']['own']:,} rows with a draw of their own" if "own" in counts["orders"] else ""
        shown = sorted(counts["shown"].items(), key=lambda item: int(item[0]))
        examples = ", ".join(f"{example}: {times:,} ({counts['first'].get(example, 0):,})" for example, times in shown)
        rows.append((escape(step), examples or "-", "; ".join(filter(None, (spread, own)))))
    note = "<p class=muted>Example (by its place among those of the step): rows that saw it (as the first one).</p>"
    return _table(("Step", "Examples", "Orders"), rows) + note if rows else "<p>None.</p>"


def _costs(rules: dict[str, dict[str, Any]]) -> str:
    rows = []
    for rule, cost in rules.items():
        tokens = [f"{cost[key]:,}" if key in cost else "" for key in ("requests", "prompt_tokens", "computed_tokens", "output_tokens")]
        rows.append(
            (escape(rule), f"{cost['jobs']:,}", f"{cost['seconds']:,.1f}", f"{cost['cpu_seconds']:,.1f}", f"{cost['peak_memory_mb']:,}", *tokens)
        )
    headers = ("Rule", "Jobs", "Seconds", "CPU seconds", "Peak MB", "Requests", "Prompt tokens", "Computed", "Output tokens")
    return _table(headers, rows, range(1, 9))


def _facts(summary: dict[str, Any]) -> str:
    sources = [
        (escape(source["name"]), escape(source["kind"]), escape(source["licence"] or "of each row")) for source in summary["licences"]["sources"]
    ]
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in summary["versions"].items())
    return (
        _table(("Source", "Kind", "Licence"), sources)
        + f"<p>The notices that these licences ask for are in {escape(summary['licences']['notice'])}.</p><p>{versions}</p>"
        + f"<details><summary>Config</summary><pre>{escape(_yaml(summary['config']))}</pre></details>"
    )


def _yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=140)
