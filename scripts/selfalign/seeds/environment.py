"""The Python environment in which generated programs run: a function is judged against what is there, whatever Python the job itself has."""

from dataclasses import dataclass
from functools import cache

from selfalign.data.interpreter import ask_python

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

    def is_package(self, module: str) -> bool:
        """Whether this top-level module is an installed package's, not the standard library's."""
        return module in self.installed and module not in self.stdlib


@cache
def environment_of(python: str = "") -> Environment:
    """The environment of an interpreter (the config's `execution.python`, "" for the running one). ConfigError if it does not run."""
    executable, facts = ask_python(python, _DESCRIBE)
    return Environment(executable, facts["version"], frozenset(facts["stdlib"]), frozenset(facts["installed"]), tuple(facts["packages"]))
