"""From the texts of a program to what its process runs: compiled and instrumented once, for the program and its negative control.

Runs in a process of the sandbox that stays (server.h: compiler()) and runs nothing of any program; in the program's own process only where
that one had no answer: what is hard to compile harms nobody else, and its verdict is the same.
"""

import ast
import marshal
import sys

import hollow
import instrument

FUTURE = 0x1FE0000  # the flags of `from __future__` imports
NOTHING, EXCEPTION, SYNTAX_ERROR, NO_CODE, NO_TESTS, EXIT, FORBIDDEN = range(7)
IN_IMPLEMENTATION, IN_TESTS = 1, 2
# Who names one of these may look for the program's file: its source, or a new interpreter that is to have its functions.
_NEED_FILE = ("inspect", "__file__", "spawn", "forkserver", *(("multiprocessing", "ProcessPool") if sys.version_info >= (3, 14) else ()))


def imports_forbidden(sources) -> bool:
    """Does one of the sources import ctypes or cffi itself?"""
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("__import__", "import_module"):
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                names = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
            else:
                continue
            if any(part in ("ctypes", "_ctypes", "cffi", "_cffi_backend") for name in names for part in name.split(".")):
                return True
    return False


def is_empty(source: str) -> bool:
    """Nothing but blank lines and comments?"""
    return all(not line.strip() or line.strip().startswith("#") for line in source.splitlines())


def prepare(job: bytes) -> tuple:
    """("end", outcome, where, line, name) for a program that cannot start, else ("run", implementation, parts of the tests as instrument()
    returns them, names that the implementation imports, [(file name, text)] for `inspect`, the two texts of the file that the program
    seems to be, for new interpreters, or nothing); all of types that marshal knows.

    job: length of the implementation (8 bytes, little endian); implementation; tests.
    """
    size = int.from_bytes(job[:8], "little")
    where = IN_IMPLEMENTATION
    try:
        code = job[8 : 8 + size].decode("utf-8", "surrogatepass")
        tests = job[8 + size :].decode("utf-8", "surrogatepass")
        if is_empty(code):
            return "end", NO_CODE, 0, 0, ""
        compiled = compile(code, "<implementation>", "exec", dont_inherit=True)
        where = IN_TESTS
        if is_empty(tests):
            return "end", NO_TESTS, 0, 0, ""
        exits = any(word in source for source in (tests, code) for word in ("exit", "Exit", "quit", "main("))
        parts = instrument.instrument(tests, compiled.co_flags & FUTURE, exits)
        if any(word in source for source in (code, tests) for word in ("ctypes", "cffi")) and imports_forbidden((code, tests)):
            return "end", FORBIDDEN, 0, 0, ""
        imported = hollow.imported_names(ast.parse(code)) if "import" in code else set()
    except MemoryError:
        return "end", SYNTAX_ERROR, where, 0, "MemoryError"
    except (SyntaxError, ValueError, RecursionError, OverflowError, SystemError) as error:
        return "end", SYNTAX_ERROR, where, getattr(error, "lineno", 0) or 0, type(error).__name__
    sources = [("<implementation>", code), ("<tests>", tests)] if "inspect" in code or "inspect" in tests else []
    return "run", compiled, parts, imported, sources, (code, tests) if any(word in code + tests for word in _NEED_FILE) else ()


def compiled(job: bytes) -> bytes:
    """What prepare() gives, as bytes; empty if the program cannot start."""
    prepared = prepare(job)
    return marshal.dumps(prepared) if prepared[0] == "run" else b""
