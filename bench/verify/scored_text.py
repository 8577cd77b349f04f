"""Perplexity on private text, and whether the path that scores is the path that is declared."""

import math

from bench.measurement import KeptCheck
from bench.perplexity import LogProbs, Targets, make_targets
from bench.verification import PrivatePerplexity
from bench.verify.evidence import ONE_SIDED, Part
from bench.verify.hearing import Hearing
from bench.verify.likelihood import mean_difference, most_by_chance, paired_noise

PATH_TOKENS = 48
"""Of the scored targets, so many are scored by the twin too."""
ROUNDING = 1e-3
"""As in `bench.perplexity`: sums in single precision may end this far above 0."""
_HOPELESS_NATS = 100.0


def score_text(hearing: Hearing) -> None:
    """Score private text with candidate and reference: what it lacks, and what it costs."""
    launch = hearing.launch
    expected = launch.beside(lambda: ask_reference(hearing))
    ask_candidate(hearing)
    with launch.blame("baseline"):
        reference = expected.result()
    judge(hearing, reference)


def ask_candidate(hearing: Hearing) -> None:
    """Keep what the candidate says of the private targets."""
    launch = hearing.launch
    with launch.blame("candidate"):
        engine = launch.candidate.engine
        answers = [engine.logprobs(one.context, one.targets) for one in _targets(hearing).passages]
    hearing.scored = tuple(one for passage in answers for one in passage)
    hearing.kept = _kept(hearing)


def ask_reference(hearing: Hearing) -> list[float]:
    """Return what the reference says of the private targets."""
    memory = hearing.launch.memory
    return [one for passage in _targets(hearing).passages for one in memory.logprobs(passage)]


def judge(hearing: Hearing, reference: list[float]) -> None:
    """Compare what candidate and reference said: what it lacks, and what it costs."""
    hearing.launch.memory.save()
    _judge_missing(hearing)
    _judge_perplexity(hearing, reference)


def judge_path(hearing: Hearing) -> None:
    """Ask the twin about the first targets: a path that is quieter than its weights shows here."""
    launch, every = hearing.launch, _targets(hearing)
    sample = every.between(0, min(PATH_TOKENS, every.total()))
    with launch.blame("baseline"):
        twin = [launch.twin.logprobs(one.context, one.targets) for one in sample.passages]
    right = [one for passage in twin for one in passage]
    value = mean_difference(hearing.scored[: len(right)], right)
    hearing.add(Part("score_path", value, "nats per token", detail=f"{len(right)} tokens"))


def _targets(hearing: Hearing) -> Targets:
    every = make_targets([hearing.launch.passage(text) for text in hearing.texts.scored])
    return every.between(0, min(hearing.launch.rule.perplexity_tokens, every.total()))


def _kept(hearing: Hearing) -> KeptCheck | None:
    """Look up every drawn text in a reduced vocabulary: more targets than are scored, for nothing.

    Of a keep-set fitted to the public text 240 scored targets let one in four pass.
    """
    launch, engine = hearing.launch, hearing.launch.candidate.engine
    if not engine.config.has_reduced_vocabulary:
        return None
    every = make_targets([launch.passage(text) for part in hearing.texts for text in part])
    asked = [one for passage in every.passages for one in passage.targets]
    return KeptCheck(targets=len(asked), missing=engine.lacks(asked))


def _judge_missing(hearing: Hearing) -> None:
    hearing.add(_missing(hearing, len(hearing.scored), hearing.scored.count(None)))
    if kept := hearing.kept:
        part = _missing(hearing, kept.targets, kept.missing)
        hearing.add(part._replace(measure="missing_drawn"))


def _missing(hearing: Hearing, total: int, missing: int) -> Part:
    cap = hearing.launch.loaded.challenge.guardrail.missing_target_share_cap
    by_chance = max(most_by_chance(total, cap) / total - cap, 0.0)
    said, share = f"{missing} of {total}", missing / total
    return Part("missing_targets", share, "share", limit=cap, noise=by_chance, detail=said)


def _judge_perplexity(hearing: Hearing, reference: list[float]) -> None:
    guardrail = hearing.launch.loaded.challenge.guardrail
    own = _filled(hearing.scored, guardrail.missing_target_logprob)
    nats = (math.fsum(reference) - sum(own)) / len(own)  # fsum refuses infinities of both signs
    if any(one > ROUNDING for one in own):  # no probability: the mean would flatter it
        nats = math.nan
    ratio = math.exp(nats) if nats < _HOPELESS_NATS else math.nan
    noise = ONE_SIDED * paired_noise(reference, own) * ratio if math.isfinite(ratio) else 0.0
    cap = guardrail.perplexity_ratio_cap
    hearing.add(Part("private_perplexity", ratio, "ratio", limit=cap, noise=noise))
    if math.isfinite(ratio):
        value = math.exp(-math.fsum(reference) / len(reference))
        hearing.perplexity = PrivatePerplexity(
            value=value * ratio,
            reference=value,
            tokens=len(own),
            missing_targets=hearing.scored.count(None),
        )


def _filled(scored: LogProbs, floor: float) -> list[float]:
    return [floor if one is None else one for one in scored]
