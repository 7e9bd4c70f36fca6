"""The loss of packed examples: on response tokens only, weighted as the config says."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from selfalign.data.errors import TrainingError
from selfalign.training.examples import Example, Packed


def token_losses(model: Any, packed: Packed, chunk: int = 0) -> torch.Tensor:
    """Cross entropy of each response token in packed order, [R] float32.

    Logits are computed only where a response token is predicted: with a vocabulary of 49 k they are most of the memory otherwise. chunk:
    of so many tokens at a time, each time again in the backward pass, so that no more of them are ever held; 0 for all at once.
    """
    device = next(model.parameters()).device
    inputs = {"input_ids": packed.input_ids.to(device), "position_ids": packed.position_ids.to(device)}
    inputs |= {"cu_seq_lens_q": packed.borders, "use_cache": False}
    predicting, targets = packed.predicting.to(device), packed.targets.to(device)
    if not chunk:
        return _cross_entropy(model(**inputs, logits_to_keep=predicting).logits[0], targets)
    if scaled := [name for name in ("final_logit_softcapping", "logit_scale", "logits_scaling") if getattr(model.config, name, None)]:
        raise TrainingError(f"training.loss_chunk: this model does more than a projection for its logits ({', '.join(scaled)}); set it to 0")
    hidden = model.base_model(**inputs).last_hidden_state[0, predicting]
    head = model.get_output_embeddings()
    parts = zip(hidden.split(chunk), targets.split(chunk), strict=True)
    return torch.cat([checkpoint(_projected, head, states, wanted, use_reentrant=False) for states, wanted in parts])


class TokenLosses(torch.nn.Module):
    """token_losses of `model` as a module, which can be shared out among processes as a whole."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, packed: Packed, chunk: int = 0) -> torch.Tensor:
        return token_losses(self.model, packed, chunk)


def _projected(head: torch.nn.Module, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return _cross_entropy(head(states), targets)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def token_weights(batch: Sequence[Example], micro: Sequence[Example], kind: str) -> torch.Tensor:
    """What each response token of the micro batch `micro` counts in the loss of `batch`, [R] float32.

    per_example: the mean over an example's tokens, then over the batch. per_token: the mean over all tokens of the batch.
    """
    if kind == "per_token":
        total = sum(example.targets for example in batch)
        return torch.full((sum(example.targets for example in micro),), 1 / total)
    return torch.cat([torch.full((example.targets,), 1 / (len(batch) * example.targets)) for example in micro])
