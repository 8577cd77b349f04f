"""Who is to be examined on private texts, and what follows from what was found: pure.

A failed verification is a flag: nothing is said of it until a second one, on other texts, agrees.
Knows the folds; knows no private text.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from bench.challenge import Challenge
from bench.config import words
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.frozen import nearest_name
from bench.verification import Finding, Verification
from sandbox.errors import ConfigError
from tools.record.events import AttemptInvalidated, VerdictGiven
from tools.record.lineage import Lineage, Node, Run
from tools.record.projection import Projection
from tools.record.retraction import ban_of, carriers
from tools.record.rulings import rank

VERIFIER = "verifier"
FLAGS_TO_CONDEMN = 2
MOST_FAILED_JOBS = 2
"""Verifications of one attempt that came to nothing, after which it is left unverified."""
TOP = 5
"""Attempts that are always examined, besides those who held the record."""

_OF_KEEP_SETS = ("missing_targets", "private_perplexity", "canaries")
_OF_SPECULATION = ("self_consistency", "strict")


class Examination(NamedTuple):
    """An attempt to be verified, and why; `purpose` as `JobRequested` has it."""

    node: Node
    purpose: str


# --- who is next


def urgent(known: Projection) -> Iterator[Examination]:
    """Yield who holds the record unverified, then who was flagged once."""
    lineage = known.lineage
    holder = lineage.nodes.get(known.records.incumbent(lineage))
    if holder is not None and holder.parents and is_unexamined(holder):
        yield Examination(holder, "record")
    for node in lineage.nodes.values():
        if node is not holder and flags(node) == 1 and is_unexamined(node):
            private = [run.purpose for run in node.runs if run.stage == "private"]
            yield Examination(node, private[-1])


def leisurely(known: Projection, audited: Collection[str]) -> Iterator[Examination]:
    """Yield suspects, the fastest five if over the baseline, and whom the chain's hash picked.

    Also who held the record once and was never verified: a fallback must find it examined.
    """
    lineage = known.lineage
    for node in lineage.suspects():
        if is_unexamined(node):
            yield Examination(node, "suspect")
    full = [n for n in lineage.nodes.values() if n.parents and n.counts and n.best_stage == "full"]
    full.sort(key=lambda node: -(node.estimate or 0.0))
    fast = [node for node in full[:TOP] if (node.estimate or 0.0) > 1]
    held = [node for node in full if node.attempt in known.records.history]
    chosen = [node for node in lineage.nodes.values() if node.attempt in audited and node.counts]
    for purpose, nodes in (("record", held), ("top_five", fast), ("audit", chosen)):
        yield from (Examination(node, purpose) for node in nodes if is_unexamined(node))


def is_unexamined(node: Node) -> bool:
    """Return whether a verification could still tell something of `node`."""
    if node.measured_seq is None or not node.parents or node.verdict == "invalid":
        return False
    if _is_overruled(node) or len(_came_to_nothing(node)) >= MOST_FAILED_JOBS:
        return False
    return node.verdict != "valid" or flags(node) == 1


def flags(node: Node) -> int:
    """Return how many verifications failed since the last that passed, or the reinstatement."""
    failed = 0
    for _, found in reversed(node.verifications):
        if not found.failed:
            break
        failed += 1
    return min(failed, node.flags)


def is_audited(event_hash: str, attempt: str, *, share: float) -> bool:
    """Return whether an attempt is audited, by the hash of the event that first measured it.

    Nobody can know or choose it beforehand: the hash covers all that was recorded before.
    """
    digest = hashlib.sha256(f"{event_hash}{attempt}".encode()).digest()
    return int.from_bytes(digest) < share * 2**256


# --- what follows


def acquittal(node: Node) -> tuple[str, VerdictGiven] | None:
    """Return the job of the passed verification and the verdict it is due, unless it is written."""
    if node.verdict == "invalid" or not node.verifications:
        return None
    job, found = node.verifications[-1]
    if found.failed or any(r.by == VERIFIER and r.verification == found for r in node.rulings):
        return None
    evidence: dict[str, JsonValue] = {"job": job, "tests": found.tests_run}
    if found.speed is not None:
        evidence["private_speedup"] = found.speed.speedup
    verdict = VerdictGiven(
        attempt=node.attempt, verdict="valid", reason="verified", evidence=evidence, by=VERIFIER
    )
    return job, verdict


def condemnation(node: Node) -> tuple[str, AttemptInvalidated] | None:
    """Return the job of the second failed verification and the ruling it is due."""
    if node.verdict == "invalid" or _is_overruled(node):
        return None
    if flags(node) >= FLAGS_TO_CONDEMN:
        (first, _), (job, found) = node.verifications[-2:]
        return job, _condemned(node, found, jobs=(first, job))
    broken = [run for run in _came_to_nothing(node) if run.outcome and run.outcome.fault == "agent"]
    if len(broken) < MOST_FAILED_JOBS:
        return None
    last = broken[-1]
    assert last.outcome is not None
    ruling = AttemptInvalidated(
        attempt=node.attempt,
        reason=last.outcome.code or last.outcome.status,
        note="it could not be served to the end on private texts, twice",
        evidence={"jobs": [run.job for run in broken]},
        by=VERIFIER,
    )
    return last.job, ruling


def ingredient(config: EngineConfig, failed: Sequence[str]) -> tuple[str, ...]:
    """Return the words of `config` that a failed verification is laid to; empty: the attempt alone.

    A keep-set fitted to the public text is condemned whole, whatever its size; of other keep-sets
    this size of this strategy. Tests of what was decoded speak of how tokens were guessed.
    """
    said = words(config)
    vocabulary = config.weights.vocabulary if isinstance(config, LlamaCppConfig) else None
    for test in failed:
        if test in _OF_KEEP_SETS and vocabulary is not None:
            levers = ["weights.vocabulary.strategy="]
            levers += ["weights.vocabulary.size="] * (vocabulary.strategy != "public_text")
            return _starting(said, levers)
        if test in _OF_SPECULATION and config.speculates:
            return _starting(said, ["speculation.kind="])
    return ()


def heirs(lineage: Lineage, ruling: AttemptInvalidated) -> list[str]:
    """Return the descendants that inherit what `ruling` bans."""
    ban = ban_of(ruling, seq=0)
    below = lineage.descendants(ruling.attempt)
    return list(carriers(ban, ((a, lineage.nodes[a].config) for a in below))) if ban else []


def refuse_unverifiable(known: Projection, challenge: Challenge, attempt: str | None) -> None:
    """Return if the session, and `attempt` of it where one is named, can be verified.

    Raises:
        ConfigError: `no_verification`, `simulated_session`, `unknown_attempt`, `not_measured` or
            `invalid_attempt`; whoever asked sees it.
    """
    if challenge.verification is None:
        raise ConfigError(
            f"challenge {challenge.name!r} has no [verification] section: nothing can be verified",
            code="no_verification",
        )
    if challenge.engine == "simulated" or known.simulated:
        raise ConfigError(
            "the session is simulated: nothing in it can be verified", code="simulated_session"
        )
    if attempt is None:
        return
    nodes = known.lineage.nodes
    if attempt not in nodes:
        raise ConfigError(
            f"unknown attempt {attempt!r}",
            code="unknown_attempt",
            hint=nearest_name(attempt, nodes),
        )
    node = nodes[attempt]
    if node.measured_seq is None or not node.parents:
        what = f"it is {node.state}" if node.parents else "it is the baseline"
        raise ConfigError(f"{attempt} has no claim to verify: {what}", code="not_measured")
    if node.verdict == "invalid":
        raise ConfigError(
            f"{attempt} was ruled invalid by {node.verdict_by}: {node.verdict_reason}",
            code="invalid_attempt",
            hint="reinstate it first",
        )


def finding_of(found: Verification, test: str) -> Finding:
    """Return what a verification found in one test."""
    return next(one for one in found.findings if one.test == test)


def _condemned(node: Node, found: Verification, *, jobs: tuple[str, str]) -> AttemptInvalidated:
    failed = [finding_of(found, test) for test in found.failed]
    tests: list[JsonValue] = [
        {"test": one.test, "value": one.value, "limit": one.limit, "unit": one.unit}
        for one in failed
    ]
    return AttemptInvalidated(
        attempt=node.attempt,
        reason=failed[0].test,
        # Where code serves, the code answers for it, and no lever that others may turn.
        ingredient=() if node.files else ingredient(node.config, found.failed),
        note="failed two verifications on different private texts",
        evidence={"jobs": list(jobs), "failed": tests},
        by=VERIFIER,
    )


def _starting(said: Collection[str], levers: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(one for one in said if one.startswith(tuple(levers))))


def _is_overruled(node: Node) -> bool:
    """Tell whether somebody has ruled whom the verifier cannot overrule."""
    return any(rank(ruling.by) > rank(VERIFIER) for ruling in node.rulings)


def _came_to_nothing(node: Node) -> list[Run]:
    """Return the private jobs that ended without findings; stopped with the session aside."""
    return [
        run
        for run in node.runs
        if run.stage == "private"
        and run.outcome is not None
        and run.outcome.verification is None
        and run.outcome.status != "cancelled"
    ]
