"""What the organisers ruled, from the index of verdicts and from the verifier's posts.

The index alone says valid or invalid: anybody may post a message that looks like a verdict. A post
adds its figures where the service itself wrote it and it says what the index says.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from orchestrator.imports.collaboration import Post, Problem, Ruling
from orchestrator.imports.values import LARGEST

DRIFT_CAP = 0.05
"""Of the original: private speed within 5 % of the claim."""
PERPLEXITY_CAP = 2.42

_FIGURE = r"\|\s*{}[^|]*\|\s*([0-9]+(?:\.[0-9]+)?)"
_CLAIMED = re.compile(_FIGURE.format("reported TPS"))
_PRIVATE = re.compile(_FIGURE.format("re-run TPS"))
_PERPLEXITY = re.compile(_FIGURE.format("re-run PPL"))
_COMPLETED = re.compile(_FIGURE.format("completed requests"))
_OUTCOME = re.compile(r"\*\*(VERIFIED VALID|INVALID)\*\*")


def rulings_of(posts: Iterable[Post], *, source: str) -> Iterator[Ruling]:
    """Yield what posts of type `verification` say, whoever wrote them."""
    for post in posts:
        outcome = _OUTCOME.search(post.body)
        if post.type != "verification" or not post.refs or outcome is None:
            continue
        if post.via != "server":
            continue
        state: Literal["valid", "invalid"] = "invalid" if outcome[1] == "INVALID" else "valid"
        completed = _figure(_COMPLETED, post.body)
        yield Ruling(
            file=post.refs[0],
            state=state,
            source=source + post.file,
            time=post.time,
            by=post.author,
            claimed=_figure(_CLAIMED, post.body),
            private=_figure(_PRIVATE, post.body),
            private_perplexity=_figure(_PERPLEXITY, post.body),
            completed=None if completed is None else int(completed),
        )


def settled(
    states: Mapping[str, str], found: Iterable[Ruling], *, known: set[str]
) -> tuple[list[Ruling], list[Problem]]:
    """Return the rulings of the index with the figures of the posts, and what did not fit.

    Args:
        states: the index: file name of a result -> state.
        found: what posts say, oldest first; the last on a result counts.
        known: names of the results that were read.
    """
    index = "results/verification_status.json"
    posts = {one.file: one for one in found}
    rulings: list[Ruling] = []
    problems: list[Problem] = []
    for file, state in sorted(states.items()):
        if state not in ("pending", "valid", "invalid"):
            problems.append(Problem(index, f"{file[:80]} has the unknown state {state!r}"))
        elif file not in known:
            problems.append(Problem(index, f"{file[:80]} is {state}, but there is no such result"))
        elif state != "pending":
            ruled: Literal["valid", "invalid"] = "valid" if state == "valid" else "invalid"
            post = posts.get(file)
            if post is None or post.state != ruled:
                post = Ruling(file, ruled, index)
            rulings.append(reasoned(post))
    for file, post in posts.items():
        if states.get(file, "pending") != post.state:
            said = f"says {post.state}, the index says {states.get(file, 'nothing')}"
            problems.append(Problem(post.source, f"{said} of {file[:80]}; the index counts"))
    return rulings, problems


def reasoned(ruling: Ruling) -> Ruling:
    """Return an `invalid` with the limit that its own figures break, else as it is."""
    if ruling.state != "invalid" or ruling.reason:
        return ruling
    perplexity, lost = ruling.private_perplexity, ruling.share_lost
    if perplexity is not None and perplexity > PERPLEXITY_CAP:
        return ruling._replace(reason="perplexity_above_cap")
    is_drift = lost is not None and abs(lost) > DRIFT_CAP
    return ruling._replace(reason="tps_drift" if is_drift else "ruled_invalid")


def _figure(pattern: re.Pattern[str], body: str) -> float | None:
    found = pattern.search(body)
    value = float(found[1]) if found else 0.0
    return value if 0 < value <= LARGEST else None
