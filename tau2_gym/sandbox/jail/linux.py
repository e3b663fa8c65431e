"""What the Linux kernel is asked for: namespaces, a root of its own, and fewer system calls.

Runs in a process of its own with nothing but the standard library. Sources: user_namespaces(7),
mount_namespaces(7), pivot_root(2), mount_setattr(2), seccomp(2), capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    *(0x00020000, 0x04000000, 0x08000000),
    *(0x10000000, 0x20000000, 0x40000000),
)
APART = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
"""All that a jail has of its own, but for the user."""

RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH, COLLAPSE = 2, 25
NOBODY = 65534

_libc = ctypes.CDLL(None, use_errno=True)
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_MOUNT_SETATTR, _PIVOT_ROOT = 442, (155, 41)

DENIED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Memory that belongs to no process, which limits on processes do not see.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # Parts of the kernel that are large, and that programs of this kind do without.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "personality": (135, 92),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}
"""System calls that fail with EPERM, by their numbers on x86-64 and on arm64."""

_CLONE, _CLONE3, _SOCKET = (56, 220), 435, (41, 198)
_NAMESPACES = NEWNS | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | 0x02000000
_FAMILIES = (1, 2, 10)
"""Sockets of Unix, IPv4 and IPv6 only: others, vsock for one, do not know network namespaces."""


class Refused(Exception):
    """The kernel does not allow what a jail needs."""


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise Refused(f"{what}: {os.strerror(number)} ({errno.errorcode.get(number, number)})")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def machine() -> int:
    """Which column of the tables this machine is.

    Raises:
        Refused: none.
    """
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        raise Refused(f"{sys.platform} on {platform.machine()} is not supported")
    return _MACHINES[platform.machine()][1]


def unshare(flags: int) -> None:
    """Leave the namespaces of the parent."""
    _check(_libc.unshare(flags), "no new namespaces")


def become(uid: int, outside: int, group: int) -> None:
    """Be user and group `uid` in a user namespace that has just been made.

    Args:
        outside, group: who this is outside of it.
    """
    for name, text in (
        ("setgroups", b"deny"),
        ("uid_map", b"%d %d 1" % (uid, outside)),
        ("gid_map", b"%d %d 1" % (uid, group)),
    ):
        with open(f"/proc/self/{name}", "wb", buffering=0) as file:
            file.write(text)


def mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """mount(2)."""
    done = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), flags, _bytes(data))
    _check(done, f"mounting {target}")


def new_root(shown: Sequence[str]) -> None:
    """Have nothing in the file system but the files and folders `shown`, which cannot be written,
    some devices, /proc, and an empty folder /tmp to mount on."""
    mount(None, "/", None, REC | PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    Path("/tmp/old").mkdir()
    number = _PIVOT_ROOT[machine()]
    _check(_libc.syscall(number, b"/tmp", b"/tmp/old"), "changing the root")
    os.chdir("/")
    for path in shown:
        _show(path, writable=False)
    for name in ("null", "zero", "full", "random", "urandom"):
        _show(f"/dev/{name}", writable=True)
    os.symlink("/tmp", "/dev/shm")
    os.symlink("/proc/self/fd", "/dev/fd")
    for folder in ("tmp", "proc"):
        Path("/", folder).mkdir(exist_ok=True)
    mount("proc", "/proc", "proc", NOSUID | NODEV)  # Allowed only where the old one is still seen.
    _check(_libc.umount2(b"/old", DETACH), "leaving the old root")
    Path("/old").rmdir()


def close_root() -> None:
    """Let nobody write into the root any more."""
    mount(None, "/", None, REMOUNT | RDONLY | NOSUID | NODEV)


def _show(path: str, *, writable: bool) -> None:
    source, target = Path("/old" + path), Path(path)
    if not os.path.lexists(source) or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(source), str(target), None, BIND | REC)
    if not writable:
        attributes = struct.pack("QQQQ", RDONLY | NOSUID | NODEV, 0, 0, 0)
        done = _libc.syscall(_MOUNT_SETATTR, -100, os.fsencode(target), 0x8000, attributes, 32)
        _check(done, f"making {target} read-only (Linux 5.12 can)")


def give_up_power() -> None:
    """Drop all capabilities, for good, and the system calls that are `DENIED`."""
    which = machine()
    for capability in range(64):
        if _libc.prctl(24, capability, 0, 0, 0) < 0:  # PR_CAPBSET_DROP
            break
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _check(_libc.capset(header, none), "dropping capabilities")
    _check(_libc.prctl(38, 1, 0, 0, 0), "no new privileges")  # PR_SET_NO_NEW_PRIVS
    program = _filter(which)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _check(_libc.prctl(22, 2, described, 0, 0), "filtering system calls")  # PR_SET_SECCOMP


def can_be_looked_into() -> None:
    """Let others of the same user see this process's memory, as is usual."""
    _check(_libc.prctl(4, 1, 0, 0, 0), "showing")


def die_with_parent() -> None:
    """Be killed when the parent has ended, however it did."""
    _libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG


def make_forks_cheap() -> None:
    """Put this process's memory into large pages, as far as there are any: a fork copies an entry for
    each page. Where the kernel cannot do that (before Linux 6.1), forks take longer."""
    large = 2**21
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        place, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            begin, end = (int(address, 16) for address in place.split("-"))
            for address in range(-(-begin // large) * large, end - large + 1, large):
                # Fails where there is nothing yet, and wherever it is not known.
                _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(large), COLLAPSE)


def adopt() -> None:
    """Become the parent of descendants whose own has ended."""
    _libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def name_host(name: bytes) -> None:
    """Give the machine another name."""
    _check(_libc.sethostname(name, len(name)), "naming the host")


def _filter(which: int) -> bytes:
    """The filter as instructions of BPF."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, fail = 0x7FFF0000, 0x80000000, 0x00050000
    architecture = next(code for code, column in _MACHINES.values() if column == which)

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    lines = [step(load, 4), step(equal, architecture, 1, 0), step(give, kill), step(load, 0)]
    lines += [step(at_least, 0x40000000, 0, 1), step(give, fail | errno.ENOSYS)]  # x32
    for numbers in DENIED.values():
        lines += [step(equal, numbers[which], 0, 1), step(give, fail | errno.EPERM)]
    # The C library falls back to clone, whose flags can be seen.
    lines += [step(equal, _CLONE3, 0, 1), step(give, fail | errno.ENOSYS)]
    lines += [step(equal, _CLONE[which], 0, 4), step(load, 16), step(any_bit, _NAMESPACES, 0, 1)]
    lines += [step(give, fail | errno.EPERM), step(give, allow)]
    lines += [step(equal, _SOCKET[which], 0, 3 + len(_FAMILIES)), step(load, 16)]
    for left, family in enumerate(reversed(_FAMILIES)):
        lines.append(step(equal, family, len(_FAMILIES) - left, 0))
    lines += [step(give, fail | errno.EPERM), step(give, allow)]
    return b"".join([*lines, step(give, allow)])
