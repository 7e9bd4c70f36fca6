import pytest
import torch
from transformers import AutoModelForCausalLM

from selfalign.data.errors import InputError
from selfalign.training.examples import Example, pack
from selfalign.training.loss import token_losses
from selfalign.training.model import dropout_places, load_model, load_tokenizer, set_dropout, weights_digest


def test_every_dropout_is_forced(cfg):
    shipped = AutoModelForCausalLM.from_pretrained(cfg["model"]["path"])
    assert len(dropout_places(shipped, other_than=0.0)) > 3
    model = load_model(cfg["model"], "float32", 0.0, "cpu")
    assert model.training
    assert dropout_places(model, other_than=0.0) == []
    packed = pack([Example("a", tuple(range(20)), 2)])
    with torch.no_grad():
        assert torch.equal(token_losses(model, packed), token_losses(model, packed))
        set_dropout(model, 0.5)
        assert not torch.equal(token_losses(model, packed), token_losses(model, packed))


def test_a_folder_without_tokenizer_or_weights_is_one_line(cfg, tmp_path):
    empty = {**cfg["model"], "path": str(tmp_path)}
    with pytest.raises(InputError, match="tokenizer") as error:
        load_tokenizer(empty)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="model.path") as error:
        load_model(empty, "float32", 0.0, "cpu")
    assert "\n" not in str(error.value)


def test_digest_follows_the_content_not_the_place(cfg, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(cfg["model"]["path"], copy)
    moved = {**cfg["model"], "path": str(copy)}
    assert weights_digest(moved) == weights_digest(cfg["model"])
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert weights_digest(moved) != weights_digest(cfg["model"])
