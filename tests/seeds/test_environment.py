import sys
import venv

import pytest

from selfalign.data.errors import ConfigError
from selfalign.seeds.environment import environment_of


def test_available_are_the_standard_library_and_installed_packages_only(monkeypatch, tmp_path):
    (tmp_path / "lying_around.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environment = environment_of.__wrapped__()  # not what an earlier call has seen
    assert all(map(environment.has, ("json", "pytest", "numpy")))
    assert not environment.has("lying_around")
    assert environment.minor == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_another_interpreter_has_modules_of_its_own(tmp_path):
    venv.create(tmp_path / "other", symlinks=True)
    [site] = (tmp_path / "other/lib").glob("python*/site-packages")
    (site / "only_there.py").write_text("")
    environment = environment_of(str(tmp_path / "other/bin/python"))
    assert environment.has("json") and environment.has("only_there")
    assert not environment.has("numpy")


def test_an_interpreter_that_does_not_run_is_named():
    with pytest.raises(ConfigError, match="execution.python: /no/such/python does not run"):
        environment_of("/no/such/python")
