"""What outside agents leave in their scratch buckets: theirs by the bucket, each file once."""

from pathlib import Path

import pytest

from orchestrator.bucket_intake import PERSONA
from orchestrator.bucket_place import opened_place
from orchestrator.bucket_session import mirror
from orchestrator.imports.front_matter import parse_document
from orchestrator.opening import RunOptions
from orchestrator.rerun import rerun_session
from orchestrator.session import run_session
from orchestrator.settings import Settings
from tests.builders import make_joined
from tests.orchestrator.bucket_scene import BucketScene
from tests.orchestrator.tiny_race import TinyModel, tiny_parts, write_challenge
from tools.record.events import Draft
from tools.record.invariants import check

MESSAGE = "---\nagent: ada\nvia: server\npriority: high\npost: plan\n---\n\n@ada I try threads next"
RESULT = """---
tps: 420.1
ppl: 2.377
method: w192-ctk48-v1
status: agent-run
description: one line
---

Window 192."""


@pytest.fixture
def scene(tmp_path: Path) -> BucketScene:
    return BucketScene(tmp_path)


async def test_the_author_is_who_owns_the_bucket_whatever_the_file_says(
    scene: BucketScene,
) -> None:
    scene.outside("zoe", "message_board/hello.md", MESSAGE)
    done = await scene.mirror(takes_in=True)
    post = scene.known().board.messages[-1]

    assert done.taken_in == 1
    assert (post.author, post.type, post.mentions) == ("zoe", "plan", ("ada",))
    assert scene.known().agents["zoe"].persona == PERSONA


async def test_the_promoted_file_keeps_its_keys_and_the_stamped_ones_win(
    scene: BucketScene,
) -> None:
    scene.outside("zoe", "message_board/hello.md", MESSAGE)
    await scene.mirror(takes_in=True)
    (path,) = (
        path for path in scene.files() if path.startswith("message_board/") and "zoe" in path
    )
    keys = parse_document(scene.files()[path]).keys

    assert (keys["agent"], keys["via"], keys["priority"]) == ("zoe", "bucket", "high")
    assert list(keys)[-3:] == ["agent", "timestamp", "via"]
    assert scene.files()[f"inbox/ada/{Path(path).name}"] == scene.files()[path]


async def test_a_reported_result_is_told_as_theirs_and_never_ranked(scene: BucketScene) -> None:
    before = len(scene.known().lineage.nodes)
    scene.outside("zoe", "results/w192.md", RESULT)
    await scene.mirror(takes_in=True)
    post = scene.known().board.messages[-1]
    theirs = [one for one in scene.read().results if one.agent == "zoe"]

    assert "420.1 tokens/s, perplexity 2.377, as zoe reports it, not measured here" in post.body
    assert [(one.tokens_per_second, one.method) for one in theirs] == [(420.1, "w192-ctk48-v1")]
    assert len(scene.known().lineage.nodes) == before


async def test_the_same_file_comes_in_once(scene: BucketScene) -> None:
    file = scene.outside("zoe", "message_board/hello.md", MESSAGE)
    await scene.mirror(takes_in=True)
    before = scene.files()
    file.rename(file.with_name("again.md"))
    done = await scene.mirror(takes_in=True)

    assert done.taken_in == 0
    assert scene.files() == before


async def test_a_kill_before_the_central_copy_loses_nothing(scene: BucketScene) -> None:
    file = scene.outside("zoe", "results/w192.md", RESULT)
    await scene.mirror(takes_in=True)
    whole = scene.files()
    for path in [path for path in whole if "zoe" in path]:
        (scene.bucket / path).unlink()
    file.unlink()  # its owner has tidied up
    await scene.mirror(takes_in=True)

    assert scene.files() == whole


async def test_a_riders_name_cannot_be_taken(scene: BucketScene) -> None:
    scene.outside("ada", "message_board/hello.md", "I am ada")
    done = await scene.mirror(takes_in=True)

    assert done.taken_in == 0
    assert "is the name of a rider" in done.refused[0][1]


BAD = {
    "people": ("human-bob", "message_board/a.md", "hello", "is a person's name"),
    "session": ("organiser", "message_board/a.md", "hello", "name of the session's own"),
    "empty": ("zoe", "message_board/a.md", "---\npost: plan\n---\n", "the text is empty"),
    "half": ("zoe", "results/a.md", RESULT[:40], "not closed"),
    "nan": ("zoe", "results/a.md", RESULT.replace("420.1", ".nan"), "tps is not finite"),
    "no tps": ("zoe", "results/a.md", RESULT.replace("tps: 420.1\n", ""), "tps is absent"),
    "no status": ("zoe", "results/a.md", RESULT.replace("agent-run", "best"), "status is 'best'"),
    "binary": ("zoe", "message_board/a.md", "\udcff", "no UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_taken_in_is_told_with_its_reason(
    scene: BucketScene, name: str
) -> None:
    agent, path, text, why = BAD[name]
    scene.outside(agent, path, "x").write_bytes(text.encode(errors="surrogateescape"))
    done = await scene.mirror(takes_in=True)

    assert done.taken_in == 0
    assert [why in told for _, told in done.refused] == [True]


async def test_a_flood_waits_for_its_turn_and_the_rules_hold(scene: BucketScene) -> None:
    for number in range(14):
        scene.outside("zoe", f"message_board/{number:02d}.md", f"thought number {number * 977}")
    scene.outside("yan", "message_board/a.md", "and I am here too")
    done = await scene.mirror(takes_in=True)
    authors = [message.author for message in scene.known().board.messages]

    assert authors.count("zoe") in (10, 11, 12)  # the burst, and what the clock let through
    assert "yan" in authors
    assert done.refused == ()


async def test_a_long_text_is_cut_to_what_a_post_may_hold(scene: BucketScene) -> None:
    scene.outside("zoe", "message_board/a.md", "long " * 10_000)
    await scene.mirror(takes_in=True)
    body = scene.known().board.messages[-1].body

    assert body.endswith("[…]")
    assert len(body.encode()) <= 8192


async def test_the_record_still_keeps_every_invariant(scene: BucketScene) -> None:
    scene.outside("zoe", "message_board/hello.md", MESSAGE)
    scene.outside("zoe", "results/w192.md", RESULT)
    await scene.append(Draft("dan", make_joined("dan"), "join/dan"))
    before = {one.name for one in check(scene.events()) if not one.ok}
    await scene.mirror(takes_in=True)

    assert {one.name for one in check(scene.events()) if not one.ok} == before


async def test_refs_to_files_become_refs_to_what_they_tell_of(scene: BucketScene) -> None:
    await scene.mirror()
    result = next(path for path in scene.files() if path.startswith("results/2"))
    scene.outside("zoe", "message_board/a.md", f"---\nrefs: {result}\n---\n\nhow was it run?")
    await scene.mirror(takes_in=True)

    assert scene.known().board.messages[-1].refs[0].startswith("a00")


async def test_without_the_word_nothing_comes_in(scene: BucketScene) -> None:
    scene.outside("zoe", "message_board/hello.md", MESSAGE)

    assert (await scene.mirror()).taken_in == 0


async def test_a_ride_with_outside_posts_can_be_done_again(tmp_path: Path) -> None:
    await run_session(
        RunOptions(
            agents=2,
            attempts=2,
            challenge=str(write_challenge(tmp_path / "challenge")),
            session=str(tmp_path / "session"),
        ),
        parts=tiny_parts(tmp_path),
    )
    file = tmp_path / "central-zoe" / "message_board" / "a.md"
    file.parent.mkdir(parents=True)
    file.write_text(MESSAGE)
    settings = Settings(private_folder=tmp_path / "private")
    async with opened_place(str(tmp_path / "central"), settings) as place:
        await mirror(tmp_path / "session", place, settings=settings, takes_in=True)
    report = await rerun_session(tmp_path / "session", models=lambda _name: TinyModel())

    assert report.inputs["message_posted"] == 1
    assert report.inputs["agent_joined"] == 1
