"""Scripts of a workflow without the start of an interpreter and the imports for each: for bench_scale.py, whose thousands of jobs have few rows.

    python bench/warm/server.py SOCKET SCRIPT...     imports what the scripts import, then runs scripts in forks of itself

sitecustomize.py beside it hands the scripts of Snakemake's jobs over to it. Each runs as it would alone, with its own output, folder and
environment; seconds and CPU time in its stats are those of its work.
"""

import json
import os
import runpy
import signal
import socket
import sys
import traceback

import snakemake.script  # noqa: F401  which the first lines of every script import


def run(connection: socket.socket) -> None:
    """In a fork: run the script that the other side names, and tell its exit code."""
    message, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 2)
    job = json.loads(message)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = job["arguments"]
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code & 255]))
    os._exit(code & 255)


def main() -> None:
    path, *scripts = sys.argv[1:]
    for script in scripts:
        runpy.run_path(script, run_name="imported")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks need no waiting for
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        if not os.fork():
            server.close()
            run(connection)
        connection.close()


if __name__ == "__main__":
    main()
