"""The keeper of a model server that jobs of one machine share.

The first job that needs the server starts a keeper, a process in a session of its own: it starts the server, tells each job that connects to
its Unix socket where the server is, and stops it when no job is left. A job is there as long as its connection is, which the kernel closes
however the job ends. After a job that took its leave the keeper waits some seconds for the next one, so that the model stays
loaded between the jobs of a run; after a job that was killed it does not. A keeper that is itself killed takes the server with it (Linux).

    python -m selfalign.generation.engines.keeper <socket> <log> <seconds to wait for a next job> <command as JSON>
"""

import contextlib
import http.client
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from selfalign.data.orphans import end_with_parent

BYE = b"bye\n"  # said by a job that is done
ROOM = b"room\n"  # said by a keeper that is about to start another server: an idle one makes room for it
_FIRST_SECONDS = 30.0  # within which the job that started the keeper connects, or is dead
_POLL_SECONDS = 0.2
_STOP_SECONDS = 20.0  # between asking the server to stop and killing it
_CHILDREN_SECONDS = 2.0  # for what it has started to follow it


class _Keeper:
    def __init__(self, path: str, log: str, linger: float, command: list[str]):
        self.path, self.log, self.linger = path, log, linger
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(path)
        self.listening.listen(64)
        self.port = _free_port()
        self.command = [part.replace("{port}", str(self.port)) for part in command]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listening, selectors.EVENT_READ)
        self.jobs: set[socket.socket] = set()
        self.server: subprocess.Popen | None = None
        self.ready = False
        self.leave = 0.0  # time at which to stop if no job comes; 0 is at once

    def keep(self) -> None:
        """Until no job is left, the server ends, or this process is asked to stop."""
        with open(self.log, "wb") as log:
            self.server = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent
            )
        self.leave = time.monotonic() + _FIRST_SECONDS
        while self.jobs or time.monotonic() < self.leave:
            for key, _ in self.selector.select(_POLL_SECONDS):
                if isinstance(key.fileobj, socket.socket) and key.fileobj is not self.listening:
                    self._hear(key.fileobj)
                else:
                    self._welcome()
            if self.server.poll() is not None:
                self._tell({"error": f"it ended with exit code {self.server.returncode} ({last_line(self.log)}); its whole output is in {self.log}"})
                return
            if not self.ready and _answers(self.port):
                self.ready = True
                self._tell({"url": f"http://127.0.0.1:{self.port}/v1"})

    def stop(self) -> None:
        """Stop the server and whatever it has started, and let nobody connect any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listening.close()
        server = self.server
        if server is None:
            return
        _signal(server, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_SECONDS)
        # Its process group outlives the server if a child of it does not listen.
        end = time.monotonic() + _CHILDREN_SECONDS
        while _signal(server, 0) and time.monotonic() < end:
            time.sleep(0.05)
        _signal(server, signal.SIGKILL)
        server.wait()

    def _welcome(self) -> None:
        job, _ = self.listening.accept()
        self.jobs.add(job)
        self.selector.register(job, selectors.EVENT_READ)
        if self.ready:
            _send(job, {"url": f"http://127.0.0.1:{self.port}/v1"})

    def _hear(self, job: socket.socket) -> None:
        """A job says something, or is gone."""
        try:
            said = job.recv(64)
        except OSError:
            said = b""
        self.selector.unregister(job)
        self.jobs.discard(job)
        if self.jobs:
            job.close()
        elif said == ROOM:
            self.stop()  # before this end of the connection closes: the other keeper waits for it
            raise SystemExit(0)
        elif said == BYE:
            self.leave = time.monotonic() + self.linger
            job.close()
        else:
            self.leave = 0.0
            job.close()

    def _tell(self, message: dict) -> None:
        for job in self.jobs:
            _send(job, message)


def _make_room(folder: Path) -> None:
    """Ask every other keeper to stop if it is idle: two servers may not fit into one GPU."""
    for path in folder.glob("*.socket"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.settimeout(2 * _STOP_SECONDS)
            other.connect(str(path))
            other.sendall(ROOM)
            while other.recv(1 << 16):
                pass


def _send(job: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # a job that is gone is heard of in the loop
        job.sendall(json.dumps(message).encode() + b"\n")


def _signal(server: subprocess.Popen, number: int) -> bool:
    """Send a signal to the server's process group; whether there was anybody to get it."""
    try:
        os.killpg(server.pid, number)
    except ProcessLookupError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _answers(port: int) -> bool:
    """Whether the server has its model loaded: only then it lists it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_line(log: str) -> str:
    """What a server said last, or its last line that names an error."""
    lines = [" ".join(line.split()) for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["no output"])[-1][:300]


def main() -> None:
    path, log, linger, command = sys.argv[1:]
    _make_room(Path(path).parent)  # before this keeper can itself be asked
    keeper = _Keeper(path, log, float(linger), json.loads(command))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        keeper.keep()
    except OSError as error:
        keeper._tell({"error": f"{keeper.command[0]}: {error.strerror or error}"})
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.stop()


if __name__ == "__main__":
    main()
