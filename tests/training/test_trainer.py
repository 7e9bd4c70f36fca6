import csv
import os
import signal
import time

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfalign.data.errors import TrainingError
from selfalign.training.trainer import LOSS_COLUMNS, copy_model, train_model, training_key


def weights(trained):
    return (trained.model / "model.safetensors").read_bytes()


def test_training_lowers_the_loss_and_writes_a_model_that_plain_transformers_loads(cfg, rows, tmp_path):
    trained = train_model(rows, cfg, tmp_path / "cache")
    copy_model(trained, tmp_path / "results" / "model", tmp_path / "results" / "training" / "loss.csv")
    table = list(csv.DictReader((tmp_path / "results" / "training" / "loss.csv").open()))
    assert tuple(table[0]) == LOSS_COLUMNS
    assert [int(row["step"]) for row in table] == list(range(1, 10))  # 3 epochs of 3 batches
    assert [row["epoch"] for row in table] == ["1"] * 3 + ["2"] * 3 + ["3"] * 3
    assert float(table[0]["learning_rate"]) == 0.0  # the warm-up begins there
    assert float(table[-1]["loss"]) < 0.9 * float(table[0]["loss"])
    assert int(table[-1]["tokens"]) == 3 * trained.facts["tokens"]
    assert trained.facts["rows_in"] == trained.facts["trained"] + trained.facts["skipped"] == 10

    folder = tmp_path / "results" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32 and model.config.residual_dropout == 0.0
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert ids["input_ids"][0, 0] == tokenizer.eos_token_id
    assert model.generate(**ids, max_new_tokens=2, do_sample=False).shape[1] == ids["input_ids"].shape[1] + 2
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["model", "training"]


def test_same_rows_in_another_order_are_taken_from_the_cache(cfg, rows, tmp_path, capsys):
    first = train_model(rows, cfg, tmp_path)
    capsys.readouterr()
    again = train_model(rows.take(list(range(9, -1, -1))), cfg, tmp_path)
    assert again == first
    assert "cache" in capsys.readouterr().err


def test_key_follows_rows_and_settings_but_not_checkpoint_interval(cfg, rows):
    texts = rows.to_pylist()
    key = training_key(texts, cfg)
    assert training_key(texts[1:], cfg) != key
    assert training_key(texts, {**cfg, "seed": 6}) != key
    assert training_key(texts, {**cfg, "training": {**cfg["training"], "loss": "per_token"}}) != key
    assert training_key(texts, {**cfg, "training": {**cfg["training"], "save_steps": 50}}) == key


def test_micro_batch_changes_only_rounding(cfg, rows, tmp_path):
    results = []
    for micro_batch in (1, 4):
        cfg["training"] = {**cfg["training"], "micro_batch": micro_batch, "epochs": 1}
        results.append(train_model(rows, cfg, tmp_path).facts["last_loss"])
    assert results[0] == pytest.approx(results[1], abs=1e-4)


@pytest.mark.parametrize(("optimizer", "dtype", "dropout"), [("adafactor", "bfloat16", 0.0), ("adamw", "float32", 0.1)])
def test_a_killed_training_ends_with_the_same_bytes(cfg, rows, tmp_path, optimizer, dtype, dropout):
    cfg["training"] = {**cfg["training"], "optimizer": optimizer, "dtype": dtype, "dropout": dropout, "epochs": 8}
    whole = train_model(rows, cfg, tmp_path / "whole")

    child = os.fork()
    if child == 0:
        try:
            train_model(rows, cfg, tmp_path / "killed")
        finally:
            os._exit(1)
    folder = tmp_path / "killed" / "training" / training_key(rows.to_pylist(), cfg)
    ended = 0
    while not (folder / "checkpoint.pt").exists() and not ended:
        time.sleep(0.001)
        ended, _ = os.waitpid(child, os.WNOHANG)
    assert not ended
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert (folder / "checkpoint.pt").exists() and not (folder / "facts.json").exists()
    done = len(torch.load(folder / "checkpoint.pt", weights_only=True)["losses"])
    assert 0 < done < whole.facts["steps"]

    resumed = train_model(rows, cfg, tmp_path / "killed")
    assert weights(resumed) == weights(whole)
    assert resumed.losses.read_bytes() == whole.losses.read_bytes()
    assert resumed.facts == whole.facts
    assert not (folder / "checkpoint.pt").exists()


def test_a_loss_that_is_no_number_stops_with_a_line(cfg, rows, tmp_path):
    cfg["training"] = {**cfg["training"], "learning_rate": 1e30}
    with pytest.raises(TrainingError, match=r"training\.learning_rate"):
        train_model(rows, cfg, tmp_path)


def test_nothing_to_train_on_is_an_error_that_says_so(cfg, rows, tmp_path):
    with pytest.raises(TrainingError, match="empty"):
        train_model(rows.slice(0, 0), cfg, tmp_path)
    cfg["training"] = {**cfg["training"], "max_length": 16}
    with pytest.raises(TrainingError, match=r"training\.max_length 16"):
        train_model(rows, cfg, tmp_path)


def test_lora_changes_the_named_layers_alone_and_leaves_a_plain_model(cfg, rows, base, tmp_path):
    cfg["training"] |= {"lora": {"rank": 2, "alpha": 4.0, "targets": ["q_proj"]}, "epochs": 1}
    trained = train_model(rows, cfg, tmp_path)
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    after = AutoModelForCausalLM.from_pretrained(trained.model).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and changed == {f"model.layers.{n}.self_attn.q_proj.weight" for n in range(2)}
    assert trained.facts["learned_parameters"] == 2 * 2 * (32 + 32) < trained.facts["parameters"]
    assert train_model(rows, cfg, tmp_path / "again").facts == trained.facts


def test_lora_on_a_layer_that_is_not_there_is_one_line(cfg, rows, tmp_path):
    cfg["training"]["lora"] = {"rank": 2, "alpha": 4.0, "targets": ["no_such_layer"]}
    with pytest.raises(TrainingError, match="training.lora.targets: .*no_such_layer"):
        train_model(rows, cfg, tmp_path)
