"""Each dataset's folder opens as it stands."""

import datasets
import pytest

from selfalign.data.files import to_dropped, to_table, write_dropped, write_shard
from selfalign.data.tables import SCHEMAS

VALUES = {"string": "text", "int32": 1, "double": None, "list<element: string>": ["a", "b"], "list<item: string>": ["a", "b"]}


@pytest.mark.parametrize("dataset", list(SCHEMAS))
def test_folder_opens_also_with_an_empty_shard_and_null_columns(tmp_path, dataset):
    row = {field.name: VALUES[str(field.type)] for field in SCHEMAS[dataset]} | {"source_id": None}
    row = {name: value for name, value in row.items() if name in SCHEMAS[dataset].names}
    write_shard(to_table([], dataset), tmp_path / dataset / "0.parquet", dataset)
    write_shard(to_table([row], dataset), tmp_path / dataset / "1.parquet", dataset)
    opened = datasets.load_dataset("parquet", data_dir=str(tmp_path / dataset), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened.column_names == SCHEMAS[dataset].names and opened.to_list() == [row]


def test_folder_of_dropped_rows_opens(tmp_path):
    rows = [{"id": "a", "parent_id": "", "step": "judge_seeds", "reason": "judged_no", "detail": ""}]
    write_dropped(to_dropped([]), tmp_path / "dropped" / "seeds" / "0.parquet")
    write_dropped(to_dropped(rows), tmp_path / "dropped" / "seeds" / "1.parquet")
    opened = datasets.load_dataset("parquet", data_dir=str(tmp_path / "dropped" / "seeds"), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened.to_list() == rows
