"""The published run on paper: the real workflow at its shard count on 1% of its rows, with a stub for the model, carried over to all rows.

    make bench-scale                                              prints the tables of docs/scale.md, writes docs/scale.svg
    python bench/bench_scale.py [--shards 256] [--rows 2489] [--small 622] [--cores 2] [--folder cache/scale] [--gpus 16] [--cpus 128]

Two runs of the target `datasets`, by Snakemake on this machine: a small one with much in each shard, and one at the full number of shards.
Both read functions made here, ask an HTTP server made here through the openai engine, execute real programs in the real sandbox and
write real files. The type checker is off; it is the one step that is not in the numbers. From the two, each rule's seconds and memory
are a line over the rows of a job, read off at the published number of rows. What the model takes is published: 12 hours on 4 A100 for
37,000 seeds with StarCoder2-15B (arXiv 2410.24198). The jobs, in the groups of profiles/slurm, are then run on a cluster of so many
GPUs and cores, on paper.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from scale_model import GPU_SECONDS, SEEDS, Line, chart, measurements, plan, simulate, table  # beside this file

ROOT = Path(__file__).resolve().parents[1]
RAW_PER_SEED = 21.5  # 5,359,051 functions for 248,934 seeds
DRAWS = 10
PUBLISHED_SHARDS = 256  # of presets/starcoder2-15b-instruct.yaml
PASSING = 5  # one response in five passes: 500 k of 2.4 M


def words(seed: object, count: int) -> list[str]:
    """Pseudo-words, always the same for a seed."""
    draw = random.Random(str(seed))
    return ["".join(draw.choice("bcdfghklmnprstvz") + draw.choice("aeiou") for _ in range(3)) for _ in range(count)]


def function(i: int, good: bool) -> str:
    """Function number `i`, of a dozen lines; one that is not good has a word that the filters forbid."""
    name, *names = words(i, 30)
    doc = f"{' '.join(names[:12])}{'' if good else ' todo'}."
    lines = "".join(
        f"    {names[j]} = [{names[j + 8]} * {j + i % 7} for {names[j + 8]} in {names[20]} if {names[j + 8]} != {i % 1000}]\n" for j in range(8)
    )
    return f'def {name}({names[20]}):\n    """{doc}"""\n{lines}    return {names[0]} + {names[7]}\n'


def answer(body: dict) -> tuple[str, int]:
    """(completion, its tokens) to a prompt of any of the four steps."""
    key = hashlib.sha256(f"{body['prompt'][-400:]}{body['seed']}".encode()).hexdigest()
    number = int(key[:8], 16)
    step = body["prompt"].rstrip().rpartition("[")[2]
    if step.startswith("Concepts]"):
        return ", ".join(words(key, 6)), 40
    if step.startswith("Instruction]"):
        return f"Write a function {words(key, 1)[0]} that returns the sum of a list plus {number}. {' '.join(words(key, 60))}.", 120
    name, *rest = words(key, 120)
    code = f"def {name}(values):\n    total = {number}\n    for value in values:\n        total += value\n    return total\n"
    expected = number + 6 + (0 if number % PASSING == 0 else 1)
    tests = f"assert {name}([1, 2, 3]) == {expected}\nassert {name}([]) == {number}\n"
    parts = {"Reasoning": " ".join(rest[:60]), "Implementation": f"```python\n{code}```", "Explanation": " ".join(rest[60:])}
    return "\n\n".join(f"[{head}]\n{text}" for head, text in {**parts, "Tests": f"```python\n{tests}```"}.items()), 450


class Stub(BaseHTTPRequestHandler):
    """A server that speaks /v1/completions and answers at once."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send({"data": [{"id": "stub"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"text": " Yes", "finish_reason": "length", "logprobs": {"top_logprobs": [{"Yes": -0.1, " Yes": -0.1, "No": -2.5, " No": -2.5}]}}
        tokens = 1
        if not body.get("logprobs"):
            text, tokens = answer(body)
            choice = {"text": text, "finish_reason": "stop"}
        self.send({"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"]) // 4, "completion_tokens": tokens}})


def run(folder: Path, shards: int, seeds: int, cores: int, url: str) -> None:
    """The workflow up to its datasets, from nothing, in `folder`."""
    folder.mkdir(parents=True)
    draw = random.Random(seeds)
    raw = int(seeds * RAW_PER_SEED)
    good = set(draw.sample(range(raw), seeds))
    with open(folder / "functions.jsonl", "w") as file:
        for i in range(raw):
            file.write(json.dumps({"content": function(i, i in good), "path": f"{i % 997}/{i}.py", "license": "MIT"}) + "\n")
    config = {
        **{"results_dir": str(folder / "results"), "cache_dir": str(folder / "cache"), "shards": shards, "functions": {"type_checker": "none"}},
        "sources": [{"name": "made", "kind": "jsonl", "path": str(folder / "functions.jsonl")}],
        "model": {"path": "stub"},
        "engine": {"kind": "openai", "url": url, "batch_size": 32},
        "responses": {"draws": DRAWS},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "datasets", "--cores", str(cores), "--configfile", str(folder / "config.yaml"), "--quiet", "all"]
    start = time.monotonic()
    with open(folder / "output.txt", "w") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"the run in {folder} failed:\n{(folder / 'output.txt').read_text()[-3000:]}")
    print(f"{folder.name}: {shards} shards, {raw:,} functions, {seeds:,} seeds: {time.monotonic() - start:.0f} s on {cores} cores", flush=True)


def measured(folder: Path) -> dict[str, dict[str, float]]:
    """For each rule of a run: jobs, and per job CPU seconds and seconds (means), peak memory (largest, MB)."""
    rules: dict[str, list[dict]] = {}
    for path in sorted((folder / "results" / "stats").glob("*/*.json")):
        rules.setdefault(path.parent.name, []).append(json.loads(path.read_text()))
    return {
        rule: {
            "jobs": len(jobs),
            # What a job waited for another on this machine is no cost of its own.
            "seconds": sum(min(job["seconds"], 2 * job["cpu_seconds"]) for job in jobs) / len(jobs),
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
    parser.add_argument("--reuse", action="store_true", help="take the runs that are there already")
    parser.add_argument("--chart", type=Path, default=ROOT / "docs" / "scale.svg")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    sizes = {"small": (4, arguments.small or max(8, arguments.rows // 4)), "full": (arguments.shards, arguments.rows)}
    if not arguments.reuse:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, (shards, rows) in sizes.items():
            if (folder / name).exists():
                sys.exit(f"{folder / name} is there already: delete it, or --reuse it")
            run(folder / name, shards, rows, arguments.cores, f"http://127.0.0.1:{server.server_port}/v1")
        server.shutdown()
    runs = {name: measured(folder / name) for name in sizes}
    lines = {}
    for rule, full in runs["full"].items():
        small = runs["small"][rule]
        points = [(sizes[name][1] / found["jobs"], found) for name, found in (("small", small), ("full", full))]
        lines[rule] = {key: Line.through(*[(rows, found[key]) for rows, found in points]) for key in ("seconds", "memory")}
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
