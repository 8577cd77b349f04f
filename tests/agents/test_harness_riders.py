"""Agents that are outside programs, in a real world: real processes, real tools, a real record."""

import asyncio
import itertools
import json
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox import landlock, processes
from tests.agents.harness_scene import Scene, a_scene, descendants_with, own, replies, written
from tools.record.events import ModelReplied, ToolCall

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path) as made:
        yield made


async def test_an_acp_agent_reads_proposes_launches_and_posts(scene: Scene) -> None:
    events = await scene.turn(own("acp"))
    kinds = [event.kind for event in events if event.kind != "model_replied"]

    assert kinds == ["attempt_proposed", "job_requested", "message_posted"]
    assert {event.actor for event in events} == {"ann"}


async def test_each_call_is_a_decision_written_before_it_is_done(scene: Scene) -> None:
    decided = replies(await scene.turn(own("acp")))

    names = [call.name for reply in decided for call in reply.calls]
    assert names == ["read_board", "propose_config", "launch_benchmark", "post_message"]
    assert [len(reply.calls) for reply in decided] == [1, 1, 1, 1, 0]
    assert all(reply.question for reply in decided)


async def test_what_it_says_is_kept_and_so_is_what_it_does_with_tools_of_its_own(
    scene: Scene,
) -> None:
    decided = replies(await scene.turn(own("acp")))

    assert decided[0].text.startswith("I look first.")
    assert "[own tool: cat notes.txt]" in decided[0].text
    assert "read_board]" not in decided[0].text
    assert decided[-1].text == "Proposed and launched."


async def test_tokens_it_reports_are_in_the_record(scene: Scene) -> None:
    last = replies(await scene.turn(own("acp")))[-1]

    assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.usd) == (10, 5, 0.0)


async def test_an_agent_that_reports_nothing_is_marked(scene: Scene) -> None:
    last = replies(await scene.turn(own("lines")))[-1]

    assert last.text == "that was all\n[the agent did not report what it used]"


async def test_an_agent_of_lines_uses_the_same_tools(scene: Scene) -> None:
    events = await scene.turn(own("lines"))

    assert [event.kind for event in events][1:2] == ["message_posted"]
    assert events[1].actor == "ann"


async def test_one_process_rides_many_turns(scene: Scene) -> None:
    await scene.turn(own("acp"))
    second = await scene.turn(own("acp"), turn=1)

    bodies = [e.payload.body for e in second if e.kind == "message_posted"]
    assert len(bodies) == 1
    assert bodies[0].startswith("turn 1 from")


async def test_a_program_that_ends_with_its_turn_is_started_again(scene: Scene) -> None:
    for turn in range(2):
        assert replies(await scene.turn(own("lines", "once"), turn=turn))[-1].code == ""


async def test_it_sees_no_variable_and_no_file_of_ours(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "canary")
    (scene.folder / "secret.txt").write_text("not for riders")

    last = replies(await scene.turn(own("acp", "looks", "../../secret.txt")))[-1]
    variables = json.loads(last.text[: last.text.index("}") + 1])["env"]

    assert "SECRET_OF_OURS" not in variables
    assert {"PATH", "HOME", "TMPDIR"} <= set(variables)
    assert "read ../../secret.txt" not in last.text


async def test_calls_at_once_are_done_one_after_the_other(scene: Scene) -> None:
    decided = replies(await scene.turn(own("acp", "parallel")))

    assert [len(reply.calls) for reply in decided] == [1, 1, 1, 0]
    assert decided[-1].text == "3"


async def test_an_unknown_tool_is_refused_with_the_nearest_and_the_turn_goes_on(
    scene: Scene,
) -> None:
    decided = replies(await scene.turn(own("acp", "unknown")))

    assert [reply.calls for reply in decided] == [()]
    assert decided[0].text == "unknown_verbdid you mean 'post_message'?"


async def test_a_call_after_the_turn_is_never_done(scene: Scene) -> None:
    events = await scene.turn(own("acp", "late"))
    answer = await asyncio.wait_for(written(scene.folder, "answer.txt"), 20)
    events += await scene.turn(own("acp", "late"), turn=1)

    assert answer == "turn_over"
    assert "message_posted" not in [event.kind for event in events]


async def test_calls_beyond_the_limit_are_refused_and_it_may_end_its_turn(scene: Scene) -> None:
    decided = replies(await scene.turn(own("acp", "greedy"), max_turns=4))

    assert len(decided) == 4
    assert decided[-1].text == "3 done, then steps_used_up"
    assert decided[-1].code == ""


async def test_only_our_tools_are_permitted(scene: Scene) -> None:
    assert replies(await scene.turn(own("acp", "asks")))[-1].text == "yes no"


@pytest.mark.parametrize(
    ("manner", "code", "words"),
    [
        ("dies", "harness_died", "exited with code 3: out of luck"),
        ("floods", "harness_rubbish", "bytes in one turn"),
        ("rubbish", "harness_rubbish", "what is this"),
        ("huge", "harness_rubbish", "a line of more than"),
        ("loops", "harness_rubbish", "were refused"),
        ("refuses", "harness_refused", "Authentication required"),
    ],
)
async def test_a_failure_has_a_code_and_the_next_turn_begins_afresh(
    scene: Scene, manner: str, code: str, words: str
) -> None:
    for turn in range(2):
        decided = replies(await scene.turn(own("acp", manner), turn=turn))

        assert [reply.code for reply in decided] == [code]
        assert words in decided[0].text


async def test_a_turn_that_does_not_end_is_ended_and_nobody_survives(tmp_path: Path) -> None:
    async with a_scene(tmp_path, turn_seconds=1.0) as scene:
        before = set(processes.descendants(os.getpid()))

        decided = replies(await scene.turn(own("acp", "hangs")))

        assert [reply.code for reply in decided] == ["harness_timeout"]
        assert set(processes.descendants(os.getpid())) <= before


async def test_a_line_that_is_no_move_ends_the_turn(scene: Scene) -> None:
    decided = replies(await scene.turn(own("lines", "odd")))

    assert [reply.code for reply in decided] == ["harness_rubbish"]


async def test_a_turn_called_off_ends_the_process(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        before = set(processes.descendants(os.getpid()))
        turn = asyncio.create_task(scene.turn(own("acp", "hangs")))
        await descendants_with("sleep")

        turn.cancel()
        await asyncio.wait({turn})

        assert set(processes.descendants(os.getpid())) <= before


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("kind", ["acp", "lines"])
async def test_it_rides_where_there_are_no_namespaces(tmp_path: Path, kind: str) -> None:
    async with a_scene(tmp_path, level="landlock") as scene:
        events = await scene.turn(own(kind))

    assert [e.actor for e in events if e.kind == "message_posted"] == ["ann"]


@pytest.mark.parametrize(("name", "command"), [("rider.py", sys.executable), ("rider.sh", "sh")])
async def test_the_examples_of_the_manual_ride(scene: Scene, name: str, command: str) -> None:
    manual = (ROOT / "docs" / "riders.md").read_text()
    after = manual[manual.index(f'{name}"`:') :]
    lines = itertools.takewhile(lambda line: line[:1] in {" ", ""}, after.splitlines()[1:])
    script = scene.folder / name
    script.write_text(textwrap.dedent("\n".join(lines)))

    decided = replies(await scene.turn(f"lines:{command} {script}"))

    assert [reply.code for reply in decided] == [""] * len(decided)
    assert len(decided) >= 2


def test_nobody_survives_a_kill_of_ours(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.agents.harness_scene", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout
        left = [os.pidfd_open(int(pid)) for pid in ours.stdout.readline().split()]
        ours.kill()

    assert len(left) >= 3
    for handle in left:
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)


async def test_a_turn_cut_short_is_taken_up_by_a_fresh_process_that_is_told_what_was_done(
    scene: Scene,
) -> None:
    recorder = scene.world.recorder
    post = ToolCall(name="post_message", arguments={"body": "before the kill", "type": "chat"})
    cut = ModelReplied(turn=0, step=0, cursor=recorder.projection.seq, calls=(post,))
    await recorder.append("ann", cut, key="ann/0/0")

    events = await scene.turn(own("lines", "echo"))

    assert "before the kill" in [e.payload.body for e in events if e.kind == "message_posted"]
    assert "before the kill" in replies(events)[-1].text
