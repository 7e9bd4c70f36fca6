"""Scores samples that were made elsewhere."""

import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign.data.errors import InputError
from selfalign.evaluation.intervals import bootstrap, pass_at, wilson
from selfalign.evaluation.programs import judge_solutions
from selfalign.evaluation.task import Task

_TRIES = (1, 5, 10, 25, 50, 100)  # k of the pass@k that are shown, as far as every task has that many samples


def load_samples(path: str | os.PathLike, tasks: Sequence[Task]) -> list[dict[str, str]]:
    """The samples of a JSONL file, also gzipped: task_id, and completion (follows the problem's prompt) or solution (the whole program).

    InputError names the line that is neither, or that belongs to no problem.
    """
    if not Path(path).exists():
        raise InputError(f"samples {path}: no such file")
    known = {task.task_id for task in tasks}
    samples = []
    try:
        data = Path(path).read_bytes()
        lines = (gzip.decompress(data) if str(path).endswith(".gz") else data).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"samples {path}: not readable as UTF-8 text; give a JSONL file, which may be gzipped (.gz)") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            sample = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"samples {path}: line {number} is not JSON ({error})") from error
        if not isinstance(sample, dict) or not any(isinstance(sample.get(name), str) for name in ("solution", "completion")):
            raise InputError(f"samples {path}: line {number} has neither a completion nor a solution")
        if str(sample.get("task_id")) not in known:
            raise InputError(f"samples {path}: line {number}: the benchmark has no problem {sample.get('task_id')!r}")
        samples.append({**sample, "task_id": str(sample["task_id"])})
    if not samples:
        raise InputError(f"samples {path}: no sample in it")
    return samples


def score(tasks: Sequence[Task], samples: Sequence[dict[str, str]], execution: dict, cache_dir: str | None, label: str) -> dict[str, Any]:
    """The result: score (pass@1; a task without a sample counts as failed) with its 95% interval, pass@k, and an item per sample.

    Items are in the order of the samples, then one with the verdict `no_sample` for each task that has none.
    """
    by_id = {task.task_id: task for task in tasks}
    answers = []
    for sample in samples:
        task, whole = by_id[sample["task_id"]], sample.get("solution")
        answers.append((task, whole if isinstance(whole, str) else task.completed(sample["completion"])))
    verdicts = judge_solutions(answers, execution, cache_dir, label)
    items = [{"task_id": task.task_id, "verdict": verdict, "detail": detail} for (task, _), (verdict, detail) in zip(answers, verdicts, strict=True)]
    total = Counter(item["task_id"] for item in items)
    right = Counter(item["task_id"] for item in items if item["verdict"] == "passed")
    items += [{"task_id": task_id, "verdict": "no_sample", "detail": ""} for task_id in by_id if task_id not in total]
    tries = [k for k in _TRIES if k <= min(total.values())]
    rates = {k: [pass_at(k, total[task_id], right[task_id]) if total[task_id] else 0.0 for task_id in by_id] for k in tries}
    return {
        "benchmark": label,
        "problems": len(tasks),
        "samples": len(samples),
        "passed": sum(rates[1]),
        "score": sum(rates[1]) / len(tasks),
        "interval": list(wilson(int(sum(rates[1])), len(tasks)) if max(total.values()) == 1 else bootstrap(rates[1])),
        "pass_at": {str(k): sum(values) / len(tasks) for k, values in rates.items()},
        "items": items,
    }


def summary(scored: dict[str, Any]) -> str:
    """Verdicts other than passed, most frequent first, pass@k, then a last line like `humaneval: 119 of 164 (72.6%)`.

    With several samples per task the number of tasks solved is the expected one for a sample each.
    """
    counts = Counter(item["verdict"] for item in scored["items"] if item["verdict"] != "passed")
    lines = [f"  {verdict}: {count}" for verdict, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    lines += [f"  pass@{k}: {rate:.1%}" for k, rate in scored["pass_at"].items() if len(scored["pass_at"]) > 1]
    passed = round(scored["passed"], 1)
    return "\n".join([*lines, f"{scored['benchmark']}: {passed:g} of {scored['problems']} ({scored['score']:.1%})"])
