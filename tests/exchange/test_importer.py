import json

import datasets
import pyarrow as pa
import pytest

from selfalign.data.config import defaults
from selfalign.data.errors import InputError
from selfalign.data.ids import content_id, shard_of
from selfalign.data.tables import ANCESTORS, SCHEMAS
from selfalign.exchange.importer import import_rows

LICENCES = ["MIT"]


@pytest.fixture
def enter(tmp_path):
    """All rows by dataset, and the dropped ones, of an import."""

    def run(entry, address, shards=1, **cfg):
        columns = {**defaults("inputs")["columns"], **cfg.pop("columns", {})}
        cfg = {**defaults("inputs"), **cfg, "columns": columns, entry: address}
        found, dropped = {name: [] for name in (*ANCESTORS[entry], entry)}, []
        for shard, (tables, rest) in enumerate(import_rows(entry, cfg, LICENCES, shards, str(tmp_path))):
            for name, table in tables.items():
                assert table.schema.equals(SCHEMAS[name])
                rows = table.to_pylist()
                assert {shard_of(row.get("function_id", row["id"]), shards) for row in rows} <= {shard}, "a row lies in its function's shard"
                found[name] += rows
            dropped += rest.to_pylist()
        return {name: sorted(rows, key=lambda row: row["id"]) for name, rows in found.items()}, dropped

    return run


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("entry", list(ANCESTORS))
def test_every_published_dataset_enters_with_its_ancestors(enter, put, entry, suffix, published):
    rows = published(entry)
    found, dropped = enter(entry, put(f"rows.{suffix}", rows), shards=3)
    assert not dropped
    assert len(found[entry]) == len(rows)
    assert {name: len(found[name]) for name in ANCESTORS[entry]} == dict.fromkeys(ANCESTORS[entry], 12)
    assert {row["source_id"] for row in found[entry]} == {str(row["id"]) for row in rows}
    for row in found[entry]:
        original = next(item for item in rows if str(item["id"]) == row["source_id"])
        if entry in ("functions", "seeds"):
            assert row["id"] == content_id(original["content"]) and row["sha1"] == original["sha1"]
        else:
            assert row["function_id"] == content_id(original["seed"])


def test_each_row_finds_its_ancestors(enter, put, published):
    rows = published("responses")
    found, _ = enter("responses", put("rows.jsonl", rows))
    by_id = {name: {row["id"]: row for row in table} for name, table in found.items()}
    texts = set()
    for row in found["responses"]:
        instruction = by_id["instructions"][row["instruction_id"]]
        concepts = by_id["concepts"][instruction["concepts_id"]]
        seed = by_id["seeds"][concepts["seed_id"]]
        texts.add((seed["content"], tuple(concepts["concepts"]), instruction["instruction"], row["response"]))
    assert texts == {(row["seed"], tuple(row["concepts"]), row["instruction"], row["response"]) for row in rows}
    assert sorted(row["sample"] for row in found["responses"]) == sorted([0, 1, 2] * 12)


def test_rows_do_not_depend_on_order_files_or_shards(enter, put, published):
    rows = [{**row, "path": "a.py"} for row in published("responses")]
    one, _ = enter("responses", put("one.parquet", rows))
    put("several/b.jsonl", rows[:7])
    several = put("several/a.parquet", rows[:6:-1]).rsplit("/", 1)[0]
    for name, table in enter("responses", several, shards=5)[0].items():
        assert [{**row, "source": ""} for row in table] == [{**row, "source": ""} for row in one[name]]


def test_copies_are_dropped_and_named(enter, put, published):
    rows = published("executed", samples=1)
    found, dropped = enter("executed", put("rows.jsonl", [*rows, rows[3]]), shards=2)
    assert len(found["executed"]) == 12
    (copy,) = dropped
    assert (copy["step"], copy["reason"], copy["detail"]) == ("import_rows", "duplicate", "rows.jsonl#12 is a copy of rows.jsonl#3")
    assert copy["parent_id"] in {row["id"] for row in found["instructions"]}


def test_several_responses_in_one_row(enter, put, published):
    row = published("instructions", seeds=1)[0]
    raw = {**row, "parsing_result": [{"response": "a"}, {"response": "b"}]}
    for name, rows in (("lists.parquet", [{**row, "response": ["a", "b"]}]), ("raw.parquet", [raw]), ("raw.jsonl", [raw])):
        found, _ = enter("responses", put(name, rows))
        assert sorted(row["response"] for row in found["responses"]) == ["a", "b"]
        assert len(found["instructions"]) == 1


def test_bad_rows_in_a_good_file_are_dropped_with_file_and_row(enter, put, published):
    rows = published("instructions", seeds=2)
    bad = ["{", "[]", {**rows[0], "instruction": None}, {**rows[0], "concepts": "a, b"}, {**rows[0], "license": "GPL-3.0"}, {**rows[0], "seed": " "}]
    found, dropped = enter("instructions", put("rows.jsonl", [*rows, *bad, {**rows[1], "instruction": "\ud800"}]))
    assert len(found["instructions"]) == 2
    details = sorted(row["detail"] for row in dropped)
    assert [row["reason"] for row in dropped].count("unreadable_row") == 6
    assert details[2:] == [
        "rows.jsonl#4: column 'instruction' is missing or null, expected a text",
        "rows.jsonl#5: column 'concepts' holds a text, expected a list of texts",
        "rows.jsonl#6: GPL-3.0",
        "rows.jsonl#7: column 'seed' is empty, expected the code of the function that the row began with, a text",
        "rows.jsonl#8: column 'instruction' holds a lone surrogate, expected a text",
    ]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction": None}, "column 'instruction' is missing or null, expected a text"),
        ({"concepts": "a, b"}, "column 'concepts' holds a text, expected a list of texts"),
        ({"seed": 3}, "column 'seed' holds a number, expected the code"),
        ({"seed": ["x"]}, "column 'seed' holds a list"),
    ],
)
def test_wrong_column_is_one_line_with_file_column_and_what_was_expected(enter, put, suffix, change, message, published):
    path = put(f"rows.{suffix}", [{**row, **change} for row in published("instructions", seeds=2)])
    with pytest.raises(InputError) as caught:
        enter("instructions", path)
    assert path in str(caught.value) and message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_missing_column_says_how_to_name_it(enter, put, suffix, published):
    rows = [{"code": row.pop("seed"), **row} for row in published("concepts", seeds=2)]
    path = put(f"rows.{suffix}", rows)
    with pytest.raises(InputError, match="no column 'seed' .*only code, prompt, .*set inputs.columns.seed") as caught:
        enter("concepts", path)
    assert path in str(caught.value)
    found, _ = enter("concepts", path, columns={"seed": "code", "id": "sha1"})
    assert {row["source_id"] for row in found["concepts"]} == {row["sha1"] for row in rows}
    with pytest.raises(InputError, match="no column 'uuid'"):
        enter("concepts", path, columns={"seed": "code", "id": "uuid"})


def test_unreadable_files_are_one_line(enter, put, tmp_path, published):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    cases = {"cut.parquet": "not a readable parquet file", "text.txt": "neither parquet nor JSONL"}
    cases |= {"empty": "no .parquet", "none.jsonl": "no such file"}
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            enter("seeds", str(tmp_path / name))
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no row"):
        enter("seeds", put("empty.jsonl", []))
    with pytest.raises(InputError, match="line 1: not a JSON object"):
        enter("seeds", put("list.jsonl", ["[", json.dumps({"content": "x"})]))
    with pytest.raises(InputError, match="no usable row; dropped: licence 2"):
        enter("seeds", put("gpl.jsonl", [{**row, "license": "GPL-3.0"} for row in published("seeds", seeds=2)]))


def test_saved_dataset_enters(enter, tmp_path, published):
    rows = published("concepts")
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(str(tmp_path / "saved"))
    found, _ = enter("concepts", str(tmp_path / "saved"))
    assert {tuple(row["concepts"]) for row in found["concepts"]} == {tuple(row["concepts"]) for row in rows}


def test_large_text_types_and_dictionaries_are_texts(enter, tmp_path, published):
    rows = published("seeds", seeds=3)
    contents = pa.array([row["content"] for row in rows], pa.large_string())
    table = pa.table({"content": contents.dictionary_encode(), "id": [row["id"] for row in rows]})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    assert len(enter("seeds", str(tmp_path / "rows.parquet"))[0]["seeds"]) == 3
