"""What every benchmark's problem can do: ask a model, and have an answer judged."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfalign.execution import Program, Verdict
from selfalign.training.template import STOP

FORMS = ("completion", "chat")  # the raw text for a base model to continue, the chat template with a response that has begun
FENCE = "```python\n"
CHAT_STOPS = ("\n```", "\n" + STOP)


@dataclass(frozen=True)
class Task(ABC):
    """One problem. `group` only tells results apart."""

    task_id: str
    group: str = field(default="", kw_only=True)
    limits: ClassVar[Mapping[str, Any]] = {}  # what its programs need of the config's `execution`, where that is less

    @abstractmethod
    def prompt(self, form: str, bos: str) -> str:
        """What the model is given."""

    @abstractmethod
    def stops(self, form: str) -> tuple[str, ...]:
        """What ends a completion of that prompt."""

    @abstractmethod
    def solution(self, form: str, completion: str) -> str:
        """What a completion of that prompt amounts to: a program, or a value."""

    def completed(self, completion: str) -> str:
        """The solution of a sample from elsewhere that continues the problem's own prompt."""
        return completion

    @abstractmethod
    def judge(self, solution: str) -> Program | Verdict:
        """The program that decides on a solution, or the verdict where nothing has to run."""

    def verdict(self, verdict: Verdict) -> Verdict:
        """A verdict on that program, in terms of the problem."""
        return verdict
