"""Who an agent is, as data: a Markdown file with YAML front matter.

Knows the keys and their ranges; `agents/persona_file.py` knows the file, `agents/library.py` where
files are found.
"""

import re
import typing
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agents.models.harness import harness_named
from bench.config import CONFIGS
from bench.frozen import Frozen, nearest_name
from sandbox.errors import ConfigError
from tools.limits import Caps

Policy = Literal[
    "climber",
    "quantiser",
    "speculator",
    "tuner",
    "recombiner",
    "sceptic",
    "librarian",
    "explorer",
    "pruner",
    "cheat",
]
"""Search policies of the offline model, one module each under `agents/policies/`. No shipped
persona cheats."""

RESERVED_NAMES = frozenset(
    {"organiser", "lane", "guardrail", "verifier", "baseline", "human", "all"}
)
"""Actors of every session and words with a meaning of their own; no agent may pass for one."""

OUR_VARIABLES = frozenset({"PATH", "HOME", "PWD", "TMPDIR"})
"""Variables an outside program gets in any case, with values of ours."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_VARIABLE = re.compile(r"(?!LD_|PACELINE_)[A-Z][A-Z0-9_]{0,99}")


class PacelineKeys(Frozen):
    """Our own keys, under `x-paceline` so that other tools ignore them."""

    role: str = ""
    policy: Policy = "explorer"
    temperature: float = Field(default=0.5, ge=0, le=2)
    """0 = always the best-looking idea, 2 = nearly any."""
    budget: int | None = Field(default=None, ge=1)
    """Attempts this agent may propose; None = the session's limit."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Dollars that all agents of this persona may spend together; so for the three that follow."""
    budget_tokens: int | None = Field(default=None, ge=0)
    budget_seconds: float | None = Field(default=None, gt=0)
    """Device seconds."""
    budget_turns: int | None = Field(default=None, ge=1)
    parent_policy: Literal["best", "frontier", "recent", "baseline"] = "frontier"
    count: int = Field(default=1, ge=1, le=1000)
    """How many agents of this persona join before others repeat."""
    seed: int | None = None
    focus: tuple[str, ...] = ()
    """Config paths this persona prefers, e.g. `weights.vocabulary`."""
    harness: str | None = None
    """Outside program that thinks for it: `claude`, `acp:COMMAND ...`; None = the run's model."""
    harness_env: tuple[str, ...] = ()
    """Environment variables that program gets from ours, such as its key; PATH it has anyway."""

    @property
    def caps(self) -> Caps:
        """What all agents of the persona may use up together."""
        return Caps(
            usd=self.budget_usd,
            tokens=self.budget_tokens,
            seconds=self.budget_seconds,
            turns=self.budget_turns,
        )

    @field_validator("focus")
    @classmethod
    def _focus_exists(cls, focus: tuple[str, ...]) -> tuple[str, ...]:
        known = {path for kind in CONFIGS.values() for path in config_paths(kind)}
        for path in focus:
            if path not in known:
                raise ValueError(f"no config has {path!r}; {nearest_name(path, known)}")
        return focus

    @field_validator("harness")
    @classmethod
    def _harness_exists(cls, harness: str | None) -> str | None:
        try:
            harness_named(harness or "claude")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return harness

    @field_validator("harness_env")
    @classmethod
    def _variables_are_harmless(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _VARIABLE.fullmatch(name) or name in OUR_VARIABLES:
                raise ValueError(f"{name!r} is not a variable to hand over; a key's name is")
        return names

    @model_validator(mode="after")
    def _variables_have_a_taker(self) -> Self:
        if self.harness_env and self.harness is None:
            raise ValueError("harness_env is for a persona with a harness")
        return self


class Persona(Frozen):
    """An agent's character. The native keys are those of a Claude Code subagent file."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    name: str
    """Lower-case letters, digits and hyphens, at most 40; what mentions and refs are made of."""
    description: str = Field(min_length=1, max_length=4000)
    tools: tuple[str, ...] | None = None
    """Verbs it may use; None = all."""
    disallowed_tools: tuple[str, ...] = Field(default=(), alias="disallowedTools")
    model: str | None = None
    max_turns: int | None = Field(default=None, alias="maxTurns", ge=1)
    x_paceline: PacelineKeys = Field(default=PacelineKeys(), alias="x-paceline")
    prompt: str = ""
    """The body of the file."""

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a name is 1 to 40 lower-case letters, digits and inner hyphens")
        if name in RESERVED_NAMES or name.startswith("human-"):
            raise ValueError(f"{name!r} means something else in every session; take another name")
        return name


def config_paths(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted path of a config, groups included; lists are leaves."""
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}"
        origin = typing.get_origin(field.annotation)
        inner = () if origin is tuple else typing.get_args(field.annotation)
        for part in (field.annotation, *inner):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from config_paths(part, f"{prefix}{name}.")
