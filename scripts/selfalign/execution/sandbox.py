"""Which isolation this machine offers, and the command that starts a fork server in it."""

import ctypes
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from selfalign.data.errors import ConfigError, SandboxError
from selfalign.data.interpreter import ask_python
from selfalign.data.job import say
from selfalign.execution.seccomp import program_filter, sandbox_filter

INSIDE = Path(__file__).parent / "inside"
INSTALL = "apt-get install bubblewrap, or conda install -c conda-forge bubblewrap"
DISK_MB, SHARED_MB, INODES = 256, 128, 20_000  # of /tmp and /dev/shm in a sandbox

_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "user",
    "LOGNAME": "user",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    # One arena instead of one per thread: an arena reserves 64 MB of the address space that a program may have.
    "MALLOC_ARENA_MAX": "1",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
}


@dataclass(frozen=True)
class Python:
    """An interpreter for programs. `paths`: what of the file system it needs, read-only. `fingerprint`: of version and packages."""

    executable: str
    paths: tuple[str, ...]
    fingerprint: str


_DESCRIBE = """
import json, os, sys, sysconfig
from importlib.metadata import distributions
paths = {os.path.realpath(sys.executable), *(sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib"))}
paths |= {p for p in sys.path if p and os.path.exists(p) and (p.startswith(sys.prefix) or p.startswith(sys.base_prefix))}
link = sys.executable
while True:
    paths.add(link)
    if not os.path.islink(link): break
    link = os.path.join(os.path.dirname(link), os.readlink(link))
for prefix in {sys.prefix, sys.base_prefix}:
    if prefix not in ("/usr", "/usr/local", "/"): paths.add(prefix)
packages = sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()})
print(json.dumps({"paths": sorted(p for p in paths if p and os.path.exists(p)), "packages": packages, "version": sys.version,
                  "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED"))}))
"""


@cache
def python_for_programs(executable: str = "") -> Python:
    """The interpreter `executable`, "" for the running one. SandboxError if it does not work."""
    try:
        executable, facts = ask_python(executable, _DESCRIBE)
    except ConfigError as error:
        raise SandboxError(str(error)) from None
    if facts["free_threaded"]:
        raise SandboxError(f"execution.python: {executable} is a free-threaded build, which the execution filter cannot use; name another one")
    digest = hashlib.sha256(json.dumps([facts["version"], facts["packages"], platform.machine()]).encode()).hexdigest()
    return Python(executable, tuple(_without_nested(facts["paths"])), digest)


def _without_nested(paths: list[str]) -> list[str]:
    """`paths` without those that lie in another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept


def _system_paths() -> tuple[list[str], list[tuple[str, str]]]:
    """Shared libraries and time zones of the system: (folders and files, symbolic links)."""
    paths, links = [], []
    for path in ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/nix/store"):
        if os.path.islink(path) and path.count("/") == 1:
            links.append((path, os.readlink(path)))
        elif os.path.exists(path):
            paths.append(path)
    return paths, links


@cache
def guard_library() -> str:
    """Path of the compiled guard (inside/guard.c); compiled when it is first needed, for this machine."""
    source = INSIDE / "guard.c"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    sources = b"".join(path.read_bytes() for path in [source, *sorted(INSIDE.glob("*.h"))])
    key = hashlib.sha256(sources + platform.machine().encode()).hexdigest()[:16]
    folder = INSIDE / "__pycache__"
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    target = folder / f"guard-{key}.so"
    if not target.exists():
        if not compiler:
            raise SandboxError("the execution filter needs a C compiler once (cc, gcc or clang); install one, or compile on a machine that has it")
        if not writable:
            target = Path(tempfile.mkdtemp(prefix="selfalign-guard-")) / target.name
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        command = [*compiler.split(), "-O2", "-shared", "-fPIC", "-o", str(temporary), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            first = next(iter(done.stderr.splitlines()), "no message")
            raise SandboxError(f"the execution filter's C part does not compile ({first}); check the C compiler or set CC")
        os.replace(temporary, target)
    return str(target)


def _unprivileged_user() -> int:
    """A host user for programs when we are root: one of its own per sandbox where our user namespace is large enough, else nobody."""
    with open("/proc/self/uid_map") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    top = max(start + length for start, _, length in ranges)
    if top > 2_000_000_000:
        return 1_900_000_000 + int.from_bytes(os.urandom(3), "big")
    return 65534 if top > 65534 else top - 1


def _bubblewrap(read_only: list[str], links: list[tuple[str, str]], root: bool) -> list[str]:
    """The bwrap command up to the program that it starts: the root file system, without network."""
    command = [shutil.which("bwrap") or "bwrap", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--dev", "/dev"]
    # bwrap makes the folders above a bind mount readable for their owner only, who is not the user that programs run as.
    for folder in sorted({str(parent) for path in read_only for parent in Path(path).parents} - {"/"}):
        command += ["--perms", "0755", "--dir", folder]
    for path in read_only:
        command += ["--ro-bind", path, path]
    for path, content in links:
        command += ["--symlink", content, path]
    if root:
        # enter.py leaves root at once.
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*command, "--dir", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def start_server(kind: str, python: Python, modules: tuple[str, ...], home: str) -> tuple[subprocess.Popen, socket.socket, int]:
    """Start a fork server in a sandbox of `kind` (bubblewrap, namespaces, none) that has loaded `modules`. home: its folder, "" for its own /tmp.

    Returns its process, our end of its socket, and a file with what it writes to standard error.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    machine = platform.machine()
    guard = guard_library()
    system, links = _system_paths()
    read_only = _without_nested([*python.paths, *system, str(INSIDE), os.path.dirname(guard)])
    number = theirs.fileno()
    isolated = int(kind != "none")
    server = [python.executable, "-s", "-P", "-B", str(INSIDE / "zygote.py")]
    server += [guard, str(number), str(isolated), ",".join(modules), program_filter(machine).hex()]
    root = os.geteuid() == 0
    environment = dict(_ENVIRONMENT)
    if home:
        environment |= dict.fromkeys(("TMPDIR", "HOME"), home)
    spec = {
        "sandbox": kind,
        "proc": proc,
        "socket": number,
        "uid": _unprivileged_user() if root and isolated else 0,
        "read_only": read_only,
        "links": links,
        "filter": sandbox_filter(machine).hex(),
        "disk_mb": DISK_MB,
        "shared_mb": SHARED_MB,
        "inodes": INODES,
        "command": server,
        "environment": environment,
    }
    command = [python.executable, "-I", "-S", "-B", str(INSIDE / "enter.py"), json.dumps(spec)]
    if kind == "bubblewrap":
        command = [*_bubblewrap(read_only, links, root), *command]
    told = os.memfd_create("sandbox")
    process = subprocess.Popen(
        command, pass_fds=(number, proc), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, env=environment, cwd="/",
        start_new_session=True,
    )  # fmt: skip
    os.close(proc)
    theirs.close()
    return process, ours, told


@cache
def try_sandbox(kind: str, executable: str = "") -> str:
    """Why sandboxes of `kind` do not work here; "" if they do. Starts one."""
    from selfalign.execution.worker import Worker

    if kind == "bubblewrap" and not shutil.which("bwrap"):
        return "bwrap is not installed"
    try:
        worker = Worker(kind, python_for_programs(executable), ())
        worker.wait_ready()
        worker.close()
    except SandboxError as error:
        return str(error)
    return ""


@cache
def choose_sandbox(wanted: str, executable: str = "") -> str:
    """The kind of sandbox to use for the config's `sandbox`; SandboxError where this machine cannot isolate in that way."""
    python_for_programs(executable)
    guard_library()  # what is wrong with these is no matter of isolation
    if wanted == "none":
        return wanted
    problems = {}
    for kind in ["bubblewrap", "namespaces"] if wanted == "auto" else [wanted]:
        problems[kind] = try_sandbox(kind, executable)
        if not problems[kind]:
            if problems.get("bubblewrap"):
                say(f"execution filter: no bubblewrap here, so Linux namespaces, seccomp and Landlock isolate the programs ({INSTALL})")
            return kind
    told = "; ".join(f"{kind}: {problem}" for kind, problem in problems.items())
    raise SandboxError(f"this machine cannot isolate programs ({told}); {INSTALL}; execution.sandbox: none runs them without isolation")


def facts() -> dict[str, str]:
    """What the kernel offers and who we are, for `selfalign sandbox --check`."""

    def read(path: str) -> str:
        try:
            return Path(path).read_text().strip()
        except OSError:
            return ""

    libc = ctypes.CDLL(None, use_errno=True)
    landlock = libc.syscall(444, None, 0, 1)
    spaces = read("/proc/sys/user/max_user_namespaces")
    return {
        "kernel": f"{platform.release()} on {platform.machine()}",
        "user": "root: programs run as an unprivileged host user" if os.geteuid() == 0 else f"ordinary, number {os.geteuid()}",
        "user namespaces": "none allowed (user.max_user_namespaces)" if spaces == "0" else f"up to {spaces}" if spaces else "unknown",
        "seccomp": read("/proc/sys/kernel/seccomp/actions_avail") or "unknown",
        "landlock": f"version {landlock}" if landlock > 0 else "not in this kernel (a second lock only)",
        "bwrap": shutil.which("bwrap") or f"not installed ({INSTALL})",
    }
