"""Keeps what could not be imported, as it was, beside the session: nothing of it is lost.

Names of the kept files are ours: a stranger's path never names a place on this disk.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.imports.collaboration import Problem
from tools.redaction import Redactor

FOLDER = "unreadable"
MOST_FILES = 10_000
_LONGEST_NAME = 100


def keep(folder: Path, problems: Iterable[Problem], redact: Redactor) -> int:
    """Write what `problems` held into the session's folder; return how many are new there."""
    new = 0
    lost = [one for one in problems if one.raw]
    place = folder / FOLDER
    if lost:
        place.mkdir(exist_ok=True)
    for one in lost[:MOST_FILES]:
        path = place / name_of(one)
        if not path.exists():
            path.write_bytes(redact.raw(one.raw or b""))
            new += 1
    return new


def name_of(problem: Problem) -> str:
    """Return a name for what a problem held: readable, plain, and one for each content."""
    raw = problem.raw or b""
    digest = hashlib.sha256(problem.file.encode("utf-8", "replace") + b"\0" + raw).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", problem.file)[-_LONGEST_NAME:].lstrip(".")
    return f"{digest[:8]}-{readable}"
