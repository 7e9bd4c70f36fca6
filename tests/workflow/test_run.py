"""The whole small run with the bundled model: what comes out, and that nothing disturbs it."""

import json
import os
import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from selfalign.data.tables import REASONS, SCHEMAS, STEP_OF
from selfalign.report.resources import measure

DATASETS = ("extracted", "functions", "seeds", "concepts", "instructions", "responses", "executed", "candidates", "dataset", "dropped")


@pytest.fixture(scope="module")
def summary(finished):
    return json.loads((finished.folder / "results" / "summary.json").read_text())


def by_dataset(project, *folders):
    """All rows of these folders of results/ by dataset, the shards put together."""
    found: dict[str, list[dict]] = {}
    results = project.folder / "results"
    for folder in folders:
        for path in (results / folder).rglob("*.parquet"):
            found.setdefault(str(path.parent.relative_to(results)), []).extend(pq.read_table(path, partitioning=None).to_pylist())
    return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def test_every_dataset_has_its_schema_and_is_sorted(finished):
    for dataset in STEP_OF:
        for path in (finished.folder / "results" / dataset).iterdir():
            table = pq.read_table(path, partitioning=None)
            assert table.schema.equals(SCHEMAS[dataset]), path
            assert table["id"].to_pylist() == sorted(table["id"].to_pylist()), path


def test_no_row_is_lost(summary):
    assert [step["step"] for step in summary["steps"]] == list(STEP_OF.values())
    for step in summary["steps"]:
        assert step["asked"] == step["kept"] + step["dropped"], step["step"]
        assert step["dropped"] == sum(step["reasons"].values())
        assert list(step["reasons"]) == list(REASONS[step["step"]])
    rows_in = [step["rows_in"] for step in summary["steps"]]
    assert rows_in[1:] == [step["kept"] for step in summary["steps"][:-1]]


def test_dropped_rows_have_step_and_documented_reason(finished):
    for dataset, step in STEP_OF.items():
        for path in (finished.folder / "results" / "dropped" / dataset).iterdir():
            for row in pq.read_table(path, partitioning=None).to_pylist():
                assert row["step"] == step and row["reason"] in REASONS[step]
                assert len(row["id"]) == 16


def test_the_method_works_on_the_bundled_model(summary):
    assert summary["final_rows"] > 0
    for step in summary["steps"]:
        if step["step"] in ("extract_concepts", "write_instructions", "write_responses"):
            assert step["kept"] >= 0.6 * step["asked"], f"{step['step']} parses too little"
    verdicts = summary["verdicts"]
    assert 0.25 <= verdicts["passed"] / sum(verdicts.values()) <= 0.85


def test_results_to_look_at(finished, summary):
    results = finished.folder / "results"
    assert {"base", "tuned"} <= summary["evaluation"]["miniature"].keys()
    assert "Python Software Foundation" in (results / "NOTICE.txt").read_text()
    assert (results / "report.html").read_text().startswith("<!doctype html>")
    assert {path.name for path in (results / "dataset").iterdir()} == {"train.parquet"}
    assert (results / "model" / "model.safetensors").exists()
    card = (results / "model" / "README.md").read_text()
    assert f"{100 * summary['evaluation']['miniature']['tuned']['greedy']['score']:.1f}" in card, "the card has the scores"


def test_terminal_tells_jobs_and_progress_and_logs_have_the_rest(finished):
    assert (finished.folder / "results" / "logs" / "write_responses" / "0.log").read_text().count("write_responses 0") >= 1


def test_no_job_used_more_memory_than_it_asked_for(finished):
    rules = measure(str(finished.folder / "results"))
    assert {"extract_functions", "write_responses", "train_model"} <= {rule["rule"] for rule in rules}
    for rule in rules:
        if rule["mem_mb"] is not None:
            assert rule["peak"] <= rule["mem_mb"], rule


def assert_same_rows(project, finished):
    found, expected = by_dataset(project, *DATASETS), by_dataset(finished, *DATASETS)
    assert found.keys() == expected.keys()
    for dataset in expected:
        assert found[dataset] == expected[dataset], dataset
    train = "results/dataset/train.parquet"
    assert (project.folder / train).read_bytes() == (finished.folder / train).read_bytes()


def test_killed_run_with_three_shards_goes_on_and_has_the_same_rows(finished, project):
    project.config["shards"] = 3
    project.write_config()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    run = subprocess.Popen(project.command("datasets"), cwd=project.folder, env=project.environment(), **quiet)
    started = project.folder / "results" / "logs" / "write_responses"
    while not started.exists():
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.2)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert "--unlock" in project.snakemake("datasets", ok=False)
    project.snakemake("--unlock")
    project.snakemake("datasets")
    assert_same_rows(project, finished)


def test_same_rows_with_one_shard_and_no_file_of_before(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.config["shards"] = 1
    project.write_config()
    project.snakemake("datasets")
    assert_same_rows(project, finished)
    for dataset in ("extracted", "functions", "responses", "candidates"):
        assert [path.name for path in (project.folder / "results" / dataset).iterdir()] == ["0.parquet"]


def test_run_without_a_usable_function_fails_and_says_where_the_rows_went(project):
    source = project.folder / "code"
    source.mkdir()
    (source / "broken.py").write_text("def broken(:\n    pass\n")
    (source / "latin.py").write_bytes('def f(x):\n    """Ü."""\n    return x\n'.encode("latin-1"))
    (source / "silent.py").write_text('def silent(x):\n    """Says nothing."""\n    print(x)\n')
    project.config |= {"sources": [{"name": "code", "kind": "folder", "path": "code", "licence": "MIT"}], "shards": 1}
    project.write_config()
    output = project.snakemake("datasets", ok=False)
    assert "the final dataset is empty" in output
    assert "not_utf8 1" in output and "no_return 1" in output
    assert "Traceback" not in output
    assert not (project.folder / "results" / "dataset").exists()


def test_empty_source_is_an_error_that_names_it(project):
    (project.folder / "code").mkdir()
    project.config["sources"] = [{"name": "code", "kind": "folder", "path": "code", "licence": "MIT"}]
    project.write_config()
    output = project.snakemake("datasets", ok=False)
    assert "code" in next(line for line in output.splitlines() if line.startswith("extract_functions: "))
    assert "Traceback" not in output
