"""Finds a challenge by name or path, and reads it with its texts, all validated.

Knows files; knows no engine and no result. Shipped challenges lie in `bench/challenges/NAME`.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import rfc8785
from pydantic import Field, model_validator

from bench.challenge import Challenge
from bench.frozen import Frozen, is_absent, nearest_name, parse
from sandbox.errors import ConfigError

SHIPPED = Path(__file__).with_name("challenges")
FILE_NAME = "challenge.toml"


Ids = tuple[int, ...]
TokenIds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Text(Frozen):
    """A prompt or a passage: its words, or its token ids for engines without a tokenizer."""

    id: str = Field(min_length=1)
    text: str | None = Field(default=None, pattern=r"\S", exclude_if=is_absent)
    source: str = Field(min_length=1)
    """Where it comes from and why we may use it."""
    token_ids: TokenIds | None = Field(default=None, exclude_if=is_absent)
    """In the full vocabulary, begin-of-text included."""
    context_token_ids: TokenIds | None = Field(default=None, exclude_if=is_absent)
    """Given, not scored; goes with `target_token_ids`."""
    target_token_ids: TokenIds | None = Field(default=None, exclude_if=is_absent)

    @model_validator(mode="after")
    def _has_one_form(self) -> "Text":
        given = (self.text, self.token_ids, self.context_token_ids)
        if (self.context_token_ids is None) != (self.target_token_ids is None):
            raise ValueError("context_token_ids and target_token_ids go together")
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of text, token_ids, context_token_ids with targets")
        return self

    @property
    def ids(self) -> Ids | None:
        """All its token ids, where they are given."""
        if self.context_token_ids is not None and self.target_token_ids is not None:
            return self.context_token_ids + self.target_token_ids
        return self.token_ids

    @property
    def content(self) -> bytes:
        """What it says, for a hash: two texts of the same content are one."""
        return rfc8785.dumps(list(self.ids or ())) if self.text is None else self.text.encode()


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
    prompts = read_texts(folder / challenge.prompts)
    passages = read_texts(folder / challenge.passages)
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


def read_texts(file: Path) -> tuple[Text, ...]:
    """Return the texts in `file`, JSON Lines.

    Raises:
        ConfigError: `bad_texts`: unreadable, empty or an id used twice; `bad_field`: a bad line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"texts {str(file)!r}: {error}", code="bad_texts") from None
    texts: dict[str, Text] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        data = _ours(_json(line, file, number), file)
        text = parse(Text, data, what=f"{file.name}, line {number}")
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


def _ours(data: Any, file: Path) -> Any:
    """Return a line of the Fast Gemma Challenge's own files in our shape, any other as it is.

    Those are the scored records {id, context_token_ids, target_token_ids}, and the audit records
    with prompt_token_ids; neither says where a text is from.
    """
    if not isinstance(data, dict) or "source" in data or "id" not in data:
        return data
    if "context_token_ids" in data:
        names = ("context_token_ids", "target_token_ids")
        kept = {name: data.get(name) for name in names}
    elif "prompt_token_ids" in data:
        kept = {"token_ids": data["prompt_token_ids"]}
    else:
        return data
    return {"id": str(data["id"]), "source": file.name, **kept}


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
