"""What a verification is asked: every field of its request, from what the judge knows."""

from pathlib import Path

from bench.challenge import VerificationRule
from bench.challenge_files import Text
from bench.engine_places import EnginePlaces, VllmPlace
from orchestrator.judge import Judge
from orchestrator.keys import signing_key
from orchestrator.private_pool import Pool
from sandbox.local import LocalSandbox
from tests.builders import make_attempt, make_events, make_request, make_session
from tests.orchestrator.tiny_race import tiny_challenge, write_challenge
from tools.jobs import Workplace
from tools.record.events import Draft
from tools.record.projection import Projection


def test_a_verification_is_told_where_engines_are(tmp_path: Path) -> None:
    places = EnginePlaces(vllm=VllmPlace(python=Path("/opt/vllm/bin/python3")))
    judge = made_judge(tmp_path, places)
    drafts = [
        Draft("ann", make_attempt(), "proposed"),
        Draft("organiser", make_request(stage="private", seed=7), "asked"),
    ]
    known = Projection.of(make_events(make_session(drafts)))
    node = known.lineage.nodes["a0001"]
    request = judge.workplace(known).request
    assert request is not None
    asked = request(node, node.runs[-1])

    assert asked["places"] == places.model_dump(mode="json")
    assert asked["seed"] == 7
    assert asked["config"] == node.config.model_dump(mode="json")


def made_judge(folder: Path, places: EnginePlaces) -> Judge:
    text = "a text that nobody saw"
    place = Workplace(
        LocalSandbox(),
        tiny_challenge().model_copy(update={"verification": VerificationRule(wall_seconds=100)}),
        attempts=folder / "jobs",
        challenge_file=write_challenge(folder / "challenge", is_real=True),
        cache_folder=folder / "cache",
        places=places,
    )
    texts = tuple(Text(id=f"t{n:03}", text=f"{text} {n}", source="own") for n in range(64))
    pool = Pool(texts, salt="0" * 64, commitment="1" * 64, folder=folder / "private")
    return Judge(folder, pool, signing_key(folder), place, folder / "reference.json")
