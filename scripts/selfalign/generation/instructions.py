"""write_instructions (C->I): a programming task from concepts, a category and a difficulty."""

import re

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.generation.draws import draw_properties
from selfalign.generation.engines.base import Engine
from selfalign.generation.fewshot import Example
from selfalign.generation.prompts import question
from selfalign.generation.steps import Advance, Asked, Rejected, ask_for, complete, finished_text

_HEADING = re.compile(
    r"^(?:### .*|\[(?:Code|Concepts|Verdict|Property|Instruction|Solution|Response|Reasoning|Implementation|Explanation|Tests)\])", re.M
)


def write_instructions(concepts: pa.Table, prompts: dict, engine: Engine, cfg: dict, advance: Advance | None = None) -> tuple[pa.Table, pa.Table]:
    """(instructions, dropped) of a shard of concepts, cfg["instructions"]["draws"] for each list.

    Category and difficulty are drawn for each instruction by its id from cfg["categories"] and cfg["difficulties"].
    """
    asked = ask_for_instructions(concepts.to_pylist(), prompts, cfg)
    kept, dropped = complete("write_instructions", asked, engine, lambda completion: parse_instruction(finished_text(completion)), advance)
    rows = []
    for row, instruction in kept:
        origin = {"function_id": row.parent["function_id"], "concepts_id": row.parent["id"], "draw": row.draw, "prefix": row.prefix}
        rows.append({"id": row.id, **origin, **draw_properties(row.id, cfg), "instruction": instruction})
    return to_table(rows, "instructions"), to_dropped(dropped)


def ask_for_instructions(concepts: list[dict], prompts: dict, cfg: dict) -> list[Asked]:
    """The rows that are asked for, with their prompts."""

    def open_example(parent: dict, row: str) -> str:
        drawn = draw_properties(row, cfg)
        return question(
            "instructions", Example("", drawn["category"], drawn["language"], tuple(parent["concepts"]), drawn["difficulty"], "", "", "")
        )

    return ask_for("write_instructions", concepts, prompts, cfg, open_example)


def parse_instruction(text: str) -> str:
    """The instruction; Rejected if it is empty or goes on into another section."""
    if not text:
        raise Rejected("empty")
    if heading := _HEADING.search(text):
        raise Rejected("malformed", f"{heading.group()[:40]!r}")
    return text
