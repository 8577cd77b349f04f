"""Other rules for a session, as a TOML file: what takes a record, what is invalid, what counts."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.challenge import Guardrail, PromotionRule
from bench.frozen import Frozen, parse
from orchestrator.session_folder import read_toml
from sandbox.errors import ConfigError


class GuardrailChange(Frozen):
    """Limits of one measurement; None = the session's own."""

    perplexity_ratio_cap: float | None = Field(default=None, gt=0)
    missing_target_share_cap: float | None = Field(default=None, ge=0)
    perplexity_cap: float | None = Field(default=None, gt=1)
    """Of the perplexity itself."""


class PromotionChange(Frozen):
    """How fresh launches decide; None = the session's own."""

    trigger_sigmas: float | None = Field(default=None, ge=0)
    alpha: float | None = Field(default=None, gt=0, lt=1)
    launches: int | None = Field(default=None, ge=2)
    """Of those that were made, the first so many count; more than were made decide nothing."""


class Rules(Frozen):
    """What a session is judged by."""

    title: str = ""
    record: Literal["claim", "interval", "promotion"] = "promotion"
    """claim: a better figure takes the record at once. interval: its whole interval has to lie
    above the holder's. promotion: fresh launches of both decide."""
    tie_tokens_per_second: float = Field(default=0.0, ge=0)
    """claim: less than this above the holder is a tie, and the holder stays."""
    tie_sigmas: float = Field(default=0.0, ge=0)
    """claim: a lead of fewer standard deviations of the difference is a tie; 0 = leads count as
    they are. By the intervals, which for reported results are the challenge's known noise."""
    drift_cap: float | None = Field(default=None, gt=0, lt=1)
    """reported: the share a claim may lose on private prompts, where both figures are known; None =
    as it was ruled."""
    verification: Literal["none", "afterwards", "from_the_start"] = "afterwards"
    """none: rulings of the verifier are left out. afterwards: they hold from when they were made.
    from_the_start: besides, nothing counts before it was verified."""
    guardrail: GuardrailChange = GuardrailChange()
    promotion: PromotionChange = PromotionChange()

    def of_measurements(self, own: Guardrail) -> Guardrail:
        """Return the guardrail, the session's where nothing else is said."""
        return own.model_copy(update=self.guardrail.model_dump(exclude_none=True))

    def of_promotions(self, own: PromotionRule) -> PromotionRule:
        """Return the rule of promotions, the session's where nothing else is said."""
        return own.model_copy(update=self.promotion.model_dump(exclude_none=True))


def load_rules(file: str) -> Rules:
    """Return the rules in `file`.

    Raises:
        ConfigError: it is not there, no TOML, or has what no rule has; whoever typed it sees it.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigError(
            f"no rules at {file!r}",
            code="unknown_rules",
            hint="examples/rules has some to begin with",
        )
    return parse(Rules, read_toml(path), what=f"rules {path.name!r}")
