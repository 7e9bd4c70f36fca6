"""The benchmarks that selfalign knows, by name."""

import os
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
    """A benchmark: its name, how its rows become tasks, and the published scores in percent (greedy pass@1).

    base: StarCoder2-15B, tuned: StarCoder2-15B-Instruct-v0.1, both of the latter's model card; None where it has no number.
    """

    title: str
    tasks: Callable[[Iterable[Row], dict], list[Task]]
    base: float | None = None
    tuned: float | None = None


def _each(task_of: Callable[[Row], Task]) -> Callable[[Iterable[Row], dict], list[Task]]:
    return lambda rows, benchmark: [task_of(row) for row in rows]


def _humaneval(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """HumanEval in OpenAI's format or in EvalPlus's."""
    return [evalplus_task(mbpp=False, plus=False)(row) if "base_input" in row.values else humaneval_task(row) for row in rows]


KINDS: dict[str, Kind] = {
    "humaneval": Kind("HumanEval", _humaneval, 46.3, 72.6),
    "humaneval_plus": Kind("HumanEval+", _each(evalplus_task(mbpp=False, plus=True)), 37.8, 63.4),
    "mbpp": Kind("MBPP", _each(evalplus_task(mbpp=True, plus=False)), 66.2, 75.2),
    "mbpp_plus": Kind("MBPP+", _each(evalplus_task(mbpp=True, plus=True)), 53.1, 61.2),
    "livecodebench_code_generation": Kind("LiveCodeBench, code generation", generation_tasks, tuned=20.4),
    "livecodebench_self_repair": Kind("LiveCodeBench, self-repair", repair_tasks, tuned=20.9),
    "livecodebench_test_output_prediction": Kind("LiveCodeBench, test output prediction", output_tasks, tuned=29.8),
    "livecodebench_code_execution": Kind("LiveCodeBench, code execution", execution_tasks, tuned=28.1),
    "ds1000": Kind("DS-1000", _each(data_task), 38.9, 40.6),
}
ALIASES = {"humaneval+": "humaneval_plus", "mbpp+": "mbpp_plus", "livecodebench": "livecodebench_code_generation", "ds-1000": "ds1000"}


def kind_of(name: str) -> Kind:
    """The kind of a benchmark by its name; any unknown name is one in HumanEval's format."""
    name = name.lower()
    return KINDS.get(ALIASES.get(name, name)) or Kind(name, _humaneval)


def load_tasks(benchmark: dict, files: Sequence[str | os.PathLike], seed: int = 0) -> list[Task]:
    """The tasks of a benchmark (an item of the config's evaluation.benchmarks) in the order of its files.

    `limit` of them, drawn by `seed`, if it is not 0. InputError for a wrong digest, a line that is none, a task_id that occurs twice.
    """
    check_digest(files, benchmark["sha256"])
    tasks = kind_of(benchmark["name"]).tasks(read_rows(files), benchmark)
    names = ", ".join(map(str, files))
    if not tasks:
        raise InputError(f"benchmark {names}: no problem in it")
    if len({task.task_id for task in tasks}) < len(tasks):
        raise InputError(f"benchmark {names}: a task_id occurs twice")
    if 0 < benchmark["limit"] < len(tasks):
        chosen = set(generator(seed, "benchmark", "limit").sample(sorted(task.task_id for task in tasks), benchmark["limit"]))
        tasks = [task for task in tasks if task.task_id in chosen]
    return tasks
