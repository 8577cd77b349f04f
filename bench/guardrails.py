"""May a measurement count? The challenge's limits applied to one measurement.

Pure arithmetic: knows no record and no rank. What passes is `pending`, since only verification on
private prompts can make it `valid`.
"""

import math
from typing import Literal, NamedTuple

from pydantic import JsonValue

from bench.challenge import Guardrail
from bench.measurement import Measurement

RulingReason = Literal[
    "within_guardrail",
    "texts_differ",
    "perplexity_not_finite",
    "missing_targets",
    "perplexity_above_cap",
    "perplexity_above_absolute_cap",
]


class Ruling(NamedTuple):
    """What the guardrail says of one measurement, and the numbers it says it with."""

    state: Literal["pending", "invalid"]
    reason: RulingReason
    evidence: dict[str, JsonValue]


def judge(measurement: Measurement, guardrail: Guardrail) -> Ruling:
    """Return `invalid` with the first broken limit, else `pending`.

    Order: texts that differ make the ratio meaningless, a perplexity that is not a number makes it
    unknown, missing targets flatter it (fewer tokens to choose from), so they come before the caps.
    """
    scored, reference = measurement.perplexity, measurement.reference_perplexity
    finite = math.isfinite(scored.value) and math.isfinite(reference.value) and reference.value > 0
    ratio = scored.value / reference.value if finite else None
    missing_share = measurement.missing_share
    evidence: dict[str, JsonValue] = {
        "perplexity": scored.value if math.isfinite(scored.value) else None,
        "reference_perplexity": reference.value if math.isfinite(reference.value) else None,
        "perplexity_ratio": ratio,
        "perplexity_ratio_cap": guardrail.perplexity_ratio_cap,
        "missing_share": missing_share,
        "missing_share_cap": guardrail.missing_target_share_cap,
        "tokens": scored.tokens,
        "stage": measurement.stage,
    }
    cap = guardrail.perplexity_cap
    if cap is not None:
        evidence["perplexity_cap"] = cap
    if (scored.text_sha256, scored.tokens) != (reference.text_sha256, reference.tokens):
        return Ruling("invalid", "texts_differ", evidence)
    if ratio is None:
        return Ruling("invalid", "perplexity_not_finite", evidence)
    if missing_share > guardrail.missing_target_share_cap:
        return Ruling("invalid", "missing_targets", evidence)
    if ratio > guardrail.perplexity_ratio_cap:
        return Ruling("invalid", "perplexity_above_cap", evidence)
    if cap is not None and scored.value > cap:
        return Ruling("invalid", "perplexity_above_absolute_cap", evidence)
    return Ruling("pending", "within_guardrail", evidence)
