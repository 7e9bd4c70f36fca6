"""Do verdicts agree on a quiet and on a loaded machine, and does memory stay flat over many programs?

    make bench-verdicts
    python bench/bench_verdicts.py agreement [--programs 10000] [--workers 1] [--sandbox auto]
    python bench/bench_verdicts.py memory [--programs 1000000] [--workers 1] [--sandbox auto]

agreement: the corpus of tests/execution and generated programs, judged twice, the second time beside two busy processes per core; every
difference in verdict or detail is printed, and the exit code is 1 if there is one.
memory: programs that are made when they are needed go through judged(), as `selfalign execute` uses it; ten times on the way, the resident
memory of this process and of the sandbox's processes, and their number of processes and descriptors.
"""

import argparse
import multiprocessing
import os
import random
import re
import time
from collections import Counter
from pathlib import Path

from selfalign.data.config import defaults
from selfalign.execution import Program, execute
from selfalign.execution.dispatch import judged

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "execution" / "corpus"
_PROGRAM = re.compile(r"^=== ([^\n]*): \w+\n(.*?)^---\n(.*?)(?=^=== |\Z)", re.MULTILINE | re.DOTALL)
BODIES = [
    "return sorted(values, reverse=True)[:{k}]",
    "return [value for value in values if value % {k}]",
    "return sum(value * {k} for value in values)",
    "return {{str(value): value - {k} for value in values}}",
    "return values[{k}]",
    "return max(values) // (len(values) - {k})",
    "return list(map(lambda value: hash((value, {k})), values))",
]
CHECKS = [
    "assert f([3, 1, 2]) == {want}",
    "def test_f():\n    assert f([3, 1, 2]) == {want}, 'message'",
    "import unittest\nclass TestF(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f([3, 1, 2]), {want})",
    "try:\n    f(None)\n    assert False\nexcept TypeError:\n    pass\nassert f([3, 1, 2]) == {want}",
    "print(f([3, 1, 2]))",
    "assert f([3, 1, 2]) is not Ellipsis",
]


def generated(i: int) -> Program:
    """Program number `i`: short, of one of many kinds; some are right, some wrong, some vacuous."""
    draw = random.Random(i)
    code = "def f(values):\n    " + draw.choice(BODIES).format(k=draw.randrange(5)) + "\n"
    scope: dict = {}
    exec(code, scope)
    try:
        want = repr(scope["f"]([3, 1, 2]))
    except Exception:
        want = "None"
    wrong = draw.random() < 0.2
    return Program(f"generated {i}", code, draw.choice(CHECKS).format(want="'wrong'" if wrong else want) + "\n")


def _burn(stop) -> None:
    while not stop.is_set():
        sum(range(100_000))


def agreement(count: int, cfg: dict) -> int:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(CORPUS.glob("*.txt"))}
    corpus = [Program(f"{topic}: {name}", code, tests) for topic, text in texts.items() for name, code, tests in _PROGRAM.findall(text)]
    programs = [*corpus, *map(generated, range(count - len(corpus)))][:count]
    cfg = {**cfg, "cpu_seconds": 1.5, "wall_seconds": 8, "memory_mb": 512, "output_kb": 2000}
    start = time.monotonic()
    first = execute(programs, cfg)
    print(f"{len(programs)} programs ({min(count, len(corpus))} of the corpus), load {os.getloadavg()[0]:.1f}: {time.monotonic() - start:.0f} s")
    stop = multiprocessing.Event()
    load = [multiprocessing.Process(target=_burn, args=(stop,)) for _ in range(2 * (os.cpu_count() or 1))]
    for process in load:
        process.start()
    start = time.monotonic()
    try:
        second = execute(programs, cfg)
    finally:
        stop.set()
        for process in load:
            process.join()
    print(f"again beside {len(load)} busy processes, load {os.getloadavg()[0]:.1f}: {time.monotonic() - start:.0f} s")
    print(", ".join(f"{verdict} {number}" for verdict, number in Counter(verdict.verdict for verdict in first).most_common()))
    different = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    for a, b in different:
        print(f"different: {a.id}: {a.verdict} ({a.detail}), then {b.verdict} ({b.detail})")
    print(f"{len(different)} of {len(programs)} verdicts differ")
    return 1 if different else 0


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
        except OSError:
            continue
    return found


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


class Watch:
    """In place of a progress line: what is in use after each tenth of the programs."""

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self.start = time.monotonic()

    def advance(self, n: int = 1, **facts) -> None:
        self.done += n
        if self.done % max(1, self.total // 10):
            return
        others = _family(os.getpid())[1:]
        theirs = sum(map(_resident_mb, others))
        print(
            f"{self.done:>9,} programs, {time.monotonic() - self.start:>6.0f} s: this process {_resident_mb(os.getpid()):.1f} MB and "
            f"{len(os.listdir('/proc/self/fd'))} descriptors; {len(others)} processes of sandboxes {theirs:.1f} MB", flush=True
        )  # fmt: skip


def memory(count: int, cfg: dict) -> int:
    verdicts = judged(map(generated, range(count)), {**cfg, "negative_control": False}, Watch(count))
    print(", ".join(f"{verdict} {number}" for verdict, number in Counter(verdict.verdict for verdict in verdicts).most_common()))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["agreement", "memory"])
    parser.add_argument("--programs", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sandbox", default="auto")
    arguments = parser.parse_args()
    cfg = {**defaults("execution"), "workers": arguments.workers, "sandbox": arguments.sandbox}
    if arguments.what == "agreement":
        return agreement(arguments.programs or 10_000, cfg)
    return memory(arguments.programs or 1_000_000, cfg)


if __name__ == "__main__":
    raise SystemExit(main())
