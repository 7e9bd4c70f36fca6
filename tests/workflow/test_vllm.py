"""All model steps through vLLM's server for real, in the real workflow, and a job with vLLM in process: no row is lost, all is accounted for."""

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
DRAWS = {"seeds": 1, "concepts": 1, "instructions": 1, "responses": 2}
# GB of cache; threads where the system puts them, since another process may hold a core.
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
CONFIG = {
    "sources": [{"name": "library", "kind": "stdlib", "licence": "PSF-2.0", "limit": 60}],
    "functions": {"type_checker": "none"},
    "concepts": {"examples": 2, "prefixes": 2, "draws": 1, "max_new_tokens": 48},
    "instructions": {"examples": 2, "prefixes": 2, "draws": 1, "max_new_tokens": 60},
    "responses": {"examples": 1, "prefixes": 2, "draws": 2, "temperature": 0.3, "max_new_tokens": 320},
    "shards": 2,
    "engine": {"kind": "openai", "server": "vllm", "dtype": "float32", "batch_size": 32},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A run of all four steps, two shards each, on a server that its jobs start."""
    patch = pytest.MonkeyPatch()
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    project = Project(tmp_path_factory.mktemp("served") / "project", CONFIG)
    project.log = project.snakemake("results/responses/0.parquet", "results/responses/1.parquet")
    yield project
    patch.undo()


@pytest.fixture(scope="module")
def in_process(served, tmp_path_factory):
    """The same functions, judged with vLLM in the job's own process: one shard of them."""
    project = served.copy(tmp_path_factory.mktemp("in_process") / "project")
    project.config["engine"] = {"kind": "vllm", "dtype": "float32"}
    project.write_config()
    project.snakemake("results/seeds/0.parquet")
    return project


def rows(project, folder, shards="*") -> dict[str, dict]:
    found = {}
    for path in (project.folder / "results" / folder).glob(f"{shards}.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "/" not in folder:
            assert table.schema.equals(SCHEMAS[folder]), path
        found |= {row["id"]: row for row in table.to_pylist()}
    return found


def stats(project, rule, shards="*") -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((project.folder / "results" / "stats" / rule).glob(f"{shards}.json"))]


def test_every_row_that_was_asked_for_is_kept_or_dropped(served):
    parents = rows(served, "functions")
    for dataset, rule in STEPS.items():
        kept, dropped = rows(served, dataset), rows(served, f"dropped/{dataset}")
        asked = set(parents) if dataset == "seeds" else {row_id(rule, parent, draw) for parent in parents for draw in range(DRAWS[dataset])}
        assert not kept.keys() & dropped.keys() and kept.keys() | dropped.keys() == asked, dataset
        assert {row["reason"] for row in dropped.values()} <= set(REASONS[rule]) - {"engine_failed"}
        assert kept, f"{dataset}: nothing for the next step"
        parents = kept


def test_requests_and_tokens_are_accounted_for(served):
    for dataset, rule in STEPS.items():
        asked = len(rows(served, dataset)) + len(rows(served, f"dropped/{dataset}"))
        jobs = stats(served, rule)
        assert len(jobs) == 2
        assert sum(job["requests"] for job in jobs) == asked == sum(sum(job["finish"].values()) for job in jobs)
        assert sum(sum(job["fewshot"]["orders"].values()) for job in jobs) == asked
        assert 0 < sum(job["computed_tokens"] for job in jobs) < sum(job["prompt_tokens"] for job in jobs), "the prefix cache answers a part"
        assert all(job["output_tokens"] >= job["requests"] - job["finish"]["prompt_too_long"] for job in jobs)


def test_in_process_and_served_agree_on_the_judge_and_count_the_same_prompts(served, in_process):
    def scores(project) -> dict[str, float]:
        kept = {row: value["score"] for row, value in rows(project, "seeds", 0).items()}
        judged = {row: value for row, value in rows(project, "dropped/seeds", 0).items() if value["reason"] == "judged_no"}
        return kept | {row: float(value["detail"].removeprefix("score ")) for row, value in judged.items()}

    ours = scores(in_process)
    assert ours == pytest.approx(scores(served), abs=0.01)
    (one,), (other,) = stats(in_process, "judge_seeds", 0), stats(served, "judge_seeds", 0)
    assert ours and one["prompt_tokens"] == other["prompt_tokens"] and one["finish"] == other["finish"]
    assert 0 < one["computed_tokens"] < one["prompt_tokens"]


def test_one_server_for_all_jobs_and_none_afterwards(served):
    """Both shards and all four steps: eight jobs."""
    assert served.log.count("starting a model server") == 1
    end = time.monotonic() + 90
    while (left := servers(served.folder)) and time.monotonic() < end:
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
