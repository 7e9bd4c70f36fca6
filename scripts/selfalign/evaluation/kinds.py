"""The benchmarks that selfalign knows, by name."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from selfalign.data.errors import InputError
from selfalign.data.ids import generator
from selfalign.evaluation.ds1000 import data_task
from selfalign.evaluation.evalplus import evalplus_task
from selfalign.evaluation.humaneval import humaneval_task
from selfalign.evaluation.livecodebench import execution_tasks, generation_tasks, output_tasks, repair_tasks
from selfalign.evaluation.rows import Row, check_digest, read_rows
from selfalign.evaluation.task import Task


@dataclass(frozen=True)
class Kind:
    """A benchmark: its name, and how its rows become tasks."""

    title: str
    tasks: Callable[[Iterable[Row], dict], list[Task]]


def _each(task_of: Callable[[Row], Task]) -> Callable[[Iterable[Row], dict], list[Task]]:
    return lambda rows, benchmark: [task_of(row) for row in rows]


def _humaneval(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """HumanEval in OpenAI's format or in EvalPlus's."""
    return [evalplus_task(mbpp=False, plus=False)(row) if "base_input" in row.values else humaneval_task(row) for row in rows]


KINDS: dict[str, Kind] = {
    "humaneval": Kind("HumanEval", _humaneval),
    "humaneval_plus": Kind("HumanEval+", _each(evalplus_task(mbpp=False, plus=True))),
    "mbpp": Kind("MBPP", _each(evalplus_task(mbpp=True, plus=False))),
    "mbpp_plus": Kind("MBPP+", _each(evalplus_task(mbpp=True, plus=True))),
    "livecodebench_code_generation": Kind("LiveCodeBench, code generation", generation_tasks),
    "livecodebench_self_repair": Kind("LiveCodeBench, self-repair", repair_tasks),
    "livecodebench_test_output_prediction": Kind("LiveCodeBench, test output prediction", output_tasks),
    "livecodebench_code_execution": Kind("LiveCodeBench, code execution", execution_tasks),
    "ds1000": Kind("DS-1000", _each(data_task)),
}


def kind_of(name: str) -> Kind:
    """The kind of a benchmark by its name, however it is spelt (HumanEval+, mbpp-plus, DS-1000); any unknown name is one in HumanEval's format.

    As in report/published.py: a score that stands beside a published one must have been judged by that benchmark's rules.
    """
    known = {key.replace("_", ""): kind for key, kind in KINDS.items()} | {"livecodebench": KINDS["livecodebench_code_generation"]}
    plain = re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))
    return known.get(plain) or Kind(name.lower(), _each(humaneval_task))


def load_tasks(benchmark: dict, files: Sequence[str | os.PathLike], seed: int = 0) -> list[Task]:
    """The tasks of a benchmark (an item of the config's evaluation.benchmarks) in the order of its files.

    `limit` of them, drawn by `seed`, if it is not 0. InputError for a wrong digest, a line that is none, a task_id that occurs twice.
    """
    check_digest(files, benchmark["sha256"])
    tasks = kind_of(benchmark["name"]).tasks(read_rows(files), benchmark)
    names = ", ".join(map(str, files))
    if not tasks:
        window = " from the dates of from and to" if benchmark["from"] or benchmark["to"] else ""
        raise InputError(f"benchmark {names}: no problem in it{window}")
    if len({task.task_id for task in tasks}) < len(tasks):
        raise InputError(f"benchmark {names}: a task_id occurs twice")
    if 0 < benchmark["limit"] < len(tasks):
        chosen = set(generator(seed, "benchmark", "limit").sample(sorted(task.task_id for task in tasks), benchmark["limit"]))
        tasks = [task for task in tasks if task.task_id in chosen]
    return tasks
