"""Runs a solution on a task's inputs and compares what it returns as EvalPlus 0.3.1 does (evalplus/eval/__init__.py, unsafe_execute).

This text is the implementation of a program, which runs inside the sandbox; its tests go through run() and assert (evaluation/evalplus.py).
The reference runs in a process of its own that is forked before the solution is loaded, and only as far as the solution is right; its
results arrive as bytes. The functions that compare are held in local variables. So nothing that the solution changes reaches what it is
compared with.
"""


def run(packed):
    """A generator of (result, expected, right) per input: right(result == expected) says whether EvalPlus takes the result.

    packed: marshal, in hexadecimal, of a dict with solution, reference, entry, mbpp (true, or false for HumanEval), atol, and
    parts: marshalled lists of inputs (base, plus), each judged with a fresh copy of the solution."""
    # Only modules that are built into the interpreter or loaded already: this runs for every sample.
    import _signal as signal  # pyright: ignore[reportMissingImports]  # no type hints know it
    import marshal
    import os
    import sys
    from builtins import abs, all, bytearray, bytes, compile, exec, float, int, isinstance, len, list, max, memoryview, set, sum, tuple, type, zip  # noqa: UP029
    from math import isfinite
    from time import process_time

    task = marshal.loads(bytes.fromhex(packed))
    load, clock, arm, read, readv, write = marshal.loads, process_time, signal.setitimer, os.read, os.readv, os.write
    parts = [(number, place) for number, part in enumerate(task["parts"]) for place in range(len(load(part)))]
    entry, mbpp = task["entry"], task["mbpp"]
    known = mbpp and entry in ("check_str", "text_match_three", "text_starta_endb")  # only whether there is a result counts
    as_sets = mbpp and entry in (
        *("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum", "intersection_array"),
        *("find_dissimilar", "Diff"),
    )
    allclose = None
    if "numpy" in task["solution"] or "numpy" in task["reference"]:
        from numpy import allclose
    sys.stdout = sys.stderr = open("/dev/null", "w")  # noqa: SIM115

    def freeze(value):
        try:
            return False, marshal.dumps(value)
        except ValueError:  # not of a built-in type
            import pickle

            return True, pickle.dumps(value)

    def thaw(pickled, frozen):
        if not pickled:
            return load(frozen)
        import pickle

        return pickle.loads(frozen)

    def answer_with_reference(requests, results):
        """In the forked process: for every byte that comes, the results of the next inputs, as many as 20 ms allow."""
        scope = {}
        exec(compile(task["reference"], "<reference>", "exec"), scope)
        fresh = [load(part) for part in task["parts"]]
        found = []
        begun = clock()
        for done, (number, place) in enumerate(parts, 1):
            start = clock()
            value = scope[entry](*fresh[number][place])
            limit = max(1.0, 4.0 * (clock() - start))
            found.append((*freeze(value is not None if known else value), limit))
            value = None
            if clock() - begun > 0.02 or done == len(parts):
                read(requests, 1)
                header = marshal.dumps([(pickled, len(frozen), limit) for pickled, frozen, limit in found])
                send(results, len(header).to_bytes(8, "little") + header)
                for _, frozen, _ in found:
                    send(results, frozen)
                frozen = None
                found = []
                begun = clock()

    # Some results are of hundreds of MB: each is held once.
    def send(results, message):
        rest = memoryview(message)
        while len(rest):
            rest = rest[write(results, rest) :]

    def receive(size):
        data = bytearray(size)
        rest = memoryview(data)
        while len(rest):
            count = readv(answers, [rest])
            if not count:
                raise type("ReferenceFailed", (Exception,), {})
            rest = rest[count:]
        rest = None
        return bytes(data)  # which no solution can change

    (reading, asks), (answers, writing) = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            os.close(asks)
            os.close(answers)
            answer_with_reference(reading, writing)
        finally:
            os._exit(0)
    os.close(reading)
    os.close(writing)

    def close(out, exp, atol):
        """numpy.allclose(out, exp, rtol=1e-07, atol=atol)"""
        if type(exp) is float:
            pairs = [(out, exp)]
        elif type(exp) in (list, tuple) and all([type(x) is float for x in (*out, *exp)]):
            pairs = zip(out, exp, strict=False)
        else:
            pairs = None
        if pairs is not None:
            return all([x == y or (isfinite(y) and abs(x - y) <= atol + 1e-07 * abs(y)) for x, y in pairs])
        if allclose is None:
            import numpy

            return numpy.allclose(out, exp, rtol=1e-07, atol=atol)
        return allclose(out, exp, rtol=1e-07, atol=atol)

    def as_long(out, exp):
        return not isinstance(exp, (list, tuple)) or len(out) == len(exp)

    def is_floats(exp):
        if isinstance(exp, (list, tuple)):
            return len(exp) > 0 and all([isinstance(x, float) for x in exp])
        return isinstance(exp, float) or getattr(exp, "dtype", None) in ("float64", "float32")

    def right(same, out, exp, fresh, atol):
        """Does EvalPlus take `out`, which is or is not the `same` as `exp`? fresh: the arguments again, where its rule needs them."""
        if not mbpp and entry == "find_zero":
            return False  # 0.3.1 forgets to count what it has accepted there, and then says fail to every solution
        if mbpp:
            if entry == "are_equivalent":
                return True
            if entry == "sum_div":
                same = same or out == 0
            elif entry == "surface_Area":
                same = same or (isinstance(out, (int, float)) and abs(out - surface(*fresh)) <= atol)
            elif entry == "digit_distance_nums":
                same = same or out == digit_distance(*fresh)
            elif as_sets:
                same = set(out) == set(exp)
            elif known:
                same = out == exp if isinstance(out, bool) else exp == (out is not None)
        if same or atol == 0:
            return same
        return type(out) == type(exp) and as_long(out, exp) and close(out, exp, atol)  # noqa: E721

    def surface(edge, height):
        """Of a square pyramid: Mbpp/581 with the height as that of the apex."""
        return round(edge**2 + 2 * edge * ((edge / 2) ** 2 + height**2) ** 0.5)

    def digit_distance(a, b):
        """Mbpp/558 with the shorter number padded by zeros."""
        a, b = str(a), str(b)
        size = max(len(a), len(b))
        return sum([abs(int(x) - int(y)) for x, y in zip(a.zfill(size), b.zfill(size), strict=True)])

    code = compile(task["solution"], "<implementation>", "exec")
    expected = ()
    for part in task["parts"]:
        scope = {}
        exec(code, scope)
        atol = task["atol"]
        for place, inputs in enumerate(load(part)):
            if not expected:
                write(asks, b"?")
                header = load(receive(int.from_bytes(receive(8), "little")))
                expected = tuple([(pickled, receive(size), limit) for pickled, size, limit in header])
            (pickled, frozen, limit), expected = expected[0], expected[1:]
            # The end of its CPU time kills the process: no solution can catch that. The other clock is for what sleeps.
            arm(signal.ITIMER_PROF, limit)
            arm(signal.ITIMER_REAL, 20 * limit)
            out = scope[entry](*inputs)
            arm(signal.ITIMER_PROF, 0)
            arm(signal.ITIMER_REAL, 0)
            exp = thaw(pickled, frozen)
            frozen = None
            if atol == 0 and is_floats(exp):
                atol = 1e-6  # also for the inputs that follow
            # After the call, from what no solution has seen.
            fresh = load(part)[place] if entry in ("surface_Area", "digit_distance_nums") else None
            yield out, exp, lambda same, out=out, exp=exp, fresh=fresh, atol=atol: right(same, out, exp, fresh, atol)
