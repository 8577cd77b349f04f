"""A session's board in a bucket: written once, going on from what is there, people's word kept."""

import json
import re
import time
from pathlib import Path

import pytest

from orchestrator.bucket_layout import INDEX
from orchestrator.bucket_writer import FILE, STALE_SECONDS
from orchestrator.imports.values import is_file_name
from sandbox.errors import SessionBusy
from tests.builders import make_message, make_verdict
from tests.orchestrator.bucket_scene import BucketScene
from tools.plain_text import plain
from tools.record.events import Draft


@pytest.fixture
def scene(tmp_path: Path) -> BucketScene:
    return BucketScene(tmp_path)


async def test_what_is_read_back_is_what_was_said(scene: BucketScene) -> None:
    await scene.mirror()
    found, known = scene.read(), scene.known()
    said = [(round(m.time, 3), plain(m.body)) for m in known.board.messages]

    assert [(round(post.time, 3), post.body) for post in found.posts] == said
    assert [post.author for post in found.posts if post.type == "agent"] == [
        m.author for m in known.board.messages if m.trust == "rider"
    ]
    assert found.problems == ()


async def test_results_come_back_with_their_figures_parents_and_verdicts(
    scene: BucketScene,
) -> None:
    await scene.mirror()
    found, nodes = scene.read(), scene.known().lineage.nodes
    measured = [node for node in nodes.values() if node.all_measurements]
    speeds = [round(node.all_measurements[0].tokens_per_second, 3) for node in measured]
    by_speed = {one.tokens_per_second: one for one in found.results}
    merge = by_speed[round(nodes["a0004"].all_measurements[0].tokens_per_second, 3)]

    assert sorted(by_speed) == sorted(speeds)
    assert len(merge.parents) == 2
    assert [one.state for one in found.rulings] == ["invalid"]
    assert merge.agent == nodes["a0004"].agent


async def test_names_sort_in_the_order_of_the_record(scene: BucketScene) -> None:
    await scene.mirror()
    names = [
        path.split("/")[1] for path in scene.files() if re.match("message_board|results/2", path)
    ]

    assert all(map(is_file_name, names))
    assert len({name[:19] for name in names}) == len(names)


async def test_a_second_export_writes_nothing(scene: BucketScene) -> None:
    first = await scene.mirror()
    before = scene.files()
    second = await scene.mirror()

    assert first.written == len(before) - 1  # the index is counted apart
    assert (second.written, second.verdicts) == (0, "unchanged")
    assert scene.files() == before


async def test_only_what_is_new_is_written(scene: BucketScene) -> None:
    await scene.mirror()
    before = scene.files()
    await scene.append(Draft("bob", make_message("@ada look", mentions=("ada",)), "bob/9/0/0"))
    second = await scene.mirror()
    new = {path: text for path, text in scene.files().items() if path not in before}

    assert second.written == 2
    assert {path.split("/")[0] for path in new} == {"message_board", "inbox"}
    assert len(set(new.values())) == 1  # byte-identical
    assert any(path.startswith("inbox/ada/") for path in new)


async def test_a_kill_in_the_middle_is_made_good(scene: BucketScene) -> None:
    await scene.mirror()
    whole = scene.files()
    for path in list(whole)[::2]:
        (scene.bucket / path).unlink()
    await scene.mirror()

    assert scene.files() == whole


async def test_a_persons_verdict_in_the_index_stands(scene: BucketScene) -> None:
    await scene.mirror()
    index = json.loads((scene.bucket / INDEX).read_text())
    name = next(name for name, state in index.items() if state == "pending")
    (scene.bucket / INDEX).write_text(json.dumps(index | {name: "invalid"}))
    done = await scene.mirror()

    assert json.loads((scene.bucket / INDEX).read_text())[name] == "invalid"
    assert done.settled == (name,)


async def test_our_own_verdict_is_changed_when_it_changes(scene: BucketScene) -> None:
    await scene.mirror()
    reinstated = make_verdict("a0002", "valid", reason="verified", by="person:ann")
    await scene.append(Draft("person:ann", reinstated, "verdict/by-ann"))
    await scene.mirror()
    states = set(json.loads((scene.bucket / INDEX).read_text()).values())

    assert "valid" in states


@pytest.mark.parametrize("text", ["{half", "[]", '{"a.md": 3}'])
async def test_an_index_that_cannot_be_read_is_left_alone(scene: BucketScene, text: str) -> None:
    (scene.bucket / "results").mkdir(parents=True)
    (scene.bucket / INDEX).write_text(text)
    done = await scene.mirror()

    assert (scene.bucket / INDEX).read_text() == text
    assert done.verdicts.startswith("left alone")
    assert done.written == 10


async def test_the_index_has_sorted_keys_and_two_spaces(scene: BucketScene) -> None:
    await scene.mirror()
    text = (scene.bucket / INDEX).read_text()

    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


async def test_two_writers_are_told_apart_and_the_second_stops(
    scene: BucketScene, tmp_path: Path
) -> None:
    other = BucketScene(tmp_path / "other")
    other.bucket = scene.bucket
    (scene.bucket / FILE).parent.mkdir(parents=True)
    claim = {"writer": "somebody", "session": "other-session", "beat": time.time()}
    (scene.bucket / FILE).write_text(json.dumps(claim))

    with pytest.raises(SessionBusy, match=r"written by session 'other-session'.*name another"):
        await scene.mirror()
    assert scene.files() == {}


@pytest.mark.parametrize(
    "left", [{"writer": "x", "beat": time.time() - STALE_SECONDS}, {"writer": None}, "rubbish"]
)
async def test_a_writer_that_is_gone_is_in_nobodys_way(scene: BucketScene, left: object) -> None:
    (scene.bucket / FILE).parent.mkdir(parents=True)
    (scene.bucket / FILE).write_text(json.dumps(left))

    assert (await scene.mirror()).written == 10


async def test_a_simulated_figure_says_so(tmp_path: Path) -> None:
    scene = BucketScene(tmp_path, simulated=True)
    await scene.mirror()

    assert all(one.description.startswith("simulated: ") for one in scene.read().results)


async def test_nothing_is_written_through_a_link_out_of_the_bucket(
    scene: BucketScene, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (scene.bucket / FILE).parent.mkdir(parents=True)
    (scene.bucket / "agents").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Exception, match="leads out of the bucket"):
        await scene.mirror()
    assert list((tmp_path / "elsewhere").iterdir()) == []
