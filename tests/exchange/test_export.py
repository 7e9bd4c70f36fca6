import re

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from selfalign.data.config import defaults
from selfalign.data.errors import ConfigError, InputError
from selfalign.data.files import to_dropped, to_table, write_dropped, write_shard
from selfalign.data.tables import ANCESTORS
from selfalign.exchange.card import card, repository
from selfalign.exchange.export import COLUMNS, NEEDS, export_data, fingerprint
from selfalign.exchange.importer import import_rows
from selfalign.exchange.push import push_dataset
from selfalign.generation.draws import draw_prompts
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.responses import ask_for_responses

STEP = {"examples": 2, "prefixes": 3, "draws": 2, "temperature": 0.5, "max_new_tokens": 9}
CFG = {
    **{"hub": defaults("hub"), "inputs": defaults("inputs"), "model": {"path": "models/tiny", "revision": ""}, "seed": 1},
    **{"engine": {"kind": "transformers", "dtype": "float64"}, "responses": STEP},
}
PUBLISHED = {
    "functions": ["content", "sha1", "id"],
    "seeds": ["content", "sha1", "id"],
    "concepts": ["prompt", "fingerprint", "seed", "sha1", "id", "concepts"],
    "instructions": ["prompt", "fingerprint", "seed", "sha1", "id", "concepts", "instruction"],
    "responses": ["prompt", "fingerprint", "seed", "sha1", "id", "concepts", "instruction", "response"],
    "executed": ["prompt", "fingerprint", "seed", "sha1", "id", "concepts", "instruction", "response"],
    "dataset": ["prompt", "fingerprint", "seed", "sha1", "id", "concepts", "instruction", "response"],
}


@pytest.fixture
def results(put, published, tmp_path):
    """The files of a run that entered with published rows, in two shards: a list of (own file, ancestors' files), and the tables."""

    def run(entry):
        address = put(f"{entry}.jsonl", [{**row, "license": "MIT", "path": "a.py", "line": 7, "repo_name": "us/it"} for row in published(entry)])
        shards, rows = [], {}
        for number, (tables, _) in enumerate(import_rows(entry, {**defaults("inputs"), entry: address}, ["MIT"], 2, str(tmp_path))):
            paths = {name: str(tmp_path / name / f"{number}.parquet") for name in tables}
            for name, table in tables.items():
                write_shard(table, paths[name], name)
                rows.setdefault(name, []).extend(table.to_pylist())
            shards.append((paths[entry], {name: paths[name] for name in ANCESTORS[entry]}))
        return shards, rows

    return run


@pytest.mark.parametrize("dataset", ["functions", "seeds", "concepts", "instructions", "responses", "executed"])
def test_export_has_the_published_columns_opens_and_enters_again(results, tmp_path, dataset):
    shards, rows = results(dataset)
    folder = tmp_path / "exports" / dataset
    facts = export_data(dataset, shards, folder, None, None)
    (folder / "README.md").write_text(card(dataset, CFG, facts, []))
    opened = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened.column_names[: len(PUBLISHED[dataset])] == PUBLISHED[dataset]
    assert opened.num_rows == facts.rows == len(rows[dataset])
    assert set(opened["id"]) == {row["id"] for row in rows[dataset]}
    assert facts.licences == {"MIT": facts.rows} and set(opened["line"]) == {7} and set(opened["repo_name"]) == {"us/it"}
    again = [tables for tables, _ in import_rows(dataset, {**defaults("inputs"), dataset: str(folder)}, ["MIT"], 1, str(tmp_path))][0]
    for name, table in again.items():
        assert set(table["id"].to_pylist()) == {row["id"] for row in rows[name]}, "ids are made from content"
    assert set(again[dataset]["source_id"].to_pylist()) == set(opened["id"])


def test_final_dataset_is_one_file_whatever_the_shards(results, tmp_path):
    shards, rows = results("responses")
    seeds = {row["id"]: row for row in rows["seeds"]}
    final = []
    for row in rows["responses"]:
        seed = seeds[row["function_id"]]
        texts = {"instruction": "varied", "response": "short", "concepts": ["sums"], "seed": seed["content"], "sha1": seed["sha1"], "cluster_size": 2}
        final.append({**{name: row[name] for name in ("id", "function_id", "instruction_id")}, **texts})
    path = str(tmp_path / "train.parquet")
    write_shard(to_table(final, "dataset"), path, "dataset")
    export_data("dataset", [(path, ancestors) for _, ancestors in shards], tmp_path / "out", None, None, whole=True)
    table = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    assert table.schema.equals(COLUMNS["dataset"]) and table["id"].to_pylist() == sorted(row["id"] for row in final)
    assert set(table["instruction"].to_pylist()) == {"varied"} and set(table["license"].to_pylist()) == {"MIT"}
    assert None not in table["source_id"].to_pylist(), "the ancestors' foreign id"


def test_prompts_are_those_that_the_model_was_given(results, tmp_path):
    shards, rows = results("instructions")
    example = Example("def g(): pass", "c", "Python", ("sums",), "easy", "Add.", "", "[Tests] none")
    fewshot = FewShot(dict.fromkeys(("judge", "concepts", "instructions", "responses"), "Answer."), (example,) * 3, (Judged("x", "Yes"),))
    prompts = draw_prompts(fewshot, "responses", STEP, 1)
    asked = ask_for_responses(rows["instructions"], prompts, CFG)
    made = [{"id": row.id, "function_id": row.parent["function_id"], "instruction_id": row.parent["id"], "sample": row.draw} for row in asked]
    responses = [{**row, "prefix": 0, "response": "r", "finish_reason": "stop"} for row in made]
    path = str(tmp_path / "responses.parquet")
    write_shard(to_table(responses, "responses"), path, "responses")
    both = [(path, {**ancestors, "instructions": own}) for own, ancestors in shards]
    digest = fingerprint(CFG, prompts)
    export_data("responses", both, tmp_path / "out", prompts, digest, whole=True)
    found = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    assert {row["id"]: row["prompt"] for row in found} == {row.id: row.request.prefix + row.request.prompt for row in asked}
    assert {row["fingerprint"] for row in found} == {digest} and re.fullmatch("[0-9a-f]{16}", digest)
    for change in ({"seed": 2}, {"model": {"path": "other", "revision": ""}}, {"responses": {**STEP, "draws": 3}}):
        assert fingerprint({**CFG, **change}, prompts) != digest


def test_card_counts_rows_reasons_and_licences(results, tmp_path):
    shards, _ = results("executed")
    facts = export_data("executed", shards, tmp_path / "out", None, None)
    rows = [{"id": str(number), "parent_id": "", "step": "execute_responses", "reason": "timeout", "detail": ""} for number in range(1234)]
    write_dropped(to_dropped(rows), tmp_path / "dropped.parquet")
    cfg = {**CFG, "hub": {"owner": "us", "name": "try", "private": True}}
    text = card("executed", cfg, facts, [str(tmp_path / "dropped.parquet")])
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "mit" and front["source_datasets"] == ["us/try-responses"]
    for line in ("# us/try-executed", "| in this dataset | 36 |", "| MIT | 36 |", "over the time limit | 1,234 |", "Made from `us/try-responses`"):
        assert line in text
    assert all(f"| `{name}` |" in text for name in COLUMNS["executed"].names)
    assert "$" not in text.replace("$front$", "")
    facts.licences["PSF-2.0"] += 1
    assert yaml.safe_load(card("executed", cfg, facts, []).split("---")[1])["license"] == "other"


def test_every_exported_dataset_has_columns_and_ancestors():
    assert COLUMNS.keys() == NEEDS.keys()
    for dataset, names in PUBLISHED.items():
        assert COLUMNS[dataset].names[: len(names)] == names


def test_pushing_needs_an_owner_and_a_token(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none" / "token"))
    with pytest.raises(ConfigError, match="hub.owner"):
        push_dataset(tmp_path, repository(defaults("hub"), "seeds"), True)
    with pytest.raises(InputError, match="HF_TOKEN"):
        push_dataset(tmp_path, "us/selfalign-seeds", True)
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    with pytest.raises(InputError, match="export it first"):
        push_dataset(tmp_path / "none", "us/selfalign-seeds", True)
