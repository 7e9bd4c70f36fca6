"""What generation cost: the engine's work of this run, and the tokens behind each accepted row."""

from selfalign.report.generation import generation_costs
from selfalign.report.sections import fewshot

FREE = {"gpu_hour": 0, "prompt_tokens": 0, "output_tokens": 0}


def step(name, kept, requests, cached, seconds=10.0, hours=0.5):
    """Each request has 100 prompt tokens, 10 of them computed, and 20 output tokens."""
    tokens = {"requests": 1, "prompt_tokens": 100, "computed_tokens": 10, "output_tokens": 20}
    cost = {key: times * requests for key, times in tokens.items()}
    cost |= {"cached": {key: times * cached for key, times in tokens.items()}, "engine_seconds": seconds, "gpu_hours": hours}
    return {"step": name, "kept": kept, "cost": cost}


STEPS = [step("extract_concepts", 50, 100, 40), step("write_responses", 30, 200, 0), {"step": "execute_responses", "kept": 9, "cost": {}}]


def test_per_accepted_row_all_tokens_count_and_per_second_those_of_this_run():
    costs = generation_costs(STEPS, FREE)
    assert list(costs) == ["extract_concepts", "write_responses", "total"]
    concepts = costs["extract_concepts"]
    assert concepts["tokens_per_row"] == 100 * 30 / 50
    assert concepts["tokens_per_second"] == 60 * 20 / 10
    assert concepts["cached_requests"] == 40
    assert costs["total"]["tokens_per_row"] == 300 * 30 / 30
    assert (costs["total"]["seconds"], costs["total"]["gpu_hours"], costs["total"]["cost"]) == (20.0, 1.0, None)


def test_answers_from_the_cache_are_free():
    prices = {"gpu_hour": 2.0, "prompt_tokens": 1000.0, "output_tokens": 10000.0}
    costs = generation_costs(STEPS, prices)
    assert costs["extract_concepts"]["cost"] == 19.0  # half an hour, and 60 requests of 0.1 + 0.2
    assert costs["total"]["cost"] == 80.0


def test_a_run_without_model_steps_and_a_step_without_rows():
    assert generation_costs(STEPS[2:], FREE) == {}
    assert generation_costs([step("judge_seeds", 0, 5, 5, 0.0)], FREE)["judge_seeds"]["tokens_per_row"] is None


def test_the_report_shows_how_often_each_example_was_used():
    usage = {"extract_concepts": {"shown": {"10": 7, "2": 9}, "first": {"2": 4}, "orders": {"2-10": 4, "10-2": 3}}, "judge_seeds": {}}
    usage["judge_seeds"] = {"shown": {}, "first": {}, "orders": {"own": 12}}
    page = fewshot(usage)
    assert "2: 9 (4), 10: 7 (0)" in page and "2 orders, 3 to 4 rows each" in page
    assert "12 rows with a draw of their own" in page
