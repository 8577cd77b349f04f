"""What other rules would have changed, in lines."""

from collections.abc import Iterable, Iterator

from orchestrator.rejudge import Held, Moved, Rejudged
from orchestrator.rejudge_reported import Drifted, Findings, Step
from orchestrator.views import figures

MOST_LINES = 12
"""Of one kind; the rest is counted."""


def rejudge_lines(found: Rejudged) -> Iterator[str]:
    """Yield the lines `replay --rules` prints."""
    yield f"{found.session} under other rules: {found.title or 'no title'}"
    yield ""
    yield from _part(
        "verdicts of the guardrail that flip",
        (f"{one.attempt} {one.stage}: {one.then} -> {one.now}" for one in found.flips),
    )
    yield from _part(
        "promotions decided differently",
        (f"{one.promotion} {one.contender}: {one.then} -> {one.now}" for one in found.promotions),
    )
    if found.reported is not None:
        yield from _reported(found.reported)
    yield from _part("record, then", map(_held, found.records_then))
    yield from _part("record, now", map(_held, found.records_now))
    yield from _part("places that change", map(_moved, found.moved))
    yield from _part("would count no more", found.invalid_now)
    yield from _part("would count again", found.valid_now)
    yield "Nobody knows what the agents would have done, had these been the rules."


def _reported(found: Findings) -> Iterator[str]:
    counts = found.counts
    steps = f"{counts['steps']} posted records that were not ruled invalid"
    ties = f"{counts['ties']} lead by less than {found.tie_sigmas:g} sigma of two draws, so tie"
    yield f"{steps}: {ties}; {counts['never_verified']} were never verified"
    cap = "no cap" if found.perplexity_cap is None else f"{found.perplexity_cap:g}"
    over, unknown = counts["over_cap"], counts["perplexity_unknown"]
    yield f"  of them {over} with a perplexity over {cap}, {unknown} with none that is known"
    yield from (f"  {_step(one)}" for one in found.steps[-MOST_LINES:])
    yield from _part(f"posted with a perplexity over {cap}", found.over_cap)
    title = f"lost more than {found.drift_cap:.1%} on private prompts, of {found.examined} examined"
    yield from _part(title, (f"{one.attempt}: {_lost(one)}" for one in found.drifted))


def _step(one: Step) -> str:
    lead = "first" if one.sigmas is None else f"{one.ahead:+.2f}, {one.sigmas:.2f} sigma"
    words = [f"{figures.clock(one.seconds)}  {one.attempt} {one.tokens_per_second:.1f} tokens/s"]
    words += [lead + ", a tie" * one.is_tie, one.verdict]
    words += ["perplexity over the cap"] * bool(one.is_over_cap)
    return "; ".join(words)


def _lost(one: Drifted) -> str:
    return f"{one.claimed:.2f} -> {one.private:.2f} tokens/s, {one.drift:.2%}"


def _part(title: str, lines: Iterable[str]) -> Iterator[str]:
    told = list(lines)
    yield f"{title}: {len(told) or 'none'}"
    yield from (f"  {line}" for line in told[:MOST_LINES])
    if len(told) > MOST_LINES:
        yield f"  and {len(told) - MOST_LINES} more"


def _held(one: Held) -> str:
    speed = f" at {one.tokens_per_second:.1f} tokens/s" if one.tokens_per_second else ""
    return f"{figures.clock(one.seconds)}  {one.attempt}{speed}"


def _moved(one: Moved) -> str:
    return f"{one.attempt}: {one.then or '-'} -> {one.now or '-'}"
