"""The system call filters, as BPF programs. A forbidden call fails with EPERM; one of another architecture ends the process.

A list of what is forbidden, not of what is allowed: programs use numerical libraries whose calls differ by version. Calls newer than
the list are refused as if the kernel did not have them.
"""

import errno
import struct

# number on x86_64, number on aarch64; None where the architecture does not have it
_FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "move_pages": (279, 239), "migrate_pages": (256, 238),
    # file systems and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224),
    "swapoff": (168, 225), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "mknod": (133, None), "mknodat": (259, 33),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "statmount": (457, 457), "listmount": (458, 458),
    # kernel interfaces with a history
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "vmsplice": (278, 75), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "lookup_dcookie": (212, 18), "memfd_secret": (447, 447), "seccomp": (317, 277), "uselib": (134, None),
    "modify_ldt": (154, None), "ustat": (136, None), "sysfs": (139, None), "_sysctl": (156, None), "nfsservctl": (180, 42),
    "set_mempolicy": (238, 237), "mbind": (237, 235),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "reboot": (169, 142), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "syslog": (103, 116), "vhangup": (153, 58),
    # what outlives a program or reaches another one
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}  # fmt: skip
_ARCHITECTURE = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _SETNS, _SOCKET, _MEMFD_CREATE = (56, 220), 435, (308, 268), (41, 198), (319, 279)
_NEWEST = 470  # calls above this number did not exist when the list was written
_NAMESPACES = 0x7E020080  # CLONE_NEW* of clone()
_NEWPID = 0x20000000
_AF_UNIX = 1

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EACCES = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS, _ERRNO | errno.EACCES


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("HBBI", code, jt, jf, k)


def _head(machine: str) -> tuple[list[bytes], int]:
    audit, column = _ARCHITECTURE[machine]
    return [_op(_LD, 4), _op(_JEQ, audit, 1, 0), _op(_RET, _KILL), _op(_LD, 0)], column


def sandbox_filter(machine: str) -> bytes:
    """The filter of a whole sandbox. The fork server still makes process namespaces under it (clone with CLONE_NEWPID, setns)."""
    program, column = _head(machine)
    for numbers in _FORBIDDEN.values():
        if (number := numbers[column]) is not None:
            program += [_op(_JEQ, number, 0, 1), _op(_RET, _EPERM)]
    # clone3 keeps its flags in memory, where a filter cannot look; the C library then uses clone.
    program += [_op(_JEQ, _CLONE3, 0, 1), _op(_RET, _ENOSYS)]
    program += [_op(_JEQ, _CLONE[column], 0, 3), _op(_LD, 16), _op(_JSET, _NAMESPACES & ~_NEWPID, 0, 1), _op(_RET, _EPERM), _op(_LD, 0)]
    program += [_op(_JEQ, _SOCKET[column], 0, 4), _op(_LD, 16), _op(_JEQ, _AF_UNIX, 1, 0), _op(_RET, _EACCES), _op(_LD, 0)]
    program += [_op(_JGE, _NEWEST, 0, 1), _op(_RET, _ENOSYS), _op(_RET, _ALLOW)]
    return b"".join(program)


def program_filter(machine: str) -> bytes:
    """What comes on top of it in the process of a program: no namespaces at all, no memory that counts for no process and no file system."""
    program, column = _head(machine)
    for numbers in (_SETNS, _MEMFD_CREATE):
        program += [_op(_JEQ, numbers[column], 0, 1), _op(_RET, _EPERM)]
    program += [_op(_JEQ, _CLONE[column], 0, 3), _op(_LD, 16), _op(_JSET, _NAMESPACES, 0, 1), _op(_RET, _EPERM), _op(_RET, _ALLOW)]
    return b"".join(program)
