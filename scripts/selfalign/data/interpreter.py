"""Questions to the Python in which generated programs run, which may be another than the job's own."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from selfalign.data.errors import ConfigError


def ask_python(python: str, program: str) -> tuple[str, dict[str, Any]]:
    """Path of the interpreter `python` (the config's `execution.python`, "" for the running one), and what `program` prints there as JSON.

    Isolated (-I): neither the working folder nor the user's own packages, which depend on how a job was started. ConfigError if it does not run.
    """
    executable = os.path.abspath(shutil.which(python) or python) if python else sys.executable
    try:
        done = subprocess.run([executable, "-I", "-c", program], capture_output=True, text=True, timeout=120, check=True, cwd="/")
        return executable, json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        # The text of a failed command has the whole program in it.
        reason = f"exit code {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else error
        raise ConfigError(f"execution.python: {executable} does not run ({reason}); name a working Python 3.11 or newer") from None
