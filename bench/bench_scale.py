"""The published run on paper: the real workflow at its shard count on 1% of its rows, with a stub for the model, carried over to all rows.

    make bench-scale                                              prints the tables of docs/scale.md, writes docs/scale.svg
    python bench/bench_scale.py [--shards 256] [--rows 2489] [--small 622] [--cores 2] [--folder cache/scale] [--gpus 16] [--cpus 128]

Stopped, it goes on where it was; delete the folder to begin anew.

Two runs of the target `datasets`, by Snakemake on this machine: a small one with much in each shard, and one at the full number of shards.
Both read functions made here, ask an HTTP server made here through the openai engine, execute real programs in the real sandbox and
write real files. Left out are the type checker and, since thousands of jobs have hardly a row, the start of Python and its imports in each
(warm/server.py); the latter are in the model as a constant. From the two, each rule's seconds and memory
are a line over the rows of a job, read off at the published number of rows. What the model takes is published: 12 hours on 4 A100 for
37,000 seeds with StarCoder2-15B (arXiv 2410.24198). The jobs, in the groups of profiles/slurm, are then run on a cluster of so many
GPUs and cores, on paper.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from scale_model import GPU_SECONDS, PASSES, SEEDS, STAGES, Line, chart, measurements, plan, simulate, table  # beside this file
from stub_model import function, serving

ROOT = Path(__file__).resolve().parents[1]
WARM = ROOT / "bench" / "warm"
RAW_PER_SEED = 21.5  # 5,359,051 functions for 248,934 seeds
DRAWS = 10
PUBLISHED_SHARDS = 256  # of presets/starcoder2-15b-instruct.yaml


@contextmanager
def warm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which the scripts of jobs do not start Python anew."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "warm.socket"
    path.unlink(missing_ok=True)
    scripts = [ROOT / "scripts" / f"{rule}.py" for rule in sorted({rule for _, rules, _ in STAGES for rule in rules})]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([sys.executable, WARM / "server.py", path, *scripts], stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    try:
        server.stdout.readline()
        python_path = os.pathsep.join([str(WARM), *filter(None, [os.environ.get("PYTHONPATH")])])
        yield {**environment, "WARM_SOCKET": str(path), "PYTHONPATH": python_path}
    finally:
        server.terminate()
        server.wait()


def run(folder: Path, shards: int, seeds: int, cores: int, url: str, environment: dict[str, str]) -> None:
    """The workflow up to its datasets in `folder`, from nothing or from where an earlier call was stopped; its costs go to cost.json there."""
    folder.mkdir(parents=True, exist_ok=True)
    source, costs = folder / "functions.jsonl", folder / "cost.json"
    if not source.exists():
        raw = int(seeds * RAW_PER_SEED)
        good = set(random.Random(seeds).sample(range(raw), seeds))
        lines = (json.dumps({"content": function(i, i in good), "path": f"{i % 997}/{i}.py", "license": "MIT"}) + "\n" for i in range(raw))
        source.with_suffix(".tmp").write_text("".join(lines))
        source.with_suffix(".tmp").rename(source)
    config = {
        **{"results_dir": str(folder / "results"), "cache_dir": str(folder / "cache"), "shards": shards, "functions": {"type_checker": "none"}},
        "sources": [{"name": "made", "kind": "jsonl", "path": str(source)}],
        "model": {"path": "stub"},
        "engine": {"kind": "openai", "url": url, "batch_size": 32},
        "responses": {"draws": DRAWS},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "datasets", "--cores", str(cores), "--configfile", str(folder / "config.yaml"), "--quiet", "all"]
    command += ["--set-threads", "extract_functions=1"]
    start, used = time.monotonic(), cpu_seconds()
    with open(folder / "output.txt", "a") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment)
    cost = json.loads(costs.read_text()) if costs.exists() else {"wall": 0.0, "cpu": 0.0}
    cost = {"wall": cost["wall"] + time.monotonic() - start, "cpu": cost["cpu"] + cpu_seconds() - used}
    costs.write_text(json.dumps(cost))
    if done.returncode:
        sys.exit(f"the run in {folder} failed; the same command goes on with it:\n{(folder / 'output.txt').read_text()[-3000:]}")
    print(f"{folder.name}: {shards} shards, {seeds:,} seeds: {cost['wall']:,.0f} s, {cost['cpu']:,.0f} s of CPU time on {cores} cores", flush=True)


def cpu_seconds() -> float:
    """CPU time of all child processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(folder: Path) -> dict[str, dict[str, float]]:
    """For each rule of a run: jobs, and per job CPU seconds (mean) and peak memory (largest, MB)."""
    rules: dict[str, list[dict]] = {}
    for path in sorted((folder / "results" / "stats").glob("*/*.json")):
        rules.setdefault(path.parent.name, []).append(json.loads(path.read_text()))
    return {
        rule: {
            "jobs": len(jobs),
            # CPU time: what a job waited for others on this machine is no cost of its own.
            "seconds": sum(job["cpu_seconds"] for job in jobs) / len(jobs),
            "memory": max(job["peak_memory_mb"] for job in jobs),
        }
        for rule, jobs in rules.items()
    }


def megabytes(folder: Path) -> float:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shards", type=int, default=PUBLISHED_SHARDS)
    parser.add_argument("--rows", type=int, default=SEEDS // 100, help="seeds of the run at full shard count")
    parser.add_argument("--small", type=int, default=0, help="seeds of the run with 4 shards (a quarter of --rows)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=16)
    parser.add_argument("--cpus", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=ROOT / "cache" / "scale")
    parser.add_argument("--chart", type=Path, default=ROOT / "docs" / "scale.svg")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    sizes = {"small": (4, arguments.small or max(8, arguments.rows // 4)), "full": (arguments.shards, arguments.rows)}
    with serving() as url, warm(folder) as environment:
        for name, (shards, rows) in sizes.items():
            run(folder / name, shards, rows, arguments.cores, url, environment)
    runs = {name: measured(folder / name) for name in sizes}
    lines = {}
    for rule, full in runs["full"].items():
        small = runs["small"][rule]
        points = [(sizes[name][1] * PASSES.get(rule, 1) / found["jobs"], found) for name, found in (("small", small), ("full", full))]
        lines[rule] = {key: Line.through(*[(rows, found[key]) for rows, found in points]) for key in ("seconds", "memory")}
        if rule.startswith("link_"):
            few, many = ((sizes[name][0], rows, found["seconds"]) for name, (rows, found) in zip(sizes, points, strict=True))
            lines[rule]["seconds"] = Line.of_links(few, many, PUBLISHED_SHARDS)
    disk = {part: megabytes(folder / "full" / part) * SEEDS / arguments.rows / 1000 for part in ("results", "cache")}
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    jobs = plan(lines, profile, PUBLISHED_SHARDS)
    hours = simulate(jobs, arguments.gpus, arguments.cpus) / 3600
    print(measurements(lines, runs["full"], arguments.shards, PUBLISHED_SHARDS))
    print(f"\n{SEEDS:,} seeds on {arguments.gpus} GPUs and {arguments.cpus} cores: {hours:.1f} h, {len(jobs):,} Slurm jobs", end=", ")
    print(f"{disk['results']:.0f} GB of results, {disk['cache']:.0f} GB of caches")
    print(f"the model alone: {GPU_SECONDS * SEEDS / 3600:,.0f} GPU h, {GPU_SECONDS * SEEDS / 3600 / arguments.gpus:.1f} h on all GPUs\n")
    print(table(jobs, lines, PUBLISHED_SHARDS))
    chart(jobs, arguments.chart)


if __name__ == "__main__":
    main()
