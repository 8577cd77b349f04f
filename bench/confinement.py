"""What an engine process may touch, for whoever starts one or tests what it reaches.

Knows where code lies; knows no record and no private text. The list holds neither the sessions nor
the organiser's private folder, neither a home folder nor the checkout as a whole.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import bench
from sandbox.landlock import runtime_paths

ROOT = Path(bench.__file__).resolve().parents[1]
CODE = ("bench", "sandbox")
"""All that is ours in a measured process."""


class Reach(NamedTuple):
    """Files and folders that a process may read, and those it may also change."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]


def engine_reach(folder: Path, readable: Sequence[Path] = ()) -> Reach:
    """Return what an engine process needs.

    Args:
        folder: its own; all it may change.
        readable: its weight files, and the folder of a submission.
    """
    code = (ROOT / name for name in CODE)
    return Reach((*runtime_paths(), *code, *readable), (folder,))


def link_code(folder: Path) -> Path:
    """Make `folder` a place to import `bench` and `sandbox` from, and return it.

    Python lists every folder of its path. Listing the project's root would take a right that
    Landlock gives for everything below it too, sessions included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    return folder
