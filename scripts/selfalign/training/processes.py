"""Training in several processes of one machine, on a GPU each: weights, gradients and moments are shared out among them (PyTorch's FSDP2).

Every process takes its share of each batch, so that a step is the step that one process would make, but for rounding. Whatever is saved is
whole, as one process would have saved it: a checkpoint may go on in another number of processes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from selfalign.data.errors import TrainingError
from selfalign.data.job import say
from selfalign.data.orphans import end_with_parent
from selfalign.training.examples import Example

ERROR = "error.txt"  # in the training's folder: why a process ended


@dataclass(frozen=True)
class Processes:
    """How many train together, and which of them this one is."""

    rank: int = 0
    count: int = 1


ALONE = Processes()


def launch(work: Path, settings: dict, label: str) -> None:
    """Run selfalign.training.worker on the folder `work` in as many processes as the config's `training` says, until all have ended.

    Their lines go on to the user and the log. TrainingError with what a process said that could not go on.
    """
    from selfalign.training import worker  # here, because it imports this module

    count = settings["processes"]
    if settings["device"].startswith("cuda") and (seen := torch.cuda.device_count()) < count:
        raise TrainingError(f"training.processes is {count}, one for each GPU, and torch sees {seen} here; lower it")
    (work / ERROR).unlink(missing_ok=True)
    # OMP_NUM_THREADS: torchrun would set it to 1. The address: host names need not resolve.
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings["threads"]), "PYTHONUNBUFFERED": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(count)]
    command = [*launcher, "-m", worker.__name__, str(work)]
    with subprocess.Popen(
        command, env=environment, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=end_with_parent
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith(f"{label}: "):
                    say(line.rstrip())
                else:
                    print(line, end="", file=sys.stderr)
        except BaseException:
            process.terminate()  # torchrun passes it on
            raise
    if process.returncode:
        error = (work / ERROR).read_text(encoding="utf-8") if (work / ERROR).exists() else f"the processes ended with code {process.returncode}"
        raise TrainingError(error)


def shard(model: Any, loss: torch.nn.Module, processes: Processes) -> None:
    """Share out the weights of `model`, layer by layer, and what is left of them as part of `loss`, the module around it, in place.

    Gradients are added up between processes in float32.
    """
    device = next(model.parameters()).device
    mesh = DeviceMesh(device.type, torch.arange(processes.count))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    layers = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(loss, mesh=mesh, mp_policy=policy)


def micro_batches(batch: Sequence[Example], size: int, processes: Processes) -> list[Sequence[Example]]:
    """This process's share of a batch in parts of at most `size`: as many parts in every process, so that some may be empty.

    Long and short examples are dealt out evenly. Alone, the batch in its own order.
    """
    count, rank = processes.count, processes.rank
    share = list(batch)
    if count > 1:
        share.sort(key=lambda example: (-len(example.tokens), example.id))
        # Dealt there and back: the first place of a round is the last one of the next.
        share = [example for place, example in enumerate(share) if rank == (place % count if place // count % 2 == 0 else count - 1 - place % count)]
    most = -(-len(batch) // count)
    return [share[start : start + size] for start in range(0, most, size)]


def total(value: float, processes: Processes) -> float:
    """The sum of the processes' values, the same in all of them."""
    if processes.count == 1:
        return value
    device = "cpu" if torch.distributed.get_backend() == "gloo" else torch.device("cuda", torch.cuda.current_device())
    summed = torch.tensor(value, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(summed)
    return summed.item()


def whole(values: Any, processes: Processes) -> Any:
    """A state (dicts, lists, tensors) with whole tensors on the CPU in place of shared out ones; of use in the first process only."""
    if isinstance(values, dict):
        return {name: whole(value, processes) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [whole(value, processes) for value in values]
    if isinstance(values, DTensor):
        gathered = values.full_tensor()
        return gathered.cpu() if processes.rank == 0 else None
    return values


def part_for(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Of a whole tensor in the shape of `parameter` the part that belongs where that one's is."""
    value = value.to(parameter.device)
    if isinstance(parameter, DTensor):
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return value
