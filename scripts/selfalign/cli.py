"""The `selfalign` command: single steps on files of your own, without the workflow."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from selfalign.data.errors import SelfalignError

# Each has add_parsers(subparsers), cheap to import: what a command needs is imported when it runs.
_COMMANDS = ("selfalign.execution.command", "selfalign.evaluation.command")


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    top = argparse.ArgumentParser(prog="selfalign", description="Single steps of selfalign on files of your own; the whole pipeline is `snakemake`.")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(name).add_parsers(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. What the user can act on is one line and exit code 1."""
    parsed = parser().parse_args(arguments)
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
