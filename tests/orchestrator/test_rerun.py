"""Sessions done again from their records: the same head hash, or a miss that names the place."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.model import Observation, Question, Reply, TurnMessage
from agents.models.offline import OfflineModel
from agents.turn import take_turn
from orchestrator.opening import RunOptions, create_session, write_beginning
from orchestrator.parts import opened_recorder
from orchestrator.rerun import rerun_session
from orchestrator.rerun_miss import first_difference
from orchestrator.session import SessionSummary
from orchestrator.session_folder import RECORD
from sandbox.errors import ModelError, RecordError, ReplayMiss
from tests.orchestrator.test_kill import Stable, kill_and_resume
from tests.orchestrator.test_organiser import BAD, DOUBTFUL, FAST, FITTED, Race
from tests.orchestrator.test_session import Small, told
from tests.orchestrator.tiny_race import TinyModel, tiny_parts
from tools.limits import Limits
from tools.record.blobs import FILE
from tools.record.events import Draft, SessionOpened, ToolCall, Usage
from tools.record.sqlite_store import SqliteStore
from tools.toolbox import Toolbox
from tools.verb import ToolSpec

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def tiny(_name: str) -> TinyModel:
    return TinyModel()


class Wordy:
    """Thinks like the tiny model, but as something that is asked in words and billed."""

    name = "wordy"
    max_steps = 4

    def __init__(self, rule: str = "be brief") -> None:
        self._rule = rule

    def question(
        self,
        observation: Observation,
        messages: Sequence[TurnMessage],
        tools: Sequence[ToolSpec],
    ) -> Question:
        board = [message.body for message in observation.board.recent(5)]
        heard = [message.text for message in messages]
        parts = (self._rule, *(json.dumps([observation.now, part]) for part in (board, heard)))
        ceiling = Usage(input_tokens=100, output_tokens=50, usd=0.001)
        return Question(observation, messages, tools, parts, ceiling)

    async def query(self, question: Question) -> Reply:
        seen = question.observation
        if seen.turn == 0 and seen.agent == "ada":
            raise ModelError("the provider is asleep", code="model_timeout")
        reply = await TinyModel().query(question)
        return reply._replace(usage=Usage(input_tokens=80, output_tokens=20, usd=0.0005))

    async def aclose(self) -> None:
        """Nothing is open."""


def asked(_name: str) -> Wordy:
    raise AssertionError("nobody is to be asked")


async def assert_same(folder: Path, models: Any = tiny) -> Any:
    report = await rerun_session(folder, models=models)
    assert report.head_hash == told(folder)[-1].hash
    return report


@pytest.mark.parametrize("seed", range(3))
async def test_a_session_done_again_comes_to_the_same_head_hash(small: Small, seed: int) -> None:
    summary = await small.run(attempts=5, seed=seed)

    report = await assert_same(summary.folder)
    assert report.inputs == {"session_opened": 1, "session_stopped": 1}
    assert (report.agents, report.attempts) == (3, 5)


async def test_twenty_agents_of_the_shipped_model_decide_again_what_they_decided(
    small: Small,
) -> None:
    summary = await small.run(agents=20, attempts=6, model=OfflineModel())

    report = await assert_same(summary.folder, lambda _name: OfflineModel())
    assert report.seconds < 30


@pytest.mark.parametrize("moves", [(FAST,), (DOUBTFUL,), (FAST, {**BAD, **FITTED})])
async def test_records_verdicts_and_receipts_are_derived_again(tmp_path: Path, moves: Any) -> None:
    race = Race(tmp_path)
    await race.run(*moves)

    report = await assert_same(race.session, race.parts.models)
    assert set(report.inputs) == {"pool_committed", "session_opened", "session_stopped"}
    assert {"promotion_decided", "receipt_issued"} <= set(report.derived)


async def test_a_session_taken_up_again_is_one_record(small: Small) -> None:
    summary = await small.run(attempts=3)
    await small.resume(summary.folder)

    report = await assert_same(summary.folder)
    assert report.inputs["session_resumed"] == 1


async def test_a_session_killed_in_the_middle_is_done_again(tmp_path: Path) -> None:
    stable = Stable(tmp_path, attempts=8)
    try:
        kill_and_resume(stable, kills=4, seed=5)
    finally:
        stable.close()

    await assert_same(stable.folder)


class Coder(TinyModel):
    """Writes a file, runs it, reads what it left, and tries what cannot be done."""

    async def query(self, question: Question) -> Reply:
        """Decide by the step alone."""
        steps = (
            ("write_file", {"path": "make.py", "content": "open('made', 'w').write('7')"}),
            ("run_command", {"command": "python make.py; echo done; exit 3"}),
            ("read_file", {"path": "made"}),
            ("run_command", {"command": "rm make.py"}),
        )
        name, arguments = steps[len(question.messages) // 2]
        return Reply("", (ToolCall(name=name, arguments=dict(arguments)),))


async def test_files_and_commands_of_agents_come_from_the_record(small: Small) -> None:
    options = RunOptions(agents=1, challenge=small.challenge, minutes=1)
    parts = tiny_parts(small.folder)
    opened = await create_session(options, TinyModel(), settings=parts.settings, clock=parts.clock)
    ((agent, persona),) = opened.riders
    async with opened_recorder(opened.folder, parts, session="s") as recorder:
        await write_beginning(recorder, opened)
        toolbox = Toolbox(recorder, opened.challenge, Limits(), sandbox=parts.sandbox)
        await take_turn(agent, persona, Coder(), toolbox, recorder, turn=0, seen=0)

    changed = [e.payload for e in told(opened.folder) if e.kind == "workspace_changed"]
    assert [(one.end, one.exit_code) for one in changed[1:]] == [("exited", 3), ("exited", 0)]
    report = await assert_same(opened.folder, lambda _name: Coder())
    assert report.derived["workspace_changed"] == 3


# --- models that are asked in words


@pytest.fixture
async def spoken(small: Small) -> SessionSummary:
    summary: SessionSummary = await small.run(attempts=3, model=Wordy())
    return summary


async def test_replies_of_a_billed_model_come_from_the_record(spoken: SessionSummary) -> None:
    class Mute(Wordy):
        query = asked  # type: ignore[assignment]

    report = await assert_same(spoken.folder, lambda _name: Mute())
    assert report.derived["model_asked"] == report.derived["model_replied"]


async def test_a_question_the_budget_refused_is_refused_again(small: Small) -> None:
    summary = await small.run(agents=5, attempts=8, model=Wordy(), budget_tokens=1500)

    await assert_same(summary.folder, lambda _name: Wordy())
    codes = {e.payload.code for e in told(summary.folder) if e.kind == "model_replied"}
    assert any("tokens" in code for code in codes)


async def test_a_changed_prompt_is_a_miss_that_names_its_first_difference(
    spoken: SessionSummary,
) -> None:
    with pytest.raises(ReplayMiss, match=r"part 0, character 3.*be brief.*be long") as missed:
        await rerun_session(spoken.folder, models=lambda _name: Wordy("be long"))

    assert missed.value.code == "prompt_changed"


async def test_a_changed_blob_is_a_miss(spoken: SessionSummary) -> None:
    file = spoken.folder / FILE
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(RecordError, match="blob"):
        await rerun_session(spoken.folder, models=lambda _name: Wordy())


# --- records that were changed


def change(folder: Path, kind: str, column: str, old: str, new: str) -> int:
    """Change one event behind the chain's back; return its number."""
    with sqlite3.connect(folder / RECORD) as record:
        row = record.execute(
            f"SELECT seq, {column} FROM events WHERE kind = ? AND instr({column}, ?) LIMIT 1",
            (kind, old),
        ).fetchone()
        changed = str(row[1]).replace(old, new, 1)
        record.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (changed, row[0]))
    record.close()
    return int(row[0])


@pytest.mark.parametrize(
    ("kind", "column", "old", "new"),
    [
        ("model_replied", "payload", "takes turn", "skips turn"),
        ("model_replied", "payload", '"text":"second"', '"text":"third"'),
        ("job_ended", "payload", '"peak_memory_bytes":null', '"peak_memory_bytes":7'),
        ("model_replied", "payload", '"now":1', '"now":2'),
        ("verdict_given", "payload", '"verdict":"pending"', '"verdict":"valid"'),
        ("message_posted", "actor", "boris", "carmen"),
    ],
)
async def test_a_changed_event_is_named(
    small: Small, kind: str, column: str, old: str, new: str
) -> None:
    summary = await small.run(attempts=2)
    seq = change(summary.folder, kind, column, old, new)

    with pytest.raises(ReplayMiss, match=rf"event {seq}\b"):
        await rerun_session(summary.folder, models=tiny)


async def test_another_model_is_a_miss_at_its_first_word(small: Small) -> None:
    summary = await small.run(attempts=2)

    with pytest.raises(ReplayMiss, match=r"calls\[0\].arguments.body.*takes turn 0"):
        await rerun_session(summary.folder, models=lambda _name: OfflineModel())


async def test_a_record_from_before_readings_were_kept_says_so(tmp_path: Path) -> None:
    begins = SessionOpened(
        format_version=2, challenge={}, settings={}, model_sha256="", engine_version=""
    )
    store = SqliteStore.create(tmp_path / "record.db", session="old", clock=lambda: 1.0)
    await store.append([Draft("organiser", begins, "open")])
    await store.close()

    with pytest.raises(RecordError, match="before format 3") as refused:
        await rerun_session(tmp_path)

    assert refused.value.code == "not_rerunnable"


async def test_the_recorded_ride_is_done_again_to_the_same_hash() -> None:
    store = SqliteStore.open_read_only(EXAMPLES / "first-ride" / RECORD)
    recorded = list(store.events())
    store.close_reader()

    report = await rerun_session(EXAMPLES / "first-ride")

    assert report.head_hash == recorded[-1].hash
    assert report.events == len(recorded)


@pytest.mark.parametrize(
    ("recorded", "found", "path"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, "a[1].b"),
        ({"a": [1]}, {"a": [1, 2]}, "a[1]"),
        ({"a": 1, "b": 2}, {"a": 1}, "b"),
        ({"a": 1}, {"a": True}, "a"),
    ],
)
def test_the_first_difference_has_a_path(recorded: Any, found: Any, path: str | None) -> None:
    difference = first_difference(recorded, found)

    assert path == (difference.path if difference else None)
