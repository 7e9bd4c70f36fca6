"""Optimizer and learning rate of the published recipe.

Adafactor is that of transformers: the recipe runs it at a fixed learning rate without parameter scaling, which
torch.optim.Adafactor cannot do (it always multiplies by the parameter's RMS and caps the rate at 1/sqrt(step)).
"""

import math
from collections.abc import Iterable

import torch
from transformers.optimization import Adafactor


def make_optimizer(parameters: Iterable[torch.nn.Parameter], cfg: dict) -> torch.optim.Optimizer:
    """The optimizer of the config's `training`, without weight decay; its rate is set before every step."""
    if cfg["optimizer"] == "adafactor":
        return Adafactor(parameters, lr=cfg["learning_rate"], scale_parameter=False, relative_step=False, warmup_init=False)
    return torch.optim.AdamW(parameters, lr=cfg["learning_rate"], weight_decay=0.0)


def rate_factor(step: int, steps: int, cfg: dict) -> float:
    """What the peak learning rate is multiplied with in step `step` (from 0) of `steps`.

    As in the recipe's trainer: the warm-up (a share of all steps, rounded up) begins at 0 in the very first step.
    """
    warmup = math.ceil(steps * cfg["warmup_ratio"])
    if step < warmup:
        return step / warmup
    return 1.0 if cfg["schedule"] == "constant" else (steps - step) / max(1, steps - warmup)
