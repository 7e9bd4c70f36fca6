"""A Slurm cluster of one node for the tests of this folder, and copies of the project to run on it.

Without Slurm's programs or the executor plugin they are skipped; with SELFALIGN_SLURM=required (make test-slurm) that is a failure.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(f"slurm_tests_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cluster_module = _load(Path(__file__).with_name("cluster.py"))
Project = _load(Path(__file__).parents[1] / "workflow" / "conftest.py").Project

# The cluster is small, and so are the jobs: look at them often. The rest is the profile as it is.
FAST = ["--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "2"]
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


class ClusterProject(Project):
    """A copy of the project that runs on the cluster."""

    def start(self, *arguments: str, way: str = "--workflow-profile") -> subprocess.Popen:
        """Snakemake with profiles/slurm, in the background; what it prints goes to a file."""
        command = [sys.executable, "-m", "snakemake", *arguments, way, "profiles/slurm", *FAST, "--configfile", "small.yaml"]
        with open(self.folder / "output.txt", "a") as output:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
            return subprocess.Popen(command, cwd=self.folder, env=self.environment(), **quiet)

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def finish(self, run: subprocess.Popen, seconds: float = 1500) -> None:
        """Wait until a run has ended well."""
        try:
            code = run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.output[-4000:]}") from None
        assert code == 0, self.output[-6000:]

    def jobs(self, comment: str = "", states: tuple[str, ...] = ()) -> list[dict[str, str]]:
        """Slurm's jobs of this project, in order: id, comment, state, limit, memory, gpus. comment: only those that begin with it."""
        squeue = ["squeue", "-h", "--states=all", "-o", "%i|%k|%T|%l|%m|%b|%Z"]
        lines = subprocess.run(squeue, capture_output=True, text=True, check=True).stdout.splitlines()
        names = ("id", "comment", "state", "limit", "memory", "gpus", "folder")
        found = [dict(zip(names, line.split("|"), strict=True)) for line in lines]
        mine = [job for job in found if job["folder"] == str(self.folder) and job["comment"].startswith(comment)]
        return sorted((job for job in mine if not states or job["state"] in states), key=lambda job: int(job["id"].split("_")[0]))

    def wait_for_job(self, comment: str, run: subprocess.Popen, state: str = "RUNNING", seconds: float = 1500) -> dict[str, str]:
        """The first job in this state whose comment begins so, as soon as there is one."""
        found = cluster_module.wait_for(lambda: run.poll() is not None or self.jobs(comment, (state,)), seconds)
        assert found and run.poll() is None, f"no job {comment} was {state}:\n{self.output[-4000:]}"
        return self.jobs(comment, (state,))[0]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The folder of a running cluster; all of Slurm's commands reach it."""
    absent = cluster_module.missing()
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        absent.append("snakemake-executor-plugin-slurm (make slurm)")
    if absent:
        reason = f"not installed: {', '.join(absent)}"
        if os.environ.get("SELFALIGN_SLURM") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    before = dict(os.environ)
    cluster_module.start(folder)
    os.environ.update(cluster_module.environment(folder))
    yield folder
    cluster_module.stop(folder)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a fresh copy of the project with few functions, nothing run yet."""
    sources = [{"name": "library", "kind": "stdlib", "licence": "PSF-2.0", "limit": 60}]

    def make(name: str, **changes) -> ClusterProject:
        return ClusterProject(tmp_path_factory.mktemp(name) / "project", {"sources": sources, **changes})

    return make
