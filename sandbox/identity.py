"""Which user a job is, where we are root: one of its own, that owns its folder and nothing else.

Real root inside namespaces is no boundary (it could write /proc/sys), and only an ordinary user's
processes can be counted. Elsewhere jobs are the user we are. Loaded by a bare interpreter.
"""

from __future__ import annotations

import ctypes
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # see sandbox.landlock
    from collections.abc import Iterable

FIRST_USER = 0x70000000
"""Above what systemd gives to containers (1879048191) and below 2**31; nobody allots these."""
USERS = 1 << 28
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_SET_KEEPCAPS = 24, 47, 2, 8
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_READ_SEARCH = 2
_NEEDED = sum(1 << one for one in (0, _DAC_READ_SEARCH, 6, 7, 8))
"""CHOWN, DAC_READ_SEARCH, SETGID, SETUID, SETPCAP."""
_CAPABILITIES = range(64)


def can_choose() -> bool:
    """Return whether we may become the users of jobs: real root, with all user ids to give.

    Root of a container often is not: Docker takes the right to read past file modes.
    """
    if os.geteuid() != 0 or _capabilities() & _NEEDED != _NEEDED:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as file:  # noqa: PTH123
        ranges = [tuple(map(int, line.split())) for line in file]
    return any(first <= FIRST_USER and first + n >= FIRST_USER + USERS for first, _, n in ranges)


def _capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        found = [line.split()[1] for line in file if line.startswith("CapEff:")]
    return int(found[0], 16) if found else 0


def user_of(folders: Iterable[str]) -> int:
    """Return the user id of jobs that share `folders`, the same at each call."""
    value = 0xCBF29CE484222325  # FNV-1a; `hash` differs between processes, hashlib takes 4 ms
    for byte in "\0".join(sorted(folders)).encode(errors="surrogateescape"):
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return FIRST_USER + (value ^ value >> 32) % USERS


def give(folder: str, user: int) -> None:
    """Make `folder` and all below it the user's; what comes or goes meanwhile is passed over.

    A file with a second name that is not the user's already may be someone else's: it stays.
    """
    root = os.lstat(folder)
    if root.st_uid != user:
        os.chown(folder, user, user, follow_symlinks=False)
    for _, folders, files, here in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            try:  # `contextlib` takes milliseconds
                _give_one(name, here, user)
            except FileNotFoundError:
                continue


def _give_one(name: str, here: int, user: int) -> None:
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    is_shared = not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1
    if found.st_uid != user and not is_shared:
        os.chown(name, user, user, dir_fd=here, follow_symlinks=False)


def become(user: int, *, reads_all: bool = False) -> None:
    """Become `user`, without groups and, after the next `exec`, without capabilities; for good.

    Args:
        user: from `user_of`.
        reads_all: keep the one that reads past file modes, for where Landlock decides what is
            read: our interpreter may lie below a closed home folder.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kept = _DAC_READ_SEARCH if reads_all else None
    for capability in _CAPABILITIES:
        if capability != kept:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _checked(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(KEEPCAPS)")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _keep(libc, 0 if kept is None else 1 << kept)
    if kept is not None:
        _checked(
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, kept, 0, 0), "prctl(CAP_AMBIENT)"
        )


def _keep(libc: ctypes.CDLL, mask: int) -> None:
    """Have exactly the capabilities of `mask`, inheritable ones included."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    number = _SYS_CAPSET[os.uname().machine]
    _checked(libc.syscall(number, ctypes.byref(header), ctypes.byref(data)), "capset")


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
