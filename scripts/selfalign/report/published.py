"""Scores of the published run, to set one's own beside. They count for benchmarks of the same name only."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Greedy pass@1 of StarCoder2-15B and of StarCoder2-15B-Instruct-v0.1, in percent; None where the base has no published score."""

    name: str
    base: float | None
    tuned: float


RUN = "StarCoder2-15B and StarCoder2-15B-Instruct-v0.1"
# From the model card of StarCoder2-15B-Instruct-v0.1 (April 2024). Keys are names without signs, with `plus` for +.
_SCORES = {
    "humaneval": Published("HumanEval", 46.3, 72.6),
    "humanevalplus": Published("HumanEval+", 37.8, 63.4),
    "mbpp": Published("MBPP", 66.2, 75.2),
    "mbppplus": Published("MBPP+", 53.1, 61.2),
    "ds1000": Published("DS-1000", 38.9, 40.6),
    "livecodebench": Published("LiveCodeBench, code generation", None, 20.4),
    "livecodebenchcodegeneration": Published("LiveCodeBench, code generation", None, 20.4),
    "livecodebenchselfrepair": Published("LiveCodeBench, self-repair", None, 20.9),
    "livecodebenchtestoutputprediction": Published("LiveCodeBench, test output prediction", None, 29.8),
    "livecodebenchcodeexecution": Published("LiveCodeBench, code execution", None, 28.1),
}


def published(benchmark: str) -> Published | None:
    """The published scores on a benchmark of this name, if there are any."""
    return _SCORES.get(re.sub(r"[^a-z0-9]", "", benchmark.lower().replace("+", "plus")))


def all_published() -> list[Published]:
    """Every published score once."""
    return list(dict.fromkeys(_SCORES.values()))
