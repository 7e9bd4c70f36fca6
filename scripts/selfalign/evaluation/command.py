"""`selfalign score` and `selfalign respond`."""

import argparse
import re
import sys
from pathlib import Path

from selfalign.data.errors import InputError

_NAMES = (
    *("miniature", "humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "livecodebench_code_generation", "livecodebench_self_repair"),
    *("livecodebench_test_output_prediction", "livecodebench_code_execution", "ds1000"),
)
_BUNDLED = {"miniature": str(Path(__file__).resolve().parents[3] / "benchmarks" / "miniature.jsonl")}


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add both commands; each sets `run`, a function of the parsed arguments."""
    score = subparsers.add_parser("score", help="judge samples that were made elsewhere on a benchmark")
    score.add_argument("samples", help="JSONL file: task_id, and completion or solution; several samples of a task give pass@k")
    score.add_argument("--benchmark", required=True, help="its name: " + ", ".join(_NAMES) + ", or any other in HumanEval's format")
    score.add_argument("--data", help="the benchmark's file or folder (.jsonl or .jsonl.gz); the miniature one is bundled")
    score.add_argument("--release", type=int, default=0, help="LiveCodeBench: release of a folder with test.jsonl to test6.jsonl")
    score.add_argument("--from", dest="start", default="", metavar="DATE", help="LiveCodeBench: problems of contests on or after this date")
    score.add_argument("--to", default="", metavar="DATE", help="LiveCodeBench: problems of contests on or before this date")
    score.add_argument("--sha256", default="", help="refuse data with another digest")
    score.add_argument("--output", help="write the result with every verdict to this JSON file")
    score.add_argument("--python", default="", help="interpreter that runs the programs, with the packages that they may import")
    score.add_argument("--sandbox", choices=["auto", "bubblewrap", "namespaces", "none"], default="auto", help="how programs are isolated")
    score.add_argument("--workers", type=int, default=1, help="programs that run at the same time")
    score.add_argument("--cache", metavar="FOLDER", help="remember verdicts in this folder")
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
    from selfalign.evaluation.kinds import load_tasks
    from selfalign.evaluation.rows import data_files
    from selfalign.evaluation.score import load_samples, score, summary

    data = arguments.data or _BUNDLED.get(arguments.benchmark)
    if data is None:
        raise InputError(f"{arguments.benchmark}: its data is not bundled; name the file with --data")
    for option, day in (("--from", arguments.start), ("--to", arguments.to)):
        if day and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise InputError(f"{option} {day}: write the date as 2024-05-01")
    if arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}: must be at least 1")
    window = {"release": arguments.release, "from": arguments.start, "to": arguments.to}
    benchmark = {"name": arguments.benchmark, "data": data, "sha256": arguments.sha256, "limit": 0, **window}
    tasks = load_tasks(benchmark, data_files(data, arguments.release))
    samples = load_samples(arguments.samples, tasks)
    execution = {**defaults("execution"), "sandbox": arguments.sandbox, "workers": arguments.workers, "python": arguments.python}
    scored = score(tasks, samples, execution, arguments.cache, arguments.benchmark)
    if arguments.output:
        write_json(scored, arguments.output)
    print(summary(scored))


def run_respond(arguments: argparse.Namespace) -> None:
    """Print the response while it is made."""
    from selfalign.training.respond import load_tuned, stream_response

    if arguments.max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {arguments.max_new_tokens}: must be at least 1")
    model, tokenizer = load_tuned(arguments.model)
    for piece in stream_response(model, tokenizer, arguments.instruction, arguments.prefix, arguments.max_new_tokens):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
