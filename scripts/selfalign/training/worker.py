"""One of several processes that train together. torchrun starts it: python -m selfalign.training.worker FOLDER."""

import json
import os
import sys
import traceback
from pathlib import Path

import torch

from selfalign.data.errors import SelfalignError
from selfalign.data.orphans import end_with_parent
from selfalign.training.processes import ERROR, Processes
from selfalign.training.trainer import JOB, fine_tune


def main(work: Path) -> None:
    """Train as the folder's job says. An error is left there in one line, for the process that has launched this one."""
    end_with_parent()
    rows, cfg, label = json.loads((work / JOB).read_text(encoding="utf-8"))
    processes = Processes(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    cuda = cfg["training"]["device"].startswith("cuda")
    if cuda:
        torch.cuda.set_device(processes.rank)
    try:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
        fine_tune(rows, cfg, work, label, processes)
        torch.distributed.destroy_process_group()
    except Exception as error:
        text = str(error) if isinstance(error, SelfalignError) else f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if not isinstance(error, SelfalignError):
            traceback.print_exc()
        if not (work / ERROR).exists():  # the first one is the cause, the others have lost their neighbour
            (work / ERROR).write_text(text, encoding="utf-8")
        os._exit(1)  # without waiting for the others


if __name__ == "__main__":
    main(Path(sys.argv[1]))
