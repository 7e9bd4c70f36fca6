"""Runs the programs that answers make, in the sandbox of the execution filter."""

from collections.abc import Sequence

from selfalign.data.errors import SandboxError
from selfalign.data.ids import content_id
from selfalign.data.job import Progress
from selfalign.execution import Program, execute


def run_programs(programs: Sequence[tuple[str, str]], execution: dict, cache_dir: str | None, label: str) -> list[tuple[str, str]]:
    """(verdict, detail) of each (code, tests), equal programs run once. SandboxError if a verdict is not the program's own doing."""
    ids = [content_id(f"{len(code)} {code}{tests}") for code, tests in programs]
    distinct = {id: Program(id, *program) for id, program in zip(ids, programs, strict=True)}
    todo = [distinct[id] for id in sorted(distinct)]
    # The negative control asks whether a model's own tests are worth anything; a benchmark's tests are given.
    progress = Progress(f"{label}: programs run", total=len(todo))
    verdicts = {verdict.id: verdict for verdict in execute(todo, {**execution, "negative_control": False}, progress, cache_dir)}
    broken = [verdict.detail for verdict in verdicts.values() if verdict.verdict == "infrastructure"]
    if broken:
        raise SandboxError(f"the sandbox failed on {len(broken)} of {len(todo)} programs ({broken[0]}); run again, with fewer execution.workers")
    return [(verdicts[id].verdict, verdicts[id].detail) for id in ids]
