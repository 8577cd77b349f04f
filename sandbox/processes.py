"""What the kernel says about a process and its descendants, and how to end them all.

Reads Linux's /proc; knows no jobs and no limits. The launcher loads this in a bare interpreter
before every job, hence strings for paths: `pathlib` alone takes 12 of its 40 ms.
"""

from __future__ import annotations

import ctypes
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # see sandbox.landlock
    from collections.abc import Callable, Iterable

SIGKILL = 9
"""The module `signal` would add 5 ms to every job."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
CPUCLOCK_SCHED = 2
_SYS_CLONE3 = 435
_CLONE_INTO_CGROUP = 1 << 33
_SIGCHLD = 17


def die_with_parent(signal_number: int = SIGKILL) -> None:
    """Ask the kernel to signal this process when the *thread* that started it ends.

    Only safe where that thread lives as long as the parent: start from a main thread.
    """
    _prctl(PR_SET_PDEATHSIG, signal_number)


def set_dumpable(is_dumpable: bool) -> None:
    """Say whether processes of the same user may look into this one; its `exec` forgets it."""
    _prctl(PR_SET_DUMPABLE, int(is_dumpable))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, daemons included."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def fork_into(cgroup: int) -> int:
    """Fork a child that begins in a control group of version 2, by its folder's descriptor.

    Entered later it would wait for every processor of the machine to pass a quiet state: 12 ms.
    Only for a process of one thread, whose child executes something else.

    Raises:
        OSError: the kernel is older than 5.7, or does not let us.
    """
    # flags, pidfd, child_tid, parent_tid, exit_signal, stack, size, tls, set_tid, size, cgroup
    wanted = (ctypes.c_uint64 * 11)(_CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    # not CDLL: that gives up the interpreter's lock meanwhile
    child: int = _python_libc().syscall(_SYS_CLONE3, ctypes.byref(wanted), ctypes.sizeof(wanted))
    if child < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return child


def cpu_seconds(pid: int) -> float | None:
    """Return CPU seconds used by all threads of `pid`, ended ones too; None when it is gone.

    The clock id is the kernel's MAKE_PROCESS_CPUCLOCK: nanoseconds, where /proc has 10 ms ticks.
    """
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return None


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of one process, 0 when it is gone."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def peak_memory_bytes(pid: int) -> int | None:
    """Return the high-water mark of resident bytes of one process; None when it is gone."""
    try:
        status = _read(f"/proc/{pid}/status")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def children(pid: int) -> list[int]:
    """Return the direct children of `pid`, of all its threads."""
    found: list[int] = []
    for task in _threads(pid):
        try:
            found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`, parents before their children, without `pid`."""
    found: list[int] = []
    level = children(pid)
    while level:
        found += level
        level = [child for parent in level for child in children(parent)]
    return found


def tree_resident_bytes(pid: int) -> int:
    """Return the resident bytes of `pid` and its descendants; shared pages count in each."""
    return sum(map(resident_bytes, [pid, *descendants(pid)]))


def pin(pid: int, cores: Iterable[int]) -> None:
    """Bind every present thread of `pid` to `cores`; threads it starts later inherit that."""
    wanted = set(cores)
    for task in _threads(pid):
        try:
            os.sched_setaffinity(task, wanted)
        except ProcessLookupError:
            continue


def send(pid: int, signal_number: int) -> None:
    """Signal one process; one that is gone is fine."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return


def kill_tree(pid: int) -> None:
    """Kill `pid` and what is below it now, from the top, so that nothing is started meanwhile."""
    below = descendants(pid)
    for one in [pid, *below]:
        send(one, SIGKILL)


def kill_all_children(*, pause: Callable[[float], None] = time.sleep) -> None:
    """Kill and reap until the calling process has no descendant left.

    Complete only after `adopt_orphans`: then nobody can leave the tree.
    """
    while True:
        for one in descendants(os.getpid()):
            send(one, SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        pause(0.002)


def kill_others() -> None:
    """Kill and reap all there is besides this process; only for the first one of a namespace."""
    assert os.getpid() == 1, "outside a namespace this would end the machine"
    send(-1, SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _python_libc() -> ctypes.PyDLL:
    return ctypes.PyDLL(None, use_errno=True)


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
    except OSError:
        return []


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
