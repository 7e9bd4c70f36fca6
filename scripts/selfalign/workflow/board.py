"""A line for each running job, redrawn in place, where standard error is a terminal; what jobs say for good stands above."""

import atexit
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from selfalign.data.job import BOARD, Said, read_said

_A_SECOND = 4  # redraws


class Board:
    """Shows what this machine's jobs send to the socket that `selfalign.data.job.BOARD` names in their environment."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._jobs: dict[int, str] = {}  # process: its newest line
        self._folder: str | None = None
        self._handlers: list[tuple[logging.StreamHandler, object]] = []

    def start(self, handlers: Iterable[logging.StreamHandler] = ()) -> None:
        """Take over the terminal, if there is one; what these log handlers write to it is put above the lines."""
        if self._folder or not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        self._folder = tempfile.mkdtemp(prefix="selfalign-board-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address := str(Path(self._folder) / "socket"))
        os.environ[BOARD] = address
        self._live = Live(console=self._console, get_renderable=self._lines, refresh_per_second=_A_SECOND, transient=True)
        self._live.start()
        self._console.show_cursor(True)  # a run that is killed would leave a terminal without one
        self._handlers = [(handler, handler.setStream(sys.stderr)) for handler in handlers]
        self._listener = threading.Thread(target=self._listen, args=(self._socket,), daemon=True)
        self._listener.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Give the terminal back."""
        if not self._folder:
            return
        os.environ.pop(BOARD, None)
        folder, self._folder = self._folder, None
        self._socket.shutdown(socket.SHUT_RDWR)  # what was sent before is still read
        self._listener.join(timeout=5)
        self._jobs.clear()
        self._live.stop()
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers.clear()
        shutil.rmtree(folder, ignore_errors=True)

    def _listen(self, receiver: socket.socket) -> None:
        while data := receiver.recv(1 << 16):
            self._show(read_said(data))

    def _show(self, said: Said) -> None:
        if said.passing:
            self._jobs[said.process] = said.line
        else:
            self._jobs.pop(said.process, None)  # mostly the job's last word; it comes back with the next passing line
            self._live.refresh()
            self._console.print(Text(said.line))

    def _lines(self) -> Group:
        # A job that has ended has no line; one that was killed could not say so.
        for process in [process for process in self._jobs if not Path(f"/proc/{process}").exists()]:
            self._jobs.pop(process, None)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis", style="cyan") for line in list(self._jobs.values())))
