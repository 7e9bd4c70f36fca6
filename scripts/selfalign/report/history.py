"""A row's history (report/trace.py) as text to read."""

import textwrap
from collections.abc import Iterator
from typing import Any


def render_history(history: dict[str, Any]) -> str:
    """The text, ending in a newline."""
    return "\n".join(_lines(history)) + "\n"


def _lines(history: dict[str, Any]) -> Iterator[str]:
    yield f"{history['kind']} {history['id']}: {_outcome(history)}"
    for row in history["dropped"]:
        detail = f"; {row['detail']}" if row["detail"] else ""
        yield f"  dropped by {row['step']}: {row['reason']} ({row['meaning']}){detail}"
    if function := history.get("function"):
        yield from _function(function)
    if concepts := history.get("concepts"):
        yield from ("", f"concepts {concepts['id']}{_number('list', concepts['draw'])}{_foreign(concepts)}", f"    {', '.join(concepts['concepts'])}")
    if instruction := history.get("instruction"):
        drawn = ", ".join(f"{name} {instruction[name]}" for name in ("difficulty", "category", "language") if instruction[name])
        yield from ("", f"instruction {instruction['id']}{_number('draw', instruction['draw'])}{_foreign(instruction)}: {drawn}")
        yield _block(instruction["instruction"])
    if responses := history.get("responses"):
        yield from ("", f"responses: {len(responses)} sampled")
        for response in responses:
            yield from _response(response, history["id"])
    if final := history.get("final"):
        yield from ("", f"final row {final['id']}: as in the final dataset", "  instruction", _block(final["instruction"], 6))
        yield from ("  response", _block(final["response"], 6))
        if others := history["stands_for"]:
            yield f"  stands for {len(others)} more:"
            yield from (f"      {row['id']} {row['reason']} of {row['detail']}" for row in others)
    if descendants := history.get("descendants"):
        yield from _descendants(descendants)
    for step, prompt in history["prompts"].items():
        yield from ("", f"prompt of step {step}", _block(prompt))


def _outcome(history: dict[str, Any]) -> str:
    if history["kind"] == "response":
        if history.get("final", {}).get("id") == history["id"]:
            return "in the final dataset"
        if not history["dropped"]:
            return next((row["fate"] for row in history.get("responses", ()) if row["id"] == history["id"]), "kept")
    if history["dropped"] and all(row["reason"] != "duplicate" for row in history["dropped"]):
        return "dropped"
    if final := history.get("final"):
        return f"led to the final row {final['id']}"
    if (descendants := history.get("descendants")) is not None:
        count = len(descendants["final"])
        return f"led to {count} final row{'' if count == 1 else 's'}"
    return "kept" if history.get("function") else "dropped"


def _function(function: dict[str, Any]) -> Iterator[str]:
    line = f":{function['line']}" if function["line"] else ""
    yield from ("", f"function {function['id']}{_foreign(function)}")
    repository = f", {function['repository']}" if function.get("repository") else ""
    yield f"  source {function['source']}{repository}, {function['path']}{line}, licence {function['licence'] or 'unknown'}"
    if function.get("judge"):
        score = "" if function["score"] is None else f", log P(yes) - log P(no) = {function['score']}"
        yield f"  judge: {function['judge']}{score}"
    for copy in function["copies"]:
        yield f"  copy: {copy}"
    if function["near_duplicates"]:
        yield f"  near-duplicates for which it stands: {', '.join(function['near_duplicates'])}"
    yield _block("\n".join([*function["imports"], function["content"]]))


def _response(response: dict[str, Any], own: str) -> Iterator[str]:
    number = "" if response["sample"] is None else f", sample {response['sample']}"
    verdict = f": {response['verdict']}" if response["verdict"] else ""
    yield f"  {'*' if response['id'] == own else '-'} {response['id']}{number}{verdict}"
    yield f"      {response['fate']}"
    if response["response"]:
        yield _block(response["response"], 6)


def _descendants(descendants: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"made from it: {len(descendants['made'])} kept, {len(descendants['dropped'])} dropped")
    for row in descendants["made"]:
        text = row["instruction"] if "instruction" in row else ", ".join(row["concepts"])
        yield f"  - {row['id']}: {textwrap.shorten(text, 120)}"
    for row in descendants["dropped"]:
        yield f"  - {row['id']}: dropped by {row['step']}: {row['reason']}{'; ' + row['detail'] if row['detail'] else ''}"
    if descendants["final"]:
        yield f"  final rows: {', '.join(descendants['final'])}"


def _number(name: str, value: int | None) -> str:
    return "" if value is None else f", {name} {value}"


def _foreign(row: dict[str, Any]) -> str:
    return f", imported as {row['source_id']}" if row.get("source_id") else ""


def _block(text: str, width: int = 4) -> str:
    return textwrap.indent(text, " " * width)
