"""The real workflow, killed at random moments: it goes on from finished rows and ends with the same bytes.

SELFALIGN_KILLS=200 pytest tests/workflow/test_kill.py is the long form (docs/rebuild.md); SELFALIGN_KILL_SEED draws other moments.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil

KILLS = int(os.environ.get("SELFALIGN_KILLS", "20"))
SEED = int(os.environ.get("SELFALIGN_KILL_SEED", "0"))
DATASETS = ("extracted", "functions", "seeds", "concepts", "instructions", "responses", "executed", "candidates", "dataset", "dropped", "dedup")
SECONDS = (0.0, 4.0)  # from the first job of a run to the kill
AT_ONCE = 0.2  # of the kills do not wait for a job: they hit Snakemake while it plans


class Run:
    """The workflow in a project, started again whenever it has ended."""

    def __init__(self, project):
        self.project = project
        self.log = project.folder / "run.log"
        self.unlocked = 0
        self.start()

    def start(self):
        if "--unlock" in (self.log.read_text() if self.log.exists() else ""):
            self.project.snakemake("--unlock", "model")
            self.unlocked += 1
        command = [sys.executable, "-m", "selfalign.cli", "run", *self.project.command("model")[3:]]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=self.project.folder, env=self.project.environment(), stdout=log, stderr=log, start_new_session=True
            )

    def wait_for_a_job(self):
        """Until a process runs below the workflow, or it has ended."""
        while self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(self.process.pid).children():
                    return
            time.sleep(0.05)

    def kill(self, rng):
        """Kill the workflow or, as often, one of the processes below it, whichever is there; which it was."""
        try:
            main = psutil.Process(self.process.pid)
            below = main.children(recursive=True)
            victim = rng.choice(below) if below and rng.random() < 0.5 else main
            name = " ".join(victim.cmdline())[-60:]
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return None
        if victim == main:
            self.process.wait()
        return name


def forget(project):
    """As if nothing had been made after the functions, whose own files stay whole: Snakemake would make again what is missing of
    them, to the same bytes, and a file lost on that way is one that nothing needs (docs/rebuild.md).
    """
    for name in ("completions", "verdicts", "training"):
        shutil.rmtree(project.folder / "cache" / name, ignore_errors=True)
    results = project.folder / "results"
    later = [path for path in results.iterdir() if path.name in (*DATASETS[2:9], "prompts", "model", "training")]
    later += [results / "dropped" / name for name in DATASETS[2:9]]
    later += [path for path in (results / "dedup").iterdir() if path.name != "functions"]
    for path in later:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def made(project):
    others = [path for name in ("model", "training") for path in sorted((project.folder / "results" / name).rglob("*"))]
    files = {str(path.relative_to(project.folder)): path.read_bytes() for path in others if path.is_file() and path.name != "README.md"}
    return files | project.files(*DATASETS)


def test_killed_at_any_moment_it_ends_with_the_same_bytes(finished, tmp_path):
    project, expected = finished.copy(tmp_path / "project"), made(finished)
    forget(project)
    rng, killed = random.Random(SEED), []
    run = Run(project)
    while len(killed) < KILLS:
        if rng.random() >= AT_ONCE:
            run.wait_for_a_job()
        time.sleep(rng.uniform(*SECONDS))
        if run.process.poll() == 0:
            assert made(project) == expected
            forget(project)
        if run.process.poll() is None and (name := run.kill(rng)):
            killed.append(name)
        if run.process.poll() is not None:
            run.start()
    if run.process.wait() != 0:
        run.start()
        if run.process.wait() != 0:  # it was locked
            run.start()
    assert run.process.wait() == 0, run.log.read_text()[-3000:]
    found = made(project)
    assert found.keys() == expected.keys()
    assert [path for path in expected if found[path] != expected[path]] == [], killed
