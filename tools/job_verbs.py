"""Verbs on jobs: ask for a benchmark, post its result.

The figures of a result come from the record; what the agent adds is a comment.
"""

from typing import Any

from pydantic import Field

from bench.measurement import RiderStage
from sandbox.errors import ToolError
from tools.board_verbs import checked_refs
from tools.budget import refuse_over_budget
from tools.job_quota import overdrawn
from tools.job_request import job_request
from tools.look_verbs import brief
from tools.plain_text import body_of, plain
from tools.posting import RECENT_MESSAGES, post
from tools.record.events import JobRequested, MessagePosted
from tools.record.lineage import Node, Run
from tools.record.spend import Amount
from tools.verb import Arguments, Caller, Desk, Verb, is_same_call, unknown_attempt


class LaunchBenchmark(Arguments):
    """Arguments of `launch_benchmark`."""

    attempt: str
    stage: RiderStage = "screen"
    """screen first; full when the screen looks good."""
    replicate: bool = False
    """Measure again what was measured already, your own or another's attempt."""


class PostResult(Arguments):
    """Arguments of `post_result`."""

    attempt: str
    comment: str = Field(default="", max_length=2000)
    """What was learnt; the figures are added from the record."""
    refs: tuple[str, ...] = Field(default=(), max_length=20)


async def launch_benchmark(
    desk: Desk, caller: Caller, arguments: LaunchBenchmark
) -> dict[str, Any]:
    """Queue a job for the lane, its budget reserved."""
    async with desk.recorder.exclusive():
        node = _node(desk, arguments.attempt)
        earlier = await _same_request(desk, caller, node)
        if earlier:
            return {"job": earlier.job, "attempt": node.attempt, "stage": earlier.stage}
        _refuse_misuse(node, caller, arguments)
        _refuse_over_quota(desk, caller)
        request = job_request(
            node,
            arguments.stage,
            session=desk.recorder.store.session,
            challenge=desk.challenge,
            replicate=arguments.replicate,
        )
        _refuse_over_budget(desk, caller, request)
        waiting = 1 + len(desk.known.lineage.jobs_waiting())  # as it was when it was decided
        await desk.recorder.append(caller.agent, request, key=caller.key)
    return {"job": request.job, "attempt": node.attempt, "stage": request.stage, "queued": waiting}


async def post_result(desk: Desk, caller: Caller, arguments: PostResult) -> dict[str, Any]:
    """Post an attempt's outcome as the record has it."""
    async with desk.recorder.exclusive():
        message = _result(desk, caller, arguments)
        result = brief(desk.known.lineage.nodes[arguments.attempt])
        posted = await post(desk, caller, message)
    return posted | {"result": result}


def _result(desk: Desk, caller: Caller, arguments: PostResult) -> MessagePosted:
    node = _node(desk, arguments.attempt)
    ended = [run for run in node.runs if run.outcome is not None and run.is_riders]
    if not ended:
        raise ToolError(
            f"{node.attempt} has no result yet, it is {node.state}",
            code="no_result",
            hint="wait for its job to end",
        )
    if node.agent != caller.agent and all(run.requested_by != caller.agent for run in ended):
        raise ToolError(
            f"{node.attempt} was run by {node.agent}, not by you",
            code="not_yours",
            hint="replicate it, or post_message about it",
        )
    own = [run for run in ended if run.requested_by == caller.agent]
    figures = _figures(node, (own or ended)[-1])
    _refuse_twice(desk, caller, figures)
    text = f"{figures} {plain(arguments.comment)}".strip()
    body = body_of(text, limit_bytes=desk.challenge.quotas.message_bytes)
    refs = checked_refs(desk.known, (node.attempt, *arguments.refs))
    return MessagePosted(type="result", body=body, refs=refs)


def _refuse_twice(desk: Desk, caller: Caller, figures: str) -> None:
    """Refuse figures the caller has posted already: a comment on them is a reply."""
    board = desk.known.board
    if board.posted_with(caller.key):
        return  # this very call, in a turn cut short before
    for said in reversed(board.recent(RECENT_MESSAGES)):
        if said.author == caller.agent and said.type == "result" and said.body.startswith(figures):
            raise ToolError(
                f"you posted these figures in {said.id}",
                code="duplicate_post",
                hint="measure something new, or post_message about it",
            )


def _node(desk: Desk, attempt: str) -> Node:
    node = desk.known.lineage.nodes.get(attempt)
    if node is None:
        raise unknown_attempt(attempt)
    return node


async def _same_request(desk: Desk, caller: Caller, node: Node) -> Run | None:
    for run in node.runs:
        if run.requested_by == caller.agent and await is_same_call(desk, caller, run.seq):
            return run
    return None


def _refuse_misuse(node: Node, caller: Caller, arguments: LaunchBenchmark) -> None:
    live = next((run for run in node.runs if run.state != "ended"), None)
    if live:
        raise ToolError(
            f"{node.attempt} already has job {live.job}, {live.state}",
            code="job_live",
            hint="wait until it ends",
        )
    if arguments.replicate:
        return
    if node.agent != caller.agent:
        raise ToolError(
            f"{node.attempt} belongs to {node.agent}",
            code="not_yours",
            hint="set replicate=true to measure another's attempt again",
        )
    if node.verdict == "invalid":
        raise ToolError(
            f"{node.attempt} was ruled invalid: {node.verdict_reason}",
            code="invalid_attempt",
            hint="propose another config; replicate=true measures it again all the same",
        )
    if any(run.stage == arguments.stage and _measured(run) for run in node.runs):
        raise ToolError(
            f"stage {arguments.stage} of {node.attempt} is measured already",
            code="already_measured",
            hint="set replicate=true for a further launch",
        )


def _measured(run: Run) -> bool:
    return run.outcome is not None and run.outcome.measurement is not None


def _refuse_over_quota(desk: Desk, caller: Caller) -> None:
    lineage, quotas = desk.known.lineage, desk.challenge.quotas
    own = len(lineage.live_jobs(caller.agent))
    if own >= quotas.pending_jobs_per_agent:
        raise ToolError(
            f"you have {own} jobs pending, the limit is {quotas.pending_jobs_per_agent}",
            code="too_many_pending",
            hint="wait until one ends",
        )
    waiting = len(lineage.jobs_waiting())
    if waiting >= quotas.queued_jobs:
        raise ToolError(
            f"{waiting} jobs are queued, the limit is {quotas.queued_jobs}",
            code="queue_full",
            hint="try again when some have ended",
        )
    if found := overdrawn(lineage, quotas, agent=caller.agent, now=caller.now):
        whose = "you have" if found.whose == "agent" else "the agents of this session have"
        raise ToolError(
            f"{whose} started {found.limit} jobs within 24 hours, which is the limit",
            code=f"{found.whose}_day_quota",
            hint=f"the next is free in {found.wait(caller.now)}; until then read, reason and post",
        )


def _refuse_over_budget(desk: Desk, caller: Caller, request: JobRequested) -> None:
    wanted = Amount(usd=request.reserved_usd, seconds=request.reserved_seconds)
    refuse_over_budget(
        desk.known.spend, desk.limits, caller.grant, agent=caller.agent, wanted=wanted
    )


def _figures(node: Node, run: Run) -> str:
    outcome = run.outcome
    if outcome is None or outcome.measurement is None:
        what = outcome.status if outcome else "unknown"
        why = f" ({plain(outcome.message)})" if outcome and outcome.message else ""
        return f"{node.attempt} {run.stage}: {what}{why}."
    m = outcome.measurement
    ratio = m.perplexity.value / m.reference_perplexity.value
    return (
        f"{node.attempt} {run.stage}{' (simulated)' if m.simulated else ''}: "
        f"{m.speedup:.2f}x the baseline [{m.speedup_low:.2f}, {m.speedup_high:.2f}], "
        f"perplexity {m.perplexity.value:.2f} ({ratio:.3f} of the reference); {_standing(node)}."
    )


def _standing(node: Node) -> str:
    if node.verdict == "invalid":
        by = "the guardrail" if node.verdict_by == "guardrail" else node.verdict_by
        return f"rejected by {by}, {node.verdict_reason}"
    if node.verdict == "suspect":
        return f"suspect, it inherits from {' and '.join(sorted(node.suspected_by))}"
    return node.verdict


JOB_VERBS = (
    Verb(
        "launch_benchmark",
        "Queue a benchmark of an attempt: stage screen first, full when it looks good.",
        LaunchBenchmark,
        launch_benchmark,
    ),
    Verb(
        "post_result",
        "Post an attempt's measured outcome with a comment on what was learnt.",
        PostResult,
        post_result,
    ),
)
