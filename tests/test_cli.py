import subprocess
import sys

import pytest

from selfalign.cli import main


def test_error_is_one_line_without_a_traceback(capsys, tmp_path):
    assert main(["score", str(tmp_path / "none.jsonl"), "--benchmark", "other", "--data", str(tmp_path / "data.jsonl")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("selfalign: ") and "data.jsonl" in error
    assert error.count("\n") == 1


def test_no_command_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_help_imports_neither_torch_nor_transformers():
    code = "import sys; from selfalign.cli import parser; parser().format_help(); print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
