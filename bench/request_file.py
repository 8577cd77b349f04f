"""How a job is handed its request, and how its result appears: whole, or not at all.

Knows files; knows nothing of what is in them.
"""

import json
import os
import tempfile
from pathlib import Path

from sandbox.errors import ConfigError


def read_json(file: Path) -> object:
    """Return the content of a request.

    Raises:
        ConfigError: `bad_request`: missing or not JSON; whoever wrote it sees it.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"request {str(file)!r}: {error}", code="bad_request") from None


def read_json_lines(file: Path) -> list[dict[str, object]]:
    """Return the objects in `file`, one a line.

    Raises:
        ConfigError: `bad_request`: missing, empty, or a line that is no JSON object.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"requests {str(file)!r}: {error}", code="bad_request") from None
    if not found or not all(isinstance(one, dict) for one in found):
        raise ConfigError(
            f"requests {str(file)!r}: one JSON object a line is needed", code="bad_request"
        )
    return found


def write_atomically(file: Path, text: str) -> None:
    """Write `file`, readable by its owner only, so that nobody ever sees half of it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
    Path(draft.name).replace(file)
