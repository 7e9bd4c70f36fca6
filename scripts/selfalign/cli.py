"""The `selfalign` command: the workflow stage by stage, its caches, and single steps on files of your own."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from selfalign.data.errors import SelfalignError

# Each has add_parsers(subparsers), cheap to import: what a command needs is imported when it runs.
_COMMANDS = (
    "selfalign.workflow.command",
    "selfalign.report.command",
    "selfalign.report.resources",
    "selfalign.execution.command",
    "selfalign.evaluation.command",
)


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    top = argparse.ArgumentParser(prog="selfalign", description="The whole pipeline, and single steps of it on files of your own.")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(name).add_parsers(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. What the user can act on is one line and exit code 1."""
    top = parser()
    parsed, rest = top.parse_known_args(arguments)
    if rest and not getattr(parsed, "takes_rest", False):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    parsed.rest = rest
    try:
        return parsed.run(parsed) or 0
    except SelfalignError as error:
        print(f"selfalign: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("selfalign: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
