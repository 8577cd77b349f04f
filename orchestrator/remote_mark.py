"""What a session's folder says of its remote jobs: under which label, whose, and in which bucket.

With it `resume`, `stop` and `doctor` find them without asking the record. Knows one small file.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import RecordError

FILE = "remote.json"


class RemoteMark(NamedTuple):
    """Where a session's remote jobs are."""

    label: str
    """Told apart by it in the whole namespace; the same after a restart."""
    namespace: str
    bucket: str
    flavor: str
    is_rented: bool
    """False: of a fake, which ended with its process."""


def mark_of(folder: Path, options: Mapping[str, Any], *, is_rented: bool) -> RemoteMark:
    """Return the mark of the session in `folder`; the first call writes it.

    Raises:
        RecordError: it cannot be read.
    """
    found = read_mark(folder)
    label = found.label if found else f"{folder.resolve().name}-{secrets.token_hex(4)}"
    names = {name: str(options[name]) for name in ("namespace", "bucket", "flavor")}
    mark = RemoteMark(label=label, **names, is_rented=is_rented)
    if mark != found:
        draft = folder / f"{FILE}.part"
        draft.write_text(json.dumps(mark._asdict(), indent=1), encoding="utf-8")
        draft.replace(folder / FILE)
    return mark


def read_mark(folder: Path) -> RemoteMark | None:
    """Return the mark of a session; None = it never had a remote job.

    Raises:
        RecordError: the file is damaged; the operator sees it.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return RemoteMark(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{str(file)!r} cannot be read: {error}",
            code="session_unreadable",
            hint="Without it the session's remote jobs are not found; look on the Hub",
        ) from None
