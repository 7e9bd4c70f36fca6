"""The funnel, and each step: its counts, its cost, the reasons of its drops, and rows to look at."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from selfalign.data.tables import REASONS
from selfalign.report.charts import kept_and_reasons
from selfalign.report.examples import Example
from selfalign.report.markup import Html, code, count, duration, explained, facts, fold, join, note, plain, share, table, tag

PROMPT = 4  # times a listing's characters of a prompt are shown
_HEADING = re.compile(r"\[\w+\]|```\w*")  # a line that would say the same of every response
_SHOWN = 5  # reasons beside a bar; the others are counted together
_MEANINGS = {
    "extracted": "Top-level functions with a docstring, from sources whose licence is allowed.",
    "functions": "Functions that no other one nearly repeats, with imports added, free of benchmark problems, and without a type error.",
    "seeds": "Functions whose docstring says enough to write them again, as the model judges.",
    "concepts": "What a seed is about, in a few words each.",
    "instructions": "Programming tasks, each from a list of concepts, a category and a difficulty.",
    "responses": "Reasoning, implementation, explanation and tests for an instruction.",
    "executed": "Responses whose implementation passed their own tests in the sandbox.",
    "candidates": "One well-formed passing response for each instruction.",
    "dataset": "The final pairs of instruction and response, duplicates out and form varied.",
}


def title(dataset: str) -> str:
    """A dataset's name as a heading."""
    return "Final dataset" if dataset == "dataset" else dataset.capitalize()


def funnel(steps: Sequence[Mapping[str, Any]]) -> Html:
    """A bar for each step: what was kept of the rows that it was asked for, and each reason of its drops."""
    return tag("div", *(_stage(step) for step in steps), class_="card") + note(
        "Each bar is all rows that the step was asked for (rows in, times draws). Every reason is in the step, below."
    )


def _stage(step: Mapping[str, Any]) -> Html:
    dataset, asked = step["dataset"], step["asked"]
    drops = {reason: number for reason, number in step["reasons"].items() if number}
    draws = f" × {step['draws']} draws" if step["draws"] > 1 else ""
    what = tag("div", tag("a", title(dataset), href=f"#step-{dataset}"), tag("small", f"{count(step['rows_in'])} in{draws}"), class_="what")
    rows = tag("div", tag("b", count(step["kept"])), tag("small", f"{share(step['kept'], asked)} kept"), class_="rows")
    bar = kept_and_reasons(step["kept"], drops, asked, f"{title(dataset)}: {count(step['kept'])} of {count(asked)} rows kept")
    return tag("div", what, bar, rows, tag("div", _chips(drops), class_="why"), class_="stage")


def _chips(drops: Mapping[str, int]) -> Html:
    ordered = sorted(drops.items(), key=lambda item: (-item[1], item[0]))
    chips = [tag("span", tag("i"), f"{reason} {count(number)}", class_=f"chip d{rank}") for rank, (reason, number) in enumerate(ordered[:_SHOWN])]
    if rest := ordered[_SHOWN:]:
        chips.append(tag("span", tag("i"), f"{len(rest)} more {count(sum(number for _, number in rest))}", class_="chip d5"))
    return join(chips)


def step_cards(
    steps: Sequence[Mapping[str, Any]], examples: Mapping[str, tuple[Sequence[Example], Sequence[Example]]], shown: int, characters: int
) -> Html:
    """Every step in a card that opens: `shown` kept and as many dropped rows, listings of at most `characters` each."""
    cards = []
    for step in steps:
        dataset = step["dataset"]
        kept, dropped = examples.get(dataset, ((), ()))
        small = tag("small", f"{count(step['kept'])} of {count(step['asked'])} rows kept, {share(step['kept'], step['asked'])}")
        parts = [tag("p", _MEANINGS.get(dataset, "")), _costs(step), _reasons(step)]
        if kept[:shown]:
            parts += [tag("h3", f"Kept: {len(kept[:shown])} of {count(step['kept'])}"), *(_example(row, characters) for row in kept[:shown])]
        if dropped[:shown]:
            parts += [
                tag("h3", f"Dropped: {len(dropped[:shown])} of {count(step['dropped'])}"),
                *(_example(row, characters) for row in dropped[:shown]),
            ]
        cards.append(fold(join([title(dataset), small]), *parts, class_="step", id=f"step-{dataset}"))
    return join(cards, "\n")


def _costs(step: Mapping[str, Any]) -> Html:
    cost = step.get("cost", {})
    shown: dict[str, object] = {"rows in": count(step["rows_in"])}
    if step["draws"] > 1:
        shown["draws for each"] = count(step["draws"])
    shown |= {"kept": count(step["kept"]), "dropped": count(step["dropped"])}
    if seconds := cost.get("seconds"):
        shown["time of all jobs"] = duration(seconds)
        shown["rows per second"] = f"{step['asked'] / seconds:,.1f}"
        shown["CPU time"] = duration(cost.get("cpu_seconds", 0))
        shown["largest job"] = f"{count(cost.get('peak_memory_mb'))} MB"
    if prompt := cost.get("prompt_tokens"):
        computed, output, cached = cost.get("computed_tokens", 0), cost.get("output_tokens", 0), cost.get("cached", {})
        shown["prompt tokens"] = count(prompt)
        shown["of these from a shared prefix"] = share(prompt - computed, prompt)
        shown["output tokens"] = count(output)
        if seconds:
            shown["new output tokens per second"] = f"{max(0, output - cached.get('output_tokens', 0)) / seconds:,.1f}"
        if cached.get("requests"):
            shown["answered by the cache"] = share(cached["requests"], cost.get("requests", 0))
    return facts(shown) + _others(cost)


_KNOWN = {"jobs", "seconds", "cpu_seconds", "peak_memory_mb", "asked", "requests", "prompt_tokens", "computed_tokens", "output_tokens", "cached"}


def _others(cost: Mapping[str, Any]) -> Html:
    """What else the step's jobs counted, whatever it is: numbers, and tables of numbers."""
    lines = []
    for name, value in sorted(cost.items()):
        if name in _KNOWN:
            continue
        if isinstance(value, Mapping):
            inside = ", ".join(
                f"{key.replace('_', ' ')} {count(number)}" for key, number in value.items() if isinstance(number, int | float) and number
            )
            lines.append(f"{name.replace('_', ' ')}: {inside}" if inside else "")
        elif isinstance(value, int | float) and value:
            lines.append(f"{name.replace('_', ' ')} {value:,.10g}")
    shown = [line for line in lines if line]
    return note("Also counted: ", "; ".join(shown), ".") if shown else Html()


def _reasons(step: Mapping[str, Any]) -> Html:
    meanings = REASONS.get(step["step"], {})
    rows = [
        (explained(reason, meanings), count(number), share(number, step["asked"]))
        for reason, number in sorted(step["reasons"].items(), key=lambda item: (-item[1], item[0]))
        if number
    ]
    return table(("Reason", "Rows", "Share"), rows, (1, 2), f"Reasons, {title(step['dataset'])}") if rows else note("Nothing was dropped.")


def _example(row: Example, characters: int) -> Html:
    why = [tag("span", row.reason, class_="why-dropped")] if row.reason else []
    lines = (line.strip() for _, _, shown in row.listings for line in shown.splitlines())
    first = next((line for line in lines if line and not _HEADING.fullmatch(line)), row.detail)
    line = first if len(first) <= 110 else first[:110] + "…"
    parts: list[object] = []
    if row.facts:
        parts.append(facts({name.replace("_", " "): plain(value) for name, value in row.facts.items()}))
    if row.detail:
        parts += [tag("h4", "Detail"), code(row.detail, "text", characters)]
    for heading, language, shown in row.listings:
        parts += [tag("h4", heading), code(shown, language, characters)]
    if row.prompt:
        parts.append(fold("The whole prompt", code(row.prompt, "markdown", PROMPT * characters)))
    return fold(join([*why, line, " ", tag("span", row.id, class_="id")]), *parts, class_="example")
