"""Reads the row files of a stored collaboration: board rows, verdicts, credits, the frontier, runs.

A line that cannot be read is a problem with its number, its reason and what it held; the others
are read. Which file holds what is said by its name, so a folder is read as a whole.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.imports.bucket import is_bucket, read_bucket
from orchestrator.imports.bucket_reader import FolderReader
from orchestrator.imports.collaboration import (
    ChartPoint,
    ChartStep,
    Collaboration,
    Credit,
    Problem,
    Result,
    Ruling,
    UnfiledRuling,
)
from orchestrator.imports.row_lines import (
    credit_row,
    point_row,
    result_row,
    step_row,
    verdict_row,
)
from orchestrator.imports.run_folders import RUNS, is_run, read_run
from sandbox.errors import ConfigError

MAX_LINE_BYTES = 256 * 1024
MAX_FILE_BYTES = 256 * 1024 * 1024

READERS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "board_rows": result_row,
    "extra_rows": result_row,
    "verdicts": verdict_row,
    "credits": credit_row,
    "frontier": step_row,
    "points": point_row,
}
"""By the beginning of a file's name."""


def read_rows(places: Sequence[Path]) -> Collaboration:
    """Return what files and folders say together.

    Args:
        places: row files, run folders, buckets, or folders that hold any of these.

    Raises:
        ConfigError: one of them is not there, or is nothing of the kind; whoever typed it sees it.
    """
    rows = _Rows()
    for place in places:
        rows.take(place)
    return rows.collaboration()


class _Rows:
    """One reading of several places."""

    def __init__(self) -> None:
        self._buckets: list[Collaboration] = []
        self._found: list[Any] = []
        self._problems: list[Problem] = []
        self._not_read: dict[str, int] = {}

    def take(self, place: Path) -> None:
        if place.is_symlink() or not place.exists():
            raise ConfigError(f"no file {str(place)!r}, or a link", code="no_file")
        if place.is_file():
            if _reader(place) is None:
                raise ConfigError(
                    f"{place.name!r} is none of the row files",
                    code="unknown_rows",
                    hint=f"known are: {', '.join(f'{name}*.jsonl' for name in READERS)}",
                )
            self._file(place)
        elif not self._folder(place):
            raise ConfigError(f"{str(place)!r} holds nothing to import", code="nothing_to_import")

    def collaboration(self) -> Collaboration:
        whole = Collaboration(
            results=self._of(Result),
            rulings=self._of(Ruling),
            unfiled=self._of(UnfiledRuling),
            credits=self._of(Credit),
            steps=self._of(ChartStep),
            points=self._of(ChartPoint),
            problems=tuple(self._problems),
            not_read=self._not_read,
        )
        for one in reversed(self._buckets):  # a file itself counts more than a row about it
            whole = joined(one, whole)
        return whole

    def _of(self, kind: type[Any]) -> tuple[Any, ...]:
        return tuple(one for one in self._found if isinstance(one, kind))

    def _folder(self, folder: Path) -> bool:
        """Read what is known in a folder; False: nothing is."""
        names = sorted(path.name for path in folder.iterdir())
        if is_run(folder):
            self._run(folder)
        elif is_bucket(names):
            self._buckets.append(read_bucket(FolderReader(folder)))
        else:
            known = [name for name in names if self._known(folder / name)]
            self._not_read |= {name: 1 for name in names if name not in known}
            return bool(known)
        return True

    def _known(self, path: Path) -> bool:
        if path.is_symlink():
            self._problems.append(Problem(path.name, "a link; links are not followed", b""))
            return True
        if path.is_file():
            if _reader(path) is None:
                return False
            self._file(path)
        elif path.name == RUNS:
            for run in sorted(path.iterdir()):
                if is_run(run):
                    self._run(run)
        elif path.is_dir() and is_bucket([one.name for one in path.iterdir()]):
            self._buckets.append(read_bucket(FolderReader(path)))
        else:
            return False
        return True

    def _run(self, folder: Path) -> None:
        result, problems = read_run(folder)
        self._problems += problems
        self._found += [result] if result else []

    def _file(self, path: Path) -> None:
        read = _reader(path)
        assert read is not None
        for number, raw in _lines(path):
            where = f"{path.name}:{number}"
            try:
                found = read(_loaded(raw), where)
            except (ValueError, RecursionError, OverflowError) as error:
                self._problems.append(Problem(where, _reason(error), raw))
                continue
            self._found += [one for one in found if one] if type(found) is tuple else [found]


def joined(first: Collaboration, second: Collaboration) -> Collaboration:
    """Return two collaborations as one; where both say something, `first` comes first."""
    return Collaboration(
        agents=first.agents + second.agents,
        posts=first.posts + second.posts,
        results=first.results + second.results,
        rulings=first.rulings + second.rulings,
        unfiled=first.unfiled + second.unfiled,
        credits=first.credits + second.credits,
        steps=first.steps + second.steps,
        points=first.points + second.points,
        problems=first.problems + second.problems,
        not_read={**second.not_read, **first.not_read},
    )


def _reader(path: Path) -> Callable[[dict[str, Any], str], Any] | None:
    if path.suffix != ".jsonl":
        return None
    return next((read for name, read in READERS.items() if path.name.startswith(name)), None)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError(
            f"{str(path)!r} has more than {MAX_FILE_BYTES} bytes", code="file_too_large"
        )
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE_BYTES)
                yield number, b""
            elif raw.strip():
                yield number, raw


def _loaded(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    data = json.loads(raw, parse_constant=_refuse)
    if not isinstance(data, dict):
        raise ValueError(f"no object but {type(data).__name__}")  # noqa: TRY004
    return data


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg}, column {error.colno}"
    return str(error) if type(error) is ValueError else type(error).__name__
