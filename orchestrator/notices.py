"""What the organiser says on the board: plain English with the figures, one function per occasion.

Knows payloads and folds; decides nothing.
"""

from bench.drift import Drift
from bench.verification import Verification
from tools.record.board import Message
from tools.record.events import (
    AttemptInvalidated,
    MessagePosted,
    PromotionDecided,
    VerificationRefused,
)
from tools.record.lineage import Lineage
from tools.record.projection import Projection

MOST_HEIRS = 12
"""Named in one notice; a large family is counted instead."""


def of_promotion(known: Projection, decided: PromotionDecided) -> MessagePosted:
    """Return the notice of a decided promotion."""
    owner = known.lineage.nodes[decided.contender].agent
    pair = f"{decided.contender} by {owner} against {decided.incumbent}"
    if decided.outcome == "abandoned":
        body = f"Promotion {decided.promotion}, {pair}, is abandoned: {decided.evidence['why']}."
    else:
        figures = decided.evidence
        chance = f"p {figures['p_value']:.2g}, {figures['alpha']:.2g} allowed"
        gain = f"{figures['gain']:.3f}x [{figures['gain_low']:.3f}, {figures['gain_high']:.3f}]"
        verdict = "takes the record" if decided.outcome == "promoted" else "does not take it"
        body = (
            f"Promotion {decided.promotion}, {pair}: {gain} over {figures['launches']} fresh"
            f" launches, {chance}. It {verdict}."
        )
    return _notice(known, body, decided.contender, decided.incumbent)


def of_verification(known: Projection, attempt: str, found: Verification) -> MessagePosted:
    """Return the notice of a passed verification."""
    speed = f" at {found.speed.speedup:.2f}x the baseline" if found.speed else ""
    body = (
        f"{attempt} is verified{speed} on private texts: {found.tests_run} tests, none failed."
        " Its receipt is in the session's folder."
    )
    return _notice(known, body, attempt)


def of_invalidation(
    known: Projection, ruling: AttemptInvalidated, heirs: list[str]
) -> MessagePosted:
    """Return the notice of an invalidation: why, what is banned, who is suspect now."""
    lines = [f"{ruling.attempt} is ruled invalid: {ruling.reason}; {ruling.note}."]
    lines += [
        f"{one['test']}: {_figure(one['value'])}, limit {_figure(one['limit'])}."
        for one in _failed(ruling)
    ]
    if ruling.ingredient:
        lines.append(f"Banned until it is reinstated: {' '.join(ruling.ingredient)}.")
    if heirs:
        named = ", ".join(heirs[:MOST_HEIRS])
        more = f" and {len(heirs) - MOST_HEIRS} more" if len(heirs) > MOST_HEIRS else ""
        lines.append(f"Suspect until verified themselves: {named}{more}.")
    return _notice(known, " ".join(lines), ruling.attempt, *heirs[:MOST_HEIRS])


def of_copy(known: Projection, attempt: str, source: str) -> MessagePosted:
    """Return the notice that an uncited copy may not hold the record."""
    owner = known.lineage.nodes[source].agent
    body = (
        f"{attempt} is not timed for the record: it is {source} by {owner} but for details and"
        f" does not name it as a parent. Propose it from {source}."
    )
    return _notice(known, body, attempt, source)


def of_refusal(known: Projection, refused: VerificationRefused) -> MessagePosted:
    """Return the notice that nothing can be verified in this ride."""
    body = (
        f"Nothing is verified in this ride: {refused.message}. [{refused.code}] Records are"
        " decided all the same and stay unverified."
    )
    return _notice(known, body)


def of_drift(known: Projection, drift: Drift) -> MessagePosted:
    """Return the notice that the machine's own speed moved."""
    body = (
        f"The baseline's speed moved by {drift.change - 1:+.1%} during this session, p"
        f" {drift.p_value:.2g}: the machine is not what it was. Ratios to the baseline of the"
        " same launch still hold; tokens per second of different"
        " hours do not compare."
    )
    return _notice(known, body)


def of_invitation(message: Message) -> MessagePosted:
    """Return the notice that a post asks others to talk where nobody else can read."""
    body = (
        f"{message.id} by {message.author} points off the board. What is said elsewhere is in no"
        " record, counts for nothing and is followed by nobody: links are never fetched. Post it"
        " here."
    )
    return MessagePosted(type="notice", body=body, refs=(message.id,))


def _failed(ruling: AttemptInvalidated) -> list[dict[str, object]]:
    listed = ruling.evidence.get("failed", [])
    assert isinstance(listed, list)
    return [dict(one) for one in listed if isinstance(one, dict)]


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "no number"


def _notice(known: Projection, body: str, *attempts: str) -> MessagePosted:
    refs = tuple(dict.fromkeys(attempts))
    return MessagePosted(type="notice", body=body, refs=refs, mentions=_owners(known, refs[:1]))


def _owners(known: Projection, attempts: tuple[str, ...]) -> tuple[str, ...]:
    lineage: Lineage = known.lineage
    owners = (lineage.nodes[attempt].agent for attempt in attempts)
    return tuple(dict.fromkeys(owner for owner in owners if owner in known.agents))
