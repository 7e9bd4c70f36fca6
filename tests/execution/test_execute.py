"""execute() as a whole: order, caches, limits, faults, what programs leave behind."""

import gc
import os
import random
import signal
import threading
import time

import pytest

from selfalign.data.errors import SandboxError
from selfalign.execution import Program, Verdict, execute, program_of, waiting
from selfalign.execution import dispatch as dispatch_module
from selfalign.execution import worker as worker_module
from selfalign.execution.dispatch import judged
from selfalign.execution.sandbox import python_for_programs, try_sandbox

CFG = {
    "sandbox": "auto",
    "python": "",
    "cpu_seconds": 2,
    "wall_seconds": 5,
    "memory_mb": 512,
    "output_kb": 1000,
    "negative_control": True,
    "workers": 2,
}
GOOD = "def f(x):\n    return x + 1\n"


def words(verdicts):
    return [verdict.verdict for verdict in verdicts]


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()


class Count:
    done = 0

    def advance(self, n=1, **facts):
        self.done += n


def test_this_machine_can_isolate():
    assert "" in (try_sandbox("bubblewrap"), try_sandbox("namespaces"))


def test_verdicts_come_in_the_order_of_the_programs_and_progress_counts_all():
    slow = "import time\ntime.sleep(0.3)\n"
    programs = [Program(f"p{i}", (slow if i % 3 == 0 else "") + GOOD, f"assert f(1) == {2 if i % 2 else 3}") for i in range(9)]
    progress = Count()
    verdicts = execute(programs, CFG, progress)
    assert [verdict.id for verdict in verdicts] == [program.id for program in programs]
    assert words(verdicts) == ["assertion_failed", "passed"] * 4 + ["assertion_failed"]
    assert progress.done == 9


def test_verdicts_are_given_out_on_the_way_and_no_more_is_read_than_is_allowed(monkeypatch):
    monkeypatch.setattr(waiting, "CHUNK", 2)
    monkeypatch.setattr(waiting, "AHEAD_ROWS", 8)
    read = []

    def items():
        for i in range(40):
            read.append(i)
            # The second one needs other modules than the rest, and some need no run at all.
            imports = "import asyncio\n" if i == 1 else ""
            yield Verdict(str(i), "no_code", "") if i % 10 == 7 else Program(str(i), imports + GOOD, f"assert f({i}) == {i + 1}")

    given = []
    for verdict in judged(items(), {**CFG, "negative_control": False}):
        given.append(verdict)
        assert len(read) <= len(given) + 8 + 2
    assert [verdict.id for verdict in given] == [str(i) for i in range(40)]
    assert words(given) == ["no_code" if i % 10 == 7 else "passed" for i in range(40)]


def test_whoever_stops_listening_leaves_no_sandbox_behind():
    before = children()
    verdicts = judged((Program(str(i), GOOD, "assert f(1) == 2") for i in range(10_000)), CFG)
    assert next(verdicts).verdict == "passed" and children() != before
    verdicts.close()
    assert children() == before


def test_nothing_to_do():
    assert execute([], CFG) == []


def test_without_negative_control_a_vacuous_test_passes():
    vacuous = [Program("a", GOOD, "f(1)\nassert True")]
    assert words(execute(vacuous, CFG)) == ["vacuous"]
    assert words(execute(vacuous, {**CFG, "negative_control": False})) == ["passed"]


def test_a_text_that_is_hard_to_compile_harms_no_other():
    hard = ["x = " + "-" * 100_000 + "1", "if 0: f" + ".a" * 100_000, "g = " + "lambda:" * 30_000 + "1", "(" * 5000]
    programs = [Program(f"hard {i}", GOOD, text) for i, text in enumerate(hard)] + [Program("good", GOOD, "assert f(1) == 2")]
    found = words(execute(programs, {**CFG, "workers": 1}))
    assert found[-1] == "passed" and not {"passed", "infrastructure"} & set(found[:-1])


def test_without_its_compiler_a_sandbox_gives_the_same_verdicts(monkeypatch):
    programs = [
        Program("a", "import math\nclass A:\n    size = math.pi\n    def f(self): return 3\n", "assert A().f() == 3 and round(A.size, 2) == 3.14"),
        Program("b", GOOD, "def test_f():\n    assert f(1) == 3"),
        Program("c", GOOD, "assert True"),
        Program("d", "def f(:", "assert 1"),
    ]
    usual = execute(programs, CFG)
    send = dispatch_module.Worker.send

    def stop_compiler(self, number, program, control, cfg):
        for pid in worker_module._children(self.pid):
            os.kill(pid, signal.SIGKILL)
        send(self, number, program, control, cfg)

    monkeypatch.setattr(dispatch_module.Worker, "send", stop_compiler)
    assert execute(programs, {**CFG, "workers": 1}) == usual
    assert words(usual) == ["passed", "assertion_failed", "vacuous", "syntax_error"]


def test_humaneval_style():
    prompt = 'def add(a, b):\n    """Add.\n    >>> add(1, 2)\n    3\n    """\n'
    tests = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(0, 0) == 0\n\ncheck(add)"
    cfg = {**CFG, "negative_control": False}
    assert words(execute([Program("a", prompt + "    return a + b\n", tests), Program("b", prompt + "    return a\n", tests)], cfg)) == [
        "passed",
        "assertion_failed",
    ]


def test_detail_names_place_and_limit():
    programs = [
        Program("a", GOOD, "x = 1\nassert f(1) == 3"),
        Program("b", "def f(x):\n    return {}[x]\n", "assert f(1) == 3"),
        Program("c", "def f(x):\n    while True: pass\n", "assert f(1) == 3"),
        Program("d", "def f(x:\n", "assert f(1) == 3"),
    ]
    details = [verdict.detail for verdict in execute(programs, {**CFG, "cpu_seconds": 0.5})]
    assert details == ["tests line 2", "KeyError at implementation line 2", "more than 0.5 s of CPU time", "SyntaxError at implementation line 1"]


def test_response_to_program():
    response = "[Reasoning]\nr\n\n[Implementation]\n```python\n{}\n```\n\n[Explanation]\ne\n\n[Tests]\n{}\n"
    good = program_of("a", response.format(GOOD, "```python\nassert f(1) == 2\n```"))
    assert isinstance(good, Program) and words(execute([good], CFG)) == ["passed"]
    assert program_of("b", response.format(GOOD, "none")).verdict == "no_tests"
    assert program_of("c", "just text").verdict == "no_code"
    assert program_of("d", response.replace("```python\n{}", "```js\n{}", 1).format(GOOD, "```\nassert 1\n```")).verdict == "no_code"


def test_cached_verdicts_are_not_judged_again(tmp_path, monkeypatch):
    programs = [Program("a", GOOD, "assert f(1) == 2"), Program("b", GOOD, "assert f(1) == 3")]
    first = execute(programs, CFG, None, tmp_path)
    monkeypatch.setattr(dispatch_module._Pool, "_start", lambda self, task: pytest.fail("ran again"))
    renamed = [Program("other id", program.code, program.tests) for program in programs]
    assert words(execute(renamed, CFG, None, tmp_path)) == words(first)
    with pytest.raises(pytest.fail.Exception):
        execute(programs, {**CFG, "memory_mb": 400}, None, tmp_path)


def test_a_truncated_cache_loses_a_verdict_and_nothing_else(tmp_path):
    programs = [Program(str(i), GOOD, f"assert f({i}) == {i + 1}") for i in range(3)]
    execute(programs, CFG, None, tmp_path)
    (segment,) = tmp_path.rglob("*.segment")
    segment.write_bytes(segment.read_bytes()[:-5])
    assert words(execute(programs, CFG, None, tmp_path)) == ["passed"] * 3


def test_two_at_the_same_time_share_a_cache(tmp_path):
    programs = [Program(str(i), GOOD, f"assert f({i}) == {i + 1}") for i in range(6)]
    found = []
    threads = [threading.Thread(target=lambda: found.append(words(execute(programs, CFG, None, tmp_path)))) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == [["passed"] * 6] * 2


def test_a_sleeper_does_not_hold_up_the_others():
    programs = [Program("sleeper", "import time\ntime.sleep(100)", "assert True"), *(Program(str(i), GOOD, "assert f(1) == 2") for i in range(5))]
    order = []

    class Watch(Count):
        def advance(self, n=1, **facts):
            order.extend([time.monotonic()] * n)

    assert words(execute(programs, {**CFG, "workers": 1}, Watch())) == ["timeout"] + ["passed"] * 5
    assert order[4] < order[5] - 1


def test_a_sandbox_that_is_lost_is_no_verdict():
    killed = []

    class Killer(Count):
        def advance(self, n=1, **facts):
            # After the first verdict one sandbox dies under its program.
            if n and not killed:
                killed.append(children()[0])
                os.kill(int(killed[0]), signal.SIGKILL)

    programs = [Program(str(i), "import time\ntime.sleep(0.1)\n" + GOOD, "assert f(1) == 2") for i in range(6)]
    assert words(execute(programs, CFG, Killer())) == ["passed"] * 6
    assert killed


def test_a_program_that_is_always_lost_is_killed_and_the_others_go_on(monkeypatch):
    send = dispatch_module.Worker.send

    def lose(self, number, program, control, cfg):
        if b"lose me" in program:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        send(self, number, program, control, cfg)

    monkeypatch.setattr(dispatch_module.Worker, "send", lose)
    programs = [Program("a", "# lose me\n" + GOOD, "assert f(1) == 2"), Program("b", GOOD, "assert f(1) == 2")]
    assert words(execute(programs, CFG)) == ["killed", "passed"]


def test_a_sandbox_that_loses_every_program_is_no_verdict_on_any(monkeypatch):
    send = dispatch_module.Worker.send

    def lose(self, *job):
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        send(self, *job)

    monkeypatch.setattr(dispatch_module.Worker, "send", lose)
    with pytest.raises(SandboxError, match="lost under a program that does nothing"):
        execute([Program("a", GOOD, "assert f(1) == 2")] * 3, CFG)
    assert children() == []


def test_nothing_is_left_behind():
    before = (len(os.listdir("/proc/self/fd")), children())
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n    os._exit(0)\nos.wait()\n"
    assert words(execute([Program("a", daemon + GOOD, "assert f(1) == 2")] * 3, CFG)) == ["passed"] * 3
    assert (len(os.listdir("/proc/self/fd")), children()) == before


def test_a_neighbours_changes_do_not_last():
    bad = "import os, builtins, random, json\nopen('left', 'w').close()\n"
    bad += "os.chmod('/tmp', 0)\nos.environ['X'] = '1'\nbuiltins.len = None\njson.dumps = None\nos.nice(5)\n" + GOOD
    look = "import os, random, json\ndef f(x):\n    return os.environ.get('X'), len([1]), json.dumps(x), 'left' in os.listdir('.'), os.nice(0)\n"
    programs = [Program("a", bad, "assert f(1) == 2"), Program("b", look, f"assert f(1) == (None, 1, '1', False, {os.nice(0)})")] * 2
    assert words(execute(programs, {**CFG, "workers": 1})) == ["passed"] * 4


def test_a_secret_of_the_host_is_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFALIGN_SECRET", "hunter2")
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    code = f"import os\ndef f():\n    return os.path.exists({str(secret)!r}) or 'SELFALIGN_SECRET' in os.environ\n"
    assert words(execute([Program("a", code, "assert f() is False")], CFG)) == ["passed"]


def test_same_verdicts_twice_with_other_workers():
    code = "def f(x):\n    return sorted({object() for _ in range(5)}, key=id) and hash('a') % 7 + x\n"
    programs = [Program(str(i), code, f"assert f(0) == {i}") for i in range(7)]
    first = execute(programs, {**CFG, "workers": 1})
    assert words(first).count("passed") == 1
    assert first == execute(programs, {**CFG, "workers": 3})


def test_random_numbers_are_the_same_in_every_run():
    draw = "import random\nimport numpy as np\ndef f():\n    return (random.random(), np.random.random())\n"
    programs = [Program(str(i), draw, "a, b = f()\nassert (round(a, 6), round(b, 6)) == (0.844422, 0.548814)") for i in range(2)]
    assert words(execute(programs, CFG)) == ["passed"] * 2


def test_without_isolation_only_when_asked_for_in_so_many_words(monkeypatch, tmp_path):
    programs = [Program("a", GOOD, "assert f(1) == 2")]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert words(execute(programs, {**CFG, "sandbox": "none"})) == ["passed"]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("selfalign.execution.dispatch.choose_sandbox", lambda wanted, python: "bubblewrap")
    monkeypatch.setattr(dispatch_module, "STARTS", 1)
    # A bubblewrap that worked when it was tried and does not any more.
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: no permission' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no permission"):
        execute(programs, CFG)


def test_an_interpreter_that_is_none():
    with pytest.raises(SandboxError, match="execution.python"):
        python_for_programs("/no/such/python")


_PARTS = [
    "import os, sys, time, signal, threading, gc",
    "def f(x):\n    return x",
    "os.fork()",
    "os.close({n})",
    "os.dup2({n}, {m})",
    "os.write({n}, b'x' * 100)",
    "sys.setrecursionlimit({n} + 50)",
    "signal.signal({n}, signal.SIG_IGN)",
    "os.kill(os.getpid(), {n})",
    "threading.Thread(target=time.sleep, args=({n} / 10,)).start()",
    "os.mkdir('d{n}')",
    "os.chdir('d{n}')",
    "os.symlink('/', 'l{n}')",
    "os.chmod('.', {n})",
    "x = [0] * 10 ** {m}",
    "print('y' * 10 ** {m})",
    "gc.collect()",
    "sys.stdout.close()",
    "sys.modules.clear()",
    "globals().clear()",
    "sys.exit({n})",
    "os._exit({n})",
    "raise KeyError({n})",
    "for i in range(10 ** {m}): pass",
    "os.setsid() if os.fork() == 0 else None",
    "assert f({n}) == {n}",
    "sys.stdin.read()",
    "del f",
    "os.closerange(0, 100)",
    "time.sleep({n} / 20)",
    "__import__('numpy')",
]


def test_random_programs_do_no_harm():
    draw = random.Random(7)

    def text():
        parts = [draw.choice(_PARTS).format(n=draw.randrange(12), m=draw.randrange(9)) for _ in range(draw.randrange(1, 7))]
        lines = ["try:\n    " + part.replace("\n", "\n    ") + "\nexcept Exception: pass" if draw.random() < 0.5 else part for part in parts]
        return "\n".join([_PARTS[0], _PARTS[1], *lines])

    programs = [Program(str(i), text(), text()) for i in range(60)]
    programs.insert(30, Program("good", GOOD, "assert f(1) == 2"))
    gc.collect()  # of what earlier tests have left
    before = (len(os.listdir("/proc/self/fd")), children())
    verdicts = execute(programs, {**CFG, "cpu_seconds": 0.5, "wall_seconds": 2, "memory_mb": 256})
    assert {verdict.id: verdict.verdict for verdict in verdicts}["good"] == "passed"
    assert "infrastructure" not in words(verdicts)
    assert (len(os.listdir("/proc/self/fd")), children()) == before
