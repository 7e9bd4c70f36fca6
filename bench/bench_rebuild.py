"""What a rebuild costs: nothing to do at 8, 200 and 1,000 shards, and runs after small changes beside the first one.

    python bench/bench_rebuild.py                  the default run (config.yaml), in a folder of its own
    python bench/bench_rebuild.py --small          the run of the tests, in minutes
    python bench/bench_rebuild.py --shards-only    only nothing to do

Nothing to do is measured on a run whose files are there, recorded by Snakemake itself, without content. +1% seeds are functions added in
a source of their own; every other figure has the same first run as its baseline.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "rules", "scripts", "schemas", "profiles", "prompts", "benchmarks", "models", "envs")
# Run in the project: writes every output as a small valid file, all of one time, and has Snakemake record them as made.
PRETEND = """
import os
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from selfalign.workflow.plan import parse, plan

empty = pa.BufferOutputStream()
pq.write_table(pa.table({"id": []}), empty)
empty = empty.getvalue().to_pybytes()

def make(dag):
    jobs = [job for job in dag.jobs if job.output]
    paths = [path for job in jobs for path in job.output]
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if path.is_directory:
            Path(path).mkdir(exist_ok=True)
        else:
            Path(path).write_bytes(empty if path.endswith(".parquet") else b"</html>\\n" if path.endswith(".html") else b"{}\\n")
    newest = os.stat(paths[-1]).st_mtime
    for path in paths:
        os.utime(path, (newest, newest))

    async def record():
        for job in jobs:
            await dag.workflow.persistence.finished(job)

    dag.workflow.async_run(record())
    return len(paths)

print(plan(parse(["--cores", "2", "--configfile", "now.yaml"]), make))
"""
# Functions unlike any other, of the kind that the filters keep.
NEW = '''def {name}(values, limit={limit}):
    """Return the {word} of the first values, at most {limit} of them, each weighted with its place."""
    total = {limit}
    for place, value in enumerate(values[:limit], {start}):
        total = total {sign} place * value
    return total
'''
WORDS = ("balance", "harvest", "distance", "velocity", "humidity", "altitude", "interest", "pressure", "overtone", "gradient")


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path, config: dict):
        self.folder, self.config = folder, config
        for name in PARTS:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder / "scripts"), "NO_COLOR": "1"}

    def run(self, *arguments: str) -> float:
        """Seconds of a command in the project, with the config as it is now."""
        (self.folder / "now.yaml").write_text(yaml.safe_dump(self.config))
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
        self.said = done.stdout + done.stderr
        return seconds

    def align(self, *targets: str) -> float:
        return self.run("-m", "selfalign.cli", "run", *targets, "--cores", "all", "--configfile", "now.yaml")

    def stats(self) -> dict[Path, tuple[int, dict]]:
        """Each job's facts and when it wrote them."""
        paths = (self.folder / "results" / "stats").rglob("*.json")
        return {path: (path.stat().st_mtime_ns, json.loads(path.read_text())) for path in paths}

    def rows(self, dataset: str) -> int:
        return sum(pq.read_metadata(path).num_rows for path in (self.folder / "results" / dataset).glob("*.parquet"))


def nothing_to_do(counts: list[int]) -> None:
    print(f"{'nothing to do':<24}{'files':>8}{'snakemake':>12}{'selfalign run':>15}")
    for shards in counts:
        with tempfile.TemporaryDirectory() as folder:
            project = Project(Path(folder), {**yaml.safe_load((ROOT / "tests" / "small.yaml").read_text()), "shards": shards})
            project.run("-c", PRETEND)
            files = int(next(line for line in project.said.splitlines() if line.isdigit()))
            plain = project.run("-m", "snakemake", "--cores", "2", "--configfile", "now.yaml")
            assert "Nothing to be done" in project.said, project.said
            staged = project.align()
            assert "Nothing to be done" in project.said, project.said
            print(f"{shards:>5,} shards            {files:>8,}{plain:>10.1f} s{staged:>13.1f} s", flush=True)


def changes(config: dict) -> None:
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), {**config, "results_dir": "results", "cache_dir": "cache"})
        print(f"\n{'run':<36}{'jobs':>6}{'model calls':>13}{'seconds':>9}{'of the first run':>25}")
        first = report(project, "first run", "all", None)
        functions = project.rows("functions")

        original = dict(project.config)
        more = max(1, round(functions / 100))
        (project.folder / "more").mkdir()
        sources = [NEW.format(name=f"{WORDS[n % 10]}_{n}", word=WORDS[n % 10], limit=n + 3, start=n, sign="+-"[n % 2]) for n in range(more)]
        (project.folder / "more" / "more.py").write_text("\n\n".join(sources))
        project.config["sources"] = [*config["sources"], {"name": "more", "kind": "folder", "path": "more", "licence": "MIT"}]
        report(project, f"+{more} on {functions} functions (1%)", "all", first)
        print(f"    functions that passed the filters: {project.rows('functions') - functions}")

        prompts = project.folder / "prompts" / Path(config["fewshot"]).name
        fewshot = yaml.safe_load(prompts.read_text())
        fewshot["system"]["responses"] += " Answer with care."
        prompts.write_text(yaml.safe_dump(fewshot))
        report(project, "a changed prompt (responses)", "all", first)

        near = {"threshold": 0.5, "ngram": 5, "permutations": 250}
        project.config = {**project.config, "selection": {**original.get("selection", {}), "near_dedup": near}}
        report(project, "another threshold, to the dataset", "dataset", first)
        report(project, "the same, to the report", "all", first)
        report(project, "nothing", "all", first)


def report(project: Project, label: str, target: str, first: tuple[int, int, float] | None) -> tuple[int, int, float]:
    before = project.stats()
    seconds = project.align(target)
    new = [facts for path, (written, facts) in project.stats().items() if path not in before or before[path][0] != written]
    calls = sum(facts.get("requests", 0) - facts.get("cached", {}).get("requests", 0) for facts in new)
    ratios = [f"{100 * now / was:.1f}%" for now, was in zip((calls, seconds), first[1:], strict=True)] if first else []
    print(f"{label:<36}{len(new):>6,}{calls:>13,}{seconds:>9.0f}{'  calls, '.join(ratios) + (' time' if ratios else ''):>25}", flush=True)
    return len(new), calls, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="What a rebuild costs.")
    parser.add_argument("--small", action="store_true", help="changes after the tests' run instead of the default run")
    parser.add_argument("--shards-only", action="store_true", help="only nothing to do")
    parser.add_argument("--shards", type=int, nargs="+", default=[8, 200, 1000])
    arguments = parser.parse_args()
    nothing_to_do(arguments.shards)
    if not arguments.shards_only:
        changes(yaml.safe_load((ROOT / ("tests/small.yaml" if arguments.small else "config.yaml")).read_text()))


if __name__ == "__main__":
    main()
