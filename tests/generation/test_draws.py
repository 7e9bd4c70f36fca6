"""Few-shot draws: the same for the same seed, shared by rows, and counted."""

from collections import Counter
from dataclasses import replace

import pytest

from selfalign.data.errors import ConfigError, InputError
from selfalign.generation.draws import Prefixes, draw_prompts
from selfalign.generation.fewshot import Example, FewShot

FEWSHOT = FewShot(
    dict.fromkeys(("judge", "concepts", "instructions", "responses"), "Do it."),
    tuple(Example(f"code {n}", "c", "Python", (f"concept {n}",), "easy", f"task {n}", "", "answer" if n % 2 else "") for n in range(8)),
    (),
)


def draw(step="concepts", seed=1, **cfg) -> dict:
    return draw_prompts(FEWSHOT, step, {"examples": 3, "prefixes": 20, **cfg}, seed)


def test_a_draw_is_its_examples_in_its_order_then_the_open_one():
    for item in draw()["draws"]:
        blocks = [f"### Example {place}\n[Code]\ncode {at}\n\n[Concepts]\nconcept {at}" for place, at in enumerate(item["examples"], 1)]
        assert item["prefix"] == "\n\n".join(["Do it.", *blocks, "### Example 4\n"])


def test_draws_differ_from_each_other_and_follow_the_seed():
    assert draw() == draw()
    assert draw(seed=2)["draws"] != draw()["draws"]
    assert len({tuple(item["examples"]) for item in draw()["draws"]}) > 15
    # More draws keep the first ones, so that most rows of a longer run have prompts that are known.
    assert draw(prefixes=30)["draws"][:20] == draw()["draws"]


def test_only_examples_with_a_response_serve_responses():
    prompts = draw("responses", examples=1)
    assert [example["snippet"] for example in prompts["examples"]] == ["code 1", "code 3", "code 5", "code 7"]
    assert all(item["prefix"].endswith("[Response]\nanswer\n\n### Example 2\n") for item in prompts["draws"])


def test_usage_counts_every_draw():
    prompts = draw()
    counted = Counter(at for item in prompts["draws"] for at in item["examples"])
    assert {row["example"]: row["draws"] for row in prompts["usage"]["examples"]} == {at: counted[at] for at in range(8)}
    assert sum(row["first"] for row in prompts["usage"]["examples"]) == 20
    assert sum(row["draws"] for row in prompts["usage"]["orders"]) == 20


def test_rows_spread_over_the_draws_by_their_id():
    prefixes = Prefixes(draw())
    numbers = Counter(prefixes.of(f"{row:016x}")[0] for row in range(2000))
    assert set(numbers) == set(range(20))
    assert max(numbers.values()) < 2 * min(numbers.values())
    assert prefixes.of("a") == Prefixes(draw()).of("a")


def test_no_examples_leave_the_system_line():
    assert draw(examples=0)["draws"][0]["prefix"] == "Do it.\n\n### Example 1\n"


def test_too_few_examples_and_a_missing_system_line_are_one_clear_line():
    with pytest.raises(ConfigError, match="responses.examples is 5, but 4 examples"):
        draw("responses", examples=5)
    with pytest.raises(InputError, match="no system line for step 'judge'"):
        draw_prompts(replace(FEWSHOT, system={**FEWSHOT.system, "judge": ""}), "judge", {"examples": 0, "prefixes": 1}, 1)
