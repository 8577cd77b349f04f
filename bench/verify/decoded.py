"""What was served, under the reference and under the candidate's own weights.

Perplexity looks at fixed text; these tests look at the tokens that came out of the timed server.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.engines.engine import Ranked
from bench.perplexity import CONTEXT_TOKENS
from bench.verification import TestName
from bench.verify.canaries import PATTERN, Canary, choose, compare
from bench.verify.evidence import Part
from bench.verify.hearing import Answer, Hearing
from bench.verify.likelihood import (
    first_divergence,
    mean_nll,
    regrets,
    repeated_share,
    summary,
)
from bench.verify.memory import Greedy
from bench.verify.watched import Request

COMPARED = 4
"""Served texts beside which the reference writes its own: 384 tokens of it would take 11 s."""
PROBE_TOKENS = 24
"""Asked for once more with log-probabilities, after each served prompt."""
Views = Mapping[str, tuple[Ranked | None, ...]]
"""Prompt id -> what the twin says of each served token."""


class Opinion(NamedTuple):
    """What the reference says of the served tokens."""

    ranked: list[tuple[Ranked | None, ...]]
    """Per served prompt."""
    own: list[Greedy]
    """What it writes itself after the first of the prompts."""


def ask_reference(hearing: Hearing) -> Opinion:
    """Score the served tokens under the reference, and let it continue some prompts itself."""
    launch, served = hearing.launch, hearing.served
    ranked = [launch.reference.ranked(one.prompt.token_ids, one.token_ids) for one in served]
    tokens = launch.rule.served_tokens
    own = [launch.memory.greedy(one.prompt.token_ids, tokens=tokens) for one in served[:COMPARED]]
    launch.memory.save()
    return Opinion(ranked, own)


def judge_served(hearing: Hearing, opinion: Opinion) -> None:
    """Compare the served texts with the reference's own: loops, surprise, regret."""
    served, own = hearing.served[: len(opinion.own)], opinion.own
    loops = repeated_share([one.token_ids for one in served])
    usual = repeated_share([one.token_ids for one in own])
    said = f"{loops:.3f}, reference's own {usual:.3f}"
    hearing.add(Part("repetition", loops - usual, "share", detail=said))
    compared = [one for answer in opinion.ranked[: len(own)] for one in answer]
    surprise = mean_nll([None if one is None else one.logprob for one in compared])
    expected = mean_nll([one for text in own for one in text.logprobs])
    said = f"{surprise:.4f}, reference's own {expected:.4f}"
    gap = abs(surprise - expected)
    hearing.add(Part("served_likelihood", gap, "nats per token", detail=said))
    values = regrets([one for answer in opinion.ranked for one in answer])
    hearing.regret = summary(values)
    hearing.add(*_regret_parts("regret", values))


def judge_self(hearing: Hearing) -> Views:
    """Score served and timed tokens under the twin: is what was served what was declared?"""
    launch = hearing.launch
    with launch.blame("baseline"):
        views = {
            one.prompt.id: launch.twin.ranked(one.prompt.token_ids, one.token_ids)
            for one in (*hearing.served, *hearing.timed)
        }
    values = regrets([one for view in views.values() for one in view])
    hearing.self_regret = summary(values)
    hearing.add(*_regret_parts("self_consistency", values))
    return views


def judge_strict(hearing: Hearing, views: Views) -> None:
    """Compare with plain decoding of the same weights; only near ties may part the two."""
    if not _speculates(hearing):
        return
    worst, same = 0.0, 0
    answers = (*hearing.served, *hearing.timed)
    for one in answers:
        place = first_divergence(_plain(hearing, one), one.token_ids)
        same += place is None
        if place is not None:
            worst = max(worst, *regrets([views[one.prompt.id][place]]))
    hearing.identical_share = same / len(answers)
    said = f"{same} of {len(answers)} prompts identical"
    hearing.add(Part("strict", worst, "nats", detail=said))


def ask_again(hearing: Hearing) -> list[Request]:
    """Ask the candidate for what it served once more, with log-probabilities."""
    launch = hearing.launch
    with launch.blame("candidate"):
        return [
            launch.candidate.generate(
                one.prompt.token_ids, tokens=len(one.token_ids[:PROBE_TOKENS]), with_logprobs=True
            )
            for one in hearing.served
        ]


def judge_again(hearing: Hearing, views: Views, again: Sequence[Request]) -> None:
    """Compare what came again: the same tokens must come, and the twin's numbers."""
    worst, differences, asked = 0.0, list[float](), 0
    for one, came in zip(hearing.served, again, strict=True):
        served, view = one.token_ids[:PROBE_TOKENS], views[one.prompt.id]
        place = first_divergence(came.token_ids, served)
        if place is not None:
            worst = max(worst, *_parting(hearing, one, came.token_ids[place], view, place))
        for said, right in zip((came.logprobs or ())[:place], view, strict=False):
            asked += 1
            if right is not None and not math.isnan(said):
                differences.append(abs(said - right.logprob))
    hearing.add(Part("shape_probe", worst, "nats"))
    # A server says nothing of accepted drafts; one that does not guess has no excuse for silence.
    if _speculates(hearing) and not differences:
        return
    is_enough = _speculates(hearing) or 2 * len(differences) >= asked > 0
    value = math.fsum(differences) / len(differences) if differences and is_enough else math.nan
    said_of = f"{len(differences)} of {asked} said"
    hearing.add(
        Part("shape_probe", value, "nats per token", measure="shape_logprobs", detail=said_of)
    )


def _parting(
    hearing: Hearing, one: Answer, other: int, view: Sequence[Ranked | None], place: int
) -> list[float]:
    """Return how little the twin likes either token at the first place where answers part."""
    with hearing.launch.blame("baseline"):
        context = (*one.prompt.token_ids, *one.token_ids[:place])
        second = hearing.launch.twin.ranked(context, (other,))
    return regrets([view[place], *second])


def _speculates(hearing: Hearing) -> bool:
    return hearing.launch.request.config.speculates


def ask_canaries(hearing: Hearing) -> list[tuple[int, ...]]:
    """Let the candidate copy rare tokens of the vocabulary that the config declares."""
    launch = hearing.launch
    with launch.blame("candidate"):
        return [
            launch.candidate.generate(one.prompt_ids, tokens=len(one.expected)).token_ids
            for one in _canaries(hearing)
        ]


def judge_canaries(hearing: Hearing, given: Sequence[tuple[int, ...]]) -> None:
    """Compare with what the twin copies."""
    launch, canaries = hearing.launch, _canaries(hearing)
    with launch.blame("baseline"):
        twin = [
            launch.twin.generate(one.prompt_ids, max_tokens=len(one.expected)).token_ids
            for one in canaries
        ]
    found = compare(canaries, twin, given)
    share = found.missed / found.asked if found.asked else 0.0
    detail = f"{found.missed} of {found.asked} tokens missed"
    hearing.add(Part("canaries", share, "share", detail=detail))


def _canaries(hearing: Hearing) -> tuple[Canary, ...]:
    launch = hearing.launch
    begin = launch.ids(hearing.texts.scored[0])[:CONTEXT_TOKENS]
    seed, words = launch.request.seed, launch.declared.words
    count = min(launch.rule.canaries, len(words) // PATTERN)
    return choose(words, count=count, begin=begin, seed=seed)


def _plain(hearing: Hearing, one: Answer) -> tuple[int, ...]:
    with hearing.launch.blame("baseline"):
        twin = hearing.launch.twin
        return twin.generate(one.prompt.token_ids, max_tokens=len(one.token_ids)).token_ids


def _regret_parts(test: TestName, values: list[float]) -> tuple[Part, ...]:
    found = summary(values)
    if found is None:
        return (Part(test, math.nan, "nats per token"),)
    detail = f"largest {found.largest:.4g}, {found.tokens} tokens"
    return (
        Part(test, found.mean, "nats per token", detail=detail),
        Part(test, found.share_above_one, "share", measure=f"{test}_share"),
    )
