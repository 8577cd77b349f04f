"""The private texts of a session: taken, fixed by a hash, proved out of reach, revealed at last.

A machine writes one pool per challenge; every session takes a copy with a salt of its own, and
commits to that. What was revealed is never used again. Knows no test and no score.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.challenge import Challenge
from bench.challenge_files import Text
from orchestrator.pool_files import (
    SET,
    PoolFiles,
    PrivateSet,
    commitment_of,
    is_retired,
    missing,
    new_set,
    pool_files,
    read_pool,
    read_set,
    retire,
    write_canary,
)
from orchestrator.pool_writing import write_pool
from orchestrator.private_files import write_private
from orchestrator.probing import check_confinement, check_kept
from orchestrator.settings import Settings
from sandbox.errors import RecordError, VerificationUnavailable
from sandbox.job import Sandbox

__all__ = ["Pool", "Revealed", "commitment_of", "open_pool", "reveal"]

REVEALED = "revealed.json"


class Pool(NamedTuple):
    """The private texts of one session."""

    texts: tuple[Text, ...]
    salt: str
    """64 hex digits; secret until the texts are revealed."""
    commitment: str
    folder: Path
    """The organiser's own for this session, mode 0700: requests and results of verifications."""


class Revealed(NamedTuple):
    """What became public."""

    file: Path
    texts: int
    commitment: str
    sharing: tuple[str, ...]
    """Other sessions that took some of these texts: nothing more can be verified in them."""


async def open_pool(  # noqa: PLR0913  (the machine it is opened on)
    challenge: Challenge,
    challenge_file: Path,
    *,
    session: str,
    settings: Settings,
    sandbox: Sandbox,
    tell: Callable[[str], None],
    is_lane_held: bool = False,
) -> Pool:
    """Return the session's texts, the same at each call, proved to be out of candidates' reach.

    The first session of a machine has them written, one to two minutes; later ones take 0.2 s.

    Args:
        challenge: in force in the session.
        challenge_file: the session's copy, as its jobs get it.
        session: its id; one set is kept per id.
        settings: for the folders.
        sandbox: the one jobs run in; it is tried.
        tell: takes a line of progress, for people.
        is_lane_held: the caller holds the device's lane already; else it is taken for the writing.

    Raises:
        VerificationUnavailable: `no_confinement`, `pool_missing`, `pool_readable`,
            `pool_unwritable` or `pool_revealed`; nothing can be verified and the operator sees why.
    """
    check_confinement(sandbox)
    cache_folder = settings.cache_folder.absolute()
    try:
        files = pool_files(challenge, session=session, settings=settings)
        taken = read_set(files.folder)
        if taken is None and files.is_sampled and not files.source.is_file():
            await write_pool(
                files.source,
                challenge,
                challenge_file,
                cache_folder=cache_folder,
                sandbox=sandbox,
                tell=tell,
                is_lane_held=is_lane_held,
            )
        taken = taken or _take(files)
    except OSError as error:
        raise VerificationUnavailable(
            f"private folder {str(settings.private_folder)!r} cannot be used: {error}",
            code="pool_unwritable",
            hint="Set PACELINE_PRIVATE_FOLDER to a folder that you alone can write",
        ) from error
    _check_unused(taken, files)
    await check_kept(
        files.secrets,
        challenge=challenge,
        challenge_file=challenge_file,
        cache_folder=cache_folder,
        sandbox=sandbox,
    )
    return Pool(taken.texts, taken.salt, taken.commitment, files.folder)


def reveal(folder: Path, *, session: str, commitment: str, settings: Settings) -> Revealed:
    """Publish a closed session's texts and salt in its folder; nobody uses them again.

    Safe to repeat after a kill: the texts are retired before they are published.

    Args:
        folder: of the session, whose lock the caller holds.
        session: its id.
        commitment: what its record published at the start.
        settings: for the private folder.

    Raises:
        VerificationUnavailable: `pool_missing`, the texts are not on this machine.
        RecordError: `commitment_mismatch`, they are not those committed to; nothing was written.
        OSError: a file cannot be written.
    """
    place = settings.private_folder.absolute()
    taken = read_set(place / "sessions" / session)
    if taken is None:
        raise missing(
            f"the private texts of session {session!r} are not in {str(place)!r}",
            "Reveal them on the machine that verified",
        )
    if taken.commitment != commitment:
        raise RecordError(
            f"the private texts of session {session!r} hash to {taken.commitment}, its record"
            f" committed to {commitment}",
            code="commitment_mismatch",
            hint="they belong to another session of this name, or were changed",
        )
    retire(taken.texts, place)
    _put_aside(taken, place)
    file = folder / REVEALED
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(taken.model_dump(mode="json"), indent=1), encoding="utf-8")
    draft.replace(file)
    return Revealed(file, len(taken.texts), commitment, _sharing(session, place))


def _take(files: PoolFiles) -> PrivateSet:
    """Copy the pool for this session under a fresh salt."""
    taken = new_set(read_pool(files.source))
    _check_unused(taken, files)
    write_canary(files.folder)
    write_private(files.folder / SET, taken.model_dump_json())
    return taken


def _check_unused(taken: PrivateSet, files: PoolFiles) -> None:
    if is_retired(taken.texts, files.place):
        raise VerificationUnavailable(
            "the private texts of this session were revealed",
            code="pool_revealed",
            hint="Start a new session, with other texts in the file if the challenge names one",
        )


def _put_aside(taken: PrivateSet, place: Path) -> None:
    """Rename the machine's pools that hold these texts: the next session has new ones written."""
    for source in (place / "pools").glob("*/pool.jsonl"):
        if source.is_file() and set(read_pool(source)) & set(taken.texts):
            source.rename(source.with_name(f"revealed-{taken.commitment[:12]}.jsonl"))


def _sharing(session: str, place: Path) -> tuple[str, ...]:
    others = sorted(one.name for one in (place / "sessions").iterdir() if one.name != session)
    return tuple(
        name
        for name in others
        if (taken := read_set(place / "sessions" / name)) and is_retired(taken.texts, place)
    )
