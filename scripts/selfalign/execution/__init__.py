"""The execution filter: runs programs that nobody has read, isolated, and says which of them pass their own tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfalign.execution.dispatch import execute
    from selfalign.execution.programs import Program, Verdict, program_of

__all__ = ["Program", "Verdict", "execute", "program_of"]


def __getattr__(name: str) -> Any:
    """Imported when first used: the command line has commands that execute nothing."""
    if name == "execute":
        from selfalign.execution.dispatch import execute

        return execute
    if name in __all__:
        from selfalign.execution import programs

        return getattr(programs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
