"""The contract of `sandbox.job.Sandbox`; every implementation passes all of it.

To add one, write an async context manager that opens it with a folder and list it in `SANDBOXES`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from sandbox import levels
from sandbox.job import Isolation, JobResult, JobSpec, Level, Sandbox
from sandbox.landlock import runtime_paths
from sandbox.local import LocalSandbox
from tests.hub.conftest import own_xet_cache  # noqa: F401 - a fixture
from tests.hub.stand import stand


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[Sandbox]:
    yield LocalSandbox()


@asynccontextmanager
async def hf_jobs(folder: Path) -> AsyncIterator[Sandbox]:
    if levels.why_not("bubblewrap") is not None:
        pytest.skip("the fake Hub runs jobs in bubblewrap")
    async with stand(folder / "stand") as here:
        yield here.sandbox


SANDBOXES: dict[str, Callable[[Path], AbstractAsyncContextManager[Sandbox]]] = {
    "local": local,
    "hf-jobs": hf_jobs,
}
WAIT = "import time; time.sleep(600)"
ETC = [one for one in ("/etc/passwd", "/etc/ld.so.cache") if Path(one).exists()]


@pytest.fixture(params=SANDBOXES)
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with SANDBOXES[request.param](tmp_path) as opened:
        yield opened


def make_spec(tmp_path: Path, code: str, *arguments: str, **changes: Any) -> JobSpec:
    argv = (sys.executable, "-I", "-S", "-c", code, *arguments)
    plain: dict[str, Any] = {"job": "job-1", "folder": tmp_path / "job", "wall_seconds": 30}
    return JobSpec(argv=argv, **(plain | changes))


async def run(sandbox: Sandbox, spec: JobSpec) -> JobResult:
    return await (await sandbox.start(spec)).result()


async def test_it_says_what_it_is(sandbox: Sandbox) -> None:
    known = {*get_args(Level), "container"}

    assert sandbox.name
    assert sandbox.level in known
    assert isinstance(sandbox.confines, bool)
    assert {one for part in get_args(Isolation) for one in get_args(part) or (part,)} == known


async def test_what_a_job_prints_comes_back_and_lies_in_its_folder(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    result = await run(sandbox, make_spec(tmp_path, code))

    assert (*result[:2], result.stdout, result.stderr_tail) == ("exited", 0, "out\n", "err\n")
    assert (tmp_path / "job/stdout.txt").read_text() == "out\n"
    assert (tmp_path / "job/stderr.txt").read_text() == "err\n"


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)]
)
async def test_an_exit_code_comes_back_as_it_was(
    sandbox: Sandbox, tmp_path: Path, code: str, expected: int
) -> None:
    result = await run(sandbox, make_spec(tmp_path, code))

    assert ("exited", expected) == (result.end, result.exit_code)


async def test_what_a_job_writes_lies_in_its_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    code = "import os; os.makedirs('a/b'); open('a/b/c', 'w').write('kept')"
    await run(sandbox, make_spec(tmp_path, code))

    assert (tmp_path / "job/a/b/c").read_text() == "kept"


async def test_what_lies_in_its_folder_a_job_can_read(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/question").write_text("why")
    code = "import sys; print(open('question').read(), open(sys.argv[1]).read())"
    result = await run(sandbox, make_spec(tmp_path, code, str(tmp_path / "job/question")))

    assert result.stdout == "why why\n"


async def test_what_is_named_can_be_read_and_nothing_beside_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    for name in ("shown", "hidden"):
        (tmp_path / name).write_text(name)
    code = """
import sys
for path in sys.argv[1:]:
    try:
        print(open(path).read())
    except OSError:
        print("refused")
"""
    paths = [str(tmp_path / name) for name in ("shown", "hidden")]
    spec = make_spec(tmp_path, code, *paths, readable=(tmp_path / "shown",))

    assert (await run(sandbox, spec)).stdout == "shown\nrefused\n"


async def test_what_is_writable_can_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1] + '/x', 'w').write('x'); print('written')"
    cache = tmp_path / "cache"
    result = await run(sandbox, make_spec(tmp_path, code, str(cache), writable=(cache,)))

    assert result.stdout == "written\n"


async def test_the_systems_own_files_can_be_read(sandbox: Sandbox, tmp_path: Path) -> None:
    """The dynamic loader's list of libraries is one of them."""
    code = "import sys; [open(one).close() for one in sys.argv[1:]]; print('read')"
    result = await run(sandbox, make_spec(tmp_path, code, *ETC, readable=runtime_paths()))

    assert (result.stdout, result.stderr_tail) == ("read\n", "")


async def test_nothing_is_inherited_from_our_environment(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code = "import os; print(os.environ.get('ONLY'), 'HF_TOKEN' in os.environ)"
    result = await run(sandbox, make_spec(tmp_path, code, environment={"ONLY": "this"}))

    assert result.stdout == "this False\n"


async def test_output_beyond_the_cap_is_dropped_and_the_job_goes_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await run(sandbox, make_spec(tmp_path, "print('x' * 300_000)", output_bytes=1000))

    assert (result.end, result.exit_code, len(result.stdout)) == ("exited", 0, 1000)


async def test_a_job_that_takes_too_long_is_ended(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await run(sandbox, make_spec(tmp_path, WAIT, wall_seconds=0.5))

    assert (result.end, result.exit_code) == ("timed_out", None)


async def test_cancel_ends_the_job_and_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    job = await sandbox.start(make_spec(tmp_path, WAIT))
    await job.cancel()
    await job.cancel()

    assert (await job.result()).end == "cancelled"


async def test_cancelling_the_waiter_ends_the_job_and_is_passed_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    job = await sandbox.start(make_spec(tmp_path, WAIT))
    waiter = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    waiter.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (await job.result()).end == "cancelled"


async def test_a_job_that_leaves_a_daemon_ends(sandbox: Sandbox, tmp_path: Path) -> None:
    code = f"import os\nprint('up', flush=True)\nif os.fork() == 0:\n    os.setsid(); {WAIT}"
    result = await run(sandbox, make_spec(tmp_path, code))

    assert (result.end, result.stdout) == ("exited", "up\n")
