import pytest
import torch
from transformers import AutoModelForCausalLM

from selfalign.training.examples import pack, tokenize_rows
from selfalign.training.loss import token_losses, token_weights
from selfalign.training.model import load_model, load_tokenizer

from .conftest import make_model


def plain_losses(model, example):
    """Per-token loss of one example alone: no packing, no padding, all logits, written out by hand."""
    tokens = torch.tensor([example.tokens])
    log_probabilities = model(input_ids=tokens).logits[0].log_softmax(-1)
    return torch.stack([-log_probabilities[place - 1, example.tokens[place]] for place in range(example.prompt, len(example.tokens))])


@pytest.mark.parametrize(
    ("kind", "sliding_window", "chunk", "checkpointing"),
    [("per_example", None, 0, False), ("per_token", None, 0, False), ("per_example", 16, 0, False), ("per_example", None, 7, True)],
)
def test_packed_loss_and_gradients_equal_the_plain_ones(cfg, rows, tmp_path, kind, sliding_window, chunk, checkpointing):
    model_cfg = {**cfg["model"], "path": str(make_model(tmp_path, sliding_window))}
    batch = list(tokenize_rows(rows.to_pylist(), load_tokenizer(model_cfg), 256).examples)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64, attn_implementation="eager").eval()
    packed_model = load_model(model_cfg, "float64", 0.0, "cpu")
    if checkpointing:
        packed_model.gradient_checkpointing_enable({"use_reentrant": False})

    plain = [plain_losses(reference, example) for example in batch]
    expected = torch.stack([losses.mean() for losses in plain]).mean() if kind == "per_example" else torch.cat(plain).mean()
    expected.backward()

    total = 0.0
    for start in range(0, len(batch), 4):
        micro = batch[start : start + 4]
        losses = token_losses(packed_model, pack(micro), chunk)
        torch.testing.assert_close(losses.double(), torch.cat(plain[start : start + 4]), rtol=1e-5, atol=1e-6)
        loss = (losses * token_weights(batch, micro, kind)).sum()
        loss.backward()
        total += loss.item()

    assert total == pytest.approx(expected.item(), rel=1e-6)
    gradients = dict(packed_model.named_parameters())
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-4, atol=1e-7, msg=name)


def test_a_packed_example_does_not_see_its_neighbour(cfg, rows):
    model = load_model(cfg["model"], "float32", 0.0, "cpu")
    first, second, third = tokenize_rows(rows.to_pylist(), load_tokenizer(cfg["model"]), 256).examples[:3]
    with torch.no_grad():
        one = token_losses(model, pack([first, third]))[first.targets :]
        other = token_losses(model, pack([second, third]))[second.targets :]
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
