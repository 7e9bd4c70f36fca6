import re
from collections.abc import Callable

import pytest
from transformers import AutoTokenizer

from selfalign.data.errors import EngineError
from selfalign.evaluation.evaluate import evaluate, evaluate_model
from selfalign.evaluation.intervals import wilson
from selfalign.generation.engines import Completion, Request


class Scripted:
    """An engine whose completions are written down: `answer(name of the function, is it chat?, request)` gives text and finish reason."""

    fingerprint = "scripted"

    def __init__(self, answer: Callable[[str, bool, Request], tuple[str, str]]):
        self.answer, self.asked = answer, []

    def complete(self, requests):
        self.asked += requests
        for request in reversed(requests):
            text = request.prefix + request.prompt
            text, reason = self.answer(re.findall(r"def (\w+)", text)[-1], "### Response" in text, request)
            yield Completion(request.id, text, reason, detail="as written" if reason in ("failed", "prompt_too_long") else "")

    def close(self):
        pass


@pytest.fixture
def solve(problems, rows):
    """The right completion by function name."""
    return {problem.entry_point: "\n" + row["canonical_solution"].rstrip() for problem, row in zip(problems, rows, strict=True)}


def run(problems, base, cfg, answer, forms, samples=0):
    cfg["evaluation"]["samples"] = samples
    engine = Scripted(answer)
    result = evaluate(problems, engine, AutoTokenizer.from_pretrained(base), forms, cfg, None, "test")
    return result, engine


def test_greedy_score_groups_and_items(problems, base, cfg, solve):
    wrong = {problems[1].entry_point: "\n    return None", problems[4].entry_point: "\n    return ("}
    result, engine = run(problems, base, cfg, lambda name, chat, request: (wrong.get(name, solve[name]), "stop"), ["chat"])
    assert result["greedy"] == {"passed": 4, "score": 4 / 6, "interval": list(wilson(4, 6))}
    assert result["form"] == "chat" and result["mean"] is None and result["problems"] == 6
    verdicts = [item["verdict"] for item in result["items"]]
    assert verdicts == ["passed", "assertion_failed", "passed", "passed", "syntax_error", "passed"]
    assert [item["completion"] for item in result["items"]] == [None, "\n    return None", None, None, "\n    return (", None]
    assert sum(group["passed"] for group in result["groups"].values()) == 4
    assert sum(group["problems"] for group in result["groups"].values()) == 6
    assert {request.temperature for request in engine.asked} == {0.0}


def test_mean_over_samples_draws_each_with_its_own_seed(problems, base, cfg, solve):
    def answer(name, chat, request):
        good = request.temperature == 0 or (name == problems[0].entry_point and request.seed % 2)
        return (solve[name] if good else "\n    return None"), "stop"

    result, engine = run(problems, base, cfg, answer, ["chat"], samples=5)
    sampled = [request for request in engine.asked if request.temperature]
    assert len(sampled) == 30 and len({request.seed for request in sampled}) == 30 and {request.temperature for request in sampled} == {0.7}
    odd = sum(request.seed % 2 for request in sampled[:5])
    assert 0 < odd < 5
    assert result["mean"]["score"] == pytest.approx(odd / 5 / 6)
    assert result["mean"]["interval"][0] <= result["mean"]["score"] <= result["mean"]["interval"][1]
    assert [item["samples_passed"] for item in result["items"]] == [odd, 0, 0, 0, 0, 0]


def test_samples_of_a_problem_share_a_prefix_without_changing_the_prompt(problems, base, cfg, solve):
    _, engine = run(problems, base, cfg, lambda name, chat, request: (solve[name], "stop"), ["chat"], samples=2)
    greedy = {request.prefix + request.prompt for request in engine.asked if not request.temperature}
    sampled = [request for request in engine.asked if request.temperature]
    assert all(request.prefix and request.prompt for request in sampled)
    assert {request.prefix + request.prompt for request in sampled} == greedy


def test_base_gets_the_better_form_and_both_are_recorded(problems, base, cfg, solve):
    def answer(name, chat, request):
        return solve[name] if chat else "\n    pass", "stop"

    result, engine = run(problems, base, cfg, answer, ["completion", "chat"], samples=2)
    assert result["form"] == "chat" and result["greedy"]["passed"] == 6
    assert result["forms"]["completion"]["greedy"]["passed"] == 0 and result["forms"]["chat"]["greedy"]["passed"] == 6
    assert all("### Response" in request.prefix for request in engine.asked if request.temperature)


def test_forms_with_one_greedy_score_are_told_apart_by_their_mean(problems, base, cfg, solve):
    def answer(name, chat, request):
        return solve[name] if chat or request.temperature == 0 else "\n    pass", "stop"

    result, _ = run(problems, base, cfg, answer, ["completion", "chat"], samples=2)
    assert result["form"] == "chat"
    assert result["forms"]["completion"]["mean"]["score"] == 0.0 and result["forms"]["chat"]["mean"]["score"] == 1.0


def test_a_prompt_that_does_not_fit_fails_its_problem(problems, base, cfg, solve):
    first = problems[0].entry_point
    result, _ = run(problems, base, cfg, lambda name, chat, request: ("", "prompt_too_long") if name == first else (solve[name], "stop"), ["chat"])
    assert result["greedy"]["passed"] == 5
    assert (result["items"][0]["verdict"], result["items"][0]["detail"]) == ("prompt_too_long", "as written")


def test_an_engine_that_gives_up_is_an_error_and_not_a_lower_score(problems, base, cfg, solve):
    first = problems[0].entry_point
    with pytest.raises(EngineError, match="1 of 6 requests .as written."):
        run(problems, base, cfg, lambda name, chat, request: ("", "failed") if name == first else (solve[name], "stop"), ["chat"])


def test_a_real_model_through_the_real_engine(cfg, data, tmp_path):
    cfg["evaluation"]["samples"] = 2
    result, cost = evaluate_model(cfg, [str(data)], None, str(tmp_path))
    assert (result["benchmark"], result["which"], result["greedy"]["passed"]) == ("six", "base", 0)
    assert cost["requests"] in (24, 36)  # greedy in two forms; samples of one, or of both if they tie
    again, cost = evaluate_model(cfg, [str(data)], None, str(tmp_path))
    assert again == result and cost["cached"]["requests"] == cost["requests"]
    tuned, _ = evaluate_model(cfg, [str(data)], cfg["model"]["path"], str(tmp_path))
    assert (tuned["which"], tuned["form"], list(tuned["forms"])) == ("tuned", "chat", ["chat"])
