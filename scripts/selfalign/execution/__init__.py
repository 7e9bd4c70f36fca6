"""The execution filter: runs programs that nobody has read, isolated, and says which of them pass their own tests."""

from selfalign.execution.dispatch import execute
from selfalign.execution.programs import Program, Verdict, program_of

__all__ = ["Program", "Verdict", "execute", "program_of"]
