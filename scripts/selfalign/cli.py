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
    "selfalign.generation.command",
    "selfalign.execution.command",
    "selfalign.evaluation.command",
)

_EXAMPLES = """\
from the folder of the project:
  selfalign run                             the default run, to results/report.html
  selfalign run --configfile my.yaml -n     what a run with a config of your own would do
  selfalign trace ID                        where a row comes from; ids are in every dataset and in the report
  selfalign respond "Write a function ..."  ask the tuned model
anywhere:
  selfalign execute responses.jsonl -o verdicts.parquet
  selfalign COMMAND --help
exit codes: 0 done, 1 it could not be done (one line says why), 2 wrong command line, 130 interrupted
"""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # reads a file that no other command needs

        print(f"selfalign {version('selfalign')}")
        parser.exit(0)


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    top = argparse.ArgumentParser(
        prog="selfalign",
        description="The whole pipeline, and single steps of it on files of your own.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", prog="selfalign")
    for name in _COMMANDS:
        import_module(name).add_parsers(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. What the user can act on is one line and exit code 1; a wrong command line is exit code 2."""
    top = parser()
    parsed, rest = top.parse_known_args(arguments)
    if not hasattr(parsed, "run"):
        top.print_help(sys.stderr)
        top.exit(2)
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
