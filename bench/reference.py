"""The baseline's log-probabilities, computed once per machine and engine and kept on disk.

Knows the cache file and the target list. Measured here and never a constant: the same weights give
10.17 to 10.49 on other kernels. A screen uses a prefix of what a full job stored, and a longer list
only adds what is missing.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import rfc8785

from bench.engines.engine import Engine
from bench.perplexity import LogProbs, Targets, score
from sandbox.errors import JobError


class ReferenceKey:
    """Everything the reference depends on; `cpu` because kernels are chosen by it."""

    def __init__(self, *, fingerprint: str, artefact: str, version: str, cpu: str) -> None:
        self._parts = [fingerprint, artefact, version, cpu]

    def file_name(self, targets: Targets) -> str:
        """Return a name that changes with any part or any id of the whole list."""
        whole = rfc8785.dumps([*self._parts, targets.sha256()])
        return f"{hashlib.sha256(whole).hexdigest()[:24]}.json"


def reference_logprobs(
    engine: Engine, targets: Targets, count: int, *, key: ReferenceKey, folder: Path
) -> LogProbs:
    """Return the baseline's log-probabilities of the first `count` of `targets`.

    `engine` is the loaded baseline; only what the cache in `folder` lacks is asked of it.

    Raises:
        JobError: from the engine, or `engine_rubbish` when the reference lacks a target.
    """
    file = folder / key.file_name(targets)
    known = _read(file)
    if len(known) < count:
        known += score(engine, targets.between(len(known), count))
        if any(logprob is None for logprob in known):
            raise JobError(
                "the reference itself lacks a target token",
                code="engine_rubbish",
                hint="the challenge's baseline must keep the whole vocabulary",
            )
        _write(file, known)
    return known[:count]


def _read(file: Path) -> LogProbs:
    """Return what is stored; an unreadable file is as good as none, it is made again."""
    try:
        known = json.loads(file.read_text())["logprobs"]
        os.utime(file)
        return tuple(float(logprob) for logprob in known)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _write(file: Path, known: LogProbs) -> None:
    """Store atomically; a cache that cannot be written only costs the next job some seconds."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as draft:
            json.dump({"logprobs": known}, draft)
        Path(draft.name).replace(file)
    except OSError:
        return
