"""Builds the sandbox around itself, then becomes the fork server. Stage 1 (file system, network) is bubblewrap's where that is used.

argv: a JSON object, see execution/sandbox.py. Everything here is done once per worker, so plain system calls through ctypes do.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 0x8000, 1, 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAP_AMBIENT, PR_SET_DUMPABLE = 1, 38, 22, 47, 4
CAP_SYS_ADMIN = 21
# System calls that have the same number on all architectures.
SYS_OPEN_TREE, SYS_MOVE_MOUNT = 428, 429
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Failure(Exception):
    """A step that this machine does not allow."""


def check(result: int, what: str) -> int:
    if result < 0:
        raise Failure(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    check(libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def make_read_only(target: str) -> None:
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    check(libc.syscall(SYS_MOUNT_SETATTR, -100, target.encode(), AT_RECURSIVE, attributes, len(attributes)), f"read-only {target}")


def take_tree(path: str) -> int:
    """A copy of the mounts at `path` that lies nowhere yet, whatever is mounted over `path` later."""
    return check(libc.syscall(SYS_OPEN_TREE, -100, path.encode(), AT_RECURSIVE | os.O_CLOEXEC | 1), f"copy of {path}")


def put_tree(tree: int, target: str, folder: bool) -> None:
    """Attach what take_tree() gave, read-only, at `target`, which is made."""
    os.makedirs(target if folder else os.path.dirname(target), exist_ok=True)
    if not folder and not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT, 0o644))
    check(libc.syscall(SYS_MOVE_MOUNT, tree, b"", -100, target.encode(), 4), f"bind {target}")
    os.close(tree)
    make_read_only(target)


def map_user(proc: int, uid: int, gid: int, inner: int) -> None:
    """In a new user namespace: host user `uid` is `inner` in here."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inner} {uid} 1"), ("gid_map", f"{inner} {gid} 1")):
        try:
            file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
            os.write(file, text.encode())
            os.close(file)
        except OSError as error:
            raise Failure(f"user namespace, {name}: {error.strerror}") from None


def build_root(spec: dict) -> None:
    """Stage 1 without bubblewrap: new mount, network, IPC and UTS namespaces, and a root with nothing but what `spec` names."""
    unprivileged = os.geteuid() != 0
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    check(libc.unshare(flags | (CLONE_NEWUSER if unprivileged else 0)), "new namespaces")
    if unprivileged:
        map_user(spec["proc"], uid, gid, uid)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    trees = [(source, take_tree(source), os.path.isdir(source)) for source in spec["read_only"]]
    # The new root is put together under /tmp, which every machine has; nobody outside this mount namespace sees it.
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    root = "/tmp/root"
    os.mkdir(root, 0o755)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for target, content in spec["links"]:
        os.makedirs(os.path.dirname(root + target), exist_ok=True)
        os.symlink(content, root + target)
    for source, tree, folder in trees:
        put_tree(tree, root + source, folder)
    for name in ("null", "zero", "full", "random", "urandom"):
        target = f"{root}/dev/{name}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT, 0o666))
        mount(f"/dev/{name}", target, None, MS_BIND)
    for folder in ("tmp", "dev/shm"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    os.chdir(root)
    machine = os.uname().machine
    check(libc.syscall(SYS_PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")
    mount("none", "/", None, MS_BIND | 32 | MS_RDONLY | MS_NOSUID | MS_NODEV)


def die_with_parent() -> None:
    """To be said again after each change of user, user namespace or capabilities: the kernel forgets it then."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become_unprivileged(uid: int) -> None:
    """root does not start programs: process limits do not bind it."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    die_with_parent()


def own_namespaces(spec: dict) -> None:
    """Stage 2: a user namespace in which the fork server may make process namespaces, and nothing else; fresh /tmp and /dev/shm."""
    uid, gid = os.geteuid(), os.getegid()
    # The files in /proc/self belong to root unless the process is dumpable; a change of user has reset that.
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID), "new user and process namespaces")
    map_user(spec["proc"], uid, gid, 1000)
    os.close(spec["proc"])
    hidden = [(path, take_tree(path), os.path.isdir(path)) for path in spec["read_only"] if path.startswith("/tmp/")]
    for folder, size in (("/tmp", spec["disk_mb"]), ("/dev/shm", spec["shared_mb"])):
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={size}m,nr_inodes={spec['inodes']}")
    # A Python that lies in /tmp comes back on top, below a folder that is a mount of its own, so that programs cannot rename it away.
    tops = sorted({"/".join(path.split("/")[:3]) for path, _, _ in hidden})
    for top in tops:
        if top not in spec["read_only"]:
            os.mkdir(top)
            mount("tmpfs", top, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path, tree, folder in hidden:
        put_tree(tree, path, folder)
    for top in tops:
        make_read_only(top)
    die_with_parent()
    child = os.fork()
    if child:
        # The fork server is the first process of its process namespace. Whoever kills us kills it, and the kernel everything in there.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: os.kill(child, signal.SIGKILL))
        os.close(spec["socket"])
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent()


def keep_one_capability() -> None:
    """CAP_SYS_ADMIN of the own user namespace, for new process namespaces, survives the exec; no other does."""
    bit = 1 << CAP_SYS_ADMIN
    head = struct.pack("Ii", 0x20080522, 0)
    data = struct.pack("IIIIII", bit, bit, bit, 0, 0, 0)
    check(libc.syscall(SYS_CAPSET[os.uname().machine], head, data), "capset")
    check(libc.prctl(PR_CAP_AMBIENT, 2, CAP_SYS_ADMIN, 0, 0), "ambient capability")


def restrict_files(readable: list[str], writable: list[str]) -> None:
    """Landlock, where the kernel has it: a second lock on the file system, on TCP, and on signals and sockets to the outside."""
    version = libc.syscall(SYS_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    files = (1 << 13) - 1
    if version >= 2:
        files |= 1 << 13
    if version >= 3:
        files |= 1 << 14
    if version >= 5:
        files |= 1 << 15
    attributes = struct.pack("QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = check(libc.syscall(SYS_LANDLOCK_CREATE, attributes, size, 0), "Landlock")
    read = 1 | 4 | 8  # execute, read a file, read a folder
    for paths, allowed in ((readable, read), (writable, files)):
        for path in paths:
            try:
                file = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            rights = allowed if os.path.isdir(path) else allowed & (1 | 2 | 4 | 1 << 14 | 1 << 15)
            check(libc.syscall(SYS_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, file), 0), f"Landlock {path}")
            os.close(file)
    check(libc.syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0), "Landlock")
    os.close(ruleset)


def install_filter(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    check(libc.prctl(PR_SET_SECCOMP, 2, fprog, 0, 0), "seccomp")


def main() -> None:
    spec = json.loads(sys.argv[1])
    die_with_parent()
    try:
        if spec["sandbox"] == "namespaces":
            build_root(spec)
        if spec["uid"]:
            become_unprivileged(spec["uid"])
        if spec["sandbox"] != "none":
            own_namespaces(spec)
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        if spec["sandbox"] != "none":
            keep_one_capability()
            die_with_parent()
            restrict_files([*spec["read_only"], "/dev"], ["/tmp", "/dev/shm", "/dev/null"])
            install_filter(bytes.fromhex(spec["filter"]))
    except Failure as failure:
        os.write(spec["socket"], b"f" + str(failure).encode()[:400])
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 64 << 20))
    # No address randomisation: what depends on addresses (the order of a set of objects) is the same in every run.
    libc.personality(0x0040000)
    os.set_inheritable(spec["socket"], True)
    os.chdir("/tmp")
    os.execve(spec["command"][0], spec["command"], spec["environment"])


main()
