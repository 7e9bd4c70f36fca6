"""Optimizer and learning rate of the published recipe.

Adafactor is that of transformers: the recipe runs it at a fixed learning rate without parameter scaling, which
torch.optim.Adafactor cannot do (it always multiplies by the parameter's RMS and caps the rate at 1/sqrt(step)).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.optimization import Adafactor


def make_optimizer(parameters: Iterable[torch.nn.Parameter], cfg: dict) -> torch.optim.Optimizer:
    """The optimizer of the config's `training`, without weight decay; its rate is set before every step."""
    parameters = list(parameters)
    if cfg["optimizer"] == "adafactor":
        shared = [parameter for parameter in parameters if isinstance(parameter, DTensor)]  # all of them or none
        settings = {"lr": cfg["learning_rate"], "scale_parameter": False, "relative_step": False, "warmup_init": False}
        return SharedAdafactor(shared, **settings) if shared else Adafactor(parameters, **settings)
    return torch.optim.AdamW(parameters, lr=cfg["learning_rate"], weight_decay=0.0)


class SharedAdafactor(Adafactor):
    """Adafactor on weights that are shared out among processes.

    Its statistics are of whole rows, columns and weights. So one weight at a time, and its gradient, are put together in every process, which
    makes the whole step of it and keeps its own part. The statistics are small and held by all.
    """

    def __init__(self, parameters: Sequence[DTensor], **settings: Any):
        self._shared = parameters
        # What Adafactor sees: empty but for the one in work.
        super().__init__([torch.nn.Parameter(torch.empty(0, dtype=shared.dtype, device=shared.device)) for shared in parameters], **settings)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for shared in self._shared:
            shared.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for shared, one in zip(self._shared, self.param_groups[0]["params"], strict=True):
            if shared.grad is None:
                continue
            one.data, one.grad = shared.full_tensor(), cast(DTensor, shared.grad).full_tensor()
            super().step()
            shared.copy_(distribute_tensor(one.data, shared.device_mesh, shared.placements, src_data_rank=None))
            one.data, one.grad = torch.empty(0, dtype=shared.dtype, device=shared.device), None


def rate_factor(step: int, steps: int, cfg: dict) -> float:
    """What the peak learning rate is multiplied with in step `step` (from 0) of `steps`.

    As in the recipe's trainer: the warm-up (a share of all steps, rounded up) begins at 0 in the very first step.
    """
    warmup = math.ceil(steps * cfg["warmup_ratio"])
    if step < warmup:
        return step / warmup
    return 1.0 if cfg["schedule"] == "constant" else (steps - step) / max(1, steps - warmup)
