"""The private texts: who gets them, who is kept from them, and what the end makes public."""

import json
import stat
import time
from pathlib import Path

import pytest

from bench.challenge import Challenge, VerificationRule
from bench.challenge_files import load_challenge
from orchestrator.doctor import private_texts
from orchestrator.pool_files import commitment_of, read_pool
from orchestrator.private_pool import Pool, Revealed, open_pool, reveal
from orchestrator.settings import Settings
from sandbox import landlock
from sandbox.errors import RecordError, VerificationUnavailable
from sandbox.local import LocalSandbox

LOADED = load_challenge("gemma-270m-cpu")
FILE = LOADED.folder / "challenge.toml"
ROOT = Path(__file__).parents[2]
LINES = [f'{{"id": "t{n:03}", "text": "private text {n}", "source": "test"}}\n' for n in range(30)]

pytestmark = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")


@pytest.fixture
def machine(tmp_path: Path) -> Settings:
    return Settings(
        sessions_folder=tmp_path / "sessions",
        cache_folder=tmp_path / "cache",
        private_folder=tmp_path / "data" / "private",
    )


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts" / "private.jsonl")


def write_texts(file: Path, content: str = "".join(LINES), *, mode: int = 0o600) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(mode)
    return file


def with_pool(pool: str | Path) -> Challenge:
    rule = VerificationRule(pool=f"path:{pool}" if isinstance(pool, Path) else pool)
    return LOADED.challenge.model_copy(update={"verification": rule})


async def opened(
    challenge: Challenge,
    machine: Settings,
    *,
    session: str = "s1",
    file: Path = FILE,
    sandbox: LocalSandbox | None = None,
) -> Pool:
    return await open_pool(
        challenge,
        file,
        session=session,
        settings=machine,
        sandbox=sandbox or LocalSandbox(),
        tell=lambda _line: None,
        is_lane_held=True,  # nothing here is timed
    )


async def refusal(challenge: Challenge, machine: Settings, **how: object) -> str:
    with pytest.raises(VerificationUnavailable) as caught:
        await opened(challenge, machine, **how)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value.code


async def test_a_session_keeps_its_texts_and_its_salt(machine: Settings, texts: Path) -> None:
    first = await opened(with_pool(texts), machine)
    write_texts(texts, "".join(LINES[:10]))
    again = await opened(with_pool(texts), machine)

    assert first == again
    assert first.commitment == commitment_of(first.salt, first.texts)
    assert len(first.texts) == 30


async def test_two_sessions_commit_to_the_same_texts_differently(
    machine: Settings, texts: Path
) -> None:
    one = await opened(with_pool(texts), machine, session="s1")
    other = await opened(with_pool(texts), machine, session="s2")

    assert one.texts == other.texts
    assert len({one.salt, other.salt, one.commitment, other.commitment}) == 4


async def test_only_the_owner_can_open_what_is_kept(machine: Settings, texts: Path) -> None:
    await opened(with_pool(texts), machine)
    kept = [machine.private_folder, *machine.private_folder.rglob("*")]

    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in kept}
    assert modes == {(True, 0o700), (False, 0o600)}


async def test_opening_a_pool_again_takes_less_than_half_a_second(
    machine: Settings, texts: Path
) -> None:
    took = []
    for _ in range(4):
        start = time.perf_counter()
        await opened(with_pool(texts), machine)
        took.append(time.perf_counter() - start)

    assert min(took[1:]) < 0.5


async def test_a_text_file_that_others_can_read_is_refused(machine: Settings, texts: Path) -> None:
    write_texts(texts, mode=0o640)

    assert await refusal(with_pool(texts), machine) == "pool_readable"


@pytest.mark.parametrize("place", ["sessions_folder", "cache_folder"])
async def test_texts_among_the_files_of_agents_are_refused(machine: Settings, place: str) -> None:
    texts = write_texts(getattr(machine, place) / "deep" / "private.jsonl")

    assert await refusal(with_pool(texts), machine) == "pool_readable"


async def test_texts_or_a_private_folder_in_the_checkout_are_refused(
    machine: Settings, texts: Path
) -> None:
    within = machine.model_copy(update={"private_folder": ROOT / "private"})

    assert await refusal(with_pool(ROOT / "private.jsonl"), machine) == "pool_readable"
    assert await refusal(with_pool(texts), within) == "pool_readable"
    assert not (ROOT / "private").exists()


async def test_a_private_folder_open_to_others_is_refused(machine: Settings, texts: Path) -> None:
    machine.private_folder.mkdir(parents=True, mode=0o755)

    assert await refusal(with_pool(texts), machine) == "pool_readable"


async def test_texts_where_a_job_can_read_are_found_out_by_the_probe(
    machine: Settings, texts: Path, tmp_path: Path
) -> None:
    """The model's folder is open to jobs, so texts in it are not kept, whatever their mode."""
    beside = LOADED.challenge.model.model_copy(update={"source": f"path:{texts.parent}/m.gguf"})
    challenge = with_pool(texts).model_copy(update={"model": beside})

    assert await refusal(challenge, machine) == "pool_readable"


async def test_a_sandbox_that_does_not_confine_is_found_out_by_the_probe(
    machine: Settings, texts: Path
) -> None:
    liar = LocalSandbox(level="none")
    liar.confines = True

    assert await refusal(with_pool(texts), machine, sandbox=liar) == "pool_readable"


async def test_where_jobs_are_not_kept_in_nothing_is_opened_or_written(
    machine: Settings, texts: Path
) -> None:
    code = await refusal(with_pool(texts), machine, sandbox=LocalSandbox(level="none"))

    assert code == "no_confinement"
    assert not machine.private_folder.exists()


def test_the_doctor_says_whether_candidates_can_be_kept_out() -> None:
    there, missing = private_texts(), private_texts(landlock_abi=0)

    assert (there.ok, missing.ok) == (True, None)
    assert "lsm=" in missing.detail


UNUSABLE = ["", "not json\n", '{"id": "a"}\n', LINES[0] * 2, '{"id": "a", "text": "x", "b": 1}\n']


@pytest.mark.parametrize("content", UNUSABLE, ids=range(len(UNUSABLE)))
async def test_unusable_texts_are_as_good_as_none(
    machine: Settings, texts: Path, content: str
) -> None:
    write_texts(texts, content)

    assert await refusal(with_pool(texts), machine) == "pool_missing"


@pytest.mark.parametrize("pool", [Path("/no/such/file"), "sampled:x", "path:", "found"])
async def test_a_pool_that_is_not_there_is_missing(machine: Settings, pool: str | Path) -> None:
    assert await refusal(with_pool(pool), machine) == "pool_missing"


async def test_a_challenge_without_verification_has_no_pool(machine: Settings) -> None:
    challenge = LOADED.challenge.model_copy(update={"verification": None})

    assert await refusal(challenge, machine) == "pool_missing"


async def test_a_private_folder_that_cannot_be_made_is_named(
    machine: Settings, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file")

    assert await refusal(with_pool(texts), machine) == "pool_unwritable"


async def test_a_damaged_set_is_missing_rather_than_replaced(
    machine: Settings, texts: Path
) -> None:
    pool = await opened(with_pool(texts), machine)
    file = pool.folder / "set.json"
    file.write_text(file.read_text().replace("private text 3", "private text 4"))

    assert await refusal(with_pool(texts), machine) == "pool_missing"


async def test_texts_that_cannot_be_written_leave_nothing_behind(
    machine: Settings, tmp_path: Path
) -> None:
    """The job runs, finds no challenge file, and its last words are the reason."""
    with pytest.raises(VerificationUnavailable, match=r"no-challenge\.toml") as caught:
        await opened(with_pool("sampled"), machine, file=tmp_path / "no-challenge.toml")
    left = [one.name for one in machine.private_folder.rglob("*") if one.is_file()]

    assert caught.value.code == "pool_missing"
    assert left == []


def publish(machine: Settings, pool: Pool, *, session: str = "s1") -> Revealed:
    folder = machine.sessions_folder / session
    folder.mkdir(parents=True, exist_ok=True)
    return reveal(folder, session=session, commitment=pool.commitment, settings=machine)


async def test_what_is_revealed_hashes_to_what_was_committed(
    machine: Settings, texts: Path
) -> None:
    pool = await opened(with_pool(texts), machine)
    revealed = publish(machine, pool)
    said = json.loads(revealed.file.read_text())

    assert said["commitment"] == pool.commitment
    assert commitment_of(said["salt"], read_pool(texts)) == pool.commitment
    assert publish(machine, pool) == revealed


async def test_revealed_texts_serve_no_session_again(machine: Settings, texts: Path) -> None:
    pool = await opened(with_pool(texts), machine, session="s1")
    await opened(with_pool(texts), machine, session="s2")
    revealed = publish(machine, pool)

    assert revealed.sharing == ("s2",)
    for session in ("s1", "s2", "s3"):
        assert await refusal(with_pool(texts), machine, session=session) == "pool_revealed"


async def test_a_machine_pool_is_put_aside_when_it_is_revealed(machine: Settings) -> None:
    name = f"gemma-270m-cpu-{LOADED.challenge.model.sha256[:12]}"
    machine.private_folder.parent.mkdir(parents=True)
    machine.private_folder.mkdir(mode=0o700)
    source = write_texts(machine.private_folder / "pools" / name / "pool.jsonl")
    source.parent.chmod(0o700)
    publish(machine, await opened(with_pool("sampled"), machine))

    assert not source.exists()
    assert len(list(source.parent.glob("revealed-*.jsonl"))) == 1


async def test_an_organisers_own_file_lies_in_the_private_folder(machine: Settings) -> None:
    assert await refusal(with_pool("file"), machine) == "pool_missing"
    lines = [f'{{"id": "t{n}", "source": "test", "token_ids": [2, {n}]}}\n' for n in range(3)]
    write_texts(machine.private_folder / "pools" / "gemma-270m-cpu.jsonl", "".join(lines))
    pool = await opened(with_pool("file"), machine)

    assert [text.ids for text in pool.texts] == [(2, 0), (2, 1), (2, 2)]
    assert publish(machine, pool).texts == 3
    assert await refusal(with_pool("file"), machine, session="s2") == "pool_revealed"


async def test_texts_that_are_not_those_committed_to_stay_private(
    machine: Settings, texts: Path
) -> None:
    pool = await opened(with_pool(texts), machine)
    with pytest.raises(RecordError) as caught:
        publish(machine, pool._replace(commitment="0" * 64))

    assert caught.value.code == "commitment_mismatch"
    assert list((machine.sessions_folder / "s1").iterdir()) == []


def test_texts_of_another_machine_cannot_be_revealed_here(machine: Settings) -> None:
    pool = Pool((), "", "0" * 64, Path())
    with pytest.raises(VerificationUnavailable, match="on the machine that verified"):
        publish(machine, pool)
