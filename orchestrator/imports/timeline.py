"""A collaboration as the events of a session: who did what, when, in the order it happened. Pure.

Ids of attempts and messages are given when an event's turn comes, so a later import goes on from
what is there. Knows the record's kinds; knows no file and no store.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from bench.config import word
from bench.configs.reported import ReportedConfig
from orchestrator.imports.collaboration import (
    UNKNOWN_AGENT,
    AgentFile,
    Collaboration,
    Post,
    Problem,
    Result,
    Ruling,
)
from orchestrator.imports.merging import Merged
from orchestrator.imports.values import AGENT, is_file_name
from tools.record.events import (
    AgentJoined,
    AttemptProposed,
    Inference,
    MessagePosted,
    MessageType,
    Parent,
    ResultReported,
    VerdictGiven,
)
from tools.record.reported import BASELINE

KEY = "import:"
"""Of every idempotency key; no agent's name has a colon."""
IMPORT = "(import)"
"""Identity of what the import itself concluded; no agent's name has a bracket."""
ENGINE_VERSION = "reported"

_MENTION = re.compile(rf"(?<![\w.@-])@({AGENT})")
_TYPES: dict[str, MessageType] = {"system": "notice", "verification": "notice"}
_JOIN, _PROPOSE, _REPORT, _POST, _RULE = range(5)
"""What comes first at one moment."""


class Names:
    """File names of the collaboration -> ids in the session."""

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        self._ids = dict(known)
        attempts = [one for one in self._ids.values() if one[0] == "a" and one != BASELINE]
        self._count = len(attempts)

    def get(self, file: str) -> str | None:
        """Return the id of a message or an attempt; None while it has none."""
        return self._ids.get(file)

    def new_attempt(self, file: str, *, is_baseline: bool) -> str:
        """Give an attempt its id."""
        if is_baseline and BASELINE not in self._ids.values():
            attempt = BASELINE
        else:
            self._count += 1
            attempt = f"a{self._count:04d}"
        self._ids[file] = attempt
        return attempt

    def new_message(self, file: str, seq: int) -> None:
        """Note a message's id: `m` and its event's number."""
        self._ids[file] = f"m{seq}"


class Entry(NamedTuple):
    """An event to come."""

    time: float
    order: int
    key: str
    actor: str
    make: Callable[[Names], Any]
    """Returns the payload, once everything before it has its id."""
    posts: str = ""
    """File of the message it is; empty for other kinds."""


def entries_of(
    found: Collaboration,
    merged: Merged,
    *,
    model_sha256: str,
    baseline: str | None,
    agents: Collection[str] = (),
    problems: list[Problem],
) -> list[Entry]:
    """Return every event of a collaboration in the order of its time.

    Args:
        found: what was read.
        merged: its results, each once.
        model_sha256: of the challenge's model, part of every fingerprint.
        baseline: file of the result the others are compared with.
        agents: those the session knows already.
        problems: gets what does not fit.
    """
    known = {*agents, *(one.agent for one in found.agents), *_authors(found, merged)}
    entries = [*_joins(found, merged)]
    for result in merged.results:
        entries += _of_result(result, merged, model_sha256, baseline, problems)
        if ruling := merged.rulings.get(result.file):
            entries.append(_ruling(result, ruling))
    entries += [_posted(post, known) for post in found.posts]
    return sorted(entries, key=lambda one: (one.time, one.order, one.key))


def baseline_of(results: Iterable[Result], *, speed: float, perplexity: float) -> str | None:
    """Return the first result that is the stated baseline: 2 % of its speed, 1 % of perplexity."""
    for one in results:
        tokens = one.tokens_per_second
        if one.status == "negative" or tokens is None or abs(tokens / speed - 1) > SPEED_SHARE:
            continue
        if one.perplexity is None or abs(one.perplexity / perplexity - 1) <= PERPLEXITY_SHARE:
            return one.file
    return None


SPEED_SHARE, PERPLEXITY_SHARE = 0.02, 0.01


def _authors(found: Collaboration, merged: Merged) -> Iterator[str]:
    yield from (one.author for one in found.posts)
    yield from (one.agent for one in merged.results if one.agent != UNKNOWN_AGENT)


def _joins(found: Collaboration, merged: Merged) -> Iterator[Entry]:
    """Everybody who is registered or seen, at the first we know of them."""
    seen: dict[str, float] = {}
    moments = [(one.author, one.time) for one in found.posts]
    moments += [(one.agent, one.time) for one in merged.results if one.agent != UNKNOWN_AGENT]
    for agent, time in moments:
        seen[agent] = min(time, seen.get(agent, time))
    registered = {one.agent: one for one in found.agents}
    start = min(seen.values(), default=0.0)
    for agent, file in registered.items():
        joined = file.joined if file.joined is not None else start
        time = min(joined, seen.get(agent, joined))
        yield Entry(time, _JOIN, f"{KEY}agent/{agent}", agent, _constant(_registered(file)))
    for agent, time in seen.items():
        if agent not in registered and not agent.startswith("human"):
            payload = AgentJoined(
                agent=agent,
                persona="imported",
                description="known from what it posted; no registration was found",
                model="unknown",
                seed=0,
            )
            yield Entry(time, _JOIN, f"{KEY}seen/{agent}", agent, _constant(payload))


def _registered(file: AgentFile) -> AgentJoined:
    words = [file.bio]
    words += [f"harness {file.harness}"] * (file.harness not in ("", "unknown"))
    words += [f"account {file.account}"] * bool(file.account)
    return AgentJoined(
        agent=file.agent,
        persona="imported",
        description="; ".join(one for one in words if one),
        model=file.model or "unknown",
        seed=0,
    )


def _of_result(
    result: Result,
    merged: Merged,
    model_sha256: str,
    baseline: str | None,
    problems: list[Problem],
) -> Iterator[Entry]:
    config = ReportedConfig(method=result.method)
    fingerprint = config.fingerprint(engine_version=ENGINE_VERSION, model_sha256=model_sha256)

    def propose(names: Names) -> AttemptProposed:
        parents = _parents(result, merged, names, problems)
        return AttemptProposed(
            attempt=names.new_attempt(result.file, is_baseline=result.file == baseline),
            parents=parents,
            config=config,
            fingerprint=fingerprint,
            hypothesis=result.description,
            direction=word("method", result.method),
        )

    def report(names: Names) -> ResultReported:
        return ResultReported(
            attempt=names.get(result.file) or "",
            tokens_per_second=result.tokens_per_second,
            perplexity=result.perplexity,
            status=result.status,
            source=result.source,
            note=_note(result, merged),
        )

    def post(names: Names) -> MessagePosted:
        refs = (names.get(result.file) or "",)
        return MessagePosted(type="result", body=result.body, refs=refs)

    time, file, agent = result.time, result.file, result.agent
    yield Entry(time, _PROPOSE, f"{KEY}propose/{file}", agent, propose)
    yield Entry(time, _REPORT, f"{KEY}result/{file}", agent, report)
    if result.body:
        yield Entry(time, _POST, f"{KEY}body/{file}", agent, post)


def wanted_parents(result: Result, merged: Merged) -> dict[str, Inference | None]:
    """Return the files a result builds on: None where its author said so, else who believes it."""
    stated: dict[str, Inference | None] = dict.fromkeys(result.parents)
    for credit in merged.credits.get(result.file, ()):
        if credit.parent is not None:
            inferred = Inference(evidence=credit.evidence, confidence=credit.confidence)
            stated.setdefault(credit.parent, inferred)
    return stated


def _parents(
    result: Result, merged: Merged, names: Names, problems: list[Problem]
) -> tuple[Parent, ...]:
    """Return its edges; a parent that is not there before it is told, and is no edge."""
    parents = []
    for file, inferred in wanted_parents(result, merged).items():
        attempt = names.get(file)
        if attempt is None or not attempt.startswith("a"):
            problems.append(
                Problem(result.source, f"its parent {file[:80]} is not there before it")
            )
        else:
            parents.append(Parent(attempt=attempt, inferred=inferred))
    return tuple(parents)


def _note(result: Result, merged: Merged) -> str:
    named = (one.agent for one in merged.credits.get(result.file, ()) if one.parent is None)
    agents = ", ".join(dict.fromkeys(named))
    words = [result.note, f"credits {agents} without naming a result" if agents else ""]
    words += ["when it was posted is not stored"] * (not result.has_real_time)
    return "; ".join(dict.fromkeys(one for one in words if one))


def _posted(post: Post, known: Collection[str]) -> Entry:
    mentions = dict.fromkeys(_MENTION.findall(post.body))
    named = tuple(one for one in mentions if one in known and one != post.author)

    def make(names: Names) -> MessagePosted:
        return MessagePosted(
            type=_TYPES.get(post.type, "chat"),
            body=post.body,
            refs=tuple(one for ref in post.refs if (one := _ref(ref, names))),
            mentions=named,
        )

    key = f"{KEY}post/{post.file}"
    return Entry(post.time, _POST, key, post.author, make, posts=post.file)


def _ref(file: str, names: Names) -> str:
    """Return the id of what a post refers to, else its file's name; nothing that poses as an id."""
    return names.get(file) or (file if is_file_name(file) else "")


def _ruling(result: Result, ruling: Ruling) -> Entry:
    """What it was ruled, at the moment we know of, but never before it was posted."""
    is_ours = ruling.by == "import"
    time = max(result.time, result.time if ruling.time is None else ruling.time)

    def make(names: Names) -> VerdictGiven:
        return VerdictGiven(
            attempt=names.get(result.file) or "",
            verdict=ruling.state,
            reason=ruling.reason,
            evidence=evidence_of(ruling),
            by="import" if is_ours else "organiser",
        )

    actor = IMPORT if is_ours else ruling.by
    return Entry(time, _RULE, f"{KEY}verdict/{result.file}", actor, make)


def evidence_of(ruling: Ruling) -> dict[str, Any]:
    """Return what a ruling rests on; `drift` is a share of the claim."""
    lost = ruling.share_lost
    evidence: dict[str, Any] = {
        "claimed": ruling.claimed,
        "private": ruling.private,
        "drift": None if lost is None else round(lost, 6),
        "reported_ppl": ruling.reported_perplexity,
        "private_ppl": ruling.private_perplexity,
        "completed": ruling.completed,
        "outcome": ruling.state,
        "source": ruling.source,
    }
    return evidence | ({"moment": "not stored"} if ruling.time is None else {})


def _constant(payload: Any) -> Callable[[Names], Any]:
    return lambda _names: payload
