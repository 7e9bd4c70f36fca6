"""Copies of the project to run the real workflow in, so that a test can change any file of it."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from selfalign.data import source_hash
from selfalign.workflow.plan import parse, plan

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "rules", "scripts", "schemas", "profiles", "presets", "prompts", "benchmarks", "envs")


class Project:
    """A copy of the project in `folder` with the small config; models are linked, results and caches are its own."""

    def __init__(self, folder: Path, changes: dict | None = None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc", "*.egg-info"))  # with numba's compiled code
            else:
                shutil.copy2(ROOT / name, folder / name)
        (folder / "models").symlink_to(ROOT / "models")
        self.config = {**yaml.safe_load((ROOT / "tests" / "small.yaml").read_text()), **(changes or {})}
        self.write_config()

    def copy(self, folder: Path) -> "Project":
        """The project with its results as they are, at another place: what it did is still done there."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(Project)
        other.folder, other.config = folder, dict(self.config)
        return other

    def write_config(self) -> None:
        (self.folder / "small.yaml").write_text(yaml.safe_dump(self.config))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--configfile", "small.yaml"]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder / "scripts"), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}

    def snakemake(self, *arguments: str, ok: bool = True, command: list[str] | None = None) -> str:
        """What a run of Snakemake with these arguments prints."""
        done = subprocess.run(
            command or self.command(*arguments), cwd=self.folder, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert (done.returncode == 0) is ok, done.stdout[-6000:]
        return done.stdout

    def selfalign_run(self, *arguments: str, ok: bool = True) -> str:
        """What `selfalign run` with these arguments prints."""
        return self.snakemake(ok=ok, command=[sys.executable, "-m", "selfalign.cli", "run", *self.command(*arguments)[3:]])

    def plan(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a run with these arguments would start, targets without work of their own left out.

        Planned in this process, which takes a tenth of the time of a new one; the code whose changes count is the project's own.
        """
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(os, "environ", os.environ.copy())  # the Snakefile sets what jobs need
            patch.setattr(source_hash, "LIBRARY", self.folder / "scripts" / "selfalign")
            source_hash._tree.cache_clear()
            jobs = plan(parse([*arguments, "--cores", "2", "--configfile", "small.yaml"]), _count)
        source_hash._tree.cache_clear()
        assert jobs is not None, "Snakemake cannot plan"
        return jobs

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def append(self, path: str, text: str) -> None:
        with open(self.folder / path, "a") as file:
            file.write(text)

    def files(self, *folders: str) -> dict[str, bytes]:
        """Content of the parquet files in these folders of results/, by path."""
        results = self.folder / "results"
        return {str(path.relative_to(results)): path.read_bytes() for folder in folders for path in sorted((results / folder).rglob("*.parquet"))}

    def times(self) -> dict[str, int]:
        """When each file of results/ was written (ns), logs and benchmarks left out, by path."""
        results = self.folder / "results"
        paths = [path for path in sorted(results.rglob("*")) if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")]
        return {str(path.relative_to(results)): path.stat().st_mtime_ns for path in paths}


def _count(dag) -> dict[str, int]:
    return dict(Counter(job.rule.name for job in dag.needrun_jobs() if job.output))


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy, nothing run yet."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def _filtered(tmp_path_factory) -> Project:
    sources = [{"name": "library", "kind": "stdlib", "licence": "PSF-2.0", "limit": 60}]
    project = Project(tmp_path_factory.mktemp("filtered") / "project", {"sources": sources})
    project.snakemake("results/functions/0.parquet", "results/functions/1.parquet")
    return project


@pytest.fixture
def filtered(_filtered, tmp_path) -> Project:
    """A copy in which everything before the model has run, on few functions."""
    return _filtered.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """The whole small run, from source code to report. Not to be changed: `copy` it first."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    project.snakemake()
    return project
