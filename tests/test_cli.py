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
    error = capsys.readouterr().err
    assert all(command in error for command in ("run ", "trace ", "execute ", "score ", "respond ", "sandbox ", "cache "))


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("selfalign 0.")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "-n"], "no Snakefile in"),
        (["trace", "0" * 16], "results: no such folder; name the results of a run with --results"),
        (["respond", "hello"], "model results/model: no such folder"),
        (["respond", "hello", "--model", "."], "model .: no config.json in it"),
        (["cache", "--folder", "none"], "none: no such folder"),
        (["execute", "none.jsonl", "-o", "verdicts.jsonl"], "none.jsonl: No such file or directory"),
        (["execute", "none.jsonl", "-o", "verdicts.txt"], "verdicts.txt: the name of the output must end in"),
        (["execute", "none.jsonl", "-o", "/proc/verdicts.jsonl"], "/proc/verdicts.jsonl: cannot be written"),
        (["score", "none.jsonl", "--benchmark", "miniature"], "none.jsonl"),
        (["score", "none.jsonl", "--benchmark", "miniature", "--workers", "0"], "--workers 0: must be at least 1"),
    ],
)
def test_in_the_wrong_folder_every_command_says_so_in_one_line(capsys, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert line in error and error.startswith("selfalign: ") and error.count("\n") == 1


def test_help_imports_neither_torch_nor_transformers():
    code = "import sys; from selfalign.cli import parser; parser().format_help(); print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(("text", "line"), [(None, "no such file or directory; check --configfile"), ("model: [", "not readable as YAML")])
def test_config_file_that_cannot_be_read_is_one_line(text, line, capsys, tmp_path):
    path = tmp_path / "my.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["run", "--dry-run", "--snakefile", "Snakefile", "--cores", "1", "--configfile", str(path)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"selfalign: config {path}: ") and line in error
