"""The process between us and a job: starts it, ends everything it left behind, dies with us.

`launcher.py KEY=VALUE... -- COMMAND ARGUMENT...` runs it in a bare interpreter; the keys are those
of `Policy`. Standard input is a lifeline: when it closes, by will or because the parent was
killed, the whole tree is killed. A pipe rather than PR_SET_PDEATHSIG, which fires when the *thread*
that spawned ends, not the process. Only the job itself gets that: its parent here has one thread.

Inside bubblewrap it is process 1: nothing in there can signal it, and when it ends the kernel ends
the rest. The modules `json`, `signal` and `pathlib` would each add 5 ms or more to every job.
"""

from __future__ import annotations

import os
import resource
import select
import sys

from sandbox import identity, landlock, processes, seccomp
from sandbox.cgroup_events import limit_hit
from sandbox.errors import SandboxUnavailable
from sandbox.launch_policy import Policy, parsed
from sandbox.workspace_copy import TooMuch, copy_in, copy_out

NOT_STARTED = 127
REAP_SECONDS = 0.2
"""Between two looks at what the job left to us, and at its folder."""
OVER_LIMIT = "over_limit"
NO_GROUP = "no_group "
"""Begins the report of a job that is not in the control group made for it."""


def main() -> int:
    """Run the command; report its wait status and return its exit code."""
    policy, argv = parsed(sys.argv[1:])
    environment = _environment(policy)
    is_init = os.getpid() == 1
    if not is_init:
        processes.adopt_orphans()
    processes.set_dumpable(False)  # its descriptors and memory are nobody else's
    if policy.copy is not None:
        _bring_in(policy)
    child, is_grouped = _fork(policy)
    if child == 0:
        _become(argv, policy, environment, is_grouped=is_grouped)
    outcome = _wait(child, policy)
    if is_init:
        processes.kill_others()
    else:
        processes.kill_all_children()
    if outcome is None:
        return 1
    if policy.events:
        outcome = limit_hit(*map(int, policy.events)) or outcome
    if policy.copy is not None and outcome.lstrip("-").isdigit():
        outcome = _bring_out(policy, outcome)
    if policy.status is not None:
        os.write(policy.status, outcome.encode())
    return 0


def _fork(policy: Policy) -> tuple[int, bool]:
    """Fork; return the child, 0 within it, and whether it is in the job's control group yet."""
    if policy.group is not None:
        try:  # `contextlib` takes milliseconds
            return processes.fork_into(policy.group), True
        except OSError:
            pass
    return os.fork(), False


def _enter(policy: Policy) -> bool:
    """Enter the job's control group, and all that is started from here on with us."""
    try:
        for door in policy.doors:
            os.write(int(door), b"0")
    except OSError:
        if policy.status is not None:
            os.write(policy.status, NO_GROUP.encode())
        return False
    return bool(policy.doors)


def _wait(child: int, policy: Policy) -> str | None:
    """Return the child's exit code, `OVER_LIMIT`, or None when the lifeline closed first."""
    handle = os.pidfd_open(child)
    ready = select.poll()
    ready.register(handle, select.POLLIN)
    ready.register(0, select.POLLIN)
    counted = [*policy.scratch, *([policy.folder] if policy.copy is not None else ())]
    while True:
        events = {number for number, _ in ready.poll(REAP_SECONDS * 1000)}
        if 0 in events and not os.read(0, 512):
            return None  # looked at first: who stops a job may end it himself too
        if handle in events:
            _, status = os.waitpid(child, 0)
            return str(os.waitstatus_to_exitcode(status))
        _reap(child)
        if any(_files_in(folder) > policy.files for folder in counted):
            return OVER_LIMIT


def _reap(child: int) -> None:
    """Take leave of adopted processes that ended; the job's own end is taken by its pidfd."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in {0, child}:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)


def _files_in(folder: str) -> int:
    """Return how many files a file system of its own holds, deleted but open ones included."""
    found = os.statvfs(folder)
    return found.f_files - found.f_ffree


def _bring_in(policy: Policy) -> None:
    assert policy.copy is not None
    copy_in(policy.copy, policy.folder, user=policy.user)
    os.chdir(policy.folder)  # we were started in what lies below the mount


def _bring_out(policy: Policy, outcome: str) -> str:
    assert policy.copy is not None
    try:
        copy_out(policy.folder, policy.copy, max_bytes=policy.bytes, max_files=policy.files)
    except TooMuch:
        return OVER_LIMIT
    return outcome


def _become(
    argv: list[str], policy: Policy, environment: dict[bytes, bytes], *, is_grouped: bool
) -> None:
    """Turn this fresh child into the command; never returns."""
    try:
        parent = os.getppid()
        processes.die_with_parent()
        if os.getppid() != parent:
            os._exit(NOT_STARTED)
        is_grouped = is_grouped or _enter(policy)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if policy.level != "none":
            os.umask(0o022)
        _limit(policy, is_grouped=is_grouped)
        _confine(policy)
        os.execvpe(argv[0], argv, environment)  # noqa: S606  # a fixed argv, no shell
    except (OSError, SandboxUnavailable) as error:
        os.write(2, f"{argv[0]!r} cannot be started: {error}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _limit(policy: Policy, *, is_grouped: bool) -> None:
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, policy.file_bytes),
        (resource.RLIMIT_NOFILE, policy.open_files),
    ]
    if policy.cpu_seconds is not None:
        limits.append((resource.RLIMIT_CPU, policy.cpu_seconds))
    is_ours_alone = policy.level == "bubblewrap" or policy.user is not None
    if is_ours_alone and not is_grouped:  # it counts all of its user's, and tells nobody
        limits.append((resource.RLIMIT_NPROC, policy.processes))
    for what, most in limits:
        _, hard = resource.getrlimit(what)
        capped = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (capped, capped))


def _confine(policy: Policy) -> None:
    """Give up what the level takes; the order is that of what each step still needs."""
    is_landlocked = policy.level == "landlock"
    rules = None
    if is_landlocked:
        rules = landlock.ruleset(read=policy.read, write=policy.write)
    if policy.user is not None:
        identity.become(policy.user, reads_all=is_landlocked)
        processes.die_with_parent()  # forgotten when the user changes
    if rules is not None:
        landlock.restrict(rules, drops_capabilities=policy.user is None)
    if policy.level != "none":
        seccomp.confine(
            internet=policy.internet,
            connects=policy.connects,
            networks=policy.networks,
            interfaces=policy.interfaces,
            changes_modes=policy.connects or policy.user is not None,
        )


def _environment(policy: Policy) -> dict[bytes, bytes]:
    environment = _given_environment()
    if policy.level == "bubblewrap":
        environment.pop(b"PWD", None)  # bubblewrap's own
    for one in policy.late:
        name, _, text = os.fsencode(one).partition(b"=")
        environment[name] = text
    return environment


def _given_environment() -> dict[bytes, bytes]:
    """Return the environment as it was handed over: Python adds LC_CTYPE to its own (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        entries = file.read().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
