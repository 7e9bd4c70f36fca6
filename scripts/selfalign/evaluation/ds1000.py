"""DS-1000 (Lai et al. 2023), the current layout: one ds1000.jsonl.gz with prompt, reference_code, code_context and metadata.

code_context judges: it is the benchmark's own program, which runs a solution inside itself. It needs the packages of envs/ds1000.txt.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from selfalign.data.errors import InputError
from selfalign.evaluation.rows import Row
from selfalign.evaluation.task import CHAT_STOPS, FENCE, Task
from selfalign.execution import Program, Verdict
from selfalign.training.template import render_prompt

_INSIDE = Path(__file__).parent / "inside" / "ds1000.py"
_ENDS = ("</code>", "# SOLUTION END", "\nEND SOLUTION")
# What a program's sandbox loads before it starts, by the library of the problem.
_PACKAGES = {"Pandas": "numpy, pandas", "Numpy": "numpy, pandas", "Scipy": "numpy, scipy", "Sklearn": "numpy, pandas, sklearn"}


@dataclass(frozen=True)
class DataTask(Task):
    """A problem of data science; its group is the library."""

    text: str
    context: str
    limits: ClassVar[dict[str, Any]] = {"cpu_seconds": 120.0, "wall_seconds": 240.0, "memory_mb": 8192, "output_kb": 65536}

    def prompt(self, form: str, bos: str) -> str:
        if form == "completion":
            return self.text
        request = (
            "Solve this problem of data analysis. Answer with the code alone that belongs where the text ends; "
            f"what stands there already must not be repeated.\n\n{self.text.strip()}"
        )
        return render_prompt(request, bos, prefix=FENCE)

    def stops(self, form: str) -> tuple[str, ...]:
        return (*_ENDS, *CHAT_STOPS) if form == "chat" else _ENDS

    def solution(self, form: str, completion: str) -> str:
        return completion.rstrip()

    def completed(self, completion: str) -> str:
        """Samples may carry the mark that they were to stop at."""
        for end in (*_ENDS, "\n```"):
            completion = completion.partition(end)[0]
        return completion

    def judge(self, solution: str) -> Program:
        packages = _PACKAGES.get(self.group)
        code = f"if False:\n    import {packages}\n" if packages else "pass\n"
        return Program(self.task_id, code, f"{_inside()}\nrun({self.context!r}, {solution!r})\n")

    def verdict(self, verdict: Verdict) -> Verdict:
        if verdict.detail.startswith("ContextFailed"):
            raise InputError(
                f"DS-1000 problem {self.task_id}: the benchmark's own program does not load; make an environment from envs/ds1000.txt "
                "and name its interpreter (`python` of the benchmark in the config, --python of score)"
            )
        return verdict


def data_task(row: Row) -> DataTask:
    """The task of a row. Its id is the problem_id of the metadata."""
    prompt, _, context = row.texts("prompt", "reference_code", "code_context", kind="DS-1000's current layout (ds1000.jsonl.gz)")
    metadata = row.values.get("metadata")
    if not isinstance(metadata, dict) or "problem_id" not in metadata:
        raise row.error("has no problem_id in its metadata: not in DS-1000's current layout (ds1000.jsonl.gz)")
    return DataTask(str(metadata["problem_id"]), prompt, context, group=str(metadata.get("library") or ""))


@cache
def _inside() -> str:
    return _INSIDE.read_text(encoding="utf-8")
