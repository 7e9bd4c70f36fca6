"""From passing responses to candidates: one well-formed, clean response per instruction."""

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.data.ids import generator
from selfalign.generation.sections import SectionError, code_blocks, split_sections
from selfalign.selection.assertions import bound_names, checks_implementation
from selfalign.selection.consensus import Execute, agreements, best
from selfalign.selection.decontamination import Decontamination
from selfalign.selection.form import incomplete

STEP = "choose_responses"


def choose_responses(
    executed: pa.Table, instructions: pa.Table, benchmarks: Decontamination, seed: int, execute: Execute | None = None
) -> tuple[pa.Table, pa.Table]:
    """(candidates, dropped) of one shard of passing responses.

    A response must have its sections and one test block that asserts and calls, and neither it nor its instruction may contain a
    benchmark problem. Of what is left of an instruction one is drawn; each is as likely, and the draw depends on the instruction's id alone.
    With `execute` (policy `consensus`) the draw is among those that pass the most of the others' tests, and an instruction whose responses contradict
    each other has none.
    """
    instruction_of = dict(zip(instructions["id"].to_pylist(), instructions["instruction"].to_pylist(), strict=True))
    needed = sorted(set(executed["instruction_id"].to_pylist()))
    in_instruction = dict(zip(needed, benchmarks.find([instruction_of[row] for row in needed]), strict=True))
    rows = executed.select(["id", "function_id", "instruction_id", "response"]).to_pylist()
    dropped = []
    left = defaultdict(list)
    reasons = [form_reason(row["response"]) for row in rows]
    codes = ["" if reason else _code(row["response"]) for row, reason in zip(rows, reasons, strict=True)]
    in_response = zip(benchmarks.find([row["response"] for row in rows]), benchmarks.find_renamed(codes), strict=True)
    for row, reason, hits in zip(rows, reasons, in_response, strict=True):
        if reason is None and (hit := next(filter(None, (in_instruction[row["instruction_id"]], *hits)), None)):
            reason = ("contaminated", str(hit))
        if reason:
            dropped.append(_dropped(row, *reason))
        else:
            left[row["instruction_id"]].append(row)
    agreement = agreements([row for several in left.values() for row in several], execute) if execute else {}
    chosen = []
    for instruction, several in left.items():
        several.sort(key=lambda row: row["id"])
        eligible = best(several, agreement) if execute else several
        if not eligible:
            counts = {row["id"]: agreement[row["id"]] for row in several}
            dropped += [_dropped(row, "contradiction", f"passes {counts[row['id']].passed} of {counts[row['id']].compared}") for row in several]
            continue
        one = generator(seed, instruction, "choose response").choice(eligible)
        chosen.append({**one, "instruction": instruction_of[instruction]})
        dropped += [_dropped(row, "not_chosen", one["id"]) for row in several if row is not one]
    return to_table(chosen, "candidates"), to_dropped(dropped)


def _dropped(row: dict, reason: str, detail: str) -> dict:
    return {"id": row["id"], "parent_id": row["instruction_id"], "step": STEP, "reason": reason, "detail": detail}


def form_reason(response: str) -> tuple[str, str] | None:
    """(reason, detail) for which a passing response is no good example, or None."""
    try:
        sections = split_sections(response)
    except SectionError as error:
        return "sections", error.detail
    blocks = code_blocks(sections.tests)
    if len(blocks) != 1:
        return "test_blocks", f"{len(blocks)} Python blocks in [Tests]"
    code = implementation_of(sections.implementation)
    try:
        if not checks_implementation(blocks[0], bound_names(code)):
            return "tests_without_call", ""
        if why := incomplete(code):
            return "incomplete_code", why
    except SyntaxError as error:  # it ran, but in another Python, or with more than its blocks
        return "tests_without_call", f"does not parse: {error.msg}"
    except (RecursionError, MemoryError):
        return "tests_without_call", "does not parse: an expression is nested too deep"
    return None


def _code(response: str) -> str:
    return implementation_of(split_sections(response).implementation)


def implementation_of(section: str) -> str:
    """The code of [Implementation], as the execution filter ran it."""
    return "\n".join(code_blocks(section))


def texts_to_compare(candidates: pa.Table) -> dict[str, Sequence[str]]:
    """The texts of the three near-dedup passes, by part: instruction, response, and the code of the implementation."""
    responses = candidates["response"].to_pylist()
    code = [_code(response) for response in responses]
    return {"instruction": candidates["instruction"].to_pylist(), "response": responses, "code": code}
