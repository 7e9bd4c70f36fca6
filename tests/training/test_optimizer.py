import pytest
import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from selfalign.training.optimizer import make_optimizer, rate_factor


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_rates_are_those_of_the_recipes_trainer(schedule):
    steps, warmup = 41, 3  # 0.05 of 41 rounded up
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    if schedule == "linear":
        scheduler = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    else:
        scheduler = get_constant_schedule_with_warmup(optimizer, warmup)
    for step in range(steps):
        assert rate_factor(step, steps, {"schedule": schedule, "warmup_ratio": 0.05}) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_adafactor_moves_by_the_learning_rate_whatever_the_weights_size():
    moved = []
    for size in (0.01, 100.0):
        parameter = torch.nn.Parameter(torch.full((4, 4), size))
        optimizer = make_optimizer([parameter], {"optimizer": "adafactor", "learning_rate": 0.001})
        parameter.grad = torch.full((4, 4), 0.3)
        before = parameter.detach().clone()
        optimizer.step()
        moved.append((before - parameter.detach()).mean().item())
    assert moved == pytest.approx([0.001, 0.001], rel=0.01)


def test_no_weight_decay():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([parameter], {"optimizer": "adamw", "learning_rate": 0.1})
    parameter.grad = torch.zeros(3)
    optimizer.step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]
