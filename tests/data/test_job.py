import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfalign.data.errors import InputError
from selfalign.data.job import BOARD, Progress, read_said, run_script, write_json


class Wildcards(SimpleNamespace):
    def __iter__(self):
        return iter(vars(self).values())


@pytest.fixture
def smk(tmp_path):
    return SimpleNamespace(
        rule="judge_seeds",
        wildcards=Wildcards(s="0"),
        log=[str(tmp_path / "logs" / "0.log")],
        output=SimpleNamespace(stats=str(tmp_path / "stats" / "0.json")),
    )


def test_facts_of_the_job_are_written_with_its_cost(smk):
    run_script(lambda smk: {"kept": 3}, smk)
    facts = json.loads(Path(smk.output.stats).read_text())
    assert (facts["rule"], facts["shard"], facts["kept"]) == ("judge_seeds", "0", 3)
    assert facts["seconds"] >= 0 and facts["peak_memory_mb"] > 0


def test_output_of_python_and_of_children_goes_to_the_log(smk, capfd):
    def main(smk):
        print("from python")
        subprocess.run([sys.executable, "-c", "import sys; print('from a child', file=sys.stderr)"], check=True)

    run_script(main, smk)
    log = Path(smk.log[0]).read_text()
    assert "from python" in log and "from a child" in log
    assert capfd.readouterr() == ("", "judge_seeds 0: done, 0 s\n")


def test_progress_goes_to_the_terminal_and_to_the_log(smk, capfd):
    def main(smk):
        progress = Progress("judge 0", total=2)
        progress.advance(tokens=1000)
        progress.advance(tokens=500)

    run_script(main, smk)
    assert capfd.readouterr().err == "judge 0: 2/2, 0 s, tokens 1,500\njudge_seeds 0: done, 0 s\n" == Path(smk.log[0]).read_text()


def test_progress_line_estimates_what_is_left():
    progress = Progress("train", total=200)
    progress.done = 20
    assert progress.line(12) == "train: 20/200, 1.7/s, 12 s, 108 s left"
    progress.advance(0, tokens=4100)
    assert progress.line(12) == "train: 20/200, 1.7/s, 12 s, 108 s left, tokens 4,100 (342/s)", "a narrow terminal cuts the end off"


def test_progress_line_has_the_rate_of_rows_and_of_what_adds_up():
    progress = Progress("judge 0", every=1000)
    progress.advance(30, tokens=4100)
    progress.advance(10, tokens=1000)
    assert progress.line(20) == "judge 0: 40, 2.0/s, 20 s, tokens 5,100 (255/s)"


def test_error_for_the_user_is_one_line_and_exit_code_1(smk, capfd):
    def main(smk):
        raise InputError("seeds.parquet: no such file")

    with pytest.raises(SystemExit) as caught:
        run_script(main, smk)
    assert caught.value.code == 1
    assert capfd.readouterr().err == "judge_seeds 0: seeds.parquet: no such file\n"


def test_unexpected_error_is_one_line_that_names_the_log_with_the_traceback(smk, capfd):
    def main(smk):
        raise RuntimeError("tensor\nis odd")

    with pytest.raises(SystemExit) as caught:
        run_script(main, smk)
    assert caught.value.code == 1
    assert capfd.readouterr().err == f"judge_seeds 0: unexpected RuntimeError: tensor; the whole story is in {smk.log[0]}\n"
    assert "Traceback" in Path(smk.log[0]).read_text()


def test_failed_job_leaves_no_facts(smk, tmp_path):
    with pytest.raises(SystemExit):
        run_script(lambda smk: 1 / 0, smk)
    assert not (tmp_path / "stats").exists()


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_json({"a": 1}, tmp_path / "x.json")
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "x.json")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}


def test_board_hears_of_a_job_before_there_is_something_to_count(smk, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as board:
        board.bind(address := str(tmp_path / "board"))
        monkeypatch.setenv(BOARD, address)
        run_script(lambda smk: {"kept": 2}, smk)
        heard = [read_said(board.recv(1 << 16)) for _ in range(2)]
    assert [(said.line, said.passing) for said in heard] == [("judge_seeds 0: begins", True), ("judge_seeds 0: done, kept 2, 0 s", False)]
