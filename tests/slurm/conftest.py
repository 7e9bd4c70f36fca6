"""A Slurm cluster for the tests of this folder, a made-up model behind an HTTP server, and copies of the project to run there.

Without Slurm's programs or the executor plugin the tests are skipped; with SELFALIGN_SLURM=required (make test-slurm) that is a failure.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(f"slurm_tests_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cluster_module = _load(Path(__file__).with_name("cluster.py"))
stub_module = _load(ROOT / "bench" / "stub_model.py")
Project = _load(ROOT / "tests" / "workflow" / "conftest.py").Project

FUNCTIONS = 16
# The jobs are small: look at them often, and let none take eight cores. The rest is the profile as it is.
FAST = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "1", "--set-threads", "extract_functions=1"]


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

    def finish(self, run: subprocess.Popen, seconds: float = 900) -> None:
        """Wait until a run has ended well."""
        try:
            code = run.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output[-4000:]}") from None
        assert code == 0, self.output[-6000:]

    def jobs(self, comment: str = "", states: tuple[str, ...] = ()) -> list[dict[str, str]]:
        """Slurm's jobs of this project, in order: id, comment, state, limit, memory, partition. comment: only those that begin with it."""
        squeue = ["squeue", "-h", "--states=all", "-o", "%i|%k|%T|%l|%m|%P|%Z"]
        lines = subprocess.run(squeue, capture_output=True, text=True, check=True).stdout.splitlines()
        names = ("id", "comment", "state", "limit", "memory", "partition", "folder")
        found = [dict(zip(names, line.split("|"), strict=True)) for line in lines]
        mine = [job for job in found if job["folder"] == str(self.folder) and job["comment"].startswith(comment)]
        return sorted((job for job in mine if not states or job["state"] in states), key=lambda job: int(job["id"].split("_")[0]))

    def wait_for_job(self, comment: str, run: subprocess.Popen, state: str = "RUNNING", seconds: float = 600) -> dict[str, str]:
        """The first job in this state whose comment begins so, as soon as there is one."""
        found = cluster_module.wait_for(lambda: run.poll() is not None or self.jobs(comment, (state,)), seconds)
        assert found and run.poll() is None, f"no job {comment} was {state}:\n{self.output[-4000:]}"
        return self.jobs(comment, (state,))[0]

    def stop_processes(self, job: dict[str, str]) -> None:
        """Stop every process of a job, as one that hangs would, as soon as it has one."""
        mark = f"SLURM_JOB_ID={job['id']}".encode()

        def running() -> list[int]:
            found = []
            for process in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError):
                    if mark in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
                        found += [] if state in "TZ" else [int(process)]
            return found

        assert cluster_module.wait_for(running), f"job {job['id']} has no process"
        while processes := running():  # one may have begun another meanwhile
            for process in processes:
                with suppress(OSError):
                    os.kill(process, signal.SIGSTOP)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The folder of a running cluster; all of Slurm's commands reach it. Stopped in any case but SIGKILL."""
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
    terminate = signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # pytest ends fixtures on an exception only
    try:
        cluster_module.start(folder)
        os.environ.update(cluster_module.environment(folder))
        yield folder
    finally:
        cluster_module.stop(folder)
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a fresh copy of the project with few functions in two shards and the made-up model, nothing run yet."""
    with stub_module.serving() as url:
        config = {
            "sources": [{"name": "made", "kind": "folder", "path": "made", "licence": "MIT"}],
            "functions": {"type_checker": "none"},
            "model": {"path": "stub"},
            "engine": {"kind": "openai", "url": url},
            "responses": {"examples": 1, "prefixes": 2, "draws": 4},
        }

        def make(name: str) -> ClusterProject:
            project = ClusterProject(tmp_path_factory.mktemp(name) / "project", config)
            (project.folder / "made").mkdir()
            for i in range(FUNCTIONS):
                (project.folder / "made" / f"module{i}.py").write_text(stub_module.function(i, good=True))
            return project

        yield make
