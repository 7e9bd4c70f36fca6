"""Jobs on one machine take different GPUs. None is needed: only their names are dealt out."""

import os
import subprocess
import sys
import threading

import pytest

from selfalign.data.errors import EngineError
from selfalign.data.gpus import take_gpus, visible_gpus

JOB = """
import os, sys
from selfalign.data.gpus import take_gpus
take_gpus(int(sys.argv[1]), folder=sys.argv[2], say=lambda line: print(line, flush=True))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


class Job:
    """A process that takes GPUs and keeps them until it is told to end."""

    def __init__(self, count, folder, visible="4,5,6,GPU-7f"):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", JOB, str(count), str(folder)]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self):
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    jobs = []

    def start(count, **options):
        jobs.append(Job(count, tmp_path / "locks", **options))
        return jobs[-1]

    yield start
    for job in jobs:
        job.process.kill()
        job.process.wait()


def test_jobs_at_the_same_time_have_different_gpus(start):
    jobs = [start(1), start(2), start(1)]
    taken = [gpu for job in jobs for gpu in job.says().split(",")]
    assert sorted(taken) == ["4", "5", "6", "GPU-7f"]


def test_job_waits_for_a_gpu_and_says_so_and_gets_that_of_a_killed_one(start):
    first = start(1, visible="0")
    assert first.says() == "0"
    second = start(1, visible="0")
    assert second.says().startswith("waiting for 1 of 1 GPUs")
    first.process.kill()
    assert second.says() == "0"


def test_two_jobs_that_need_two_of_three_do_not_wait_for_each_other(start):
    jobs = [start(2, visible="0,1,2"), start(2, visible="0,1,2")]
    lines = []
    readers = [threading.Thread(target=lambda job=job: (lines.append(job.says()), job.end())) for job in jobs]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert len(lines) == 2 and "0,1" in lines


def test_more_than_there_are_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(EngineError, match="needs 2 GPUs, but sees 1"):
        take_gpus(2, folder=tmp_path)


def test_without_a_gpu_nothing_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    assert take_gpus(1, folder=tmp_path) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_jobs_of_two_slurm_jobs_may_have_the_same_number(monkeypatch, tmp_path):
    """Where Slurm confines each job to its GPUs, both see theirs as number 0."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for job in ("11", "12"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        monkeypatch.setenv("SLURM_JOB_ID", job)
        assert take_gpus(1) == ["0"]
