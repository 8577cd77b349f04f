"""Where private texts lie, what their files hold, and which may no longer be used.

    PRIVATE/signing.key
    PRIVATE/retired.txt                      hashes of texts that were revealed
    PRIVATE/pools/CHALLENGE-MODEL/pool.jsonl, canary.txt
    PRIVATE/pools/CHALLENGE.jsonl            written by the organiser, where `pool = "file"`
    PRIVATE/sessions/SESSION/set.json, canary.txt

Knows files, modes, salts and hashes; starts nothing. Files are 0600 in folders of 0700. A canary is
a random word: a process that can say it has read what it must not.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rfc8785

from bench.challenge import Challenge
from bench.challenge_files import Text
from bench.frozen import Frozen, parse
from orchestrator.keys import FILE_NAME as KEY
from orchestrator.private_files import is_open_to_others, private_folder, write_private
from orchestrator.settings import Settings
from sandbox.errors import ConfigError, VerificationUnavailable

ROOT = Path(__file__).resolve().parent.parent
POOL, SET, CANARY, RETIRED = "pool.jsonl", "set.json", "canary.txt", "retired.txt"


class PrivateSet(Frozen):
    """The private texts of one session."""

    salt: str
    """64 hex digits; secret until the texts are revealed."""
    texts: tuple[Text, ...]
    commitment: str


class PoolFiles(NamedTuple):
    """The files of one session, and of the pool it takes its texts from."""

    place: Path
    """The organiser's private folder."""
    folder: Path
    """The session's own, in it."""
    source: Path
    is_sampled: bool
    """`source` is written here; else it is somebody's file."""

    @property
    def secrets(self) -> list[Path]:
        """All of these files and folders that exist: what candidates must be kept from."""
        source = [self.source.parent, self.source]
        canaries = [self.source.parent / CANARY, self.folder / CANARY]
        own = [self.place, self.place / KEY, self.folder, self.folder / SET]
        return [one for one in dict.fromkeys([*own, *source, *canaries]) if one.exists()]


def pool_files(challenge: Challenge, *, session: str, settings: Settings) -> PoolFiles:
    """Return the files, and make the session's folder.

    Raises:
        VerificationUnavailable: `pool_missing`, `pool_readable`.
        OSError: a folder cannot be made.
    """
    place = settings.private_folder.absolute()
    _check_apart(place, settings, what="private folder")
    private_folder(place)
    if is_open_to_others(place):
        raise _readable(f"private folder {str(place)!r} is open to others", f"chmod 700 {place}")
    folder = private_folder(private_folder(place / "sessions") / session)
    rule = challenge.verification
    pool = rule.pool if rule else "none"
    name = pool.removeprefix("path:")
    if name and name != pool:
        source = Path(name).expanduser().absolute()
        _check_apart(source, settings, what="file of private texts")
        return PoolFiles(place, folder, source, is_sampled=False)
    pools = private_folder(place / "pools")
    if pool == "file":
        return PoolFiles(place, folder, pools / f"{challenge.name}.jsonl", is_sampled=False)
    if pool != "sampled":
        raise missing(
            f"challenge {challenge.name!r} has verification.pool = {pool!r}",
            "Write `sampled`, `file` or `path:FILE`",
        )
    model = challenge.model.identity[:12].replace("/", "-")
    own = pools / f"{challenge.name}-{model}"
    return PoolFiles(place, folder, private_folder(own) / POOL, is_sampled=True)


def commitment_of(salt: str, texts: Sequence[Text]) -> str:
    """Return SHA-256 over the RFC 8785 form of `[salt, texts]`, 64 hex digits."""
    plain = [text.model_dump(mode="json") for text in texts]
    return hashlib.sha256(rfc8785.dumps([salt, plain])).hexdigest()


def new_set(texts: Sequence[Text]) -> PrivateSet:
    """Return `texts` with a fresh salt."""
    salt = secrets.token_hex(32)
    return PrivateSet(salt=salt, texts=tuple(texts), commitment=commitment_of(salt, texts))


def read_set(folder: Path) -> PrivateSet | None:
    """Return what the session in `folder` has taken; None where that is nothing.

    Raises:
        VerificationUnavailable: `pool_missing`, damaged; `pool_readable`.
    """
    file = folder / SET
    if not file.is_file():
        return None
    _check_closed(file)
    try:
        found = PrivateSet.model_validate_json(file.read_bytes())
    except ValueError:
        found = None
    if found is None or found.commitment != commitment_of(found.salt, found.texts):
        raise missing(f"the private texts in {str(file)!r} are damaged", "Start a new session")
    return found


def read_pool(source: Path) -> tuple[Text, ...]:
    """Return the texts in `source`, JSON Lines.

    Raises:
        VerificationUnavailable: `pool_missing`, not there or unusable; `pool_readable`.
    """
    hint = "Write one JSON object with id, source and text or token_ids per line, and chmod 600 it"
    if not source.is_file():
        raise missing(f"there is no file of private texts {str(source)!r}", hint)
    _check_closed(source)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
        found = [_text(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    except (ConfigError, ValueError) as error:
        raise missing(f"private texts {str(source)!r}: {error}", hint) from None
    if len({text.id for text in found}) < max(len(found), 1):
        raise missing(f"private texts {str(source)!r} are empty or use an id twice", hint)
    return tuple(found)


def write_canary(folder: Path) -> None:
    """Leave a random word in `folder` unless there is one."""
    if not (folder / CANARY).is_file():
        write_private(folder / CANARY, secrets.token_hex(16) + "\n")


def retire(texts: Sequence[Text], place: Path) -> None:
    """Note that `texts` are public from now on."""
    known = _retired(place)
    new = [one for one in map(_hash, texts) if one not in known]
    write_private(place / RETIRED, "".join(f"{one}\n" for one in [*sorted(known), *new]))


def is_retired(texts: Sequence[Text], place: Path) -> bool:
    """Return whether any of `texts` was revealed."""
    return not _retired(place).isdisjoint(map(_hash, texts))


def missing(what: str, hint: str) -> VerificationUnavailable:
    """Return the error `pool_missing`."""
    return VerificationUnavailable(what, code="pool_missing", hint=hint)


def _check_apart(path: Path, settings: Settings, *, what: str) -> None:
    """Private things do not lie where agents, or jobs, have their files."""
    apart = {
        "sessions": settings.sessions_folder,
        "cache": settings.cache_folder,
        "checkout": ROOT,
    }
    for name, folder in apart.items():
        if path.resolve().is_relative_to(folder.resolve()):
            raise _readable(
                f"{what} {str(path)!r} lies in the {name} folder {str(folder.resolve())!r}",
                "Move it elsewhere",
            )


def _check_closed(file: Path) -> None:
    if is_open_to_others(file):
        mode = file.stat().st_mode & 0o777
        raise _readable(
            f"{str(file)!r} has mode {mode:o}: others can read it",
            f"chmod 600 {file}, if nobody did",
        )


def _readable(what: str, hint: str) -> VerificationUnavailable:
    return VerificationUnavailable(what, code="pool_readable", hint=hint)


def _text(line: str, number: int) -> Text:
    data: Any = json.loads(line)
    return parse(Text, data, what=f"line {number}")


def _retired(place: Path) -> frozenset[str]:
    file = place / RETIRED
    return frozenset(file.read_text(encoding="ascii").split()) if file.is_file() else frozenset()


def _hash(text: Text) -> str:
    return hashlib.sha256(text.content).hexdigest()
