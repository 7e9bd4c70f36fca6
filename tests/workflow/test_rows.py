"""What a change costs in model calls, programs and trainings, counted over the real small run."""

import json
import shutil

import pytest

NEW = '''def harmonic_balance(values, limit):
    """Return the sum of the first values, each divided by its place, and nothing from the limit on."""
    total = 0.0
    for place, value in enumerate(values[:limit], 1):
        total += value / place
    return total
'''


def stats(project, rule):
    """The facts of a rule's jobs by shard."""
    return {path.stem: json.loads(path.read_text()) for path in (project.folder / "results" / "stats" / rule).glob("*.json")}


def calls(project, rules=("judge_seeds", "extract_concepts", "write_instructions", "write_responses")):
    """Model calls that were not answered from the cache, in the jobs as they are recorded now."""
    return sum(facts["requests"] - facts["cached"]["requests"] for rule in rules for facts in stats(project, rule).values())


def segments(project):
    """What the caches hold."""
    return {path.relative_to(project.folder): path.stat().st_size for path in (project.folder / "cache").rglob("*.segment")}


@pytest.fixture
def copied(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def test_one_more_function_costs_its_own_calls_and_moves_no_other_shard(finished, copied):
    first, functions = calls(finished), sum(facts["kept"] for facts in stats(finished, "filter_functions").values())
    (copied.folder / "more").mkdir()
    (copied.folder / "more" / "more.py").write_text(NEW)
    copied.config["sources"] = [*copied.config["sources"], {"name": "more", "kind": "folder", "path": "more", "licence": "MIT"}]
    copied.write_config()
    before, written, rows = copied.times(), copied.files("extracted"), stats(copied, "judge_seeds")
    copied.selfalign_run("dataset")
    assert sum(facts["kept"] for facts in stats(copied, "filter_functions").values()) == functions + 1, "the new function passes the filters"
    (shard,) = {path.rsplit("/")[-1].removesuffix(".parquet") for path, data in copied.files("extracted").items() if written[path] != data}
    (other,) = {"0", "1"} - {shard}
    touched = {path for path, time in copied.times().items() if before.get(path) != time}
    later = ("seeds", "concepts", "instructions", "responses", "executed", "candidates")
    assert {f"{dataset}/{shard}.parquet" for dataset in later[:1]} <= touched
    assert touched.isdisjoint({f"{dataset}/{other}.parquet" for dataset in later})
    new = sum(stats(copied, rule)[shard]["requests"] - stats(copied, rule)[shard]["cached"]["requests"] for rule in ("judge_seeds",))
    assert new == 1 and stats(copied, "judge_seeds")[other] == rows[other]
    asked = [facts for rule in ("extract_concepts", "write_instructions", "write_responses") for facts in stats(copied, rule).values()]
    new += sum(facts["requests"] - facts["cached"]["requests"] for facts in asked if facts["cached"]["requests"])
    assert new / first <= 2 / functions, f"{new} of {first} calls for 1 of {functions} functions"


def test_one_more_sample_asks_for_one_more_and_another_temperature_for_all(copied):
    target = "results/responses/0.parquet"
    instructions = stats(copied, "write_responses")["0"]["rows_in"]
    copied.config["responses"] = {**copied.config["responses"], "draws": 3}
    copied.write_config()
    copied.selfalign_run(target)
    facts = stats(copied, "write_responses")["0"]
    assert (facts["requests"], facts["cached"]["requests"]) == (3 * instructions, 2 * instructions)
    copied.config["responses"] = {**copied.config["responses"], "draws": 1, "temperature": 0.31}
    copied.write_config()
    copied.selfalign_run(target)
    facts = stats(copied, "write_responses")["0"]
    assert (facts["requests"], facts["cached"]["requests"]) == (instructions, 0)


def test_without_the_caches_the_bytes_are_the_same(finished, copied):
    shutil.rmtree(copied.folder / "cache" / "completions")
    copied.snakemake("results/seeds/1.parquet", "--forcerun", "results/seeds/1.parquet")
    assert stats(copied, "judge_seeds")["1"]["cached"]["requests"] == 0
    assert copied.files("seeds") == finished.files("seeds")


def test_what_plain_snakemake_runs_again_asks_no_model_runs_no_program_and_trains_nothing(copied):
    before = segments(copied)
    datasets = copied.files("seeds", "concepts", "instructions", "responses", "executed", "candidates", "dataset", "dropped")
    weights = (copied.folder / "results" / "model" / "model.safetensors").read_bytes()
    copied.append("scripts/selfalign/generation/prompts.py", "\nCHANGED = 1\n")
    output = copied.snakemake("model")
    for job in ("judge_seeds 0: done", "write_responses 1: done", "execute_responses 0: done", "select_dataset"):
        assert job in output
    assert "the same training was done before" in output
    assert segments(copied) == before, "nothing was added to the caches"
    assert copied.files("seeds", "concepts", "instructions", "responses", "executed", "candidates", "dataset", "dropped") == datasets
    assert (copied.folder / "results" / "model" / "model.safetensors").read_bytes() == weights
    plan = copied.plan()
    assert "evaluate_model" not in plan, "the model is the same"
