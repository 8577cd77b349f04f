"""Becomes another program, confined: `confined.py KEY=VALUE... -- COMMAND...`, run as a file.

For an engine within its harness: whatever keeps the harness in, the engine is kept from it too. The
process restricts itself by Landlock, a filter of system calls and, where we are root, a user of its
own, and only then executes the command, so that nothing of the command's own runs free. One process
from beginning to end: its id, its parent and its open pipes stay.

What it may write becomes its user's. It costs 17 to 20 ms (a bare interpreter alone is 9).
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # a bare interpreter has no path to us
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from sandbox import identity, landlock, own_network, seccomp
from sandbox.errors import SandboxUnavailable
from sandbox.launch_policy import Policy, arguments, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:  # see sandbox.landlock
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NOT_STARTED = 127


def confined_argv(
    argv: Sequence[str],
    *,
    read: Iterable[Path],
    write: Iterable[Path],
    internet: bool = False,
    takes_network: bool = False,
) -> tuple[str, ...]:
    """Return the command line that runs `argv` confined to `read` and `write`.

    Args:
        argv: the command with an absolute path: a search on PATH would happen confined.
        read: files and folders to read and execute; missing ones are skipped at the start.
        write: the same, to change as well.
        internet: whether it may have sockets of IPv4 and IPv6; only for where a network namespace
            holds it. Unix sockets it may serve on and connect to: an engine may be made of two
            processes. Landlock keeps it from abstract ones, not from those in files it knows.
        takes_network: give it a network namespace of its own and sockets of IPv4 and IPv6 on its
            loopback; where the kernel refuses that it has none of them.
    """
    # absolute: the process starts in a folder of its own
    fields: list[tuple[str, object]] = [("read", os.path.abspath(path)) for path in read]  # noqa: PTH100
    fields += [("write", os.path.abspath(path)) for path in write]  # noqa: PTH100
    fields += [("internet", internet), ("own_network", takes_network)]
    return (sys.executable, "-I", "-S", __file__, *arguments(fields), *argv)


def main() -> int:
    """Confine this process and become the command; returns only when that failed."""
    policy, argv = parsed(sys.argv[1:])
    try:
        environment = _given_environment()  # /proc may be out of reach afterwards
        _confine(policy)
        os.execve(argv[0], argv, environment)  # noqa: S606  # a fixed argv, no shell
    except (OSError, SandboxUnavailable) as error:
        os.write(2, f"{argv[0]!r} cannot be started confined: {error}\n".encode())
    return NOT_STARTED


def _confine(policy: Policy) -> None:
    rules = landlock.ruleset(read=policy.read, write=policy.write)
    is_root = identity.can_choose()
    has_network = policy.own_network and own_network.take()  # root makes it, and stays root of it
    if is_root:
        user = identity.user_of(policy.write)
        for folder in filter(os.path.isdir, policy.write):
            identity.give(folder, user)
        identity.become(user, reads_all=True)
    landlock.restrict(rules, drops_capabilities=not is_root)
    seccomp.confine(internet=policy.internet or has_network, connects=True, changes_modes=is_root)


def _given_environment() -> dict[bytes, bytes]:
    """Return the environment as it was handed over: Python adds LC_CTYPE to its own (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        entries = file.read().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


if __name__ == "__main__":
    sys.exit(main())
