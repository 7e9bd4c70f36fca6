"""The terminal while jobs run: what a job says now and then stays on one line, what it says for good stands above."""

import os
import pty
import subprocess
import sys

JOB = """
import sys
from types import SimpleNamespace
from selfalign.data.job import Progress, run_script, say

def main(smk):
    progress = Progress("judge 0", total=2, every=0)
    progress.advance()
    say("a note")
    progress.advance()
    return {"kept": 2}


run_script(main, SimpleNamespace(rule="judge_seeds", wildcards=[0], log=[sys.argv[1]], output=SimpleNamespace(), resources={}))
"""
RUN = """
import logging, subprocess, sys
from selfalign.workflow.board import Board

handler = logging.StreamHandler()
board = Board()
board.start([handler])
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]], check=True)
handler.handle(logging.makeLogRecord({"msg": "Snakemake says"}))
board.stop()
print("the end", file=sys.stderr)
"""


def run(tmp_path, **environment):
    """What a terminal gets of a run with one job."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, JOB, str(tmp_path / "job.log")],
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # the other side is closed
            break
        text += data
    os.close(ours)
    assert process.wait() == 0, text.decode()
    return text.decode()


def test_lines_for_good_stand_in_order_and_the_job_has_one_that_is_redrawn(tmp_path):
    text = run(tmp_path)
    places = [text.index(line) for line in ("a note", "judge_seeds 0: done, kept 2", "Snakemake says", "the end")]
    assert places == sorted(places)
    assert "\x1b[2K" in text, "lines are drawn over"
    assert (tmp_path / "job.log").read_text().count("judge 0: ") == 2, "the log has everything"


def test_terminal_that_cannot_move_its_cursor_gets_every_line(tmp_path):
    text = run(tmp_path, TERM="dumb")
    assert "\x1b" not in text
    assert text.count("judge 0: ") == 2 and text.rstrip().endswith("the end")
