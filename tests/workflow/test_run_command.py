"""`selfalign run`: what follows a step that wrote the same rows is skipped."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from selfalign.workflow import staged
from selfalign.workflow.outputs import Output

TARGETS = ("results/functions/0.parquet", "results/functions/1.parquet")


def test_what_follows_the_same_rows_is_skipped(filtered):
    before = filtered.times()
    filtered.append("scripts/cluster_functions.py", "\nCHANGED = 1\n")
    planned = filtered.selfalign_run("--dry-run", *TARGETS)
    assert "cluster_functions        1" in planned
    assert planned.splitlines()[-1] == "selfalign: then, where the rows before them have changed: filter_functions 2"
    assert filtered.times() == before, "a dry run"
    filtered.selfalign_run(*TARGETS)
    after = filtered.times()
    assert {path for path in before if before[path] != after[path]} == {
        *(f"dedup/functions/clusters/{s}.parquet" for s in range(2)),
        "stats/cluster_functions/all.json",
    }
    said = filtered.selfalign_run(*TARGETS).splitlines()[-1]
    assert said == filtered.snakemake(*TARGETS).splitlines()[-1] and "Nothing to be done" in said


def test_what_follows_other_rows_runs(filtered):
    filtered.config["functions"] = {"max_lines": 3}
    filtered.config["licences"] = ["PSF-2.0"]  # the extraction runs again, and writes the same
    filtered.write_config()
    before, times = filtered.files("functions", "extracted"), filtered.times()
    said = filtered.selfalign_run(*TARGETS)
    assert said.count("filter_functions 0: done") == said.count("rows in        kept") == 1, "one summary, after the last stage"
    assert said.index("rows in        kept") > said.index("filter_functions 1: done")
    after = filtered.files("functions", "extracted")
    assert {Path(path).parent.name for path in before if before[path] != after[path]} == {"functions"}
    assert {path: time for path, time in filtered.times().items() if "signatures" in path} == {
        path: time for path, time in times.items() if "signatures" in path
    }


def test_rows_that_failed_are_asked_again(filtered):
    stats = filtered.folder / "results" / "stats" / "filter_functions" / "0.json"
    stats.write_text(json.dumps({**json.loads(stats.read_text()), "failed": 2}))
    assert filtered.plan(*TARGETS) == {}
    output = filtered.selfalign_run(*TARGETS)
    assert "2 rows whose model call or execution failed are asked for again" in output
    assert "filter_functions 0: done" in output and "filter_functions 1: done" not in output
    assert "failed" not in json.loads(stats.read_text()) and filtered.plan(*TARGETS) == {}


def test_damaged_shards_are_made_again_as_they_were(filtered):
    before = filtered.files("functions", "extracted", "dropped", "dedup")
    damaged = {"extracted/1.parquet": 0, "functions/0.parquet": 100, "dedup/functions/bands/1.parquet": -5}
    for name, length in damaged.items():
        path = filtered.folder / "results" / name
        path.write_bytes(path.read_bytes()[:length])
    output = filtered.selfalign_run(*TARGETS)
    assert [name for name in damaged if f"results/{name} is damaged" not in output] == []
    assert filtered.files("functions", "extracted", "dropped", "dedup") == before


def test_what_another_run_is_writing_is_not_taken_for_damaged(tmp_path, monkeypatch):
    half = tmp_path / "0.parquet"
    half.write_bytes(b"PAR1")
    jobs = [staged.Job("export_dataset", (Output(str(half), False),), True, True, ())]
    monkeypatch.setattr(staged, "plan", lambda *_: (jobs, True))
    monkeypatch.setattr(staged, "snakemake", lambda *_: 1)
    assert staged.run([]) == 1
    assert half.exists()


def test_plain_snakemake_names_a_damaged_shard_and_the_way_out(filtered):
    path = filtered.folder / "results" / "extracted" / "1.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    output = filtered.snakemake(*TARGETS, ok=False)
    assert "results/extracted/1.parquet: not a readable parquet file" in output and "delete it and run again" in output
    path.unlink()
    filtered.snakemake(str(path.relative_to(filtered.folder)), *TARGETS)
    assert path.read_bytes() == whole


def test_options_are_snakemakes(filtered):
    assert "--forcerun" in filtered.selfalign_run("--help")
    assert "filter_functions 1: done" in filtered.selfalign_run(TARGETS[1], "--forcerun", TARGETS[1])
    assert "--bogus" in filtered.selfalign_run("--bogus", ok=False)
    filtered.config["shards"] = "many"
    filtered.write_config()
    assert filtered.selfalign_run(ok=False).splitlines()[-1].startswith("config: shards: must be a whole number")


def test_a_job_that_fails_ends_the_run_with_its_line(filtered):
    filtered.edit("scripts/cluster_functions.py", "def main(smk):\n", 'def main(smk):\n    raise ValueError("broken")\n')
    output = filtered.selfalign_run(*TARGETS, ok=False)
    assert "cluster_functions: unexpected ValueError: broken" in output


@pytest.fixture
def small_disk(tmp_path):
    """A disk with room for 24 kB, and a function that gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("where", ["results", "cache"])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(filtered, small_disk, where):
    disk, make_room = small_disk
    before = filtered.files("functions", "extracted", "dropped", "dedup")
    if where == "results":
        shutil.rmtree(filtered.folder / "results" / "functions")
        (filtered.folder / "results" / "functions").symlink_to(disk)
    else:
        shutil.rmtree(filtered.folder / "cache")
        (filtered.folder / "results" / "functions" / "0.parquet").unlink()
        filtered.config["cache_dir"] = str(disk)
        filtered.write_config()
    (disk / "ballast").write_bytes(bytes(20_480 if where == "results" else 24_576))
    output = filtered.selfalign_run(*TARGETS, ok=False)
    assert "No space left on device" in output and "make room" in output
    assert "Traceback" not in output
    (disk / "ballast").unlink()
    make_room()
    filtered.selfalign_run(*TARGETS)
    assert filtered.files("functions", "extracted", "dropped", "dedup") == before
