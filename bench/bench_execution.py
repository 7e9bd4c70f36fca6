"""Programs per second of the execution filter against ways without its isolation, on the same programs in one run.

    make bench-execution                      # or, with what it needs installed:
    python bench/bench_execution.py [--programs 1000] [--others 40] [--workers 1] [--sandbox auto] [--python PATH]

The others: evalplus's checker as its evaluation calls it, with its defaults (evalplus.eval.untrusted_check, one process per program, the
inputs and expected results in place of the tests); a multiprocessing.Process per program that runs exec(), by fork from this small process
and by spawn; an interpreter per program. All take their programs one after the other, as the filter does with one worker. A program
with its negative control counts as two, because it runs twice. Rates are per second of CPU time, of all processes together, which is
what a core does on a machine that is free, and per second of wall time in brackets; on a busy machine the latter says little. Ratios are of
both. The load is printed.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import time

from selfalign.data.config import defaults
from selfalign.execution import Program, execute

HEAD = {"standard library": "from typing import List\n", "numpy": "import numpy as np\nfrom typing import List\n"}
CODE = '''
def scale(values: List[int], by: int) -> List[int]:
    """Each value times `by`, plus {i}, without the negative ones."""
    return [{times} * by + {i} for value in values if value >= 0]


def total(values: List[int]) -> int:
    """Sum of the scaled values."""
    return sum(scale(values, 2))
'''
CASES = [([], 3), ([1, 2, 3], 2), ([5, -5], 4), (list(range(20)), 7)]


def program(i: int, imports: str) -> tuple[str, str, list]:
    """(implementation, tests, expected results of CASES) number `i`."""
    expected = [[value * by + i for value in values if value >= 0] for values, by in CASES]
    times = "int(np.int64(value))" if imports == "numpy" else "value"
    tests = "".join(f"assert scale({values}, {by}) == {want}\n" for (values, by), want in zip(CASES, expected, strict=True))
    return HEAD[imports] + CODE.format(i=i, times=times), tests + f"assert total([1]) == {2 + i}\n", expected


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def rates(run, programs: list) -> tuple[float, float]:
    """Programs per second of (CPU time, wall time). `run` judges them all and says how many pass: every one must."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    passed = run(programs)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    if passed != len(programs):
        raise SystemExit(f"only {passed} of {len(programs)} programs passed: the measurement means nothing")
    return len(programs) / cpu, len(programs) / wall


def with_filter(cfg: dict):
    def run(programs: list) -> int:
        verdicts = execute([Program(str(i), code, tests) for i, (code, tests, _) in enumerate(programs)], cfg)
        return sum(verdict.verdict == "passed" for verdict in verdicts)

    return run


def with_evalplus(programs: list) -> int:
    from evalplus.eval import untrusted_check

    inputs = [[list(values), by] for values, by in CASES]
    return sum(
        untrusted_check("humaneval", code, inputs, "scale", expected, 0, [0.05] * len(inputs))[0] == "pass" for code, _, expected in programs
    )  # fmt: skip


def _exec(code: str, tests: str, passed) -> None:
    scope: dict = {}
    exec(code + tests, scope)
    passed.value = 1


def with_process(method: str):
    def run(programs: list) -> int:
        context = multiprocessing.get_context(method)
        count = 0
        for code, tests, _ in programs:
            passed = context.Value("i", 0)
            process = context.Process(target=_exec, args=(code, tests, passed))
            process.start()
            process.join(20)
            count += passed.value
        return count

    return run


def with_interpreter(programs: list) -> int:
    return sum(subprocess.run([sys.executable, "-c", code + tests], timeout=20).returncode == 0 for code, tests, _ in programs)


OTHERS = {
    "evalplus 0.3.1": with_evalplus,
    "multiprocessing.Process, fork": with_process("fork"),
    "multiprocessing.Process, spawn": with_process("spawn"),
    "an interpreter each": with_interpreter,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--others", type=int, default=40, help="programs for each of the slower ways")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--python", default="", help="interpreter that runs the filter's programs")
    arguments = parser.parse_args()
    cfg = {**defaults("execution"), "workers": arguments.workers, "sandbox": arguments.sandbox, "python": arguments.python}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {arguments.workers} worker(s), sandbox {arguments.sandbox}")
    execute([Program("warm", "x = 1", "assert x == 1")], cfg)
    for imports in HEAD:
        programs = [program(i, imports) for i in range(arguments.programs)]
        few = programs[: arguments.others]
        rates(with_filter(cfg), few[:5])
        once, once_wall = rates(with_filter({**cfg, "negative_control": False}), programs)
        twice, twice_wall = (2 * rate for rate in rates(with_filter(cfg), programs))
        print(f"{imports}: filter {once:.0f} programs per CPU second ({once_wall:.0f} per second)")
        print(f"{imports}: filter with negative controls {twice:.0f} ({twice_wall:.0f})")
        for name, run in OTHERS.items():
            try:
                run(few[:2])
                other, other_wall = rates(run, few)
            except ImportError as error:
                print(f"{imports}: {name}: not measured ({error})")
                continue
            times = f"{twice / other:.1f} times as many ({twice_wall / other_wall:.1f})"
            print(f"{imports}: {name} {other:.0f} ({other_wall:.0f}); the filter with negative controls makes {times}")
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
