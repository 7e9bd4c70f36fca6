"""write_responses (I->R): reasoning, implementation, explanation and tests for an instruction, several times."""

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.generation.engines.base import Completion, Engine
from selfalign.generation.fewshot import Example
from selfalign.generation.prompts import question
from selfalign.generation.sections import SectionError, split_sections
from selfalign.generation.steps import Advance, Asked, Rejected, ask_for, complete, finished_text


def write_responses(instructions: pa.Table, prompts: dict, engine: Engine, cfg: dict, advance: Advance | None = None) -> tuple[pa.Table, pa.Table]:
    """(responses, dropped) of a shard of instructions, cfg["responses"]["draws"] samples of each."""

    def parse(completion: Completion) -> tuple[str, str]:
        return parse_response(finished_text(completion)), completion.finish_reason

    asked = ask_for_responses(instructions.to_pylist(), prompts, cfg)
    kept, dropped = complete("write_responses", asked, engine, parse, advance)
    rows = []
    for row, (response, finish_reason) in kept:
        origin = {"function_id": row.parent["function_id"], "instruction_id": row.parent["id"], "sample": row.draw, "prefix": row.prefix}
        rows.append({"id": row.id, **origin, "response": response, "finish_reason": finish_reason})
    return to_table(rows, "responses"), to_dropped(dropped)


def ask_for_responses(instructions: list[dict], prompts: dict, cfg: dict) -> list[Asked]:
    """The rows that are asked for, with their prompts."""

    def open_example(parent: dict, _: str) -> str:
        return question("responses", Example("", "", "", (), "", parent["instruction"], "", ""))

    # Samples of one prompt, as published: their prompt is computed once.
    return ask_for("write_responses", instructions, prompts, cfg, open_example, one_prompt=True)


def parse_response(text: str) -> str:
    """The response; Rejected unless it has its four sections, each once and in order."""
    if not text:
        raise Rejected("empty")
    try:
        split_sections(text)
    except SectionError as error:
        raise Rejected(error.reason, error.detail) from error
    return text
