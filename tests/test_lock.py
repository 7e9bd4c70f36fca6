"""The lock, the environments and what is installed agree."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from selfalign.data.source_hash import source_hashes

ROOT = Path(__file__).resolve().parents[1]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    return {normal(name): version for name, _, version in (line.strip().partition("==") for line in lines if "==" in line)}


DISTRIBUTIONS = metadata.packages_distributions()
LOCK = pins((ROOT / "constraints.txt").read_text().splitlines())


def test_lock_names_no_machine():
    text = (ROOT / "constraints.txt").read_text()
    assert "file:" not in text and " @ " not in text and "+" not in text


def test_every_requirement_is_locked_and_installed_as_locked():
    lines = (ROOT / "requirements.in").read_text().splitlines()
    names = [normal(re.split(r"[=<>]", line)[0]) for line in lines if line and not line.startswith("#")]
    for name in names:
        assert metadata.version(name).split("+")[0] == LOCK[name], f"{name}: run make set-up"


@pytest.mark.parametrize("path", ["data.yaml", "model.yaml"])
def test_environments_have_the_locks_versions(path):
    environment = yaml.safe_load((ROOT / "envs" / path).read_text())
    found = pins(environment["dependencies"][-1]["pip"])
    assert found and found == {name: LOCK[name] for name in found}


def scripts_by_environment():
    """(environment of the rule, its script) for every rule."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        text = path.read_text()
        yield from re.findall(r'conda:\n +"\.\./envs/([\w.]+)".*?script:\n +"\.\./(scripts/\w+\.py)"', text, re.DOTALL)


def imported(path):
    """Names of the top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(("environment", "script"), sorted(scripts_by_environment()))
def test_environments_have_what_their_scripts_import(environment, script):
    modules = [name for name in source_hashes(ROOT / script) if "/" not in name and not name.endswith(".py")]
    files = [ROOT / script, *(ROOT / "scripts" / Path(*name.split(".")).with_suffix(".py") for name in modules)]
    names = {name for path in files if path.exists() for name in imported(path)} - set(sys.stdlib_module_names) - {"selfalign", "vllm"}
    needed = {normal(DISTRIBUTIONS[name][0]) for name in names}
    found = pins(yaml.safe_load((ROOT / "envs" / environment).read_text())["dependencies"][-1]["pip"])
    assert needed <= found.keys(), f"envs/{environment} lacks {sorted(needed - found.keys())}"
