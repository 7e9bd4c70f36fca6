import gzip
import hashlib
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfalign.data.errors import InputError
from selfalign.evaluation.fetch import fetch_benchmark


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_parquet_with_mbpp_columns_becomes_humanevals_format(tmp_path):
    pq.write_table(pa.table({"task_id": [2], "text": ["Add two."], "code": ["def add(x):\n    return x + 2"]}), tmp_path / "mbpp.parquet")
    assert fetch_benchmark(str(tmp_path / "mbpp.parquet"), tmp_path / "out" / "mbpp.jsonl") == 1
    assert lines(tmp_path / "out" / "mbpp.jsonl") == [{"task_id": 2, "prompt": "Add two.", "canonical_solution": "def add(x):\n    return x + 2"}]


def test_gzipped_jsonl(tmp_path):
    row = {"task_id": "a/0", "prompt": "def é():", "canonical_solution": "    pass"}
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    fetch_benchmark(str(tmp_path / "a.jsonl.gz"), tmp_path / "a.jsonl")
    assert lines(tmp_path / "a.jsonl") == [row]


def test_release_of_a_folder_is_its_files_in_order(tmp_path):
    for name in ("test", "test2", "test3"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"question_id": name, "code": "kept as it is"}) + "\n")
    assert fetch_benchmark(str(tmp_path), tmp_path / "out.jsonl", release=2) == 2
    assert [row["question_id"] for row in lines(tmp_path / "out.jsonl")] == ["test", "test2"] and "code" in lines(tmp_path / "out.jsonl")[0]
    with pytest.raises(InputError, match="set release"):
        fetch_benchmark(str(tmp_path), tmp_path / "out.jsonl")


def test_wrong_digest_leaves_no_file(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(InputError, match="its SHA-256 is"):
        fetch_benchmark(str(tmp_path / "a.jsonl"), tmp_path / "out.jsonl", sha256="0" * 64)
    assert not (tmp_path / "out.jsonl").exists()
    right = hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest()
    assert fetch_benchmark(str(tmp_path / "a.jsonl"), tmp_path / "out.jsonl", sha256=right) == 1


def test_missing_file_names_the_address_and_the_way_out(tmp_path):
    with pytest.raises(InputError, match="none.parquet: cannot be fetched .*put its path into the config"):
        fetch_benchmark(str(tmp_path / "none.parquet"), tmp_path / "out.jsonl")


def test_a_file_on_the_web(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}\n')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            assert fetch_benchmark(f"http://127.0.0.1:{server.server_port}/a.jsonl", tmp_path / "out.jsonl") == 1
            with pytest.raises(InputError, match="none.jsonl: cannot be fetched .*404"):
                fetch_benchmark(f"http://127.0.0.1:{server.server_port}/none.jsonl", tmp_path / "none")
        finally:
            server.shutdown()
    assert lines(tmp_path / "out.jsonl") == [{"prompt": "x"}]


@pytest.mark.parametrize("text", ["<html>", "[]"])
def test_file_that_is_not_json_objects_is_refused(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InputError, match="neither parquet nor JSONL"):
        fetch_benchmark(str(tmp_path / "a.jsonl"), tmp_path / "out.jsonl")
