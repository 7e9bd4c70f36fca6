"""HumanEval's format: HumanEval itself, the miniature benchmark, or any other JSONL file of the kind.

Each line has task_id, prompt (imports, signature, docstring), entry_point, canonical_solution (the body) and test (a program that
defines `check(candidate)`); `group` is optional.
"""

from dataclasses import dataclass

from selfalign.evaluation.rows import Row
from selfalign.evaluation.task import CHAT_STOPS, FENCE, Task
from selfalign.execution import Program
from selfalign.training.template import render_prompt

# A completion of the raw prompt ends at the first line that leaves the function: the list of the HumanEval paper
# (Chen et al. 2021, section 2.3: class, def, comment, if, print) and other ways to begin a statement, a document or a fence.
_OUTSIDE = (
    *("class ", "def ", "#", "if ", "print"),
    *("@", "assert ", "import ", "from ", "for ", "while ", "try:", "with ", "async ", "```", '"""', ">>>"),
)


@dataclass(frozen=True)
class FunctionTask(Task):
    """A problem whose prompt is the beginning of a function."""

    text: str  # the problem's prompt
    entry_point: str

    def prompt(self, form: str, bos: str) -> str:
        """completion: the problem's prompt. chat: the published request, with a response that begins with a Python fence and the prompt.

        White space at the end is left to the model: a BPE vocabulary joins the end of a line with the next one's indentation.
        """
        stem = self.text.strip()
        if form == "completion":
            return stem
        request = f"Write a Python function to solve the given task:\n\n```python\n{stem}\n```"
        return render_prompt(request, bos, prefix=FENCE + stem)

    def stops(self, form: str) -> tuple[str, ...]:
        return CHAT_STOPS if form == "chat" else tuple("\n" + start for start in _OUTSIDE)

    def solution(self, form: str, completion: str) -> str:
        return self.text.strip() + completion.rstrip() + "\n"

    def completed(self, completion: str) -> str:
        return (self.text + completion).rstrip() + "\n"


@dataclass(frozen=True)
class HumanEvalTask(FunctionTask):
    """A problem with a test program."""

    test: str

    def judge(self, solution: str) -> Program:
        return Program(self.task_id, solution, f"{self.test.rstrip()}\n\ncheck({self.entry_point})\n")


def humaneval_task(row: Row) -> HumanEvalTask:
    """The task of a row in HumanEval's format."""
    task_id, prompt, entry_point, _, test = row.texts("task_id", "prompt", "entry_point", "canonical_solution", "test", kind="HumanEval's format")
    return HumanEvalTask(task_id, prompt, entry_point, test, group=str(row.values.get("group") or ""))
