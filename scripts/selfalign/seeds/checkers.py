"""The type checkers that can judge functions: how each is started on a folder of files, and how its answer is read.

basedpyright in Pyright's standard mode gives the reference verdicts. ty and pyrefly are many times as fast and agree with it on about 98 of 100
functions of the standard library.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from selfalign.data.errors import ConfigError
from selfalign.seeds.environment import Environment

# pythonPlatform: one answer on every machine.
_PYRIGHT_CONFIG = {
    "include": ["."],
    "exclude": [],
    "typeCheckingMode": "standard",
    "pythonVersion": "{version}",
    "pythonPlatform": "Linux",
    "enableTypeIgnoreComments": True,
    "useLibraryCodeForTypes": True,
}
_TY = ("--python", "{python}", "--python-version", "{version}", "--python-platform", "linux")
_PYREFLY = ("--python-interpreter-path", "{python}", "--python-version", "{version}", "--python-platform", "linux")


@dataclass(frozen=True)
class Finding:
    """An error in a file: its stem, line and column from 1, the rule and the message."""

    file: str
    line: int
    column: int
    rule: str
    message: str


@dataclass(frozen=True)
class Checker:
    """`start` begins the command, `arguments` follow. `config` is a file to be written into the folder that is checked, (name, text).

    In arguments and config `{folder}`, `{python}` and `{version}` stand for that folder and for the interpreter that the files are meant for.
    `read` turns what the checker printed into its findings; KeyError, TypeError or ValueError if it is no answer.
    """

    package: str
    start: tuple[str, ...]
    arguments: tuple[str, ...]
    config: tuple[str, str]
    read: Callable[[str], list[Finding]]

    def command(self, folder: str, environment: Environment) -> list[str]:
        return [*self.start, *(_filled(argument, folder, environment) for argument in self.arguments)]

    def config_text(self, folder: str, environment: Environment) -> str:
        return _filled(self.config[1], folder, environment)

    @property
    def version(self) -> str:
        """ConfigError if the checker is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            raise ConfigError(f"functions.type_checker: {self.package} is not installed; install it or set the key to none") from None


def _filled(text: str, folder: str, environment: Environment) -> str:
    for name, value in (("{folder}", folder), ("{python}", environment.executable), ("{version}", environment.minor)):
        text = text.replace(name, value)
    return text


def _stem(path: str) -> str:
    return Path(path).stem


def _read_pyright(output: str) -> list[Finding]:
    items = [item for item in json.loads(output)["generalDiagnostics"] if item["severity"] == "error"]
    starts = [item["range"]["start"] for item in items]
    return [
        Finding(_stem(item["file"]), start["line"] + 1, start["character"] + 1, item.get("rule", "syntax"), item["message"])
        for item, start in zip(items, starts, strict=True)
    ]


def _read_ty(output: str) -> list[Finding]:
    # GitLab's format: "major" is an error, "minor" a warning.
    items = [item for item in json.loads(output) if item["severity"] in ("blocker", "critical", "major")]
    starts = [item["location"]["positions"]["begin"] for item in items]
    messages = [item["description"].removeprefix(f"{item['check_name']}: ") for item in items]
    return [
        Finding(_stem(item["location"]["path"]), start["line"], start["column"], item["check_name"], message)
        for item, start, message in zip(items, starts, messages, strict=True)
    ]


def _read_pyrefly(output: str) -> list[Finding]:
    items: Sequence[dict] = json.loads(output)["errors"]
    return [
        Finding(_stem(item["path"]), item["line"], item["column"], item["name"], item["concise_description"])
        for item in items
        if item["severity"] == "error"
    ]


CHECKERS = {
    "basedpyright": Checker(
        "basedpyright",
        (sys.executable, "-m", "basedpyright"),
        ("--project", "{folder}", "--pythonpath", "{python}", "--outputjson"),
        ("pyrightconfig.json", json.dumps(_PYRIGHT_CONFIG)),
        _read_pyright,
    ),
    "ty": Checker(
        "ty",
        (sys.executable, "-m", "ty", "check"),
        ("--project", "{folder}", *_TY, "--output-format", "gitlab", "--no-progress", "--color", "never", "{folder}"),
        ("ty.toml", ""),
        _read_ty,
    ),
    # Without a preset or a config pyrefly checks hardly anything.
    "pyrefly": Checker(
        "pyrefly",
        (sys.executable, "-m", "pyrefly", "check"),
        ("--config", "{folder}/pyrefly.toml", *_PYREFLY, "--output-format", "json", "--progress-bar", "no", "--threads", "1"),
        ("pyrefly.toml", 'preset = "default"\nproject-includes = ["*.py"]\nproject-excludes = []\ndisable-project-excludes-heuristics = true\n'),
        _read_pyrefly,
    ),
}
