"""Finds the folder of weights that vLLM and transformers read, and refuses those that hold code.

From a folder, from a repository already in a cache of the Hub, or made of a published GGUF file.
Fetches nothing: what is missing is named with the command that brings it. Knows files; knows no
engine and no lever.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.artefacts.cache import ArtefactCache
from bench.artefacts.hf_folder import HfFolder, build_hf_folder
from bench.artefacts.model_file import locate
from bench.challenge import ModelSource
from sandbox.errors import ConfigError

FOLDER, REPOSITORY = "dir", "hub-repo"
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Loading them runs what they say."""


def locate_folder(
    source: ModelSource, cache: ArtefactCache, *, needs_weights: bool = True
) -> HfFolder:
    """Return the folder `source` names; a GGUF file's is made in `cache`, and held there.

    Raises:
        ConfigError: `model_missing`, `model_corrupted`, `loads_code`, `unsafe_weights`; whoever
            chose the challenge sees it, with the next step.
        JobError: the cache cannot be written.
    """
    kind, _, name = source.source.partition(":")
    if kind == FOLDER:
        return checked_folder(Path(name), sha256=source.sha256, needs_weights=needs_weights)
    if kind == REPOSITORY:
        return find_repository(name, cache.folder, needs_weights=needs_weights)
    return build_hf_folder(locate(source, cache.folder), cache)


def find_repository(name: str, cache_folder: Path, *, needs_weights: bool = True) -> HfFolder:
    """Return the snapshot of `ORG/NAME@REVISION` in a cache of the Hub: ours, or this user's.

    Raises:
        ConfigError: see `locate_folder`.
    """
    repository, _, revision = name.partition("@")
    if not _NAME.fullmatch(repository) or not re.fullmatch(r"[\w./-]+", revision or "main"):
        raise ConfigError(
            f"repository {name!r}: must be ORG/NAME@REVISION", code="bad_model_source"
        )
    caches = (cache_folder / "hub", Path.home() / ".cache" / "huggingface" / "hub")
    for cache in caches:
        folder = _snapshot(cache / f"models--{repository.replace('/', '--')}", revision or "main")
        if folder is not None:
            found = checked_folder(folder, needs_weights=needs_weights, is_hashed=False)
            digest = hashlib.sha256(f"{repository}@{folder.name}".encode()).hexdigest()
            return found._replace(recipe_hash=digest[:16])
    raise ConfigError(
        f"{repository!r} at {revision or 'main'!r} is in no cache of the Hub, and nothing is"
        " fetched while a job runs",
        code="model_missing",
        hint=f"Run: hf download {repository} --revision {revision or 'main'}"
        f" --cache-dir {caches[0]}",
    )


def checked_folder(
    folder: Path, *, sha256: str = "", needs_weights: bool = True, is_hashed: bool = True
) -> HfFolder:
    """Return `folder`, looked through.

    Args:
        folder: with `config.json` and safetensors.
        sha256: what `folder_sha256` must come to; empty = anything.
        needs_weights: False where they are made up (`load_format` dummy).
        is_hashed: False leaves the hash empty, where a commit says as much.

    Raises:
        ConfigError: see `locate_folder`.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"model folder {str(folder)!r} has no config.json",
            code="model_missing",
            hint="Correct `model.source` in the challenge file",
        )
    _refuse_code(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if needs_weights and not weights:
        pickled = [path.name for path in folder.iterdir() if path.suffix in _PICKLED]
        raise ConfigError(
            f"model folder {str(folder)!r} has no safetensors",
            code="unsafe_weights" if pickled else "model_missing",
            hint=f"Loading {pickled[0]} would run what it says" if pickled else "Fetch it again",
        )
    digest = folder_sha256(folder) if is_hashed else ""
    if sha256 and digest != sha256:
        raise ConfigError(
            f"model folder {str(folder)!r} has SHA-256 {digest}, the challenge pins {sha256}",
            code="model_corrupted",
            hint="Fetch it again, or correct the challenge file",
        )
    size = sum(path.stat().st_size for path in weights)
    return HfFolder(folder.resolve(), digest[:16], size)


def folder_sha256(folder: Path) -> str:
    """Return the hash over `NAME HASH` lines of its config and weights, by name."""
    files = sorted([folder / "config.json", *folder.glob("*.safetensors")])
    lines = [f"{path.name} {_sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_pinned(name: str) -> bool:
    """Tell whether a repository is named by a commit, so that the same bytes come tomorrow."""
    return _COMMIT.fullmatch(name.partition("@")[2]) is not None


def _snapshot(repository: Path, revision: str) -> Path | None:
    ref = repository / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    folder = repository / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _refuse_code(folder: Path) -> None:
    """Refuse a folder whose files name classes: `trust_remote_code=False` is no boundary."""
    code = [path.name for path in folder.glob("*.py")]
    mapped = [path.name for path in folder.glob("*.json") if _names_classes(path)]
    if code or mapped:
        raise ConfigError(
            f"model folder {str(folder)!r} brings code of its own: {(code + mapped)[0]}",
            code="loads_code",
            hint="Take a model whose code vLLM has itself; auto_map and *.py are refused",
        )


def _names_classes(file: Path) -> bool:
    if not file.name.endswith("config.json"):
        return False
    try:
        return "auto_map" in _keys([json.loads(file.read_text())])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)!r} is no JSON: {error}", code="model_corrupted") from error


def _keys(values: Sequence[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield from map(str, value)
            yield from _keys(list(value.values()))
        elif isinstance(value, list):
            yield from _keys(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
