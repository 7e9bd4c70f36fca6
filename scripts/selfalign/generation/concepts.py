"""extract_concepts (S->C): the programming concepts that a seed uses."""

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.generation.engines.base import Engine
from selfalign.generation.fewshot import Judged
from selfalign.generation.prompts import question
from selfalign.generation.steps import Advance, Asked, Rejected, ask_for, complete, finished_text

_LONGEST = 80  # characters of a concept; a longer one is a sentence


def extract_concepts(seeds: pa.Table, prompts: dict, engine: Engine, cfg: dict, advance: Advance | None = None) -> tuple[pa.Table, pa.Table]:
    """(concepts, dropped) of a shard of seeds, cfg["concepts"]["draws"] lists for each seed."""
    asked = ask_for_concepts(seeds.to_pylist(), prompts, cfg)
    kept, dropped = complete("extract_concepts", asked, engine, lambda completion: parse_concepts(finished_text(completion)), advance)
    rows = [
        {"id": row.id, "function_id": row.parent["id"], "seed_id": row.parent["id"], "draw": row.draw, "prefix": row.prefix, "concepts": found}
        for row, found in kept
    ]
    return to_table(rows, "concepts"), to_dropped(dropped)


def ask_for_concepts(seeds: list[dict], prompts: dict, cfg: dict) -> list[Asked]:
    """The rows that are asked for, with their prompts."""
    # The open example of a function is the same, whatever its other parts.
    return ask_for("extract_concepts", seeds, prompts, cfg, lambda row, _: question("concepts", Judged(row["content"], "")))


def parse_concepts(text: str) -> list[str]:
    """The items of one line with commas between, each once (whatever its case), in order. Rejected for anything else."""
    if "\n" in text:
        raise Rejected("malformed", "more than one line")
    items = {item.casefold(): item for item in reversed([item.strip() for item in text.split(",")]) if item}
    found = list(reversed(items.values()))
    if not found:
        raise Rejected("no_concepts")
    if too_long := next((item for item in found if len(item) > _LONGEST), None):
        raise Rejected("malformed", f"{too_long[:_LONGEST]!r}... is no concept")
    return found
