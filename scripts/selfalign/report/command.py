"""`selfalign trace`."""

import argparse
import json
import sys


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add the command; it sets `run`, a function of the parsed arguments."""
    trace = subparsers.add_parser("trace", help="where does a row come from, and what became of it?")
    trace.add_argument("id", metavar="ID", help="id of a row of any dataset, kept or dropped, or the foreign id (source_id) of an imported one")
    trace.add_argument("--results", default="results", metavar="FOLDER", help="results of the run (results)")
    trace.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    trace.set_defaults(run=run_trace)


def run_trace(arguments: argparse.Namespace) -> None:
    """Print the history of one row."""
    from selfalign.report.history import render_history
    from selfalign.report.trace import trace

    history = trace(arguments.results, arguments.id)
    sys.stdout.write(json.dumps(history, indent=2, ensure_ascii=False) + "\n" if arguments.json else render_history(history))
