"""What is left of earlier runs: damaged files are found, whole ones are left alone."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from selfalign.workflow.outputs import Output, asked_again, delete_damaged, is_alone


@pytest.fixture
def outputs(tmp_path):
    pq.write_table(pa.table({"id": ["a", "b"] * 500}), tmp_path / "0.parquet")
    (tmp_path / "0.json").write_text(json.dumps({"kept": 3}))
    (tmp_path / "model").mkdir()
    save_file({"a": torch.ones(10), "b": torch.ones(3)}, tmp_path / "model" / "model.safetensors")
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    (tmp_path / "model" / "merges.txt").write_text("a b")  # may end like this
    (tmp_path / "export" / "data").mkdir(parents=True)
    (tmp_path / "export" / "README.md").write_text("# Made-up rows\n")
    pq.write_table(pa.table({"id": ["a", "b"] * 500}), tmp_path / "export" / "data" / "train.parquet")
    (tmp_path / "loss.csv").write_text("step,loss\n")
    (tmp_path / "report.html").write_text("<!doctype html>\n<p>\n</html>\n")
    return [Output(str(path), path.suffix == ".json") for path in sorted(tmp_path.iterdir())]


def test_whole_and_missing_files_are_no_damage(outputs, tmp_path):
    assert delete_damaged([*outputs, Output(str(tmp_path / "none.parquet"), False)]) == []
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(
    "name",
    [
        *("0.parquet", "0.json", "model/model.safetensors", "model/tokenizer.json", "export/data/train.parquet", "export/README.md", "loss.csv"),
        "report.html",
    ],
)
def test_a_file_cut_anywhere_is_deleted(outputs, tmp_path, name):
    path = tmp_path / name
    whole = path.read_bytes()
    for length in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 9, len(whole) - 2}:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole[:length])
        assert delete_damaged(outputs) == [str(tmp_path / name.split("/")[0])], length
        assert not path.exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may read any file")
def test_a_file_that_cannot_be_read_is_deleted(outputs, tmp_path):
    (tmp_path / "0.parquet").chmod(0)
    assert delete_damaged(outputs) == [str(tmp_path / "0.parquet")]


def test_rows_that_failed_are_counted_where_the_job_says_so(outputs, tmp_path):
    assert asked_again(outputs) == {}
    (tmp_path / "0.json").write_text(json.dumps({"kept": 3, "failed": 2}))
    assert asked_again(outputs) == {str(tmp_path / "0.json"): 2}


def test_another_snakemake_in_the_folder_has_a_lock_of_its_own(tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    for name in ("0.output.lock", "0.input.lock"):
        (locks / name).touch()
    assert is_alone(tmp_path)
    (locks / "1.output.lock").touch()
    assert not is_alone(tmp_path)
