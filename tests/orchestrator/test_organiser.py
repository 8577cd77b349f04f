"""Records from trigger to receipt, in whole sessions of milliseconds; the jobs are processes."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.model import Question, Reply
from orchestrator.judge import RECEIPTS
from orchestrator.keys import known_key
from orchestrator.opening import RunOptions
from orchestrator.organiser import verify_session
from orchestrator.receipts import check as check_receipt
from orchestrator.session import SessionSummary, resume_session, run_session
from sandbox.errors import ConfigError, VerificationUnavailable
from tests.orchestrator.test_session import assert_sound, told
from tests.orchestrator.tiny_race import TinyModel, tiny_parts, tiny_pool, write_challenge
from tools.record.events import Event, ToolCall
from tools.record.projection import Projection

FAST, FASTER = {"batch_tokens": 97 + 60}, {"batch_tokens": 97 + 80}
LUCKY = {"batch_tokens": 97 + 90, "poll": 5}
BAD, DOUBTFUL, BROKEN = ({"batch_tokens": 97 + 85, "poll": poll} for poll in (7, 8, 9))
FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 4096}}


class Script(TinyModel):
    """Proposes what it was told to, rider after rider, and launches each with a full."""

    def __init__(
        self, *moves: dict[str, Any], parents: Sequence[str] = (), riders: Sequence[str] = ("ada",)
    ) -> None:
        self._moves = moves
        self._riders = riders
        self._parents = parents or ["a0000"] * len(moves)

    async def query(self, question: Question) -> Reply:
        observation, messages = question.observation, question.messages
        mine = [n for n in observation.lineage.nodes.values() if n.agent == observation.agent]
        number = len(observation.lineage.nodes) - 1
        if messages or observation.free_job_slots == 0:
            return Reply("", ())
        waiting = [node for node in mine if not node.runs]
        if waiting:
            arguments = {"attempt": waiting[0].attempt, "stage": "full"}
            return Reply("", (ToolCall(name="launch_benchmark", arguments=arguments),))
        live = observation.lineage.live_jobs(observation.agent)
        is_next = self._riders[number % len(self._riders)] == observation.agent
        if live or not is_next or number == len(self._moves):
            return Reply("", ())
        arguments = {
            "parent": self._parents[number],
            "changes": self._moves[number],
            "hypothesis": "as told",
        }
        return Reply("", (ToolCall(name="propose_config", arguments=arguments),))


class Race:
    """A place for the sessions of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = tiny_parts(folder)

    async def run(self, *moves: dict[str, Any], on_event: Any = None, **more: Any) -> Projection:
        parents = more.pop("parents", ())
        is_real = more.pop("is_real", True)
        challenge = str(write_challenge(self.folder / "challenge", is_real=is_real))
        riders = more.pop("riders", ("ada",))
        script = Script(*moves, parents=parents, riders=riders)
        self.parts = self.parts._replace(models=lambda _spec: script)
        defaults = {"agents": len(riders), "minutes": 1, "attempts": len(moves)}
        options = RunOptions(challenge=challenge, **{**defaults, **more})
        summary = await run_session(options, on_event=on_event, parts=self.parts)
        return self.seen(summary)

    async def resume(self, **more: Any) -> Projection:
        return self.seen(await resume_session(self.session, parts=self.parts, **more))

    def seen(self, summary: SessionSummary) -> Projection:
        self.session = summary.folder
        return assert_sound(summary.folder)

    def kinds(self, *kinds: str) -> list[Any]:
        return [event.payload for event in told(self.session) if event.kind in kinds]

    def notices(self) -> list[str]:
        return [one.body for one in self.kinds("message_posted") if one.type == "notice"]


@pytest.fixture
def race(tmp_path: Path) -> Race:
    return Race(tmp_path)


async def test_a_record_goes_from_trigger_to_signed_receipt(race: Race) -> None:
    known = await race.run(FAST)
    node = known.lineage.nodes["a0001"]
    key = known_key(race.parts.settings.private_folder)
    file = race.session / RECEIPTS / "a0001.json"

    assert [run.stage for run in node.runs] == ["full", "fresh", "fresh", "private"]
    assert known.records.history == ["a0001"]
    assert (node.verdict, node.verdict_by) == ("valid", "verifier")
    assert key
    receipt = check_receipt(file.read_bytes(), trusted={key.public_hex: "us"})
    assert known.pool
    assert receipt.prompt_commitment == known.pool.commitment


async def test_the_run_that_triggered_is_no_part_of_the_decision(race: Race) -> None:
    known = await race.run(LUCKY)
    decided = race.kinds("promotion_decided")

    assert [one.outcome for one in decided] == ["refused"]
    assert decided[0].evidence["gain"] == pytest.approx(1.0, abs=0.02)
    assert known.records.incumbent(known.lineage) == "a0000"
    assert any("does not take it" in notice for notice in race.notices())


async def test_each_record_is_timed_against_the_one_before(race: Race) -> None:
    known = await race.run(FAST, FASTER)
    opened = race.kinds("promotion_opened")

    assert [(one.contender, one.incumbent, one.test) for one in opened] in (
        [("a0001", "a0000", 1), ("a0002", "a0001", 2)],
        [("a0002", "a0000", 1)],
    )
    assert known.records.incumbent(known.lineage) == "a0002"
    assert known.lineage.nodes["a0002"].verdict == "valid"


async def test_one_failed_verification_is_a_flag_that_nobody_hears_of(race: Race) -> None:
    known = await race.run(DOUBTFUL)
    node = known.lineage.nodes["a0001"]

    assert [bool(found.failed) for _, found in node.verifications] == [True, False]
    assert node.verdict == "valid"
    assert race.kinds("attempt_invalidated") == []
    assert not any("missing_targets" in notice for notice in race.notices())


async def test_two_verifications_use_different_texts(race: Race) -> None:
    known = await race.run(DOUBTFUL)
    first, second = (found for _, found in known.lineage.nodes["a0001"].verifications)

    assert len(first.drawn) > 20
    assert not set(first.drawn) & set(second.drawn)


async def test_two_failed_verifications_end_a_claim_and_the_record_falls_back(race: Race) -> None:
    known = await race.run(FAST, {**BAD, **FITTED})
    (ruling,) = race.kinds("attempt_invalidated")
    node = known.lineage.nodes["a0002"]

    assert (node.verdict, node.verdict_reason) == ("invalid", "missing_targets")
    assert ruling.ingredient == ("weights.vocabulary.strategy=public_text",)
    assert known.lineage.ban_on(node.config)
    assert known.records.incumbent(known.lineage) == "a0001"
    assert any("Banned until it is reinstated" in notice for notice in race.notices())


async def test_who_inherits_is_suspect_until_it_is_verified_itself(race: Race) -> None:
    heirs = {"threads": 2}, {"poll": 50}
    known = await race.run({**BAD, **FITTED}, *heirs, parents=("a0000", "a0001", "a0001"))
    notices = " ".join(race.notices())

    assert "Suspect until verified themselves: a0002, a0003" in notices
    verdicts = [known.lineage.nodes[name].verdict for name in ("a0001", "a0002", "a0003")]
    assert verdicts == ["invalid", "invalid", "valid"]
    assert {one.purpose for one in race.kinds("job_requested")} >= {"suspect"}


async def test_what_cannot_be_served_on_private_texts_twice_is_invalid(race: Race) -> None:
    known = await race.run(BROKEN)
    node = known.lineage.nodes["a0001"]

    assert (node.verdict, node.verdict_reason) == ("invalid", "crashed")
    assert known.records.incumbent(known.lineage) == "a0000"


async def test_without_private_texts_the_ride_goes_on_unverified_and_says_why(race: Race) -> None:
    async def no_pool(*_: Any, **__: Any) -> Any:
        raise VerificationUnavailable("others may read the texts", code="pool_readable")

    race.parts = race.parts._replace(open_pool=no_pool)
    known = await race.run(FAST)

    assert known.verification_refused
    assert known.verification_refused.code == "pool_readable"
    assert known.records.history == ["a0001"]
    assert known.lineage.nodes["a0001"].verdict == "pending"
    assert any("Nothing is verified" in notice for notice in race.notices())


async def test_nothing_is_verified_where_it_was_switched_off_or_is_simulated(race: Race) -> None:
    known = await race.run(FAST, verify=False)
    simulated = await Race(race.folder).run(FAST, is_real=False)

    for one in (known, simulated):
        assert one.records.history == ["a0001"]
        assert one.pool is None
        assert one.verification_refused is None
        assert one.lineage.nodes["a0001"].verdict == "pending"


async def test_other_texts_than_those_committed_to_are_refused_on_resume(race: Race) -> None:
    async def other(*arguments: Any, session: str, **named: Any) -> Any:
        pool = await tiny_pool(*arguments, session=session, **named)
        return pool._replace(commitment="f" * 64)

    await race.run(FAST)
    race.parts = race.parts._replace(open_pool=other)
    known = await race.resume(attempts=2)

    assert known.verification_refused
    assert known.verification_refused.code == "pool_changed"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "kind",
    [
        "promotion_opened",
        "promotion_decided",
        "attempt_invalidated",
        "verdict_given",
        "receipt_issued",
    ],
)
async def test_a_session_that_broke_off_anywhere_is_resumed_to_the_same_end(
    race: Race, kind: str
) -> None:
    class Broken(Exception):
        """Ends everything at once."""

    def cut(event: Event, _known: Projection) -> None:
        if event.kind == kind and event.actor == "organiser":
            race.session = folder_of(race)
            raise Broken

    with pytest.raises(Broken):
        await race.run(FAST, BAD, on_event=cut)
    gc.collect()  # LangGraph drops coroutines of a failed step unawaited; let it complain here
    known = await race.resume()
    twice = [key for key in keys(race) if keys(race).count(key) > 1]

    assert twice == []
    assert known.records.incumbent(known.lineage) == "a0001"
    assert [known.lineage.nodes[name].verdict for name in ("a0001", "a0002")] == [
        "valid",
        "invalid",
    ]
    assert (race.session / RECEIPTS / "a0001.json").is_file()


def keys(race: Race) -> list[str]:
    return [event.key for event in told(race.session)]


def folder_of(race: Race) -> Path:
    (folder,) = (race.folder / "sessions").iterdir()
    return folder


async def test_an_uncited_copy_is_refused_the_record_and_the_board_says_why(race: Race) -> None:
    copy = {"threads": 2, **FASTER}
    known = await race.run({"threads": 2, **FAST}, copy, riders=("ada", "boris"), is_real=False)

    assert known.lineage.nodes["a0002"].agent == "boris"
    assert known.records.history == ["a0001"]
    assert any("does not name it" in notice for notice in race.notices())


async def test_private_texts_are_nowhere_in_the_session(race: Race) -> None:
    await race.run(DOUBTFUL)
    files = [path for path in race.session.rglob("*") if path.is_file() and not path.is_symlink()]

    assert files
    assert not any(b"secret" in path.read_bytes() for path in files)
    asked = race.folder / "private" / "sessions" / race.session.name / "jobs" / "a0001"
    assert "secret" in (asked / "a0001-4" / "request.json").read_text()


async def test_a_session_that_stands_still_is_verified_on_request(race: Race) -> None:
    await race.run(FAST, FASTER, verify=False)
    heard: list[str] = []
    jobs = await verify_session(
        race.session,
        attempt=None,
        on_event=lambda event, _known: heard.append(event.kind),
        parts=race.parts,
    )
    known = assert_sound(race.session)

    assert jobs == 2
    assert {known.lineage.nodes[name].verdict for name in ("a0001", "a0002")} == {"valid"}
    assert heard[-1] == "receipt_issued"
    assert "session_opened" not in heard  # what was told before is not told again


async def test_verifying_on_request_knows_where_engines_are(race: Race, tmp_path: Path) -> None:
    await race.run(FAST, verify=False)
    file = tmp_path / "places.toml"
    file.write_text('[vllm]\npython = "/opt/vllm/bin/python3"\n')
    settings = race.parts.settings.model_copy(update={"engine_places": file})
    parts = race.parts._replace(settings=settings)
    await verify_session(race.session, attempt="a0001", on_event=None, parts=parts)
    asked = race.folder.glob("private/sessions/*/jobs/a0001/*/request.json")

    assert '"python": "/opt/vllm/bin/python3"' in next(asked).read_text()


async def test_one_attempt_is_verified_on_request_and_again_after_a_flag(race: Race) -> None:
    await race.run(DOUBTFUL, FAST, verify=False)
    jobs = await verify_session(race.session, attempt="a0001", on_event=None, parts=race.parts)
    known = assert_sound(race.session)

    assert jobs == 2
    assert known.lineage.nodes["a0001"].verdict == "valid"
    assert known.lineage.nodes["a0002"].verdict == "pending"


@pytest.mark.parametrize(
    ("attempt", "code"),
    [("a0009", "unknown_attempt"), ("a0000", "not_measured"), ("a0001", "invalid_attempt")],
)
async def test_what_cannot_be_verified_is_one_clear_error(
    race: Race, attempt: str, code: str
) -> None:
    await race.run(BAD)
    with pytest.raises(ConfigError) as caught:
        await verify_session(race.session, attempt=attempt, on_event=None, parts=race.parts)

    assert caught.value.code == code


async def test_a_simulated_session_is_never_verified(race: Race) -> None:
    await race.run(FAST, is_real=False)
    with pytest.raises(ConfigError) as caught:
        await verify_session(race.session, attempt=None, on_event=None, parts=race.parts)

    assert caught.value.code == "no_verification"
