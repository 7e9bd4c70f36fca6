"""The lock, the environments and what is installed agree."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    return {normal(name): version for name, _, version in (line.strip().partition("==") for line in lines if "==" in line)}


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
