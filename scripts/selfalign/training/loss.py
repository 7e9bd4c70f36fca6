"""The loss of packed examples: on response tokens only, weighted as the config says."""

from collections.abc import Sequence
from typing import Any

import torch

from selfalign.training.examples import Example, Packed


def token_losses(model: Any, packed: Packed) -> torch.Tensor:
    """Cross entropy of each response token in packed order, [R] float32.

    Logits are computed only where a response token is predicted: with a vocabulary of 49 k they are most of the memory otherwise.
    """
    device = next(model.parameters()).device
    logits = model(
        input_ids=packed.input_ids.to(device),
        position_ids=packed.position_ids.to(device),
        cu_seq_lens_q=packed.borders,
        use_cache=False,
        logits_to_keep=packed.predicting.to(device),
    ).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), packed.targets.to(device), reduction="none")


def token_weights(batch: Sequence[Example], micro: Sequence[Example], kind: str) -> torch.Tensor:
    """What each response token of the micro batch `micro` counts in the loss of `batch`, [R] float32.

    per_example: the mean over an example's tokens, then over the batch. per_token: the mean over all tokens of the batch.
    """
    if kind == "per_token":
        total = sum(example.targets for example in batch)
        return torch.full((sum(example.targets for example in micro),), 1 / total)
    return torch.cat([torch.full((example.targets,), 1 / (len(batch) * example.targets)) for example in micro])
