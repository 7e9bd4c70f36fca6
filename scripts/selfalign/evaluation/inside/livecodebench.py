"""Runs a solution on a LiveCodeBench problem's tests. This text is the tests of a program: it runs inside the sandbox.

Every test runs in a process of its own that is forked before the solution is loaded, so that nothing that a solution does reaches the next
test or what decides. A function's result comes back as JSON. The rules are those of LiveCodeBench's lcb_runner/evaluation/testing_util.py:
a function's result must equal the expected value, a tuple counting as a list; of printed lines each must be the same without white space at
its ends, or the same decimal numbers.
"""


def run(packed):
    """packed: base64 of zlib of JSON: solution, head (what is imported for it), function ("" for a program that reads and prints), seconds
    per test, tests (pairs of input and output), tell (raise an exception whose name says what went wrong, for self-repair)."""
    import binascii
    import json
    import os
    import signal
    import sys
    import tempfile
    import zlib
    from decimal import Decimal, InvalidOperation

    task = json.loads(zlib.decompress(binascii.a2b_base64(packed)))
    function = task["function"]
    sys.setrecursionlimit(50_000)
    folder = tempfile.gettempdir()
    paths = [os.path.join(folder, name) for name in ("input", "output")]

    def failure(name):
        return type(name, (Exception,), {})

    def plain(value, of_tuple=lambda items: {"tuple": items}):
        """A result as JSON has it: a tuple is taken for a list, but one within it is none."""
        if isinstance(value, (list, tuple)):
            items = [plain(item) for item in value]
            return of_tuple(items) if isinstance(value, tuple) else items
        return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    def answer(text):
        """In the forked process: load the solution and run it on one test; what it prints or returns goes to the output file."""
        signal.setitimer(signal.ITIMER_PROF, task["seconds"])  # its end kills the process
        signal.setitimer(signal.ITIMER_REAL, 10 * task["seconds"])
        with open(paths[0], "w", encoding="utf-8") as file:
            file.write("" if function else text)
        source = os.open(paths[0], os.O_RDONLY)
        target = os.open(paths[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open("/dev/null", os.O_WRONLY)
        for file, number in ((source, 0), (null if function else target, 1), (null, 2)):
            os.dup2(file, number)
        sys.stdin, sys.stdout = open(0, encoding="utf-8", closefd=False), open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        scope: dict = {"__name__": "__main__" if not function else "solution"}
        exec(compile(task["head"], "<head>", "exec"), scope)
        try:
            exec(compile(task["solution"], "<implementation>", "exec"), scope)
        except SystemExit:
            if function:
                raise
        if function:
            arguments = [json.loads(line) for line in text.split("\n") if line.strip()]
            owner = scope["Solution"]() if "Solution" in scope else None
            value = (getattr(owner, function) if owner is not None else scope[function])(*arguments)
            os.write(target, json.dumps(plain(value, list), default=lambda number: number.item()).encode())  # numpy has numbers of its own
        sys.stdout.flush()

    def outcome(text):
        """"" if a process ran the test to its end, else what ended it."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reader)
                answer(text)
                code = 0
            except BaseException as error:
                os.write(writer, type(error).__name__.encode()[:40])
            finally:
                os._exit(code)
        os.close(writer)
        name = os.read(reader, 40).decode("utf-8", "replace")
        os.close(reader)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            late = os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM)
            return "TimeLimit" if late else signal.Signals(os.WTERMSIG(status)).name
        return "" if status == 0 else name or "Exit"

    def numbers(line):
        try:
            return [Decimal(word) for word in line.split()]
        except InvalidOperation:
            return None

    def same_text(found, expected):
        one, other = ([line.strip() for line in text.strip().split("\n")] for text in (found, expected))
        if len(one) != len(other):
            return False
        return all([a == b or (numbers(a) is not None and numbers(a) == numbers(b)) for a, b in zip(one, other, strict=True)])

    for number, (text, expected) in enumerate(task["tests"]):
        ended = outcome(text)
        if ended:
            raise failure(f"{number} {ended}" if task["tell"] else ended)
        with open(paths[1], encoding="utf-8", errors="replace") as file:
            found = file.read()
        if function:
            try:
                right = json.loads(found) == json.loads(expected)
            except ValueError:
                right = False
        else:
            right = same_text(found, expected)
        if not right and task["tell"]:
            raise failure(f"{number} WrongAnswer " + " ".join(found.split())[:40])
        assert right
