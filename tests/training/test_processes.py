"""Two processes on the CPU that share out one training."""

import csv

import pytest
import torch
from transformers import AutoModelForCausalLM

from selfalign.data.errors import TrainingError
from selfalign.training import trainer
from selfalign.training.examples import Example
from selfalign.training.processes import Processes, micro_batches
from selfalign.training.trainer import train_model, training_key


def test_two_processes_go_on_from_a_checkpoint_of_one_and_end_with_its_weights(cfg, rows, base, tmp_path, monkeypatch, capsys):
    """Adafactor, whose statistics need whole weights, with chunks, checkpointing, and batches that do not divide by two."""
    cfg["training"] |= {"batch_size": 3, "save_steps": 5, "loss_chunk": 7, "gradient_checkpointing": True, "max_grad_norm": 1.0}
    whole = train_model(rows, cfg, tmp_path / "whole")
    advance = trainer.Progress.advance

    def until_step_7(progress, *args, **facts):
        advance(progress, *args, **facts)
        if progress.done == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.Progress, "advance", until_step_7)
        train_model(rows, cfg, tmp_path / "begun")
    texts, shared = rows.to_pylist(), {**cfg, "training": {**cfg["training"], "processes": 2}}
    begun, folder = (tmp_path / "begun" / "training" / training_key(texts, one) for one in (cfg, shared))
    folder.mkdir(parents=True)
    (begun / "checkpoint.pt").rename(folder / "checkpoint.pt")
    capsys.readouterr()
    trained = train_model(rows, shared, tmp_path / "begun")
    assert "going on after step 5 of 12" in capsys.readouterr().err

    assert {**trained.facts, "last_loss": 0} == {**whole.facts, "last_loss": 0}
    losses = [[float(row["loss"]) for row in csv.DictReader(one.losses.open())] for one in (trained, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    before, here, there = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (base, trained.model, whole.model))
    for name, tensor in there.items():
        torch.testing.assert_close(here[name], tensor, rtol=1e-5, atol=1e-5, msg=name)
        assert not torch.equal(before[name], tensor)
    assert sorted(path.name for path in trained.model.iterdir()) == sorted(path.name for path in whole.model.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "lock", "loss.csv", "model"]


def test_more_processes_than_gpus_is_refused_before_they_start(cfg, rows, tmp_path):
    cfg["training"] |= {"processes": 64, "device": "cuda"}
    with pytest.raises(TrainingError, match=r"training\.processes is 64, one for each GPU, and torch sees \d+ here"):
        train_model(rows, cfg, tmp_path)


@pytest.mark.parametrize(("examples", "size", "count"), [(64, 8, 8), (64, 3, 4), (10, 2, 4), (3, 1, 4), (1, 4, 2)])
def test_shares_are_the_batch_in_as_many_parts_for_each(examples, size, count):
    batch = [Example(str(n), tuple(range(10 + n * 7 % 50)), 3) for n in range(examples)]
    shares = [micro_batches(batch, size, Processes(rank, count)) for rank in range(count)]
    assert len({len(parts) for parts in shares}) == 1
    assert sorted(example.id for parts in shares for part in parts for example in part) == sorted(example.id for example in batch)
    assert all(len(part) <= size for parts in shares for part in parts)
    if examples == 64:
        tokens = [sum(len(example.tokens) for part in parts for example in part) for parts in shares]
        assert max(tokens) < 1.1 * min(tokens)
