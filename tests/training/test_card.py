import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from selfalign.data.errors import InputError
from selfalign.training.card import card, complete_card, write_card
from selfalign.training.trainer import copy_model, train_model

SOURCES = [{"name": "standard-library", "kind": "stdlib", "licence": "PSF-2.0"}]


@pytest.fixture
def folder(cfg, rows, tmp_path):
    trained = train_model(rows, cfg, tmp_path / "cache")
    copy_model(trained, tmp_path / "model", tmp_path / "loss.csv", finish=lambda model: write_card(model, {**cfg, "sources": SOURCES}, trained.facts))
    return tmp_path / "model"


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


def test_the_hubs_own_reader_finds_everything_in_the_front_matter(cfg, folder, tmp_path):
    score = {"score": 0.726, "interval": [0.65, 0.79]}
    for name, mean in (("humaneval", None), ("ds1000", {**score, "samples": 5})):
        result = {"benchmark": name, "title": name.title(), "which": "tuned", "form": "chat", "greedy": score, "mean": mean}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    complete_card(folder, tmp_path.glob("*.json"), "someone/pairs-dataset")
    data = ModelCard.load(folder / "README.md").data
    assert [(result.dataset_type, result.metric_value, result.task_type) for result in data.eval_results] == [
        ("ds1000", 72.6, "text-generation"), ("ds1000", 72.6, "text-generation"), ("humaneval", 72.6, "text-generation"),
    ]  # fmt: skip
    assert (data.pipeline_tag, data.library_name, data.datasets) == ("text-generation", "transformers", ["someone/pairs-dataset"])
    assert data.base_model == data.model_name.removesuffix("-selfalign") == Path(cfg["model"]["path"]).name
    assert data.license == "other" and "instruction-tuned" in data.tags


def test_the_licence_is_the_base_models(cfg, folder, base):
    try:
        (base / "README.md").write_text("---\nlicense: bigcode-openrail-m\n---\n# Base\n")
        complete_card(folder, [])
        assert front_matter(folder)["license"] == "bigcode-openrail-m"
    finally:
        (base / "README.md").unlink()


def test_card_names_base_data_settings_and_notices(cfg, folder):
    text = (folder / "README.md").read_text()
    front = front_matter(folder)
    assert front["base_model"] == Path(cfg["model"]["path"]).name and front["library_name"] == "transformers" and "model-index" not in front
    assert "| learning_rate | 0.003 |" in text and "Not evaluated yet." in text and "PSF-2.0" in text
    assert "Python Software Foundation" in (folder / "NOTICE.txt").read_text()
    assert not re.search(r"\$\w+\$", text)


def test_a_run_that_begins_with_rows_from_elsewhere_does_not_say_who_wrote_them(folder):
    own = (folder / "README.md").read_text()
    run = json.loads((folder / "selfalign.json").read_text())
    text = card({**run, "sources": [{"name": "pairs.jsonl", "kind": "import", "path": "pairs.jsonl", "licence": ""}]}, [])
    assert "No person and no other model" in own and "`pairs.jsonl`" not in own
    assert "No person and no other model" not in text and "passed their own tests" not in text and "`pairs.jsonl`" in text
    assert "unknown where it states none" in text


def test_scores_come_from_evaluation_files_that_exist(folder, tmp_path):
    score = {"passed": 119, "score": 119 / 164, "interval": [0.65, 0.79]}
    for which in ("base", "tuned"):
        result = {"benchmark": "humaneval", "which": which, "form": "chat", "greedy": score, "mean": None}
        (tmp_path / f"humaneval.{which}.json").write_text(json.dumps(result))
    complete_card(folder, [tmp_path / "humaneval.tuned.json", tmp_path / "humaneval.base.json", tmp_path / "missing.json"])
    results = front_matter(folder)["model-index"][0]["results"]
    assert [(entry["dataset"]["name"], entry["metrics"][0]["value"]) for entry in results] == [("humaneval", 72.6)]
    assert "| humaneval | base | chat | 72.6 | 65.0 to 79.0 |" in (folder / "README.md").read_text()


def test_the_examples_in_the_card_run(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "model").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    exec("\n".join(blocks).replace("max_new_tokens=256", "max_new_tokens=16"), {})
    assert capsys.readouterr().out.startswith("```python\n")
    AutoModelForCausalLM.from_pretrained(folder)


def test_a_model_from_elsewhere_gets_no_card(base):
    with pytest.raises(InputError, match="not trained by selfalign"):
        complete_card(base, [])
