"""Which GPUs a job uses. Snakemake counts them but assigns none, so each job takes free ones by itself.

A GPU is taken by locking a file, which the system unlocks when the job's last process has ended, however it ends. Inside a job of Slurm
the GPUs are those that Slurm gave to it; jobs of one group share them out in the same way.
"""

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from selfalign.data.errors import EngineError

_POLL_SECONDS = 1.0
_SAY_SECONDS = 60.0
_taken: list[int] = []  # descriptors of the locks, open for the life of the process


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, or else all that nvidia-smi lists, by number."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, _ in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU "))]


def take_gpus(count: int, say=print, folder: str | os.PathLike | None = None) -> list[str]:
    """Take `count` free GPUs for the rest of this process, waiting for them if need be, and set CUDA_VISIBLE_DEVICES to them.

    Call it before CUDA is initialized. say: told, now and then, what it waits for. folder: of the locks; the default is one per user,
    and one per job inside of Slurm. On a machine without any it takes none: what needs one says so itself. EngineError if there are too few.
    """
    gpus = visible_gpus()
    if not gpus:
        return []
    if len(gpus) < count:
        raise EngineError(f"the job needs {count} GPUs, but sees {len(gpus)} ({', '.join(gpus)}); lower engine.tensor_parallel or training.processes")
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(folder or Path(tempfile.gettempdir()) / f"selfalign-gpus-{os.getuid()}{'-' + job if job else ''}")
    folder.mkdir(parents=True, exist_ok=True)
    locks: dict[str, int] = {}
    said = time.monotonic() - _SAY_SECONDS
    while True:
        # One job at a time chooses, and none holds a GPU while it waits for another: no two can wait for each other.
        with open(folder / "choosing", "w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            for gpu in gpus:
                if len(locks) < count and (lock := _lock(folder / gpu.replace("/", "_"))) is not None:
                    locks[gpu] = lock
            if len(locks) == count:
                break
            for lock in locks.values():
                os.close(lock)
            locks.clear()
        if time.monotonic() - said >= _SAY_SECONDS:
            said = time.monotonic()
            say(f"waiting for {count} of {len(gpus)} GPUs, in use by other jobs (locks in {folder})")
        time.sleep(_POLL_SECONDS)
    _taken.extend(locks.values())
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi counts
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(locks)
    return list(locks)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the file's lock, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
