"""Reads the folder of one run: the score summary it wrote, and the manifest of what it served.

Such a run was made, but not necessarily posted: that is noted on what is imported.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from orchestrator.imports.collaboration import UNKNOWN_AGENT, Problem, Result
from orchestrator.imports.front_matter import MAX_BYTES
from orchestrator.imports.values import in_range, number_of, number_or_none, text_of

RUNS = "runs"
SUMMARY = "summary.json"
MANIFEST = "manifest.json"
_CONFIG = ("dependencies", "env", "model_id", "serve")
_JOB_DIGITS = 8
"""Of a job's id that are its launch time in Unix seconds, in hex."""


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return folder.is_dir() and not folder.is_symlink() and (folder / SUMMARY).is_file()


def read_run(folder: Path) -> tuple[Result | None, list[Problem]]:
    """Return the run as a result, and what could not be read."""
    source = f"{RUNS}/{folder.name}/{SUMMARY}"
    raw = b""
    problems: list[Problem] = []
    manifest: dict[str, Any] = {}
    try:
        manifest = _json(_read(folder / MANIFEST))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"its manifest cannot be read: {_reason(error)}"
        problems.append(Problem(f"{RUNS}/{folder.name}/{MANIFEST}", reason))
    try:
        raw = _read(folder / SUMMARY)
        return _run(source, folder.name, _json(raw), manifest), problems
    except (OSError, ValueError, RecursionError) as error:
        return None, [*problems, Problem(source, _reason(error), raw)]


def _run(name: str, folder: str, summary: dict[str, Any], manifest: dict[str, Any]) -> Result:
    model = text_of(manifest.get("model_id"), "model_id", limit=200)
    method = text_of(manifest.get("name"), "name", limit=500)
    completed = number_or_none(summary.get("completed"), "completed")
    notes = ["the summary of a run, which nobody posted"]
    notes += [f"manifest {fingerprint(manifest)}"] * bool(manifest)
    notes += [f"model {model}"] * bool(model)
    notes += [] if completed is None else [f"{completed:.0f} requests completed"]
    return Result(
        file=name,
        source=name,
        time=_launched(summary.get("job_id")),
        agent=UNKNOWN_AGENT,
        method=method or folder[:100],
        status="agent-run",
        tokens_per_second=number_of(summary.get("tps"), "tps"),
        perplexity=number_or_none(summary.get("ppl"), "ppl"),
        description=text_of(manifest.get("description"), "description", limit=2000),
        note="; ".join(notes),
    )


def fingerprint(manifest: dict[str, Any]) -> str:
    """Return 12 hex digits over what decides how a submission serves."""
    parts = {name: manifest.get(name) for name in _CONFIG}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _launched(job: Any) -> float:
    try:
        return in_range(float(int(str(job)[:_JOB_DIGITS], 16)), "job_id")
    except ValueError:
        raise ValueError("job_id does not begin with a launch time") from None


def _read(path: Path) -> bytes:
    if path.is_symlink():
        raise ValueError("a link; links are not followed")
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    return raw


def _json(raw: bytes) -> dict[str, Any]:
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise ValueError("no object")  # noqa: TRY004
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg}, line {error.lineno}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) if type(error) is ValueError else type(error).__name__
