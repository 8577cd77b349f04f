"""What was served, judged by the probabilities that a model gives it; pure arithmetic.

Knows token ids and log-probabilities; knows no engine. Regret of a served token: how much likelier
the judge's own choice was,

    g_t = max_v ln p(v | x, y_<t) - ln p(y_t | x, y_<t)  >= 0

which is 0 wherever the judge would have decoded the same. Teacher-forced perplexity on a fixed text
cannot see it: it never looks at what was served.
"""

import math
from collections.abc import Hashable, Iterable, Sequence

from bench.engines.engine import Ranked
from bench.verification import Regret

NGRAM = 4
MUCH = 1.0
"""Nats of regret that no rounding explains."""
Texts = Sequence[Sequence[Hashable]]


def regrets(ranked: Iterable[Ranked | None]) -> list[float]:
    """Return the regret of each token; infinite where the judge does not have the token."""
    return [math.inf if one is None else one.best - one.logprob for one in ranked]


def summary(values: Sequence[float]) -> Regret | None:
    """Return the regrets in short; None where one is not a finite number."""
    if not values or not all(map(math.isfinite, values)):
        return None
    return Regret(
        mean=math.fsum(values) / len(values),
        share_above_one=sum(value > MUCH for value in values) / len(values),
        largest=max(values),
        tokens=len(values),
    )


def mean_nll(logprobs: Sequence[float | None]) -> float:
    """Return the mean surprise in nats; infinite where a token is impossible."""
    if not logprobs:
        return math.nan
    return -sum(-math.inf if one is None else one for one in logprobs) / len(logprobs)


def repeated_share(texts: Texts) -> float:
    """Return which share of the texts' 4-grams occurred earlier in the same text."""
    total = repeated = 0
    for text in texts:
        grams = list(zip(*(text[start:] for start in range(NGRAM)), strict=False))
        total += len(grams)
        repeated += len(grams) - len(set(grams))
    return repeated / total if total else 0.0


def first_divergence(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the first place where the two differ; None where they do not, as far as both go."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return None


def mean_difference(one: Sequence[float | None], other: Sequence[float | None]) -> float:
    """Return the mean |difference| of two lists; infinite where only one of a pair is None."""
    differences = [
        0.0
        if left is right is None
        else math.inf
        if left is None or right is None
        else left - right
        for left, right in zip(one, other, strict=True)
    ]
    return sum(map(abs, differences)) / len(differences) if differences else math.nan


def paired_noise(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the standard error of the mean difference of two equally long lists."""
    differences = [left - right for left, right in zip(one, other, strict=True)]
    return standard_error(differences)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean; 0 for fewer than two values."""
    if len(values) < 2:  # noqa: PLR2004
        return 0.0
    mean = math.fsum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))


def most_by_chance(count: int, share: float, *, alpha: float = 0.05) -> int:
    """Return the largest number of hits that a true `share` gives in `count` draws by chance.

    One more has a probability of less than `alpha` (binomial, one-sided).
    """
    below, term = 0.0, (1 - share) ** count
    for hits in range(count):
        below += term
        if 1 - below < alpha:
            return hits
        term *= (count - hits) / (hits + 1) * share / (1 - share)
    return count


def thirds(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return the first and the last third of the values, at least one of each."""
    third = max(len(values) // 3, 1)
    return values[:third], values[-third:]
