"""The Python environment in which generated programs run: a function is judged against what is there, whatever Python the job itself has."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from selfalign.data.errors import ConfigError

# Isolated (-I): neither the working folder nor the user's own packages, which depend on how a job was started.
_DESCRIBE = """
import json, pkgutil, platform, site, sys
from importlib.metadata import distributions
folders = site.getsitepackages()
packages = sorted({f"{item.name}=={item.version}" for item in distributions(path=folders)})
print(json.dumps({"version": platform.python_version(), "stdlib": sorted(sys.stdlib_module_names), "packages": packages,
                  "installed": sorted({module.name for module in pkgutil.iter_modules(folders)})}))
"""


@dataclass(frozen=True)
class Environment:
    """`version` is like 3.11.7, `stdlib` and `installed` are top-level modules, `packages` are names with versions."""

    executable: str
    version: str
    stdlib: frozenset[str]
    installed: frozenset[str]
    packages: tuple[str, ...]

    @property
    def minor(self) -> str:
        """Its version as type checkers take it: 3.11."""
        return ".".join(self.version.split(".")[:2])

    def has(self, module: str) -> bool:
        """Whether a program can import this top-level module."""
        return module in self.stdlib or module in self.installed


@cache
def environment_of(python: str = "") -> Environment:
    """The environment of an interpreter (the config's `execution.python`, "" for the running one). ConfigError if it does not run."""
    executable = os.path.abspath(shutil.which(python) or python) if python else sys.executable
    try:
        done = subprocess.run([executable, "-I", "-c", _DESCRIBE], capture_output=True, text=True, timeout=120, check=True, cwd="/")
        facts = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(f"execution.python: {executable} does not run ({error}); name a working Python 3.11 or newer") from None
    return Environment(executable, facts["version"], frozenset(facts["stdlib"]), frozenset(facts["installed"]), tuple(facts["packages"]))
