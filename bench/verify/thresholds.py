"""The limits of the tests: how far honest runs stray, measured on this challenge.

Knows the file beside the challenge and the numeric classes; knows no engine. What is a rule rather
than a measurement (the perplexity cap, the share of missing targets, 5 % of speed) stands in the
challenge file instead.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.challenge import VerificationRule
from bench.challenge_files import SHIPPED, LoadedChallenge
from bench.configs.engine_config import EngineConfig
from bench.frozen import Frozen, parse
from sandbox.errors import ConfigError

NumericClass = Literal["exact", "quantised"]
"""exact: weights and cache in 16 bits; quantised: all else, the published K-quants included."""
Measure = Literal[
    "score_path",
    "timing_shape",
    "timing_drift",
    "regret",
    "regret_share",
    "self_consistency",
    "self_consistency_share",
    "strict",
    "served_likelihood",
    "repetition",
    "canaries",
    "shape_probe",
    "shape_logprobs",
]
"""What is calibrated; a test may have two."""
_SIXTEEN = {"bf16", "f16"}


class Limit(Frozen):
    """The most that an honest run shows, and the runs that say so."""

    limit: float = Field(ge=0)
    values: tuple[float, ...] = ()
    """Of every honest run; empty: provisional."""


class ClassLimits(Frozen):
    """The limits for one numeric class."""

    limits: dict[Measure, Limit]
    configs: tuple[str, ...] = ()
    """Which honest configs were run, in words."""
    control: Mapping[str, float] = Field(default_factory=dict)
    """Shares that only inform, e.g. of prompts decoded identically."""


class Thresholds(Frozen):
    """The content of `thresholds.json`."""

    challenge: str
    is_provisional: bool
    """True while a class stands on fewer than 20 runs."""
    rule: str
    """How a limit follows from the values."""
    served_tokens: int = Field(ge=1)
    """Scored per run: with fewer the means are noisier, and limits widen by the root of that."""
    hardware: Mapping[str, str | int | float] = Field(default_factory=dict)
    classes: dict[NumericClass, ClassLimits]

    def limit(self, numeric_class: NumericClass, measure: Measure, *, tokens: int) -> float:
        """Return the limit for a run that scored `tokens` served tokens."""
        found = self.classes[numeric_class].limits[measure].limit
        return found * math.sqrt(max(self.served_tokens / max(tokens, 1), 1.0))


def numeric_class(config: EngineConfig) -> NumericClass:
    """Return the class that the coarsest part of `config` belongs to."""
    return "exact" if config.is_sixteen_bit else "quantised"


def load_thresholds(loaded: LoadedChallenge) -> Thresholds:
    """Return the challenge's limits: from the file it names, or beside the shipped challenge.

    Raises:
        ConfigError: `no_thresholds` when there is none, `bad_field` when it is not valid.
    """
    rule: VerificationRule = loaded.challenge.verification or VerificationRule()
    name = loaded.challenge.name
    tried = (loaded.folder / rule.thresholds, SHIPPED / name / rule.thresholds)
    for file in tried:
        if file.is_file():
            return parse(Thresholds, _read(file), what=f"thresholds {str(file)!r}")
    raise ConfigError(
        f"challenge {name!r} has no limits for verification: no {rule.thresholds!r} beside it",
        code="no_thresholds",
        hint=f"Run: python -m bench.verify.calibrate --challenge {name}",
    )


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"thresholds {str(file)!r}: {error}", code="no_thresholds") from None
