"""A scene for one policy: a small world, and attempts measured in it."""

from typing import Any

from agents.model import Observation
from agents.persona import PacelineKeys, Persona
from agents.policies.scene import Scene
from agents.policies.spaces import kit_of
from agents.policies.survey import Survey
from tests.agents.riding import World

ASCII = {"weights.vocabulary": {"strategy": "ascii", "size": 65_536}}
FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 16_384}}


def scene(world: World, agent: str = "ann", **fields: Any) -> Scene:
    known = world.recorder.projection
    keys = PacelineKeys(**fields.pop("keys", {"temperature": 0.0}))
    observation = Observation(
        agent=agent,
        persona=Persona(name=agent, description="rides", **{"x-paceline": keys}),
        turn=1,
        cursor=known.seq,
        seen=fields.pop("seen", 0),
        now=world.clock.now,
        seed=1,
        challenge=world.challenge,
        board=known.board,
        lineage=known.lineage,
        free_job_slots=4,
        attempts_left=None,
        seconds_left=fields.pop("seconds_left", None),
    )
    survey = Survey(known.board, known.lineage)
    survey.update()
    space = kit_of(world.challenge).space(world.challenge)
    return Scene(observation, survey, space, cores=4)


async def measure(
    world: World,
    changes: dict[str, Any],
    *,
    agent: str = "ann",
    parent: str = "a0000",
    stage: str = "screen",
    **measured: Any,
) -> str:
    proposal = {"parent": parent, "changes": changes, "hypothesis": "h"}
    answer = await world.call(agent, "propose_config", **proposal)
    attempt = str(answer["attempt"])
    await world.call(agent, "launch_benchmark", attempt=attempt, stage=stage)
    await world.measured(attempt, **measured)
    return attempt


async def introduce_all(world: World) -> None:
    for agent in ("ann", "bob"):
        await world.call(agent, "post_message", type="introduction", body=f"I am {agent}")
