"""`selfalign execute` and `selfalign sandbox`, as a user calls them; the step and its cache key."""

import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfalign.cli import main
from selfalign.data.config import defaults
from selfalign.data.source_hash import source_hashes
from selfalign.data.tables import SCHEMAS
from selfalign.execution.step import execute_responses

GOOD = "def f(x):\n    return x + 1\n"
RESPONSE = "[Reasoning]\nr\n\n[Implementation]\n```python\n{}\n```\n\n[Explanation]\ne\n\n[Tests]\n```python\n{}\n```\n"


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_verdicts_in_order_with_ids_as_given(tmp_path, capsys):
    rows = [
        {"id": 7, "code": GOOD, "tests": "assert f(1) == 2"},
        {"id": 3, "response": RESPONSE.format(GOOD, "assert f(1) == 3")},
        {"id": 4, "response": RESPONSE.format(GOOD, "assert f(1) == 2").replace("\n", "\r\n")},
        {"id": 7, "response": None},
        {"id": 9, "code": "", "tests": "assert 1"},
    ]
    output = tmp_path / "out" / "verdicts.parquet"
    assert main(["execute", write_lines(tmp_path / "in.jsonl", rows), "-o", str(output)]) == 0
    found = pq.read_table(output).to_pylist()
    assert [(row["id"], row["verdict"]) for row in found] == [(7, "passed"), (3, "assertion_failed"), (4, "passed"), (7, "no_code"), (9, "no_code")]
    printed = capsys.readouterr().out
    assert "passed" in printed and "40.0%" in printed


def test_parquet_in_jsonl_out_without_ids(tmp_path):
    pq.write_table(pa.table({"code": [GOOD, "def f(:"], "tests": ["assert f(1) == 2"] * 2}), tmp_path / "in.parquet")
    assert main(["execute", str(tmp_path / "in.parquet"), "-o", str(tmp_path / "out.jsonl"), "--workers", "2"]) == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["id"], row["verdict"]) for row in found] == [(0, "passed"), (1, "syntax_error")]


def test_bad_input_is_one_line_that_names_it(tmp_path, capsys):
    cases = {
        "missing.jsonl": None,
        "broken.jsonl": '{"code": 1\n',
        "list.jsonl": "[1]\n",
        "columns.jsonl": '{"code": "x"}\n',
        "kind.jsonl": '{"code": 1, "tests": "x"}\n',
        "bytes.jsonl": b"\xff\xfe\x00",
        "deep.jsonl": "[" * 100_000,
        "broken.parquet": b"PAR1",
    }
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert main(["execute", str(path), "-o", str(tmp_path / "out.jsonl")]) == 1
        told = capsys.readouterr().err.strip()
        assert name in told and len(told.splitlines()) == 1, told
    assert main(["execute", write_lines(tmp_path / "good.jsonl", []), "-o", str(tmp_path / "out.csv")]) == 1


def test_ids_stay_as_they_are(tmp_path):
    program = {"code": "", "tests": ""}
    kinds = {
        "numbers": [1, 1, 2],
        "large": [2**70, 1],
        "mixed": [1, 1.5, "a", None, True, ["x"], {"k": 1}],
        "lone surrogates": ["\ud800", "b"],
        "words": ["a\nb", "ü", ""],
        "none": [],
    }
    for name, ids in kinds.items():
        source = write_lines(tmp_path / f"{name}.jsonl", [{"id": item, **program} for item in ids])
        for ending in ("jsonl", "parquet"):
            assert main(["execute", source, "-o", str(tmp_path / f"out.{ending}")]) == 0
        assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ids
        found = pq.read_table(tmp_path / "out.parquet")["id"].to_pylist()
        # A column has one type: where the ids have none in common, their JSON texts are the ids.
        assert found == ids or [json.loads(item) for item in found] == ids, name


def test_ids_of_several_batches_and_a_pipe_as_input(tmp_path, monkeypatch):
    monkeypatch.setattr("selfalign.execution.table.BATCH", 2)
    program = {"code": "", "tests": ""}
    for ids in ([1, 2, 3], [1, None, 3, None, None], [None, None, "a"], [1, 2, "a", "b"], [1.5, 2.5, 1, 2], [[1], ["a"], [2], []]):
        pipe = tmp_path / "pipe"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        writer = threading.Thread(target=write_lines, args=(pipe, [{"id": item, **program} for item in ids]))
        writer.start()
        assert main(["execute", str(pipe), "-o", str(tmp_path / "out.parquet")]) == 0
        writer.join()
        found = pq.read_table(tmp_path / "out.parquet")["id"].to_pylist()
        assert found == ids or [json.loads(item) for item in found] == ids, ids


def test_a_byte_order_mark_and_blank_lines_do_not_matter(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": "a", "code": "", "tests": ""}).encode() + b"\n\n")
    assert main(["execute", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_an_output_that_cannot_be_written_is_known_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("selfalign.execution.dispatch.judged", lambda *arguments: pytest.fail("worked in vain"))
    source = write_lines(tmp_path / "in.jsonl", [{"code": GOOD, "tests": "assert f(1) == 2"}])
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").touch()
    for output in ("folder.jsonl", "file/out.jsonl"):
        assert main(["execute", source, "-o", str(tmp_path / output)]) == 1
        assert output in capsys.readouterr().err
    assert main(["execute", str(tmp_path / "folder.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 1


def test_the_input_is_not_replaced_by_its_verdicts(tmp_path, capsys):
    path = write_lines(tmp_path / "rows.jsonl", [{"code": GOOD, "tests": "assert f(1) == 2"}])
    before = Path(path).read_bytes()
    assert main(["execute", path, "-o", str(tmp_path / "." / "rows.jsonl")]) == 1
    assert "is the input" in capsys.readouterr().err
    assert Path(path).read_bytes() == before


def test_an_interpreter_that_is_none_is_not_called_a_matter_of_isolation(tmp_path, capsys):
    path = write_lines(tmp_path / "rows.jsonl", [{"code": GOOD, "tests": "assert f(1) == 2"}])
    for python in ("/no/such/python", "/bin/ls"):
        assert main(["execute", path, "-o", str(tmp_path / "verdicts.jsonl"), "--python", python]) == 1
        told = capsys.readouterr().err
        assert f"{python} does not run" in told and "isolat" not in told and "import json" not in told


def test_sandbox_check_says_what_is_used(capsys):
    assert main(["sandbox", "--check"]) == 0
    assert "works" in capsys.readouterr().out


def test_step_keeps_what_passes_and_drops_the_rest_with_reasons():
    rows = [
        {"id": f"r{i}", "function_id": "0", "instruction_id": "i", "sample": i, "prefix": 0, "response": response, "finish_reason": "stop"}
        for i, response in enumerate([RESPONSE.format(GOOD, "assert f(1) == 2"), RESPONSE.format(GOOD, "f(1)"), "no sections"])
    ]
    kept, dropped = execute_responses(pa.Table.from_pylist(rows, schema=SCHEMAS["responses"]), defaults("execution"))
    assert kept.column("id").to_pylist() == ["r0"] and kept.schema == SCHEMAS["executed"]
    assert [(row["id"], row["parent_id"], row["reason"]) for row in dropped.to_pylist()] == [("r1", "i", "tests_not_run"), ("r2", "i", "no_code")]


def test_code_that_runs_inside_the_sandbox_counts_for_a_rebuild():
    script = Path(__file__).resolve().parents[2] / "scripts" / "execute_responses.py"
    assert {"execution/inside/guard.c", "execution/inside/zygote.py"} <= set(source_hashes(script))
