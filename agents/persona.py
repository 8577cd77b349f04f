"""Who an agent is, as data: a Markdown file with YAML front matter.

Knows the keys and their ranges; `agents/persona_file.py` knows the file, `agents/library.py` where
files are found.
"""

import re
import typing
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.config import EngineConfig
from bench.frozen import Frozen, nearest_name

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

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class PacelineKeys(Frozen):
    """Our own keys, under `x-paceline` so that other tools ignore them."""

    role: str = ""
    policy: Policy = "explorer"
    temperature: float = Field(default=0.5, ge=0, le=2)
    """0 = always the best-looking idea, 2 = nearly any."""
    budget: int | None = Field(default=None, ge=1)
    """Attempts this agent may propose; None = the session's limit."""
    parent_policy: Literal["best", "frontier", "recent", "baseline"] = "frontier"
    count: int = Field(default=1, ge=1, le=1000)
    """How many agents of this persona join before others repeat."""
    seed: int | None = None
    focus: tuple[str, ...] = ()
    """Config paths this persona prefers, e.g. `weights.vocabulary`."""

    @field_validator("focus")
    @classmethod
    def _focus_exists(cls, focus: tuple[str, ...]) -> tuple[str, ...]:
        known = set(config_paths())
        for path in focus:
            if path not in known:
                raise ValueError(f"no config has {path!r}; {nearest_name(path, known)}")
        return focus


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
        if name in RESERVED_NAMES:
            raise ValueError(f"{name!r} means something else in every session; take another name")
        return name


def config_paths(kind: type[BaseModel] = EngineConfig, prefix: str = "") -> Iterator[str]:
    """Yield every dotted path of a config, groups included; lists are leaves."""
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}"
        origin = typing.get_origin(field.annotation)
        inner = () if origin is tuple else typing.get_args(field.annotation)
        for part in (field.annotation, *inner):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from config_paths(part, f"{prefix}{name}.")
