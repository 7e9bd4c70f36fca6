"""Runs a DS-1000 problem's own test functions on a solution. This text is the tests of a program: it runs inside the sandbox."""


def run(context, solution):
    """context: Python source that defines test_execution(solution) and maybe test_string(solution); both must return."""
    import os
    import tempfile

    os.chdir(tempfile.gettempdir())  # some tests draw into a file
    scope: dict = {"__name__": "benchmark"}
    try:
        exec(compile(context, "<benchmark>", "exec"), scope)
    except BaseException as error:
        raise type("ContextFailed", (Exception,), {}) from error
    for name in ("test_execution", "test_string"):
        if name in scope:
            scope[name](solution)
    assert "test_execution" in scope
