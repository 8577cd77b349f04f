"""Files and folders that their owner alone may open.

Knows modes and atomic writes; knows nothing of what is in them.
"""

import contextlib
import os
import secrets
from pathlib import Path

OTHERS = 0o077
"""Mode bits that let anybody else at a file or folder."""


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700 where it is missing, parents as usual, and return it.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return folder


def write_private(file: Path, text: str) -> None:
    """Write `file` with mode 0600, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def is_open_to_others(path: Path) -> bool:
    """Return whether the mode of `path` lets the group or others at it.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    return bool(path.stat().st_mode & OTHERS)
