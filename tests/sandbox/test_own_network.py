"""Who may make a network for what it starts may do that and nothing else that it takes."""

import json
import sys
from pathlib import Path

import pytest

from sandbox import levels
from sandbox.job import JobSpec
from sandbox.local import LocalSandbox
from sandbox.own_network import NEW_NETWORK, NEW_USER

NEW_MOUNTS = 0x20000
TRIES = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(flags):
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.unshare(flags) == 0 else ctypes.get_errno())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
said = {str(flags): tried(flags) for flags in map(int, sys.argv[1:])}
said["entered"] = libc.unshare(int(sys.argv[1]))
with socket.socket() as one:
    said["tables"] = libc.setsockopt(one.fileno(), 0, 64, b"", 0) and ctypes.get_errno()
said["mount"] = libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and ctypes.get_errno()
for name, family, kind in (("netlink", 16, 3), ("packet", 17, 3)):
    try:
        socket.socket(family, kind).close()
        said[name] = 0
    except OSError as error:
        said[name] = error.errno
print(json.dumps(said))
"""
EPERM = 1
REFUSED = (NEW_USER, NEW_NETWORK, NEW_USER | NEW_MOUNTS, NEW_USER | NEW_NETWORK | NEW_MOUNTS)


async def tries(folder: Path, *, networks: bool) -> dict[str, int]:
    reason = levels.why_not("bubblewrap")
    if reason is not None:
        pytest.skip(f"bubblewrap: {reason}")
    flags = map(str, (NEW_USER | NEW_NETWORK, *REFUSED))
    spec = JobSpec(
        job="tries",
        argv=(sys.executable, "-I", "-S", "-c", TRIES, *flags),
        folder=folder,
        wall_seconds=30,
        networks=networks,
    )
    result = await (await LocalSandbox(level="bubblewrap").start(spec)).result()
    assert result.exit_code == 0, result.stderr_tail
    return dict(json.loads(result.stdout))


async def test_a_job_makes_networks_only_where_it_was_said_to(tmp_path: Path) -> None:
    said = await tries(tmp_path, networks=False)

    assert set(said.values()) - {-1} == {EPERM}
    assert said["entered"] == -1


async def test_the_one_namespace_allowed_is_that_of_a_network(tmp_path: Path) -> None:
    """Within it, where it is root of the network, it changes no tables and makes no mounts."""
    said = await tries(tmp_path, networks=True)

    assert (said.pop("entered"), said.pop(str(NEW_USER | NEW_NETWORK))) == (0, 0)
    assert set(said.values()) == {EPERM}
