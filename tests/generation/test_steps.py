"""The four model steps with a real engine: every row that is asked for is kept or dropped, and depends on itself alone."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from selfalign.data.errors import ConfigError, EngineError
from selfalign.data.files import concat_dropped, to_table, write_shard
from selfalign.data.ids import content_id, row_id
from selfalign.data.tables import REASONS
from selfalign.generation.concepts import extract_concepts, parse_concepts
from selfalign.generation.draws import draw_prompts
from selfalign.generation.engines import Completion
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.instructions import parse_instruction, write_instructions
from selfalign.generation.judge import judge_score, judge_seeds
from selfalign.generation.responses import parse_response, write_responses
from selfalign.generation.steps import Rejected, finished_text

FEWSHOT = FewShot(
    {step: f"Do {step}." for step in ("judge", "concepts", "instructions", "responses")},
    tuple(Example(f"def f{n}(): pass", "c", "Python", ("loop", f"part {n}"), "easy", f"Write f{n}.", "", f"[Tests]\n{n}") for n in range(4)),
    tuple(Judged(f"def f{n}(): pass", "Yes" if n % 2 else "No") for n in range(4)),
)
PART = {"examples": 2, "prefixes": 3, "draws": 2, "temperature": 0.9, "max_new_tokens": 24}
CFG = {
    "judge": {**PART, "draws": 1, "temperature": 0.0, "max_new_tokens": 4},
    "concepts": PART,
    "instructions": PART,
    "responses": {**PART, "draws": 3},
    "judge_threshold": 0.0,
    "categories": ["function", "class"],
    "difficulties": ["easy", "hard"],
    "seed": 7,
}


def functions(count: int) -> pa.Table:
    rows = []
    for at in range(count):
        content = f'def add{at}(a, b):\n    """Add."""\n    return a + b + {at}' + "\n    # x" * (60 if at == 2 else 0)
        rest = {"sha1": "", "path": "a.py", "repository": "", "line": at, "licence": "MIT", "source": "s", "imports": []}
        rows.append({"id": content_id(content), "content": content, **rest})
    return to_table(rows, "functions")


def seeds(count: int) -> pa.Table:
    return to_table([{**row, "judge": "yes", "score": 1.0} for row in functions(count).to_pylist()], "seeds")


def concept_rows(count: int) -> pa.Table:
    origin = {"function_id": "f" * 16, "seed_id": "f" * 16, "draw": 0, "prefix": 0}
    return to_table([{"id": row_id("extract_concepts", "f", at), **origin, "concepts": ["loop", f"part {at}"]} for at in range(count)], "concepts")


def instruction_rows(count: int) -> pa.Table:
    origin = {"function_id": "f" * 16, "concepts_id": "c" * 16, "draw": 0, "prefix": 0, "category": "function", "language": "Python"}
    rows = [{"id": row_id("write_instructions", "c", at), **origin, "difficulty": "easy", "instruction": f"Write f{at}."} for at in range(count)]
    return to_table(rows, "instructions")


STEPS = {"judge": (judge_seeds, functions), "concepts": (extract_concepts, seeds), "instructions": (write_instructions, concept_rows)}
STEPS["responses"] = (write_responses, instruction_rows)


def prompts_of(step: str, cfg: dict = CFG) -> dict:
    """As the step gets them: through the file."""
    return json.loads(json.dumps(draw_prompts(FEWSHOT, step, cfg[step], cfg["seed"])))


def run(step: str, rows: pa.Table, engine, cfg: dict = CFG) -> tuple[pa.Table, pa.Table]:
    return STEPS[step][0](rows, prompts_of(step, cfg), engine, cfg)


@pytest.mark.parametrize("step", STEPS)
def test_rows_asked_for_are_kept_or_dropped(step, engine):
    rows = STEPS[step][1](6)
    kept, dropped = run(step, rows, engine)
    ids = [*kept["id"].to_pylist(), *dropped["id"].to_pylist()]
    assert len(set(ids)) == len(ids) == 6 * CFG[step]["draws"]
    assert set(dropped["parent_id"].to_pylist()) <= set(rows["id"].to_pylist())


@pytest.mark.parametrize("step", STEPS)
def test_shards_do_not_change_a_row(step, engine, tmp_path):
    """One shard, or one per row: the same bytes."""
    rows = STEPS[step][1](6)
    whole = run(step, rows, engine)
    parts = [run(step, rows.slice(at, 1), engine) for at in reversed(range(6))]
    dataset = {"judge": "seeds"}.get(step, step)
    write_shard(whole[0], tmp_path / "whole", dataset)
    write_shard(pa.concat_tables([kept for kept, _ in parts]), tmp_path / "parts", dataset)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()
    both = [table.sort_by("id").to_pylist() for table in (whole[1], concat_dropped(dropped for _, dropped in parts))]
    assert both[0] == both[1]


def test_a_random_model_fills_several_reasons_and_a_real_answer_is_kept(engine):
    """The judge with this model keeps and drops; rows without an end, and too long ones, have their reasons."""
    kept, dropped = run("judge", functions(6), engine)
    assert {"prompt_too_long"} <= set(dropped["reason"].to_pylist())
    assert kept.num_rows + dropped.num_rows == 6
    assert all(score > 0 for score in kept["score"].to_pylist())
    _, dropped = run("responses", instruction_rows(4), engine)
    assert set(dropped["reason"].to_pylist()) <= set(REASONS["write_responses"])
    assert "length_stop" in dropped["reason"].to_pylist()


class Scripted:
    """An engine that answers from a table: what the model writes is not under test here."""

    fingerprint = "scripted"

    def __init__(self, answer):
        self.answer = answer
        self.requests = []

    def complete(self, requests):
        self.requests += requests
        # Not in the order of the requests: alignment is by id.
        for request in reversed(requests):
            yield replace(self.answer(request), id=request.id)

    def close(self):
        pass


def text(value: str, reason: str = "stop") -> Completion:
    return Completion("", value, reason)


def test_kept_rows_carry_what_was_drawn():
    engine = Scripted(lambda request: text(f"Write {request.prompt[-80:].split('difficulty: ')[1].split()[0]}."))
    kept, dropped = run("instructions", concept_rows(20), engine)
    assert (kept.num_rows, dropped.num_rows) == (40, 0)
    for row in kept.to_pylist():
        assert row["instruction"] == f"Write {row['difficulty']}."
        assert row["id"] == row_id("write_instructions", row["concepts_id"], row["draw"])
    for name, values in {"difficulty": CFG["difficulties"], "category": CFG["categories"], "prefix": range(3), "draw": range(2)}.items():
        assert set(kept[name].to_pylist()) == set(values)


def test_prompts_begin_with_the_draw_that_the_row_names():
    prompts = prompts_of("concepts")
    engine = Scripted(lambda request: text("loop"))
    kept, _ = extract_concepts(seeds(5), prompts, engine, CFG)
    number = {row["id"]: row["prefix"] for row in kept.to_pylist()}
    for request in engine.requests:
        assert request.prefix == prompts["draws"][number[request.id]]["prefix"]
        assert request.prompt.startswith("[Code]\ndef add")
        assert request.stop == ("\n### Example",)
    numbers = [number[request.id] for request in engine.requests]
    assert numbers == sorted(numbers)
    assert len({request.seed for request in engine.requests}) == 10


def test_samples_of_an_instruction_have_one_prompt_and_concept_lists_of_a_seed_have_several():
    for step, rows, share in (("responses", instruction_rows(20), True), ("concepts", seeds(20), False)):
        engine = Scripted(lambda request: text("loop"))
        run(step, rows, engine)
        prompts = {}
        for request in engine.requests:
            prompts.setdefault(request.prompt, set()).add(request.prefix)
        assert len(prompts) == 20
        assert all(len(prefixes) == 1 for prefixes in prompts.values()) is share


def test_per_row_prompts_have_examples_of_their_own():
    cfg = {**CFG, "concepts": {**PART, "prefixes": "per-row"}}
    engine = Scripted(lambda request: text("loop"))
    kept, _ = run("concepts", seeds(6), engine, cfg)
    assert set(kept["prefix"].to_pylist()) == {-1}
    assert {request.prefix for request in engine.requests} == {""}
    heads = {request.prompt.split("### Example 3")[0] for request in engine.requests}
    assert len(heads) > 5
    assert all(head.startswith("Do concepts.\n\n### Example 1\n[Code]\n") for head in heads)


def test_failed_and_lost_rows():
    some = Scripted(lambda request: text("", "failed") if request.seed % 2 else text("loop"))
    kept, dropped = run("concepts", seeds(10), some)
    assert kept.num_rows > 0
    assert set(dropped["reason"].to_pylist()) == {"engine_failed"}
    with pytest.raises(EngineError, match="all 20 model calls failed, the first with: server gone"):
        run("concepts", seeds(10), Scripted(lambda request: Completion("", "", "failed", "server gone")))

    class Losing(Scripted):
        def complete(self, requests):
            yield from super().complete(requests[1:])

    with pytest.raises(EngineError, match="no answer for 1 of 20 rows"):
        run("concepts", seeds(10), Losing(lambda request: text("loop")))


def test_no_rows_in_give_no_rows_out():
    kept, dropped = run("concepts", seeds(0), Scripted(lambda request: text("loop")))
    assert (kept.num_rows, dropped.num_rows) == (0, 0)


def test_a_function_is_judged_once():
    with pytest.raises(ConfigError, match="judge.draws"):
        run("judge", functions(1), Scripted(lambda request: text("Yes")), {**CFG, "judge": {**PART, "draws": 2}})


def reason(parse, *args) -> str:
    with pytest.raises(Rejected) as caught:
        parse(*args)
    return caught.value.reason


def test_judge_verdicts():
    judged = Completion("", "Yes", "stop", logprobs=(-1.0, -1.5))
    assert judge_score(judged, 0.0) == 0.5
    assert reason(judge_score, judged, 0.5) == "judged_no"
    assert judge_score(text(" yes, it"), 0.0) is None
    assert reason(judge_score, text("No"), 0.0) == "judged_no"
    assert reason(judge_score, text("Nobody"), 0.0) == "unparsable"


def test_concept_lists():
    assert parse_concepts("loop, Recursion , loop,recursion,, set") == ["loop", "Recursion", "set"]
    assert reason(parse_concepts, "") == reason(parse_concepts, " , ,") == "no_concepts"
    assert reason(parse_concepts, "loop\nset") == "malformed"
    assert reason(parse_concepts, "loop, " + "x" * 81) == "malformed"


def test_instructions_stay_in_their_section():
    assert parse_instruction("Write `f([Code])`.\n- with ### inside") == "Write `f([Code])`.\n- with ### inside"
    assert reason(parse_instruction, "") == "empty"
    for more in ("[Property]\ncategory: x", "[Response]", "### Example 3"):
        assert reason(parse_instruction, f"Write f.\n{more}") == "malformed"


def test_responses_have_their_four_sections():
    whole = "[Reasoning]\nr\n\n[Implementation]\ni\n\n[Explanation]\ne\n\n[Tests]\nt"
    assert parse_response(whole) == whole
    assert reason(parse_response, whole.replace("[Explanation]\ne\n\n", "")) == "missing_section"
    assert reason(parse_response, whole + "\n\n[Tests]\nt") == "section_order"
    assert reason(parse_response, "") == "empty"


def test_texts_without_an_end_loops_and_refusals():
    assert finished_text(text("\n loop, set \n\n")) == "loop, set"
    assert reason(finished_text, text("loop", "length")) == "length_stop"
    assert reason(finished_text, text("start " + "to add the next number, " * 10)) == "repetition"
    assert reason(finished_text, text("[Reasoning]\nI'm sorry, but I cannot do this.")) == "refusal"
