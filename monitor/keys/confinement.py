"""Giving up what a process does not need: core dumps, files, new privileges, system calls (Linux)."""

import ctypes
import os
import platform
import pwd
import resource
import signal
import struct

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

# Arithmetic, memory and an open socket need no more than these, from <asm/unistd.h>: read, write, close,
# mmap, munmap, brk, mremap, madvise, rt_sigaction, rt_sigprocmask, rt_sigreturn, sigaltstack, sched_yield,
# futex, getpid, gettid, sendto, recvfrom, sendmsg, recvmsg, clock_gettime, restart_syscall, getrandom, exit,
# exit_group.
_CALLS: dict[str, tuple[int, str]] = {
    "x86_64": (
        0xC000003E,
        "0 1 3 9 11 12 25 28 13 14 15 131 24 202 39 186 44 45 46 47 228 219 318 60 231",
    ),
    "aarch64": (
        0xC00000B7,
        "63 64 57 222 215 214 216 233 134 135 139 132 124 98 172 178 206 207 211 212 113 128 278 93 94",
    ),
}


def drop_privileges(user: str) -> None:
    """Become another user, with its own groups only.

    :raises KeyError: there is no such user.
    :raises OSError: this process may not.
    """
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends; at once, if ``parent`` is not the parent any more."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """No core dumps, and no tracing or reading of memory by others of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def close_files() -> None:
    """No new descriptors, no growing files, no new processes."""
    for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(what, (0, 0))


def filter_calls() -> bool:
    """Refuse (EPERM) every system call but the few of ``_CALLS``; False where this machine has no list.

    ``hide_memory`` must have been called: without no_new_privs the kernel takes no filter.

    :raises OSError: the kernel takes none.
    """
    machine = platform.machine()
    if machine not in _CALLS or struct.calcsize("P") != 8:
        return False
    architecture, numbers = _CALLS[machine]
    calls = tuple(map(int, numbers.split()))
    load, equal, done = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    kill, refuse, allow = 0x80000000, 0x00050001, 0x7FFF0000  # KILL_PROCESS, ERRNO|EPERM, ALLOW
    program = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 1, 0, architecture),
        (done, 0, 0, kill),
        (load, 0, 0, 0),  # seccomp_data.nr
        *((equal, len(calls) - index, 0, call) for index, call in enumerate(calls)),
        (done, 0, 0, refuse),
        (done, 0, 0, allow),
    ]
    octets = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    instructions = ctypes.create_string_buffer(octets, len(octets))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program), ctypes.addressof(instructions))
    )  # struct sock_fprog
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))
    return True


def _prctl(option: int, value: int, address: int = 0) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = map(ctypes.c_ulong, (value, address, 0, 0))
    if library.prctl(ctypes.c_int(option), *arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")
