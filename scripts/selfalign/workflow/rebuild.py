"""docs/rebuild-table.md, made from Snakemake's own graphs of jobs: `python -m selfalign.workflow.rebuild > docs/rebuild-table.md`.

What a rule reads is what Snakemake compares for it: the config keys and the hashes of modules in its params, its input files and the names
of its outputs. Keys that the Snakefile itself reads, to name files or to choose rules, are found by planning once with another value.
"""

import copy
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfalign.data.config import load_schema
from selfalign.workflow.plan import parse, plan

Name = tuple[str, tuple[str, ...]]  # a job: its rule and wildcards
ROOT = Path(__file__).resolve().parents[3]
SMALL = {
    "sources": [{"name": "standard-library", "kind": "stdlib", "licence": "PSF-2.0"}],
    "shards": 2,
    "model": {"path": "models/tiny"},
    "fewshot": "prompts/tiny.yaml",
}
# What brings more into the graph: other engines, rows from elsewhere, benchmarks on the hub.
OTHERS = (
    {"engine": {"kind": "vllm"}},
    {"engine": {"kind": "openai", "url": "http://localhost:1/v1"}},
    {"inputs": {"instructions": "benchmarks/miniature.jsonl"}},
    {"decontamination": {"extra": ["hf://datasets/a/b/c.parquet"]}},
)
TARGETS = ("all", "evaluation", "ablation", "exports", "push")
NAMED_IN_RULES = re.compile(r"""CONFIG\[["'](\w+)["']\](?:\[["'](\w+)["']\])?""")
_HEAD = """# What is rebuilt if this changes?

`make docs` makes this page from the graph of jobs that Snakemake builds, and a test compares it with dry runs; [rebuild.md](rebuild.md)
says how to read it. A rule in the second column runs again; those in the third follow: with `snakemake` they run too, with
`selfalign run` (and `make run`) only where the rows before them have changed.
"""


@dataclass(frozen=True)
class Job:
    """A job of the graph: its rule and wildcards, what Snakemake compares of it, and numbers of the jobs that it needs."""

    rule: str
    wildcards: tuple[str, ...]
    params: Mapping[str, Any]
    files: tuple[str, ...]
    after: tuple[int, ...]

    @property
    def name(self) -> Name:
        return self.rule, self.wildcards


def read_jobs(dag: Any) -> list[Job]:
    """The jobs of a graph that write something, each after those that it needs."""
    ordered = [job for level in dag.toposorted() for job in sorted(level, key=lambda job: (job.rule.name, *job.output)) if job.output]
    numbers = {job: number for number, job in enumerate(ordered)}
    return [
        Job(
            job.rule.name,
            tuple(job.wildcards),
            dict(job.params.items()),
            (*map(str, job.input), *map(str, job.output)),
            tuple(sorted(numbers[before] for before in dag.dependencies[job] if before in numbers)),
        )
        for job in ordered
    ]


class Graphs:
    """Graphs of this project's jobs under configs of our own making, each made once."""

    def __init__(self, root: Path = ROOT):
        self.root = root
        self._made: dict[str, list[Job]] = {}

    def of(self, config: dict[str, Any]) -> list[Job]:
        """The jobs of every target that this config has."""
        if (name := json.dumps(config)) not in self._made:
            self._made[name] = self._make(config)
        return self._made[name]

    def _make(self, config: dict[str, Any]) -> list[Job]:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(config, file)
            file.flush()
            line = ["--cores", "1", "--snakefile", str(self.root / "Snakefile"), "--directory", str(self.root), "--configfile", file.name]
            jobs = plan(parse([*TARGETS, *line]), read_jobs)
        if jobs is None:
            raise RuntimeError(f"Snakemake cannot plan with {config}")
        return jobs


def keys(schema: Mapping[str, Any] | None = None, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every key of the config that holds a value, a list counted as one, with its part of the schema."""
    for name, part in (schema or load_schema())["properties"].items():
        if "properties" in part:
            yield from keys(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def readers(jobs: Sequence[Job]) -> dict[str, set[Name]]:
    """Jobs by what is in their params: config keys (`seed`, `engine.kind`) and, in brackets, scripts, modules and steps of the few-shot file."""
    found: dict[str, set[Name]] = defaultdict(set)
    compared = [key for key, part in keys() if part.get("rebuilds", True)]
    for job in jobs:
        for key in compared:
            if _has(job.params.get("cfg", {}), key.split(".")):
                found[key].add(job.name)
        for module in job.params["sources"]:
            found[f"[{module}]"].add(job.name)
        if "fewshot" in job.params:
            found[f"[few-shot {job.wildcards[0]}]"].add(job.name)
    return found


def _has(part: Any, names: list[str]) -> bool:
    for name in names:
        if not isinstance(part, dict) or name not in part:
            return False
        part = part[name]
    return True


def changed(before: Sequence[Job], after: Sequence[Job]) -> set[Name]:
    """The jobs that are new or that Snakemake would find changed, whatever the jobs before them write."""
    known = {job.name: _compared(job) for job in before}
    return {job.name for job in after if known.get(job.name) != _compared(job)}


def _compared(job: Job) -> tuple:
    return sorted(repr(value) for value in job.params.values() if not isinstance(value, Path)), sorted(job.files)


def following(jobs: Sequence[Job], names: Collection[Name]) -> set[Name]:
    """The jobs after those named, these left out."""
    reached: set[int] = set()
    for number, job in enumerate(jobs):
        if job.name in names or any(before in reached for before in job.after):
            reached.add(number)
    return {jobs[number].name for number in reached} - set(names)


def other_value(key: str, part: Mapping[str, Any], value: Any) -> Any:
    """Another value that the schema allows in place of `value`."""
    special = {
        "model.path": "./models/tiny",
        "fewshot": "prompts/fewshot.yaml",
        "sources": [{"name": "standard-library", "kind": "stdlib", "licence": "PSF-2.0", "limit": 7}],
        "evaluation.benchmarks": [{"name": name, "data": "benchmarks/miniature.jsonl"} for name in ("miniature", "another")],
        "decontamination.extra": ["config.yaml"],  # a plan does not look into it
        "engine.url": "http://localhost:1/v1",
        "engine.kind": "vllm",
        "engine.device": "cuda",
        "training.device": "cuda",
    }
    if key in special:
        return special[key]
    kind = part.get("type") or ("integer" if "oneOf" in part else None)
    if "enum" in part:
        return next(option for option in part["enum"] if option != value)
    if kind == "boolean":
        return not value
    if kind == "array" and "enum" in part.get("items", {}):
        return value[:-1] or part["items"]["enum"]
    if kind == "array":
        return [*value[:-1], "another"] if value else ["another"]
    if kind == "integer":
        return value + 1
    if kind == "number":
        return value / 2 if value else 0.5
    return f"{value}-other"


def with_value(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The config with another value at `key`."""
    result = copy.deepcopy(dict(config))
    *parents, last = key.split(".")
    part = result
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return result


def complete_config() -> dict[str, Any]:
    """The small config with all defaults."""
    from selfalign.data.config import load_config

    return load_config(SMALL)


@dataclass(frozen=True)
class Row:
    """Things whose change has the same effect: rules that run again, and those that follow."""

    things: tuple[str, ...]
    again: tuple[str, ...]
    follow: tuple[str, ...]


def table(graphs: Graphs, others: bool = True) -> dict[str, list[Row]]:
    """The table's parts: config keys, the few-shot file, scripts and modules. `others`: with what only other engines and inputs bring in."""
    config = complete_config()
    base = graphs.of(SMALL)
    found = readers(base)
    for key in _named_in_rules(graphs.root):
        part = dict(keys())[key]
        found[key] |= changed(base, graphs.of(with_value(SMALL, key, other_value(key, part, _get(config, key)))))
    all_graphs = [base]
    for other in OTHERS if others else ():
        all_graphs.append(graphs.of({**SMALL, **other}))
        for thing, names in readers(all_graphs[-1]).items():
            found[thing] |= names
    order = _rule_order(all_graphs)

    def rules(names: Collection[Name]) -> tuple[str, ...]:
        return tuple(sorted({rule for rule, _ in names}, key=order.index))

    def rows(things: Iterable[str]) -> list[Row]:
        same: dict[frozenset[Name], list[str]] = defaultdict(list)
        for thing in things:
            same[frozenset(found.get(thing, ()))].append(thing.strip("[]"))
        made = []
        for names, of_them in same.items():
            follow = set().union(*(following(jobs, names) for jobs in all_graphs))
            made.append(Row(tuple(of_them), rules(names), tuple(rule for rule in rules(follow) if rule not in rules(names))))
        return made

    files = sorted(thing for thing in found if thing.startswith("[") and not thing.startswith("[few-shot"))
    return {
        "Config keys": rows(key for key, _ in keys()),
        "Few-shot file: system line and examples of a step": rows(thing for thing in found if thing.startswith("[few-shot")),
        "Scripts": rows(thing for thing in files if not thing.startswith("[selfalign.") and "/" not in thing),
        "Modules of the library, and files that they read": rows(thing for thing in files if thing.startswith("[selfalign.") or "/" in thing),
    }


def _named_in_rules(root: Path) -> list[str]:
    """Keys that the Snakefile and the rules read outside of `cfg`, in the schema's order. Threads and resources are not compared, but named too."""
    text = "".join(path.read_text(encoding="utf-8") for path in (root / "Snakefile", *sorted((root / "rules").glob("*.smk"))))
    named = {".".join(filter(None, match.groups())) for match in NAMED_IN_RULES.finditer(text)}
    return [key for key, part in keys() if key in named and part.get("rebuilds", True)]


def _get(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value[name]
    return value


def _rule_order(graphs: Sequence[Sequence[Job]]) -> list[str]:
    """All rules in an order of the data: a rule after those whose files it reads.

    Of rules that read each other's files (the passes of near-dedup), the one comes first that has a job which needs no other.
    """
    before: dict[str, list[set[str]]] = defaultdict(list)
    for jobs in graphs:
        for job in jobs:
            before[job.rule].append({jobs[number].rule for number in job.after} - {job.rule})
    order: list[str] = []
    while len(order) < len(before):
        left = [rule for rule in before if rule not in order]
        ready = [rule for rule in left if all(needs <= set(order) for needs in before[rule])]
        order.append(min(ready or [rule for rule in left if any(needs <= set(order) for needs in before[rule])]))
    return order


def page(graphs: Graphs) -> str:
    """The page as Markdown."""
    lines = [_HEAD]
    for title, rows in table(graphs).items():
        lines.append(f"\n## {title}\n\n| changed | runs again | follows |\n|---|---|---|\n")
        for row in rows:
            things = ", ".join(f"`{thing.removeprefix('few-shot ')}`" for thing in row.things)
            lines.append(f"| {things} | {', '.join(row.again) or 'nothing'} | {', '.join(row.follow)} |\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page(Graphs()))
