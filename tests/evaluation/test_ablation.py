import pytest

from selfalign.data.errors import ConfigError, InputError
from selfalign.data.files import to_table
from selfalign.evaluation.ablation import ARMS, ablate, draw_arms, make_pool
from selfalign.selection.decontamination import Decontamination, load_benchmark

SELECTION = {"keep_reasoning": 0.0, "keep_explanation": 0.0, "append_tests": 0.0}


def response(name, value, tests="assert {name}() is not None"):
    tests = tests.format(name=name)
    code = f"def {name}():\n    return {value}"
    return f"[Reasoning]\nThink.\n\n[Implementation]\n```python\n{code}\n```\n\n[Explanation]\nDone.\n\n[Tests]\n```python\n{tests}\n```"


@pytest.fixture
def world():
    """Ten instructions: 0 to 5 have two passing and two failing responses, 6 and 7 only passing, 8 and 9 only failing ones."""
    instructions, responses, verdicts = [], [], {}
    for n in range(10):
        key = f"{n:016x}"
        names = {"concepts_id": "", "category": "", "language": "", "difficulty": "", "prefix": 0, "draw": 0}
        instructions.append({"id": key, "function_id": key, "instruction": f"Write function number {n}.", **names})
        for sample in range(4):
            good = sample < 2
            if n in ((8, 9) if good else (6, 7)):
                continue
            row = f"{n * 10 + sample:016x}"
            verdicts[row] = "passed" if good else "assertion_failed"
            text = response(f"f{n}_{sample}", "passing" if good else "failing")
            facts = {"sample": sample, "prefix": 0, "finish_reason": "stop"}
            responses.append({"id": row, "function_id": key, "instruction_id": key, "response": text, **facts})
    return to_table(instructions, "instructions"), to_table(responses, "responses"), verdicts


@pytest.fixture
def nothing(data):
    return Decontamination([load_benchmark(data)], 10)


def test_arms_have_one_size_and_differ_only_in_what_they_take(world, nothing):
    pool = make_pool(*world, nothing)
    arms = draw_arms(pool, 0, SELECTION, seed=1)
    assert {arm: len(rows) for arm, rows in arms.items()} == {"passing": 8, "random": 8, "failing": 8}
    assert all("return passing" in row["response"] for row in arms["passing"])
    assert all("return failing" in row["response"] for row in arms["failing"])
    instructions = {arm: [row["instruction"] for row in rows] for arm, rows in arms.items()}
    assert all(len(set(texts)) == 8 for texts in instructions.values())
    shared = instructions["passing"][:6]
    assert instructions["random"][:6] == instructions["failing"][:6] == shared
    assert sorted(shared) == [f"Write function number {n}." for n in range(6)]
    taken = {arm: [row["id"] for row in rows] for arm, rows in arms.items()}
    assert set(taken["random"]) - set(taken["passing"]) and set(taken["random"]) - set(taken["failing"])


def test_draws_follow_the_seed_and_not_the_order_of_rows(world, nothing):
    instructions, responses, verdicts = world
    arms = draw_arms(make_pool(*world, nothing), 5, SELECTION, seed=1)
    backwards = responses.take(list(range(responses.num_rows))[::-1])
    assert draw_arms(make_pool(instructions, backwards, verdicts, nothing), 5, SELECTION, seed=1) == arms
    assert draw_arms(make_pool(*world, nothing), 5, SELECTION, seed=2) != arms


def test_form_varies_as_in_the_final_dataset(world, nothing):
    pool = make_pool(*world, nothing)
    plain = draw_arms(pool, 0, SELECTION, seed=1)["passing"][0]
    assert plain["response"].startswith("```python\ndef f") and "assert" not in plain["response"] + plain["instruction"]
    full = draw_arms(pool, 0, dict.fromkeys(SELECTION, 1.0), seed=1)["passing"][0]
    assert "Think." in full["response"] and "Done." in full["response"] and "assert f" in full["instruction"]


def test_failing_responses_that_do_not_parse_take_part(world, nothing):
    instructions, responses, verdicts = world
    rows = responses.to_pylist()
    for row in rows:
        if verdicts[row["id"]] != "passed":
            row["response"] = response("broken", "(", tests="assert (")
            verdicts[row["id"]] = "syntax_error"
    arms = draw_arms(make_pool(instructions, to_table(rows, "responses"), verdicts, nothing), 0, dict.fromkeys(SELECTION, 1.0), seed=1)
    assert all("return (" in row["response"] for row in arms["failing"])
    assert all("assert" not in row["instruction"] for row in arms["failing"])


def test_what_is_left_out_is_counted(world, nothing, problems):
    instructions, responses, verdicts = world
    rows = responses.to_pylist()
    verdicts[rows[0]["id"]] = "infrastructure"
    rows[1]["response"] = "no sections at all"
    rows[2]["response"] = response("copied", "1").replace("Think.", problems[0].text)
    pool = make_pool(instructions, to_table(rows, "responses"), verdicts, nothing)
    assert pool.left_out == {"infrastructure": 1, "sections": 1, "contaminated": 1}
    kept = sum(len(several) for side in (pool.passing, pool.failing) for several in side.values())
    assert kept == len(rows) - 3


def test_impossible_sizes_are_refused(world, nothing):
    with pytest.raises(ConfigError, match=r"ablation\.size: 9 is more than the 8 rows"):
        draw_arms(make_pool(*world, nothing), 9, SELECTION, seed=1)
    instructions, responses, verdicts = world
    with pytest.raises(InputError, match="nothing to compare"):
        draw_arms(make_pool(instructions, responses, dict.fromkeys(verdicts, "passed"), nothing), 0, SELECTION, seed=1)


def test_every_arm_is_trained_and_scored_for_every_seed(world, nothing, cfg, data, tmp_path):
    cfg["ablation"] = {"seeds": 2, "size": 4}
    cfg["evaluation"] |= {"max_new_tokens": 2, "samples": 1}
    result = ablate(make_pool(*world, nothing), cfg, [[str(data)]], str(tmp_path))
    assert [(run["arm"], run["seed"], run["rows"]) for run in result["runs"]] == [(arm, seed, 4) for seed in (3, 4) for arm in ARMS]
    assert [run["passing_rows"] for run in result["runs"] if run["arm"] != "random"] == [4, 0, 4, 0]
    assert len({run["last_loss"] for run in result["runs"]}) == 6
    assert result["instructions"] == {"passing": 8, "failing": 8, "both": 6}
    for arm in ARMS:
        scores = [run["scores"]["six"]["greedy"] for run in result["runs"] if run["arm"] == arm]
        assert result["arms"][arm]["six"]["greedy"]["mean"] == pytest.approx(sum(scores) / 2)
        assert result["arms"][arm]["six"]["mean"] is not None
