"""What a run ran on: versions, machine, the commit of the code, and the model's fingerprint."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
_PACKAGES = (
    *("torch", "transformers", "tokenizers", "vllm", "numpy", "numba", "pyarrow", "datasets", "tree-sitter", "tree-sitter-python"),
    *("datasketch", "basedpyright", "snakemake"),
)


def environment(jobs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """selfalign's version and commit, versions of Python and packages, the machine, and the engines' fingerprints in the jobs' facts by rule."""
    fingerprints: dict[str, set[str]] = {}
    for job in jobs:
        if fingerprint := job.get("fingerprint"):
            fingerprints.setdefault(job["rule"], set()).add(fingerprint)
    return {
        "selfalign": _version("selfalign"),
        **commit(PROJECT),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "versions": {"python": platform.python_version(), **{name: found for name in _PACKAGES if (found := _version(name))}},
        "fingerprints": {rule: sorted(found) for rule, found in sorted(fingerprints.items())},
    }


def commit(folder: Path) -> dict[str, Any]:
    """The git commit of the code in `folder` and whether tracked files differ from it; both None where there is no git or no repository."""
    head = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no") if head else None
    return {"commit": head, "changed": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
