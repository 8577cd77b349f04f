"""The model that needs no key: search policies driven by persona. A program, and labelled so.

The baseline every language model is compared with. Reads board and lineage through a shared
survey and keeps nothing else between turns: the same record and seed give the same replies.
"""

import os
from collections.abc import Sequence
from random import Random

from agents.model import Observation, Question, Reply, TurnMessage
from agents.models.program import Program
from agents.persona import Policy
from agents.policies import librarian, sceptic
from agents.policies.duties import announce, answer, finish, introduce, propose, report, verb
from agents.policies.pacing import is_my_turn
from agents.policies.scene import Extra, Scene
from agents.policies.spaces import kit_of
from agents.policies.survey import Survey
from tools.record.events import ToolCall

EXTRAS: dict[Policy, Extra] = {"sceptic": sceptic.extra, "librarian": librarian.extra}

_LAST_RETRY_STEP = 2
"""A refused proposal is replaced up to here, so that a launch still fits into the turn."""


class OfflineModel(Program):
    """Decides by program. One instance may serve all agents of a session."""

    name = "offline"

    def __init__(self, *, cores: int | None = None) -> None:
        """`cores` = threads a config may sensibly ask for; None = the cores of this machine."""
        self._cores = cores or os.cpu_count() or 1
        self._survey: Survey | None = None

    async def query(self, question: Question) -> Reply:
        """Decide the next step; uses only verbs among the tools it was offered."""
        observation, messages = question.observation, question.messages
        space = kit_of(observation.challenge).space(observation.challenge)
        scene = Scene(observation, self._surveyed(observation), space, cores=self._cores)
        rng = Random(f"{observation.seed}/{len(messages)}")
        calls = _go_on(scene, rng, messages) if messages else _begin(scene, rng)
        granted = {spec.name for spec in question.tools}
        return Reply("", tuple(call for call in calls if call.name in granted))

    def _surveyed(self, observation: Observation) -> Survey:
        survey = self._survey
        if survey is None or survey.board is not observation.board:
            survey = self._survey = Survey(observation.board, observation.lineage)
        survey.update()
        return survey


def _begin(scene: Scene, rng: Random) -> list[ToolCall]:
    calls = [*introduce(scene), *report(scene), *answer(scene, rng)]
    work = finish(scene)
    if not work and (extra := EXTRAS.get(scene.keys.policy)):
        work = extra(scene, rng)
    if not work and is_my_turn(scene, rng):
        work = _new_idea(scene, rng)
    return calls + work


def _go_on(scene: Scene, rng: Random, messages: Sequence[TurnMessage]) -> list[ToolCall]:
    """Follow up what the last step's verbs answered."""
    calls: list[ToolCall] = []
    for message in reversed(messages):
        if message.role != "tool" or message.call is None:
            break
        if message.call.name == "propose_config":
            calls += _after_proposal(scene, rng, messages, message)
        elif message.call.arguments.get("replicate") and "job" in message.result:
            calls.append(sceptic.announce(scene, message.result["attempt"]))
    return calls


def _after_proposal(
    scene: Scene, rng: Random, messages: Sequence[TurnMessage], answered: TurnMessage
) -> list[ToolCall]:
    attempt = answered.result.get("attempt")
    if attempt is not None:
        node = scene.lineage.nodes[attempt]
        launch = verb("launch_benchmark", attempt=attempt, stage="screen")
        return [launch, announce(scene, node)]
    claimed = [m.call.arguments for m in messages if m.call and m.call.name == "claim"]
    release = [
        verb("release_claim", direction=arguments["direction"])
        for arguments in claimed[-1:]
        if _is_mine(scene, str(arguments["direction"]))
    ]
    steps = sum(m.call is not None and m.call.name == "propose_config" for m in messages) // 2
    return release + (_new_idea(scene, rng) if steps < _LAST_RETRY_STEP else [])


def _is_mine(scene: Scene, direction: str) -> bool:
    claim = scene.board.claim_on(direction, now=scene.observation.now)
    return claim is not None and claim.agent == scene.agent


def _new_idea(scene: Scene, rng: Random) -> list[ToolCall]:
    ideas = kit_of(scene.observation.challenge).ideas[scene.keys.policy](scene, rng)
    chosen = scene.choose(ideas, rng)
    return propose(scene, chosen) if chosen else []
