"""What every rider does, whatever its policy: introduce itself, report, answer, finish."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from agents.policies import voice
from agents.policies.evidence import is_at_fault
from agents.policies.pacing import has_time, is_busy, promising
from agents.policies.scene import BASELINE, Checked, Scene
from tools.record.board import Message
from tools.record.events import ToolCall
from tools.record.lineage import Node, Run

_CLEARLY_BROKEN = 1.1
"""Perplexity this far over the cap is no accident of one passage."""

_ANSWER_CHANCE = {"plan": 0.55, "chat": 1.0, "reply": 0.6}
_ANSWERS_PER_TURN = 1
_SCREEN_TRIES = 2
_HEEDED = 4
"""Latest notices of the organiser that are looked at."""
_NOISE_SHARE = 0.02
"""A screen cannot tell smaller gains from noise."""


def verb(name: str, **arguments: Any) -> ToolCall:
    """Return a call, with tuples as JSON lists."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    return ToolCall(name=name, arguments=plain)


def introduce(scene: Scene) -> list[ToolCall]:
    """Return the introduction, once."""
    if scene.agent in scene.survey.introduced:
        return []
    persona = scene.observation.persona
    role = persona.x_paceline.role or persona.description
    body = voice.introduction(scene.agent, role=role, policy=persona.x_paceline.policy)
    refs = (BASELINE,) if BASELINE in scene.lineage.nodes else ()
    return [verb("post_message", type="introduction", body=body, refs=refs)]


def report(scene: Scene) -> list[ToolCall]:
    """Return a result post for every own attempt whose latest job ended unreported."""
    calls: list[ToolCall] = []
    for node in scene.survey.attempts.get(scene.agent, ()):
        if run := unreported(scene, node):
            calls.append(
                verb("post_result", attempt=node.attempt, comment=_lesson(scene, node, run))
            )
            claim = scene.board.claim_on(node.direction, now=scene.observation.now)
            if claim and claim.agent == scene.agent:
                calls.append(verb("release_claim", direction=node.direction))
            calls += _own_dead_end(scene, node, run)
    return calls


def unreported(scene: Scene, node: Node) -> Run | None:
    """Return the latest ended run this rider asked for, unless it has spoken of it already."""
    ended = [r for r in node.runs if _has_news(r) and r.requested_by == scene.agent]
    if not ended or (node.measured_seq and not node.verdict_by):
        return None  # a measurement without its ruling is half a result
    last = max(ended, key=lambda run: run.ended_seq or 0)
    spoken = scene.survey.reported.get((scene.agent, node.attempt), 0)
    return last if spoken < (last.ended_seq or 0) else None


def _has_news(run: Run) -> bool:
    return run.outcome is not None and run.outcome.status != "cancelled"


def answer(scene: Scene, rng: Random) -> list[ToolCall]:
    """Return answers to what others said to this rider; never an answer to an answer."""
    calls: list[ToolCall] = []
    inbox = scene.board.inbox(scene.agent, after=scene.observation.seen)
    for message in inbox:
        wanted = rng.random() < _ANSWER_CHANCE.get(message.type, 0.0)
        if wanted and len(calls) < _ANSWERS_PER_TURN and _may_answer(scene, message):
            own = _own_attempts(scene, message)
            refs = (message.id, *own)
            body = voice.reply(scene.agent, _answer_text(scene, message, own[0]))
            mentions = (message.author,) if message.author in scene.survey.introduced else ()
            calls.append(
                verb("post_message", type="reply", body=body, refs=refs, mentions=mentions)
            )
    return calls


def heed(scene: Scene, words: Callable[[Node], str]) -> list[ToolCall]:
    """Return an answer to the latest notice that an attempt was ruled invalid, once.

    One voice is enough: who comes later sees that it was said, and would be refused as an echo.
    """
    for message in scene.survey.notices[-_HEEDED:]:
        node = scene.lineage.nodes[message.refs[0]]
        was_heard = any(said == message.id for _, said in scene.survey.answered)
        if was_heard or node.verdict != "invalid" or node.verdict_by == "guardrail":
            continue
        refs = (message.id, node.attempt)
        return [verb("post_message", type="reply", body=words(node), refs=refs)]
    return []


def leader(scene: Scene) -> str:
    """Return who leads now, in a few words."""
    best = next((node for node in scene.clean if node.parents), None)
    if best is None:
        return "nothing else counts yet"
    return f"the fastest that counts is {best.attempt} at {best.estimate or 0:.2f}x"


def finish(scene: Scene) -> list[ToolCall]:
    """Return the launch this rider still owes: a proposed attempt, or its promising one's full."""
    if is_busy(scene) or scene.observation.free_job_slots == 0:
        return []
    for node in scene.survey.attempts.get(scene.agent, ()):
        if _wants_screen(node) and has_time(scene, "screen"):
            return [verb("launch_benchmark", attempt=node.attempt, stage="screen")]
    node_or_none = promising(scene)
    if node_or_none is None:
        return []
    return [verb("launch_benchmark", attempt=node_or_none.attempt, stage="full")]


def _wants_screen(node: Node) -> bool:
    """Tell whether a screen is owed: never run, stopped with the session, or disturbed once."""
    unlucky = node.state == "failed" and not is_at_fault(node) and len(node.runs) < _SCREEN_TRIES
    return unlucky or node.state in ("proposed", "cancelled")


def propose(scene: Scene, checked: Checked) -> list[ToolCall]:
    """Return the claim and the proposal of an idea."""
    idea = checked.idea
    return [
        verb("claim", direction=checked.direction),
        verb(
            "propose_config",
            parent=idea.parent,
            changes=dict(idea.changes),
            merges=idea.merges,
            hypothesis=hypothesis(scene, checked),
        ),
    ]


def hypothesis(scene: Scene, checked: Checked) -> str:
    """Return why the idea should work, with the expected effect from bytes per token."""
    parent = scene.lineage.nodes[checked.idea.parent]
    old, new = scene.megabytes(parent.config), scene.megabytes(checked.config)
    reading = (
        f"{new:.0f} MB per token instead of {old:.0f}"
        if abs(new - old) > 1
        else (f"{new:.0f} MB per token as before")
    )
    speedup, ratio = checked.forecast
    risk = f", over the cap of {scene.cap:g} if so" if ratio > scene.cap else ""
    return (
        f"{checked.idea.why}. {reading}: I expect {speedup:.2f}x the baseline "
        f"({parent.attempt} has {parent.estimate or 1:.2f}x) and a perplexity ratio near "
        f"{ratio:.3f}{risk}."
    )


def announce(scene: Scene, node: Node) -> ToolCall:
    """Return the plan post for a fresh attempt."""
    parents = tuple(parent.attempt for parent in node.parents)
    owners = dict.fromkeys(scene.lineage.nodes[p].agent for p in parents)
    mentions = tuple(o for o in owners if o in scene.survey.introduced and o != scene.agent)
    body = voice.plan(
        scene.agent, attempt=node.attempt, parents=" and ".join(parents), text=node.hypothesis
    )
    refs = (node.attempt, *parents, *_result_ids(scene, parents))
    return verb("post_message", type="plan", body=body, refs=refs, mentions=mentions)


def _result_ids(scene: Scene, attempts: tuple[str, ...]) -> tuple[str, ...]:
    found = (scene.survey.result_message.get(attempt) for attempt in attempts)
    return tuple(message.id for message in found if message)


def _lesson(scene: Scene, node: Node, run: Run) -> str:
    if run.outcome is None or run.outcome.measurement is None:
        return _failure(run)
    if not node.counts:
        return _objection(scene, node)
    parent = scene.lineage.nodes.get(node.parents[0].attempt) if node.parents else None
    if parent is None or not parent.estimate or not node.estimate:
        return "Its parent is not measured yet, so this stands alone."
    gain = node.estimate / parent.estimate - 1
    if gain > _NOISE_SHARE:
        return f"{gain:+.0%} on {parent.attempt}: {node.direction} pays, build on it."
    if gain < -_NOISE_SHARE:
        return f"{gain:+.0%} on {parent.attempt}: {node.direction} costs speed here."
    return f"{gain:+.1%} on {parent.attempt}, inside the noise: {node.direction} is free at best."


def _objection(scene: Scene, node: Node) -> str:
    if node.verdict == "suspect":
        return "It inherits what was ruled invalid; private text has to say what it is worth."
    if node.verdict_by != "guardrail":
        return f"Fast or not, it was ruled invalid: {node.verdict_reason}."
    ratio = node.perplexity_ratio or 0.0
    return f"Fast or not, it does not count: {ratio:.3f} against a cap of {scene.cap:g}."


def _failure(run: Run) -> str:
    if run.outcome is not None and run.outcome.fault == "infrastructure":
        return "The machine was not quiet; this says nothing about the config."
    return "Nothing was measured; I would not build on it as it is."


def _own_dead_end(scene: Scene, node: Node, run: Run) -> list[ToolCall]:
    ratio = node.perplexity_ratio or 0.0
    broken = node.verdict == "invalid" and ratio > scene.cap * _CLEARLY_BROKEN
    broken = broken and not _is_inherited(scene, node)
    failed = run.outcome is not None and run.outcome.fault == "agent"
    words = scene.words(node)
    if not (broken or failed) or not may_retire(scene, words):
        return []
    why = f"perplexity ratio {ratio:.2f}" if broken else f"job {run.job} failed"
    reason = f"{why} in {node.attempt}, far outside the guardrail." if broken else f"{why}."
    refs = (node.attempt, *(p.attempt for p in node.parents))
    return [verb("record_dead_end", direction=" ".join(words), reason=reason, refs=refs)]


def _is_inherited(scene: Scene, node: Node) -> bool:
    """Return whether a parent was broken before: then what is new here is not to blame."""
    parents = (scene.lineage.nodes.get(parent.attempt) for parent in node.parents)
    return any(parent and (parent.perplexity_ratio or 0.0) > scene.cap for parent in parents)


def may_retire(scene: Scene, words: Sequence[str]) -> bool:
    """Return whether `words` say enough to be recorded as a dead end, and are not one yet."""
    return scene.space.may_retire(words) and " ".join(words) not in scene.board.dead_ends


def _may_answer(scene: Scene, message: Message) -> bool:
    if (scene.agent, message.id) in scene.survey.answered or not _own_attempts(scene, message):
        return False
    refs = (scene.board.message(ref) for ref in message.refs)
    return not any(one and one.author == scene.agent and one.type == "reply" for one in refs)


def _own_attempts(scene: Scene, message: Message) -> tuple[str, ...]:
    nodes = (scene.lineage.nodes.get(ref) for ref in message.refs)
    return tuple(node.attempt for node in nodes if node and node.agent == scene.agent)[:3]


def _answer_text(scene: Scene, message: Message, attempt: str) -> str:
    node = scene.lineage.nodes[attempt]
    if message.type == "chat" and scene.is_fitted(node.config):
        return _about_fitted(scene, node)
    if message.type == "reply":
        launches = len(node.measurements)
        return f"{attempt} now stands on {launches} launches, {node.estimate or 0:.2f}x together."
    if not node.perplexity_ratio:
        return f"{node.attempt} is not measured yet, so take it with care."
    room = scene.cap / node.perplexity_ratio - 1
    megabytes = scene.megabytes(node.config)
    return (
        f"{node.attempt} still reads {megabytes:.0f} MB per token and leaves "
        f"{room:.1%} of perplexity to the cap."
    )


def _about_fitted(scene: Scene, node: Node) -> str:
    honest = [one for one in scene.clean if one.parents and not scene.is_fitted(one.config)]
    twin = (
        f"the fastest attempt that never saw the text is {honest[0].attempt} "
        f"at {honest[0].estimate:.2f}x"
        if honest
        else "nothing honest is measured beside it yet"
    )
    return f"Yes, {node.attempt} {scene.space.fitted_answer}; {twin}."
