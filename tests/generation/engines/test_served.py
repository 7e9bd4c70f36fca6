"""A server that jobs start, share and stop: one however many jobs, and none when they are gone, however they went."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from selfalign.data.errors import EngineError
from selfalign.generation.engines import Request, open_engine, served

SERVER = Path(__file__).with_name("shared_server.py")

# A job: python -c JOB <model> <engine as JSON> <rows> <leave or stay>; prints its rows.
JOB = """
import json, sys, time
from selfalign.generation.engines import Request, open_engine
model, engine, rows, then = json.loads(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
opened = open_engine(model, engine, None)
for completion in opened.complete([Request(f"{at}", "a prefix ", f"word{at}", at, 0.7, 9, ()) for at in range(rows)]):
    print(completion.id, completion.text, flush=True)
if then == "stay":
    time.sleep(600)
opened.close()
"""


@pytest.fixture
def part(tmp_path, engine_cfg, monkeypatch):
    """(model, engine) with a server whose process ids are in tmp_path/pids; sockets are in a folder of this test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model = {"path": "some/model", "revision": "", "context": 0}
    command = f"{sys.executable} {SERVER} {{port}} {tmp_path} {{model}}"
    return model, {**engine_cfg, "kind": "openai", "server": command, "batch_size": 4}


@pytest.fixture
def start(part):
    """A function that starts a job; all are killed at the end."""
    jobs = []

    def started(rows: int, then: str = "leave") -> subprocess.Popen:
        command = [sys.executable, "-c", JOB, *map(json.dumps, part), str(rows), then]
        jobs.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, text=True))
        return jobs[-1]

    yield started
    for job in jobs:
        job.kill()
        job.wait()
        job.stdout.close()


def pids(tmp_path) -> list[int]:
    """Of every server that was started, and of its child."""
    path = tmp_path / "pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def alive(tmp_path) -> list[int]:
    found = []
    for pid in pids(tmp_path):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def wait_for(condition, seconds: float = 40.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def answers(job: subprocess.Popen, rows: int) -> set[str]:
    return {job.stdout.readline().strip() for _ in range(rows)}


def expected(rows: int) -> set[str]:
    return {f"{at} word{at}" for at in range(rows)}


def test_jobs_share_one_server_and_it_outlives_the_one_that_started_it(start, tmp_path):
    first = start(5, "stay")
    assert answers(first, 5) == expected(5)
    others = [start(60, "stay"), start(60, "stay")]
    begun = [answers(job, 1) for job in others]
    first.send_signal(signal.SIGKILL)
    for job, answer in zip(others, begun, strict=True):
        assert answer | answers(job, 59) == expected(60)
    assert len(pids(tmp_path)) == 2 and alive(tmp_path) == pids(tmp_path), "one server and its child"
    for job in others:
        job.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not alive(tmp_path)), "all jobs were killed, a server is left"
    assert not list(tmp_path.rglob("*.socket"))


def test_a_server_waits_for_the_next_job_and_goes_when_none_comes(part, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "_LINGER_SECONDS", 2.0)
    for _ in range(2):
        engine = open_engine(*part, None)
        (completion,) = engine.complete([Request("a", "", "word", 0, 0.0, 9, ())])
        assert completion.text == "word"
        engine.close()
    assert len(pids(tmp_path)) == 2, "the second job found the first one's server"
    assert wait_for(lambda: not alive(tmp_path))


def test_a_keeper_that_is_killed_leaves_no_server(start, tmp_path):
    job = start(5, "stay")
    assert answers(job, 5) == expected(5)
    server = pids(tmp_path)[0]
    keeper = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    assert wait_for(lambda: server not in alive(tmp_path))
    os.kill(pids(tmp_path)[1], signal.SIGKILL)  # a child that ignores SIGTERM has nobody left to kill it
    again = start(5)
    assert answers(again, 5) == expected(5), "the socket that the keeper left is in nobody's way"


def test_a_server_that_is_killed_is_started_again_and_no_row_is_lost(part, tmp_path, capsys):
    engine = open_engine(part[0], {**part[1], "retries": 1}, None)
    done = []
    for completion in engine.complete([Request(f"{at}", "a prefix ", f"word{at}", at, 0.7, 9, ()) for at in range(40)]):
        done.append(completion)
        if len(done) == 10:
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
    engine.close()
    assert {f"{c.id} {c.text}" for c in done} == expected(40) and len(done) == 40
    assert len(pids(tmp_path)) == 4, "a second server with its child"
    assert "the model server is gone (it ended with exit code -9" in capsys.readouterr().err
    os.kill(pids(tmp_path)[2], signal.SIGTERM)


def test_a_server_that_always_dies_leaves_failed_rows(part, tmp_path):
    engine = open_engine({**part[0], "path": "mortal"}, {**part[1], "retries": 0}, None)
    done = list(engine.complete([Request(f"{at}", "a prefix ", f"word{at}", at, 0.7, 9, ()) for at in range(200)]))
    engine.close()
    assert sorted(c.id for c in done) == sorted(str(at) for at in range(200))
    assert {c.finish_reason for c in done} == {"stop", "failed"}
    assert len(pids(tmp_path)) == 6, "two more attempts, then no more"


def test_an_idle_server_makes_room_for_another_model(part, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "_LINGER_SECONDS", 600.0)
    model, cfg = part
    for name in ("one/model", "other/model"):
        engine = open_engine({**model, "path": name}, cfg, None)
        assert [c.finish_reason for c in engine.complete([Request("a", "", "word", 0, 0.0, 9, ())])] == ["stop"]
        engine.close()
    one, _, other, _ = pids(tmp_path)
    assert one not in alive(tmp_path) and other in alive(tmp_path)
    monkeypatch.setattr(served, "_LINGER_SECONDS", 0.0)
    engine = open_engine({**model, "path": "third/model"}, cfg, None)
    list(engine.complete([Request("a", "", "word", 0, 0.0, 9, ())]))
    engine.close()
    assert wait_for(lambda: not alive(tmp_path))


def test_without_requests_no_server_is_started(part, tmp_path):
    engine = open_engine(*part, None)
    assert list(engine.complete([])) == []
    engine.close()
    assert not pids(tmp_path)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
@pytest.mark.parametrize("values", [{"kind": "vllm"}, {"kind": "openai", "server": "vllm"}])
def test_without_vllm_the_line_says_what_to_install(part, values):
    model, cfg = part
    with pytest.raises(EngineError, match="the package is not installed; install vllm==.*, or "):
        open_engine(model, {**cfg, "dtype": "float32", **values}, None)


def test_a_server_that_does_not_run_is_one_clear_line(part):
    model, cfg = part
    engine = open_engine({**model, "path": "die"}, cfg, None)
    with pytest.raises(EngineError, match="does not run: it ended with exit code 1 .*this model has no weights"):
        list(engine.complete([Request("a", "", "word", 0, 0.0, 9, ())]))
    engine.close()
    with pytest.raises(EngineError, match="no such command: 'no-such-server'"):
        open_engine(model, {**cfg, "server": "no-such-server --port {port}"}, None)
    with pytest.raises(EngineError, match="the command has no {port}"):
        open_engine(model, {**cfg, "server": f"{sys.executable} -m server"}, None)
