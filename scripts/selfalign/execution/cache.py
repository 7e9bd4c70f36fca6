"""Verdicts on disk, keyed by program, limits and environment: a killed or repeated run judges the rest only."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign.data.cache import RowCache
from selfalign.execution.programs import Program, Verdict
from selfalign.execution.sandbox import INSIDE, Python

# What changes a verdict; the number of workers and the kind of sandbox do not.
_LIMITS = ("cpu_seconds", "wall_seconds", "memory_mb", "output_kb", "negative_control")


class VerdictCache(RowCache):
    """The verdicts under one fingerprint."""

    def __init__(self, folder: str | os.PathLike, cfg: dict[str, Any], python: Python):
        # The code that judges counts too: a verdict of an older one is not this one's.
        judging = map(Path(__file__).with_name, ("record.py", "dispatch.py", "waiting.py", "worker.py", "sandbox.py", "seccomp.py"))
        sources = [path.read_bytes() for path in sorted([*INSIDE.glob("*.[chp]*"), *judging])]
        parts = [python.fingerprint, json.dumps([cfg[name] for name in _LIMITS] + [cfg["sandbox"] == "none"])]
        fingerprint = hashlib.sha256(b"\0".join([*(part.encode() for part in parts), *sources])).hexdigest()
        super().__init__(Path(folder) / "verdicts" / fingerprint[:16])

    def known(self, programs: Sequence[Program]) -> dict[int, Verdict]:
        """Index to verdict of those of `programs` that were judged before."""
        keys = [_key(program) for program in programs]
        found = self.lookup(keys, own=False)
        return {i: Verdict(programs[i].id, *found[key]["verdict"]) for i, key in enumerate(keys) if key in found}

    def keep(self, program: Program, verdict: str, detail: str) -> None:
        """Remember a verdict. One that is not the program's fault is not remembered."""
        if verdict != "infrastructure":
            self.put(_key(program), {"verdict": [verdict, detail]})


def _key(program: Program) -> bytes:
    return hashlib.sha256(json.dumps([program.code, program.tests]).encode()).digest()
