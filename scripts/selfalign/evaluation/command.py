"""`selfalign score` and `selfalign respond`."""

import argparse
import sys

from selfalign.data.errors import InputError

_BUNDLED = {"miniature": "benchmarks/miniature.jsonl"}


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add both commands; each sets `run`, a function of the parsed arguments."""
    score = subparsers.add_parser("score", help="run samples that were made elsewhere against a benchmark")
    score.add_argument("samples", help="JSONL file: task_id, and completion or solution")
    score.add_argument("--benchmark", required=True, help="name of the benchmark, in HumanEval's format: miniature, humaneval, or any other")
    score.add_argument("--data", help="the benchmark's file (.jsonl or .jsonl.gz); the miniature one is bundled")
    score.add_argument("--output", help="write every verdict to this JSON file")
    score.add_argument("--sandbox", choices=["auto", "bubblewrap", "namespaces", "none"], default="auto", help="how programs are isolated")
    score.add_argument("--workers", type=int, default=1, help="programs that run at the same time")
    score.set_defaults(run=run_score)

    respond = subparsers.add_parser("respond", help="ask a tuned model")
    respond.add_argument("instruction", help="what the model is to write")
    respond.add_argument("--prefix", default="", help="what the response is to begin with")
    respond.add_argument("--model", default="results/model", help="folder of the tuned model (results/model)")
    respond.add_argument("--max-new-tokens", type=int, default=1024, help="longest response, in tokens (1024)")
    respond.set_defaults(run=run_respond)


def run_score(arguments: argparse.Namespace) -> None:
    """Score samples; the last line is like `humaneval: 119 of 164 (72.6%)`."""
    from selfalign.data.config import defaults
    from selfalign.data.job import write_json
    from selfalign.evaluation.humaneval import load_problems
    from selfalign.evaluation.score import load_samples, score, summary

    data = arguments.data or _BUNDLED.get(arguments.benchmark)
    if data is None:
        raise InputError(f"{arguments.benchmark}: its data is not bundled; name the file with --data")
    problems = load_problems(data)
    samples = load_samples(arguments.samples, problems)
    execution = {**defaults("execution"), "sandbox": arguments.sandbox, "workers": arguments.workers}
    scored = score(problems, samples, execution, None, arguments.benchmark)
    if arguments.output:
        write_json(scored, arguments.output)
    print(summary(arguments.benchmark, scored))


def run_respond(arguments: argparse.Namespace) -> None:
    """Print the response while it is made."""
    from selfalign.training.respond import load_tuned, stream_response

    model, tokenizer = load_tuned(arguments.model)
    for piece in stream_response(model, tokenizer, arguments.instruction, arguments.prefix, arguments.max_new_tokens):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
