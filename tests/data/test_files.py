import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfalign.data.errors import InputError
from selfalign.data.files import read_shard, read_shards, remove_stale_shards, to_dropped, to_table, write_dropped, write_shard


def concept(id, concepts=("lists",)):
    return {"id": id, "function_id": "f", "seed_id": "f", "draw": 0, "prefix": 1, "concepts": list(concepts), "source_id": None}


def test_rows_come_back_sorted_by_id(tmp_path):
    write_shard(to_table([concept("b"), concept("a")], "concepts"), tmp_path / "0.parquet", "concepts")
    assert read_shard(tmp_path / "0.parquet").to_pylist() == [concept("a"), concept("b")]


def test_same_rows_in_any_order_and_chunks_are_the_same_bytes(tmp_path):
    rows = [concept(f"{i:04d}", ["x"] * (i % 5)) for i in range(100)]
    write_shard(to_table(rows, "concepts"), tmp_path / "one.parquet", "concepts")
    halves = [to_table(part, "concepts") for part in (rows[50:], rows[:50])]
    write_shard(pa.concat_tables(halves), tmp_path / "two.parquet", "concepts")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_empty_shard_keeps_its_schema(tmp_path):
    write_shard(to_table([], "concepts"), tmp_path / "0.parquet", "concepts")
    write_shard(to_table([concept("a")], "concepts"), tmp_path / "1.parquet", "concepts")
    assert read_shards([tmp_path / "0.parquet", tmp_path / "1.parquet"]).to_pylist() == [concept("a")]


def test_undocumented_reason_and_unknown_column_are_refused():
    with pytest.raises(ValueError, match="undocumented reason 'bad_luck' in step 'extract_concepts'"):
        to_dropped([{"id": "a", "parent_id": "b", "step": "extract_concepts", "reason": "bad_luck", "detail": ""}])
    with pytest.raises(ValueError, match="mood"):
        to_table([{**concept("a"), "mood": 1}], "concepts")
    with pytest.raises(KeyError):
        to_table([{"id": "a"}], "concepts")


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "0.parquet"
    write_shard(to_table([concept("a")], "concepts"), path, "concepts")
    with pytest.raises(pa.ArrowInvalid):
        write_shard(to_table([concept("a")], "concepts").set_column(3, "draw", pa.array(["no number"])), path, "concepts")
    assert [file.name for file in tmp_path.iterdir()] == ["0.parquet"]
    assert read_shard(path).num_rows == 1


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"text"])
def test_truncated_or_foreign_file_is_named(tmp_path, damage):
    path = tmp_path / "0.parquet"
    write_shard(to_table([concept("a")], "concepts"), path, "concepts")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="0.parquet: not a readable parquet file"):
        read_shard(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.parquet: no such file"):
        read_shard(tmp_path / "none.parquet")


def test_stale_shards_go_from_every_folder_and_nothing_else_does(tmp_path):
    kept = ["seeds/0.parquet", "dedup/copies.parquet", "dataset/train.parquet", "stats/x/3.json"]
    stale = ["seeds/2.parquet", "dropped/seeds/10.parquet", "dedup/code/signatures/2.parquet"]
    for name in kept + stale:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_stale_shards(tmp_path, 2)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()) == sorted(kept)


def test_dropped_rows_are_sorted_too(tmp_path):
    rows = [{"id": id, "parent_id": "", "step": "judge_seeds", "reason": "judged_no", "detail": ""} for id in ("b", "a")]
    write_dropped(to_dropped(rows), tmp_path / "0.parquet")
    assert pq.read_table(tmp_path / "0.parquet")["id"].to_pylist() == ["a", "b"]
