"""How long `selfalign trace` takes on a run of 100,000 final rows, beside the same looked up by reading every file whole.

    python bench/bench_trace.py [--rows 100000] [--samples 10] [--shards 8]

Makes the tables of a run of that size in a temporary folder (`samples` responses to each instruction, half of them dropped), then starts the
command as a user does, for final rows and for rows that were dropped at different steps. A figure above one second is marked.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.files import write_dropped, write_shard
from selfalign.data.ids import content_id, row_id, shard_of
from selfalign.data.tables import SCHEMAS, STEP_OF

WORDS = np.array([f"word{number}" for number in range(5000)])


def text(rng: np.random.Generator, words: int) -> str:
    """A text of so many random words: hard to compress, as real ones are."""
    return " ".join(WORDS[rng.integers(0, len(WORDS), words)])


def rows_of_shard(shard: int, functions: list[str], samples: int) -> tuple[dict[str, list[dict]], list[dict]]:
    """Rows by dataset, and dropped rows, of the functions of one shard."""
    rng = np.random.default_rng(shard)
    made: dict[str, list[dict]] = {dataset: [] for dataset in STEP_OF}
    dropped = []
    for function in functions:
        content = text(rng, 60)
        row = {"id": function, "content": content, "sha1": function, "path": "a.py", "line": 1, "licence": "MIT", "source": "s", "imports": []}
        for dataset in ("extracted", "functions"):
            made[dataset].append(row)
        made["seeds"].append({**row, "judge": "yes", "score": 1.0})
        lost = row_id("lost", function, 0)
        made["extracted"].append({**row, "id": f"{int(lost, 16) // 8 * 8 + shard % 8:016x}"})
        concepts = row_id("extract_concepts", function, 0)
        shared = {"function_id": function, "prefix": 0}
        made["concepts"].append({"id": concepts, "seed_id": function, "draw": 0, "concepts": ["one", "two"], **shared})
        instruction = row_id("write_instructions", concepts, 0)
        properties = {"category": "c", "language": "Python", "difficulty": "easy", "instruction": text(rng, 40)}
        made["instructions"].append({"id": instruction, "concepts_id": concepts, "draw": 0, **properties, **shared})
        responses = []
        for sample in range(samples):
            own = {"id": row_id("write_responses", instruction, sample), "function_id": function, "instruction_id": instruction, "sample": sample}
            responses.append({**own, "response": text(rng, 150)})
            made["responses"].append({**responses[-1], "prefix": 0, "finish_reason": "stop"})
        passed = responses[: (samples + 1) // 2]
        for one in responses[len(passed) :]:
            dropped.append({"id": one["id"], "parent_id": instruction, "step": "execute_responses", "reason": "assertion_failed", "detail": "line 1"})
        made["executed"] += [{**one, "verdict": "passed", "detail": ""} for one in passed]
        chosen = passed[0]
        for one in passed[1:]:
            dropped.append({"id": one["id"], "parent_id": instruction, "step": "choose_responses", "reason": "not_chosen", "detail": chosen["id"]})
        final = {"id": chosen["id"], "function_id": function, "instruction_id": instruction, "instruction": properties["instruction"]}
        made["candidates"].append({**final, "response": chosen["response"]})
        joined = {"response": chosen["response"], "concepts": ["one"], "seed": content, "sha1": function, "cluster_size": 2}
        made["dataset"].append({**final, **joined})
    return made, dropped


def make_run(results: Path, rows: int, samples: int, shards: int) -> dict[str, str]:
    """Write the run's tables; ids to trace by what they are."""
    functions: list[list[str]] = [[] for _ in range(shards)]
    for number in range(rows):
        function = content_id(str(number))
        functions[shard_of(function, shards)].append(function)
    final = []
    examples: dict[str, str] = {}
    for shard in range(shards):
        made, dropped = rows_of_shard(shard, functions[shard], samples)
        for dataset, items in made.items():
            table = pa.Table.from_pylist(items, schema=SCHEMAS[dataset])
            if dataset == "dataset":
                final.append(table)
            else:
                write_shard(table, results / dataset / f"{shard}.parquet", dataset)
        for dataset in ("extracted", "functions", "seeds", "concepts", "instructions", "responses", "executed", "candidates"):
            own = [row for row in dropped if row["step"] == STEP_OF[dataset]]
            table = pa.Table.from_pylist(own, schema=pa.schema([(name, pa.string()) for name in ("id", "parent_id", "step", "reason", "detail")]))
            write_dropped(table, results / "dropped" / dataset / f"{shard}.parquet")
        examples = {
            "final row": made["dataset"][-1]["id"],
            "failed its tests": next(row["id"] for row in dropped if row["step"] == "execute_responses"),
            "not chosen": next((row["id"] for row in dropped if row["step"] == "choose_responses"), made["dataset"][0]["id"]),
            "instruction": made["instructions"][0]["id"],
            "function": functions[shard][0],
        }
    write_shard(pa.concat_tables(final), results / "dataset" / "train.parquet", "dataset")
    twins = [(row_id("twin", str(number), 0), examples["final row"]) for number in range(rows // 2)]
    lost = [{"id": own, "parent_id": own, "step": "select_dataset", "reason": "near_duplicate", "detail": other} for own, other in twins[:3]]
    lost += [{"id": own, "parent_id": own, "step": "select_dataset", "reason": "near_duplicate", "detail": own[::-1]} for own, _ in twins[3:]]
    write_dropped(pa.Table.from_pylist(lost), results / "dropped" / "dataset" / "train.parquet")
    return examples


def read_whole(results: Path, identifier: str) -> float:
    """Seconds to look for an id by reading every file, as a script without an index would."""
    start = time.perf_counter()
    for path in sorted(results.rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        table.filter(pa.array([value == identifier for value in table["id"].to_pylist()], pa.bool_()))
    return time.perf_counter() - start


def cpu_of_children() -> float:
    """CPU seconds of the processes that have ended: what a call costs, however busy the machine is."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="final rows")
    parser.add_argument("--samples", type=int, default=10, help="responses to each instruction")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5, help="calls of the command for each id; the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        examples = make_run(results, arguments.rows, arguments.samples, arguments.shards)
        size = sum(path.stat().st_size for path in results.rglob("*.parquet")) / 1e6
        print(f"{arguments.rows:,} final rows, {arguments.rows * arguments.samples:,} responses, {arguments.shards} shards, {size:,.0f} MB")
        slowest = 0.0
        for name, identifier in examples.items():
            command = [sys.executable, "-m", "selfalign.cli", "trace", identifier, "--results", str(results)]
            seconds, cpu = [], []
            for _ in range(arguments.runs):
                start, used = time.perf_counter(), cpu_of_children()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
                cpu.append(cpu_of_children() - used)
            median = statistics.median(seconds)
            slowest = max(slowest, median)
            print(f"{name:<18}{median:>8.2f} s, {statistics.median(cpu):.2f} s of CPU{'  over a second' if median > 1 else ''}", flush=True)
        whole = read_whole(results, examples["final row"])
        print(f"{'reading all files':<18}{whole:>8.2f} s, {whole / slowest:.1f} times the slowest of the above")


if __name__ == "__main__":
    main()
