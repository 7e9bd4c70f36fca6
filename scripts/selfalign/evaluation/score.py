"""Scores samples that were made elsewhere."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign.data.errors import InputError
from selfalign.evaluation.humaneval import Problem, check_of
from selfalign.evaluation.programs import run_programs


def load_samples(path: str | os.PathLike, problems: Sequence[Problem]) -> list[dict[str, str]]:
    """The samples of a JSONL file: task_id, and completion (follows the problem's prompt) or solution (the whole program).

    InputError names the line that is neither, or that belongs to no problem.
    """
    if not Path(path).is_file():
        raise InputError(f"samples {path}: no such file")
    known = {problem.task_id for problem in problems}
    samples = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            sample = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"samples {path}: line {number} is not JSON ({error})") from error
        if not isinstance(sample, dict) or not any(isinstance(sample.get(name), str) for name in ("solution", "completion")):
            raise InputError(f"samples {path}: line {number} has neither a completion nor a solution")
        if sample.get("task_id") not in known:
            raise InputError(f"samples {path}: line {number}: the benchmark has no problem {sample.get('task_id')!r}")
        samples.append(sample)
    if not samples:
        raise InputError(f"samples {path}: no sample in it")
    return samples


def score(problems: Sequence[Problem], samples: Sequence[dict[str, str]], execution: dict, cache_dir: str | None, label: str) -> list[dict[str, Any]]:
    """Each sample (task_id, verdict, detail) in order, then `no_sample` for each problem that has none."""
    by_id = {problem.task_id: problem for problem in problems}
    programs = []
    for sample in samples:
        problem = by_id[sample["task_id"]]
        code = sample.get("solution") or problem.prompt + sample.get("completion", "")
        programs.append((code.rstrip() + "\n", check_of(problem)))
    verdicts = run_programs(programs, execution, cache_dir, label)
    scored = [
        {"task_id": sample["task_id"], "verdict": verdict, "detail": detail} for sample, (verdict, detail) in zip(samples, verdicts, strict=True)
    ]
    answered = {sample["task_id"] for sample in samples}
    return scored + [{"task_id": task_id, "verdict": "no_sample", "detail": ""} for task_id in by_id if task_id not in answered]


def summary(name: str, scored: Sequence[dict[str, Any]]) -> str:
    """Verdicts other than passed, most frequent first, then a last line like `humaneval: 119 of 164 (72.6%)`."""
    counts = Counter(row["verdict"] for row in scored)
    passed = counts.pop("passed", 0)
    lines = [f"  {verdict}: {count}" for verdict, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return "\n".join([*lines, f"{name}: {passed} of {len(scored)} ({passed / len(scored):.1%})"])
