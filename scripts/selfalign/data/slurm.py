"""Jobs of Slurm that a killed Snakemake has left behind."""

import getpass
import os
import shutil
import subprocess
import time

from selfalign.data.errors import SelfalignError

_WAIT_SECONDS = 120.0


class LeftoverError(SelfalignError):
    """Jobs of an earlier run still write to this folder."""


def cancel_leftover_jobs(folder: str | os.PathLike, say=print) -> list[str]:
    """Cancel this user's jobs that an earlier Snakemake sent from `folder`, wait until they have ended, and return their ids.

    Snakemake sends their steps again, and two jobs must not write one file; rows that were finished are in the row caches. Call it while
    Snakemake's lock on the folder is held and before it sends its own jobs: whatever runs there then has lost its Snakemake.
    LeftoverError if a job does not end within two minutes. Without Slurm nothing happens.
    """
    if shutil.which("squeue") is None or not (jobs := _jobs(folder)):
        return []
    say(f"{len(jobs)} jobs of a run that was killed are still in Slurm; they are cancelled, and what they had finished is not made again")
    # By array or job; ids that have ended meanwhile are no error.
    subprocess.run(["scancel", *jobs], capture_output=True, text=True)
    end = time.monotonic() + _WAIT_SECONDS
    while left := _jobs(folder):
        if time.monotonic() > end:
            raise LeftoverError(f"Slurm jobs {', '.join(left)} of an earlier run do not end; cancel them (scancel {' '.join(left)}) and start again")
        time.sleep(1)
    return jobs


def _jobs(folder: str | os.PathLike) -> list[str]:
    """Ids of this user's jobs that have not ended and were sent from `folder` by Snakemake, which comments each with rule_ and a name."""
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%k|%Z"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:  # no cluster behind the command: nothing can have been left on it
        return []
    found = []
    for line in done.stdout.splitlines():
        job, comment, workdir = line.split("|", 2)
        if comment.startswith("rule_") and os.path.realpath(workdir) == os.path.realpath(folder):
            found.append(job)
    return sorted(found)
