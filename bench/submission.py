"""A submission: a folder with `manifest.json` and the code that serves the model instead of ours.

The shape is that of the Fast Gemma Challenge (docs/submissions.md). Knows the manifest, its
environment and which package names the image has; starts nothing.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from importlib import metadata

from pydantic import Field, ValidationError

from bench.frozen import Frozen, parse
from sandbox.errors import ConfigError

MANIFEST = "manifest.json"
PYTHONS = ("python", "python3")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_OURS = re.compile(r"PACELINE_|LD_|PYTHON|(PATH|HOME|TMPDIR|LANG|LC_ALL)$")
"""Variables that the harness sets, or that would change what it starts."""
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(==[A-Za-z0-9.+!]+)?")


class Manifest(Frozen):
    """What the harness has to know to start a submission."""

    name: str = Field(min_length=1, max_length=100)
    description: str = Field(default="", max_length=2000)
    dependencies: tuple[str, ...] = Field(default=(), max_length=32)
    """Packages it imports, `NAME` or `NAME==VERSION`; they must be here already."""
    model_id: str = Field(min_length=1, max_length=200)
    served_model_name: str = Field(min_length=1, max_length=200)
    """What requests name as `model`."""
    port: int = Field(ge=1024, le=65535)
    """It serves on this port of a loopback of its own, or on the Unix socket that PACELINE_SOCKET
    names; see docs/sandbox.md for where it has a port."""
    serve: tuple[str, ...] = Field(min_length=2, max_length=64)
    """Command, e.g. `python serve.py`; started in the folder."""
    env: dict[str, str] = Field(default_factory=dict, max_length=64)


def read_manifest(files: Mapping[str, bytes]) -> Manifest:
    """Return the manifest among `files`, checked against them and against what is installed.

    Raises:
        ConfigError: `no_manifest`, `bad_manifest`, `bad_serve`, `bad_env` or
            `missing_dependency`; whoever submits it sees it.
    """
    if MANIFEST not in files:
        raise ConfigError(
            f"there is no {MANIFEST}",
            code="no_manifest",
            hint="name the folder that holds it; take_files from 'stock' gives an example",
        )
    manifest = _parsed(files[MANIFEST])
    _check_serve(manifest.serve, files.keys())
    _check_environment(manifest.env)
    for one in manifest.dependencies:
        _check_installed(one)
    return manifest


def _parsed(text: bytes) -> Manifest:
    try:
        data = Manifest.model_validate_json(text)
    except (ValidationError, ValueError, RecursionError):
        data = None
    if data is not None:
        return data
    try:
        import json  # noqa: PLC0415  # only to say what is wrong

        return parse(Manifest, json.loads(text), what=MANIFEST)
    except ConfigError as error:
        raise ConfigError(error.args[0], code="bad_manifest", hint=error.hint) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{MANIFEST} is no JSON object: {str(error)[:200]}", code="bad_manifest"
        ) from None


def _check_serve(serve: tuple[str, ...], names: AbstractSet[str]) -> None:
    if serve[0] not in PYTHONS:
        raise ConfigError(
            f"serve begins with {serve[0][:80]!r}; it must begin with 'python'",
            code="bad_serve",
            hint='e.g. "serve": ["python", "serve.py"]',
        )
    if serve[1] not in names or not serve[1].endswith(".py"):
        raise ConfigError(
            f"serve names {serve[1][:80]!r}, which is no Python file of the folder",
            code="bad_serve",
            hint="name a file beside manifest.json",
        )
    if any("\0" in one for one in serve):
        raise ConfigError("serve has a null character", code="bad_serve")


def _check_environment(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not _NAME.fullmatch(name) or _OURS.match(name) or "\0" in value or len(value) > 4096:  # noqa: PLR2004
            raise ConfigError(
                f"env may not set {name[:80]!r}",
                code="bad_env",
                hint="names are letters, digits and _; PATH, PYTHON*, LD_* and PACELINE_* are ours",
            )


def _check_installed(wanted: str) -> None:
    matched = _PACKAGE.fullmatch(wanted)
    version = None
    if matched:
        try:
            version = metadata.version(matched[1])
        except metadata.PackageNotFoundError:
            version = None
    asked = (matched[2] or "").removeprefix("==") if matched else ""
    if version is None or (asked and asked != version):
        have = f"it has {version}" if version else "it is not installed"
        raise ConfigError(
            f"dependency {wanted[:80]!r} cannot be had: {have}, and jobs have no network",
            code="missing_dependency",
            hint="use what is installed (xllamacpp, numpy), or bring the code as files",
        )
