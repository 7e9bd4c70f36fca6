import shutil
from pathlib import Path

import pytest

from selfalign.data import source_hash
from selfalign.data.source_hash import source_hashes

FILES = {
    "scripts/selfalign/__init__.py": "",
    "scripts/selfalign/data/__init__.py": '"""Only a docstring."""\n',
    "scripts/selfalign/data/base.py": "VALUE = 1\n",
    "scripts/selfalign/data/unused.py": "VALUE = 2\n",
    "scripts/selfalign/steps/__init__.py": "",
    "scripts/selfalign/steps/one.py": "import os\n\n\ndef step():\n    from .helper import help\n\n    return help(os.sep)\n",
    "scripts/selfalign/steps/helper.py": "from selfalign.data import base\n\n\ndef help(text):\n    return text, base.VALUE\n",
    "scripts/run_one.py": "from selfalign.steps import one\n\n\ndef main(smk):\n    one.step()\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small library and a script, and a function that gives the script's hashes afresh."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source_hash, "LIBRARY", tmp_path / "scripts" / "selfalign")

    def hashes():
        source_hash._tree.cache_clear()
        return source_hashes(tmp_path / "scripts" / "run_one.py")

    return tmp_path, hashes


def rewrite(path: Path, old: str, new: str):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_names_what_the_script_imports_at_any_depth_and_nothing_else(project):
    _, hashes = project
    assert list(hashes()) == ["run_one.py", "selfalign.data.base", "selfalign.steps.helper", "selfalign.steps.one"]


def test_changed_code_changes_the_hash_of_its_module_only(project):
    root, hashes = project
    before = hashes()
    rewrite(root / "scripts/selfalign/data/base.py", "1", "3")
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == {"selfalign.data.base"}


def test_changed_script_counts(project):
    root, hashes = project
    before = hashes()
    rewrite(root / "scripts/run_one.py", "one.step()", "return one.step()")
    assert hashes() != before


def test_comments_docstrings_formatting_and_touch_do_not_count(project):
    root, hashes = project
    before = hashes()
    rewrite(root / "scripts/selfalign/steps/helper.py", "    return text, base", '    """Help."""\n    # why\n    return text,  base')
    rewrite(root / "scripts/selfalign/data/base.py", "VALUE", '"""Base."""\n\nVALUE')
    (root / "scripts/selfalign/steps/one.py").touch()
    assert hashes() == before


def test_module_that_nobody_imports_does_not_count(project):
    root, hashes = project
    before = hashes()
    rewrite(root / "scripts/selfalign/data/unused.py", "2", "3")
    assert hashes() == before


def test_new_import_is_seen(project):
    root, hashes = project
    rewrite(root / "scripts/selfalign/steps/one.py", "import os", "import os\n\nimport selfalign.data.unused")
    assert "selfalign.data.unused" in hashes()


def test_cyclic_imports_end(project):
    root, hashes = project
    rewrite(root / "scripts/selfalign/data/base.py", "VALUE", "import selfalign.steps.one\n\nVALUE")
    assert "selfalign.data.base" in hashes()


def test_every_script_of_the_project_has_hashes(tmp_path):
    scripts = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))
    assert scripts
    for script in scripts:
        copy = tmp_path / script.name
        shutil.copy(script, copy)
        hashes = source_hashes(copy)
        assert "selfalign.data.job" in hashes, f"{script.name} does not run through run_script"
