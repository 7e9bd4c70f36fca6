"""The same samples judged by selfalign and by EvalPlus 0.3.1: verdicts side by side, and samples per second of CPU time.

    make bench-evalplus DATA=MbppPlus.jsonl.gz          # EvalPlus in an environment of its own, cache/evalplus
    python bench/bench_evalplus.py DATA --evalplus PYTHON [--benchmark mbpp_plus] [--tasks 100] [--every 1] [--skip ID,ID]

Samples of a task: its canonical solution; that with an operator, a constant or a comparison changed; one that returns nothing; the solution
of another task under this one's name. EvalPlus runs through its own functions (evalplus.evaluate: get_groundtruth, check_correctness) on
the same file, by its override. What the reference solutions cost it is printed apart, because it keeps that between runs.
"""

import argparse
import ast
import gzip
import json
import os
import random
import resource
import subprocess
import tempfile
from pathlib import Path

from selfalign.data.config import defaults
from selfalign.evaluation.kinds import load_tasks
from selfalign.evaluation.programs import judge_solutions

THEIRS = """
import json, os, resource, sys, time
from evalplus.data import get_human_eval_plus, get_mbpp_plus
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.evaluate import check_correctness, get_groundtruth

def cpu():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))

dataset, samples, plus = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3] == "1"
problems = get_mbpp_plus() if dataset == "mbpp" else get_human_eval_plus()
start = cpu()
expected = get_groundtruth(problems, "bench", MBPP_OUTPUT_NOT_NONE_TASKS if dataset == "mbpp" else [])
truth, start, verdicts = cpu() - start, cpu(), []
for task, solution in samples:
    found = check_correctness(dataset, 0, problems[task], solution, expected[task], base_only=not plus, fast_check=True)
    verdicts.append([found["base"][0], found["plus"][0] if plus else "pass"])
json.dump({"verdicts": verdicts, "truth": truth, "cpu": cpu() - start}, open(sys.argv[4], "w"))
"""


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def mutated(source: str, rng: random.Random) -> str | None:
    """`source` with one operator, comparison or constant changed; None if it has none."""
    tree = ast.parse(source)
    places = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp | ast.Compare) or type(getattr(node, "value", None)) is int]
    if not places:
        return None
    node = rng.choice(places)
    if isinstance(node, ast.BinOp):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    elif isinstance(node, ast.Compare):
        node.ops[0] = ast.LtE() if isinstance(node.ops[0], ast.Lt) else ast.Lt()
    else:
        node.value += 1
    return ast.unparse(tree)


def samples_of(rows: list[dict]) -> list[tuple[str, str]]:
    """(task_id, solution): about four for each row, the same in every run."""
    samples = []
    for number, row in enumerate(rows):
        rng = random.Random(row["task_id"])
        whole = row["prompt"] + row["canonical_solution"]
        other = rows[number - 1]
        samples.append((row["task_id"], whole))
        changed = mutated(whole, rng)
        if changed is not None:
            samples.append((row["task_id"], changed))
        samples.append((row["task_id"], f"def {row['entry_point']}(*arguments):\n    pass\n"))
        another = other["prompt"] + other["canonical_solution"]
        samples.append((row["task_id"], f"{another}\n{row['entry_point']} = {other['entry_point']}\n"))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--evalplus", required=True, help="interpreter with evalplus 0.3.1")
    parser.add_argument("--benchmark", default="mbpp_plus")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--skip", default="", help="task_ids to leave out, for a short run")
    arguments = parser.parse_args()
    with gzip.open(arguments.data, "rt") if arguments.data.endswith(".gz") else open(arguments.data) as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["task_id"] not in arguments.skip.split(",")][:: arguments.every][: arguments.tasks]
    samples = samples_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        data, given, found, script = (Path(folder) / name for name in ("data.jsonl", "samples.json", "found.json", "theirs.py"))
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given.write_text(json.dumps(samples))
        script.write_text(THEIRS)
        start = cpu_seconds()
        benchmark = {"name": arguments.benchmark, "sha256": "", "limit": 0, "release": 0, "from": "", "to": ""}
        tasks = {task.task_id: task for task in load_tasks(benchmark, [data])}
        ours = judge_solutions([(tasks[task], solution) for task, solution in samples], defaults("execution"), None, "selfalign")
        our_cpu = cpu_seconds() - start
        dataset, plus = arguments.benchmark.partition("_")[0], arguments.benchmark.endswith("_plus")
        override = {f"{dataset.upper()}_OVERRIDE_PATH": str(data), "XDG_CACHE_HOME": folder}
        command = [arguments.evalplus, str(script), dataset, str(given), str(int(plus)), str(found)]
        subprocess.run(command, env={**os.environ, **override, "PYTHONPATH": ""}, check=True, stdout=subprocess.DEVNULL)
        theirs = json.loads(found.read_text())
    same = 0
    for (task, solution), (verdict, detail), other in zip(samples, ours, theirs["verdicts"], strict=True):
        if (verdict == "passed") == (other == ["pass", "pass"]):
            same += 1
        else:
            print(f"{task}: {verdict} ({detail}) here, {other} there\n{solution}\n")
    passed = sum(verdict == "passed" for verdict, _ in ours)
    print(f"{len(rows)} tasks, {len(samples)} samples, {passed} of them right; same verdict: {same} of {len(samples)}")
    print(f"selfalign {len(samples) / our_cpu:.1f} samples per CPU second, the reference solutions included")
    print(f"evalplus 0.3.1 {len(samples) / theirs['cpu']:.1f}, and {theirs['truth']:.1f} s of CPU time for the reference solutions")
    whole = theirs["cpu"] + theirs["truth"]
    print(f"selfalign judges {theirs['cpu'] / our_cpu:.1f} times as fast, {whole / our_cpu:.1f} times with its reference solutions counted too")


if __name__ == "__main__":
    main()
