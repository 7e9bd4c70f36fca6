"""Self-repair through the evaluation of a model: what fails is asked once more, with what went wrong."""

import json

from transformers import AutoTokenizer

from selfalign.evaluation.evaluate import evaluate
from selfalign.evaluation.kinds import load_tasks
from selfalign.generation.engines import Completion

from .conftest import benchmark
from .test_livecodebench import problem

RIGHT = "print(sum(map(int, input().split())))"


class Improving:
    """An engine whose first answers are wrong, but for one problem, and whose second answers are right, but for another."""

    fingerprint = "improving"

    def __init__(self):
        self.asked = []

    def complete(self, requests):
        self.asked.append(list(requests))
        for request in requests:
            text = request.prefix + request.prompt
            good = "Easy" in text or ("This answer is wrong" in text and "Hard" not in text)
            yield Completion(request.id, RIGHT if good else "print(3)", "stop")

    def close(self):
        pass


def test_only_failed_answers_are_repaired_and_the_second_answer_counts(base, cfg, tmp_path):
    path = tmp_path / "test.jsonl"
    rows = [problem(question_id=name, question_content=f"{name}: print the sum.") for name in ("Easy", "Middle", "Hard")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = load_tasks(benchmark("livecodebench_self_repair"), [path])
    engine = Improving()
    result = evaluate(tasks, engine, AutoTokenizer.from_pretrained(base), ["chat"], cfg, None, "test")
    assert [item["verdict"] for item in result["items"]] == ["passed", "passed", "assertion_failed"]
    first, second = engine.asked
    assert len(first) == 3 and len(second) == 2
    assert all("print(3)" in request.prompt and "10 20 30" in request.prompt for request in second)
    assert not {request.id for request in first} & {request.id for request in second}
