"""One verification: from a request to a `Verification`, phase by phase, cheapest first.

Trusts its own clock, its own reference and its own twin, and nothing that the candidate's server
says. What goes wrong comes back as a typed `JobOutcome`, a candidate's fault as the agent's.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import rfc8785

from bench.challenge import VerificationRule
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.engine_sources import EngineSource, LlamaCppSource, Submission, open_source
from bench.failures import Blamed, outcome_of
from bench.measurement import JobOutcome, Side
from bench.pairs import tokens_sha256
from bench.stamp import load_average, take_stamp
from bench.verification import Verification
from bench.verify import decoded, scored_text, timed
from bench.verify.draw import allot
from bench.verify.evidence import findings, has_failed
from bench.verify.hearing import HARD, ORDER, Hearing
from bench.verify.launch import Launch
from bench.verify.request import VerifyRequest
from bench.verify.thresholds import Thresholds, load_thresholds, numeric_class
from bench.verify.watched import Request
from sandbox.errors import ConfigError

UNVERIFIED = ("simulated", "reported", "openai")
"""Engines of which nobody can start a second one to compare with."""
SEVERAL_STARTS = 2
"""Reference and twin, which follow the candidate where the device holds one engine."""

Tell = Callable[[str], None]
"""Takes a line of progress, for people."""


def verify(request: VerifyRequest, *, tell: Tell = lambda _line: None) -> JobOutcome:
    """Judge one config as served and return what came of it; never raises but for bugs in Python.

    Args:
        request: what to judge, on which private texts.
        tell: called with lines of progress; none contains a private text.
    """
    blame, started, launch = Blamed(), time.monotonic(), None
    with ExitStack() as stack:
        try:
            loaded, rule = open_challenge(request)
            thresholds = load_thresholds(loaded)
            texts = allot(request.texts, rule)
            before = load_average()
            tell("weights and start")
            launch = start(request, loaded, rule, stack=stack, blame=blame)
            launch.limit(_limit(loaded, rule))
            hearing = Hearing(launch, texts)
            hear(hearing, tell)
            found = _verification(hearing, thresholds, before, time.monotonic() - started)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: failures are data
            is_late = launch is not None and launch.is_late
            failed = outcome_of(error, side=blame.side, is_late=is_late)
            return failed.model_copy(update={"seconds": time.monotonic() - started})
    return JobOutcome(status="measured", seconds=found.seconds, verification=found)


def open_challenge(request: VerifyRequest) -> tuple[LoadedChallenge, VerificationRule]:
    """Return the challenge and its rule of verification.

    Raises:
        ConfigError: unknown challenge, or `not_verified`: it has no such rule.
    """
    loaded = load_challenge(request.challenge)
    rule = loaded.challenge.verification
    if rule is None or loaded.challenge.engine in UNVERIFIED:
        raise ConfigError(
            f"nothing is verified in challenge {loaded.challenge.name!r}",
            code="not_verified",
            hint="Add a [verification] section and use a real engine",
        )
    return loaded, rule


def start(
    request: VerifyRequest,
    loaded: LoadedChallenge,
    rule: VerificationRule,
    *,
    stack: ExitStack,
    blame: Blamed,
) -> Launch:
    """Return reference and candidate, started; `stack` ends them."""
    own_code: dict[Side, Path] = {}
    if request.submission is not None:
        own_code["candidate"] = request.submission
    challenge, source = loaded.challenge, None
    if challenge.engine == "llamacpp":
        submission = Submission(request.server, request.server_folder)
        source = LlamaCppSource(
            challenge, request.cache_folder, submission=submission, submitted=own_code
        )
    opened: EngineSource = source or open_source(
        challenge.engine,
        challenge,
        cache_folder=request.cache_folder,
        seed=request.seed,
        submitted=own_code,
        places=request.places,
    )
    stack.callback(opened.close)
    return Launch(request, loaded, rule, source=opened, stack=stack, blame=blame)


def hear(hearing: Hearing, tell: Tell, *, to_the_end: bool = False) -> None:
    """Run the phases; stop where a hard test fails, for the rest would only cost time.

    `to_the_end` goes on where perplexity fails: a calibration wants every number.
    """
    if hearing.launch.is_alone:
        _hear_alone(hearing, tell, to_the_end=to_the_end)
        return
    tell("scoring private text")
    scored_text.score_text(hearing)
    if _is_over(hearing) and not to_the_end:
        return
    tell("timing private and public prompts")
    timed.time_stream(hearing)
    if not hearing.launch.candidate.miscount():
        tell("asking twice")
        timed.time_repeats(hearing)
    if not hearing.launch.candidate.miscount():
        _hear_served(hearing, tell)
    hearing.add(timed.completeness(hearing))


def _hear_served(hearing: Hearing, tell: Tell) -> None:
    tell("scoring what was served")
    opinion = hearing.launch.beside(lambda: decoded.ask_reference(hearing))
    views = decoded.judge_self(hearing)
    decoded.judge_strict(hearing, views)
    scored_text.judge_path(hearing)
    tell("asking in other ways")
    decoded.judge_again(hearing, views, decoded.ask_again(hearing))
    decoded.judge_canaries(hearing, decoded.ask_canaries(hearing))
    tell("waiting for the reference")
    with hearing.launch.blame("baseline"):
        decoded.judge_served(hearing, opinion.result())


def _hear_alone(hearing: Hearing, tell: Tell, *, to_the_end: bool) -> None:
    """Run the same phases sorted by engine: candidate, then reference, then twin."""
    candidate = hearing.launch.candidate
    tell("candidate alone: scoring, timing, asking in other ways")
    scored_text.ask_candidate(hearing)
    timed.time_stream(hearing)
    again, copied = list[Request](), list[tuple[int, ...]]()
    if not candidate.miscount():
        timed.time_repeats(hearing)
        again, copied = decoded.ask_again(hearing), decoded.ask_canaries(hearing)
    hearing.add(timed.completeness(hearing))
    tell("reference: weights and start, scoring")
    with hearing.launch.blame("baseline"):
        expected = scored_text.ask_reference(hearing)
    scored_text.judge(hearing, expected)
    if candidate.miscount() or (_is_over(hearing) and not to_the_end):
        return
    with hearing.launch.blame("baseline"):
        opinion = decoded.ask_reference(hearing)
    decoded.judge_served(hearing, opinion)
    tell("twin: weights and start, scoring")
    views = decoded.judge_self(hearing)
    decoded.judge_strict(hearing, views)
    scored_text.judge_path(hearing)
    decoded.judge_again(hearing, views, again)
    decoded.judge_canaries(hearing, copied)


def _limit(loaded: LoadedChallenge, rule: VerificationRule) -> float:
    """Return the seconds a verification may take once candidate and reference run, or one does."""
    starts = SEVERAL_STARTS if loaded.challenge.protocol.alone else 0
    return rule.wall_seconds + starts * loaded.challenge.quotas.build_seconds


def _is_over(hearing: Hearing) -> bool:
    """Return whether a hard test has failed; their limits are rules, not calibrated."""
    return any(part.test in HARD and has_failed(part) for part in hearing.parts)


def _verification(
    hearing: Hearing, thresholds: Thresholds, load_before: float, seconds: float
) -> Verification:
    launch, request = hearing.launch, hearing.launch.request
    kind = numeric_class(request.config)
    served = sum(len(one.token_ids) for one in hearing.served)
    texts = [text.model_dump(mode="json") for text in request.texts]
    answers = "\n".join(tokens_sha256(one.token_ids) for one in hearing.served)
    stamp = take_stamp(
        launch.candidate.engine, model_sha256=launch.model_sha256, load_average_start=load_before
    )
    return Verification(
        findings=findings(
            hearing.parts,
            ORDER,
            lambda name: thresholds.limit(kind, name, tokens=served),  # type: ignore[arg-type]
        ),
        numeric_class=kind,
        speed=hearing.speed,
        perplexity=hearing.perplexity,
        regret=hearing.regret,
        self_regret=hearing.self_regret,
        drawn=tuple(text.id for text in request.texts),
        drawn_sha256=_sha256(texts),
        timings_sha256=_sha256([sample.model_dump(mode="json") for sample in hearing.samples]),
        output_digest=hashlib.sha256(answers.encode()).hexdigest()[:16],
        hardware=stamp.model_dump(mode="json"),
        seconds=seconds,
        seed=request.seed,
    )


def _sha256(plain: list[dict[str, object]]) -> str:
    return hashlib.sha256(rfc8785.dumps(plain)).hexdigest()  # type: ignore[arg-type]
