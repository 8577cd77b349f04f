"""A session on disk: its name, its files, and the lock that keeps two processes apart.

Knows paths and TOML; knows nothing of events or agents, and imports nothing heavy, so that looking
at a session is quick.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.frozen import nearest_name
from orchestrator.settings import load_settings
from sandbox.errors import ConfigError, RecordError, SessionBusy

RECORD = "record.db"
CHECKPOINTS = "checkpoints.db"
CHALLENGE = "challenge.toml"
SESSION = "session.toml"
RIDERS = "riders.json"
ATTEMPTS = "attempts"
LOG = "session.log"
LATEST = "latest"
IMPORTED = "An imported session has no such file: it can be looked at and replayed, not ridden on"


def find_session(name: str | Path, *, sessions: Path | None = None) -> Path:
    """Return the folder of a session.

    Args:
        name: a folder, an id in the sessions folder, or `latest`.
        sessions: the sessions folder; None = as the settings say.

    Raises:
        ConfigError: there is none; whoever typed it sees the nearest.
    """
    place = load_settings().sessions_folder if sessions is None else sessions
    known = sorted(path.parent for path in place.glob(f"*/{RECORD}"))
    if str(name) == LATEST:
        if known:
            return known[-1]
        raise ConfigError(
            f"no session in {str(place)!r} yet",
            code="unknown_session",
            hint="start one: python -m orchestrator run",
        )
    for folder in (Path(name), place / name):
        if (folder / RECORD).is_file():
            return folder
    names = [path.name for path in known]
    raise ConfigError(
        f"no session {str(name)!r} in {str(place)!r}",
        code="unknown_session",
        hint=nearest_name(str(name), names) if names else "start one: python -m orchestrator run",
    )


def make_folder(sessions: Path, *, challenge: str, now: float) -> Path:
    """Make a new session folder with a readable, sortable name and return it."""
    moment = datetime.fromtimestamp(now, tz=UTC).strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        folder = sessions / f"{moment}-{challenge}{f'-{number}' if number > 1 else ''}"
        if claim_folder(folder):
            return folder
    raise RecordError(f"too many sessions named {moment} in {str(sessions)!r}", code="no_name")


def claim_folder(folder: Path) -> bool:
    """Make `folder` for a new session; False when it is taken.

    Raises:
        RecordError: it cannot be made; the operator sees it.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return folder.is_dir() and not any(folder.iterdir())
    except OSError as error:
        raise RecordError(f"cannot make {str(folder)!r}: {error}", code="no_folder") from error
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the session alone; the kernel frees the lock when its holder dies.

    Raises:
        SessionBusy: another process rides it; names its pid.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not for who only looks

    lock, holder = FileLock(folder / "session.lock", thread_local=False), folder / "session.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text().strip() if holder.is_file() else "unknown"
        raise SessionBusy(
            f"session {folder.name!r} is open in process {pid}",
            hint="wait for it, or stop it with Ctrl-C there",
        ) from None
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def holder_of(folder: Path) -> int | None:
    """Return the process that rides the session in `folder`; None when nobody does."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not for who only looks

    lock = FileLock(folder / "session.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        text = _text_of(folder / "session.pid")
        return int(text) if text.isdigit() else None
    lock.release()
    return None


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the file's content.

    Raises:
        RecordError: missing or damaged; the operator sees it.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecordError(
            f"{str(path)!r} cannot be read: {error}", code="session_unreadable", hint=IMPORTED
        ) from error


def toml_text(data: Mapping[str, Any], prefix: str = "") -> str:
    """Return `data` as TOML; None is left out, mappings become tables."""
    plain = {key: value for key, value in data.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items() if value is not None]
    for key, table in data.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{prefix}{key}]", toml_text(table, f"{prefix}{key}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{key} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
