"""Finds a challenge by name or path, and reads it with its texts, all validated.

Knows files; knows no engine and no result. Shipped challenges lie in `bench/challenges/NAME`.
"""

import json
import tomllib
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from bench.challenge import Challenge
from bench.frozen import Frozen, nearest_name, parse
from sandbox.errors import ConfigError

SHIPPED = Path(__file__).with_name("challenges")
FILE_NAME = "challenge.toml"


class Text(Frozen):
    """A prompt or a passage."""

    id: str = Field(min_length=1)
    text: str = Field(pattern=r"\S")
    source: str = Field(min_length=1)
    """Where it comes from and why we may use it."""


class LoadedChallenge(NamedTuple):
    """A challenge with the public texts it names."""

    challenge: Challenge
    folder: Path
    prompts: tuple[Text, ...]
    passages: tuple[Text, ...]


def list_challenges() -> list[str]:
    """Return the names of the shipped challenges, sorted."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{FILE_NAME}"))


def load_challenge(where: str | Path) -> LoadedChallenge:
    """Return the challenge called `where`, or in the file or folder `where`.

    Raises:
        ConfigError: unknown, unreadable or invalid, with the nearest name or the field at fault;
            whoever chose the challenge sees it.
    """
    file = _find(where)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"challenge {str(file)!r}: {error}", code="bad_challenge") from None
    challenge = parse(Challenge, data, what=f"challenge {str(file)!r}")
    folder = file.parent.resolve()
    prompts = _read_texts(folder / challenge.prompts)
    passages = _read_texts(folder / challenge.passages)
    _check_enough(challenge, len(prompts))
    return LoadedChallenge(challenge, folder, prompts, passages)


def _find(where: str | Path) -> Path:
    shipped, given = SHIPPED / str(where) / FILE_NAME, Path(where)
    for candidate in (shipped, given / FILE_NAME, given):
        if candidate.is_file():
            return candidate
    raise ConfigError(
        f"no challenge {str(where)!r}, by name, as a folder or as a file;"
        f" {nearest_name(str(where), list_challenges())}",
        code="unknown_challenge",
    )


def _read_texts(file: Path) -> tuple[Text, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"texts {str(file)!r}: {error}", code="bad_texts") from None
    texts: dict[str, Text] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        text = parse(Text, _json(line, file, number), what=f"{file.name}, line {number}")
        if text.id in texts:
            raise ConfigError(
                f"{file.name}, line {number}: id {text.id!r} is used twice", code="bad_texts"
            )
        texts[text.id] = text
    if not texts:
        raise ConfigError(f"texts {str(file)!r} are empty", code="bad_texts")
    return tuple(texts.values())


def _json(line: str, file: Path, number: int) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{file.name}, line {number}: {error}", code="bad_texts") from None


def _check_enough(challenge: Challenge, prompts: int) -> None:
    """No prompt is served twice, so there must be one for every request of a launch."""
    protocol = challenge.protocol
    pairs = max(protocol.screen.max_pairs, protocol.full.max_pairs, protocol.digest_prompts)
    if prompts < pairs + protocol.warmup_requests:
        raise ConfigError(
            f"challenge {challenge.name!r} has {prompts} prompts, its protocol needs"
            f" {pairs} + {protocol.warmup_requests}",
            code="bad_challenge",
            hint="add prompts or lower max_pairs",
        )
