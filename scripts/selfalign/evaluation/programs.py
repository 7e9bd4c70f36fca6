"""Judges solutions, with the sandbox of the execution filter where a program has to run."""

from collections.abc import Sequence

from selfalign.data.errors import SandboxError
from selfalign.data.ids import content_id
from selfalign.data.job import Progress
from selfalign.evaluation.task import Task
from selfalign.execution import Program, execute


def execution_for(task: Task, execution: dict) -> dict:
    """The config's `execution` for a task of this kind: at least its limits, and without the negative control.

    That asks whether a model's own tests are worth anything; a benchmark's tests are given.
    """
    return {**execution, **{name: max(value, execution[name]) for name, value in task.limits.items()}, "negative_control": False}


def judge_solutions(answers: Sequence[tuple[Task, str]], execution: dict, cache_dir: str | None, label: str) -> list[tuple[str, str]]:
    """(verdict, detail) of each (task, solution), in their order; equal programs run once. All tasks are of one kind.

    SandboxError if a verdict is not the program's own doing.
    """
    judged = [task.judge(solution) for task, solution in answers]
    ids = [content_id(f"{len(item.code)} {item.code}{item.tests}") if isinstance(item, Program) else "" for item in judged]
    distinct = {id: Program(id, item.code, item.tests) for id, item in zip(ids, judged, strict=True) if isinstance(item, Program)}
    todo = [distinct[id] for id in sorted(distinct)]
    cfg = execution_for(answers[0][0], execution) if answers else execution
    progress = Progress(f"{label}: programs run", total=len(todo))
    verdicts = {verdict.id: verdict for verdict in execute(todo, cfg, progress, cache_dir)}
    broken = [verdict.detail for verdict in verdicts.values() if verdict.verdict == "infrastructure"]
    if broken:
        raise SandboxError(f"the sandbox failed on {len(broken)} of {len(todo)} programs ({broken[0]}); run again, with fewer execution.workers")
    found = [
        task.verdict(verdicts[id]) if isinstance(item, Program) else item for (task, _), item, id in zip(answers, judged, ids, strict=True)
    ]
    return [(verdict.verdict, verdict.detail) for verdict in found]
