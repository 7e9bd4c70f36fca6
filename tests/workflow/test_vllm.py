"""All model steps through vLLM for real, in process and through its server: the same rows are asked for, none is lost, all is accounted for."""

import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfalign.data.ids import row_id
from selfalign.data.tables import REASONS, SCHEMAS

from .conftest import Project

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None and "SELFALIGN_NEEDS_VLLM" not in os.environ, reason="vLLM is not installed; .ci/vllm runs this"
)
STEPS = {"seeds": "judge_seeds", "concepts": "extract_concepts", "instructions": "write_instructions", "responses": "write_responses"}
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
CHANGES = {
    "sources": [{"name": "library", "kind": "stdlib", "licence": "PSF-2.0", "limit": 60}],
    "functions": {"type_checker": "none"},
    "concepts": {"examples": 2, "prefixes": 2, "draws": 1, "max_new_tokens": 48},
    "instructions": {"examples": 2, "prefixes": 2, "draws": 1, "max_new_tokens": 60},
    "responses": {"examples": 1, "prefixes": 2, "draws": 2, "temperature": 0.3, "max_new_tokens": 320},
}
ENGINES = {
    "transformers": (1, {"kind": "transformers", "dtype": "float32"}),
    "vllm": (1, {"kind": "vllm", "dtype": "float32"}),
    "openai": (2, {"kind": "openai", "server": "vllm", "dtype": "float32", "batch_size": 32}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run by engine: all four steps, from the same functions."""
    made = {}
    patch = pytest.MonkeyPatch()
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    for kind, (shards, engine) in ENGINES.items():
        project = Project(tmp_path_factory.mktemp(kind) / "project", {**CHANGES, "shards": shards, "engine": engine})
        project.log = project.snakemake(*(f"results/responses/{s}.parquet" for s in range(shards)))
        made[kind] = project
    yield made
    patch.undo()


def rows(project, folder) -> dict[str, dict]:
    found = {}
    for path in (project.folder / "results" / folder).glob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "/" not in folder:
            assert table.schema.equals(SCHEMAS[folder]), path
        found |= {row["id"]: row for row in table.to_pylist()}
    return found


def stats(project, rule) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((project.folder / "results" / "stats" / rule).iterdir())]


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_every_row_that_was_asked_for_is_kept_or_dropped(runs, kind):
    project, draws = runs[kind], {"seeds": 1, "concepts": 1, "instructions": 1, "responses": 2}
    parents = rows(project, "functions")
    for dataset, rule in STEPS.items():
        kept, dropped = rows(project, dataset), rows(project, f"dropped/{dataset}")
        asked = set(parents) if dataset == "seeds" else {row_id(rule, parent, draw) for parent in parents for draw in range(draws[dataset])}
        assert not kept.keys() & dropped.keys() and kept.keys() | dropped.keys() == asked, dataset
        assert {row["reason"] for row in dropped.values()} <= set(REASONS[rule]) - {"engine_failed"}
        assert len(kept) >= 0.5 * len(asked) or dataset == "seeds", f"{dataset}: the text does not parse"
        assert kept
        parents = kept


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_requests_and_tokens_are_accounted_for(runs, kind):
    for dataset, rule in STEPS.items():
        asked = len(rows(runs[kind], dataset)) + len(rows(runs[kind], f"dropped/{dataset}"))
        jobs = stats(runs[kind], rule)
        assert sum(job["requests"] for job in jobs) == asked == sum(sum(job["finish"].values()) for job in jobs)
        assert sum(sum(job["fewshot"]["orders"].values()) for job in jobs) == asked
        for job in jobs:
            assert 0 < job["computed_tokens"] < job["prompt_tokens"], "the prefix cache answers a part"
            assert job["output_tokens"] >= job["requests"] - job["finish"]["prompt_too_long"]


def test_engines_agree_on_the_judge_and_count_the_same_prompts(runs):
    judged = {kind: rows(project, "seeds") for kind, project in runs.items()}
    tokens = {kind: sum(job["prompt_tokens"] for job in stats(project, "judge_seeds")) for kind, project in runs.items()}
    for kind in ("vllm", "openai"):
        both = judged[kind].keys() & judged["transformers"].keys()
        assert len(both) >= 0.9 * len(judged["transformers"])
        for row in both:
            assert judged[kind][row]["score"] == pytest.approx(judged["transformers"][row]["score"], abs=0.01)
        assert tokens[kind] == tokens["transformers"]


def test_one_server_for_all_jobs_and_none_afterwards(runs):
    """Both shards and all four steps: eight jobs."""
    assert runs["openai"].log.count("starting a model server") == 1
    end = time.monotonic() + 90
    while (left := servers(runs["openai"].folder)) and time.monotonic() < end:
        time.sleep(1)
    assert not left


def servers(folder: Path) -> list[str]:
    """Processes of a model server or its keeper that were started in this folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and os.readlink(process / "cwd") == str(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return [command for command in found if "vllm" in command or "keeper" in command]
