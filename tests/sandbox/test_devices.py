"""Devices a job is lent, and those it is not."""

import stat
import sys
from pathlib import Path

import pytest

from sandbox.errors import SandboxUnavailable
from sandbox.job import JobSpec, Level
from sandbox.local import LocalSandbox

BASIC = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
ASKS = "import socket, sys; socket.socket(16, socket.SOCK_RAW, int(sys.argv[1]))"
OPEN = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK))"


@pytest.fixture
def device() -> Path:
    """Some device that everybody may open, and that no sandbox has anyway."""
    for path in sorted(Path("/dev").iterdir()):
        facts = path.stat()
        is_open = stat.S_ISCHR(facts.st_mode) and facts.st_mode & stat.S_IROTH
        if is_open and path.name not in BASIC and path.name != "kmsg":
            return path
    pytest.skip("no device here that an ordinary user may open")


def owner_and_mode(device: Path) -> tuple[int, int]:
    facts = device.stat()
    return facts.st_uid, facts.st_mode


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
async def test_a_job_opens_the_devices_it_is_lent_and_no_other(
    level: Level, device: Path, tmp_path: Path
) -> None:
    try:
        sandbox = LocalSandbox(level=level)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    before = owner_and_mode(device)

    codes = {}
    for lent in ((), (device,)):
        spec = JobSpec(
            job="opens",
            argv=(sys.executable, "-c", OPEN, str(device)),
            folder=tmp_path / f"lent{len(lent)}",
            wall_seconds=20,
            devices=lent,
        )
        codes[len(lent)] = (await (await sandbox.start(spec)).result()).exit_code

    assert codes == {0: 1, 1: 0}
    assert before == owner_and_mode(device)


async def test_who_is_lent_a_device_may_list_interfaces_and_no_more(
    device: Path, tmp_path: Path
) -> None:
    try:
        sandbox = LocalSandbox(level="bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(str(error))

    seen = {}
    for lent in ((), (device,)):
        for protocol in (0, 12):  # routes, and the tables of the firewall
            spec = JobSpec(
                job="asks",
                argv=(sys.executable, "-c", ASKS, str(protocol)),
                folder=tmp_path / f"lent{len(lent)}-{protocol}",
                wall_seconds=20,
                devices=lent,
            )
            result = await (await sandbox.start(spec)).result()
            seen[len(lent), protocol] = result.exit_code

    assert seen == {(0, 0): 1, (0, 12): 1, (1, 0): 0, (1, 12): 1}
