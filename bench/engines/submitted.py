"""The `submitted` engine: an attempt's own code behind the OpenAI-compatible contract.

The contract is that of the Fast Gemma Challenge (docs/submissions.md): completions of integer-token
prompts with `return_token_ids`, and `prompt_logprobs` to score given tokens. Ids on the wire are
rows of the weight file it was given; those that come in and go out here are the full vocabulary's.
Trusts nothing it is answered: counts, shapes and ids are looked at.
"""

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.engine import Generation, Ranked
from bench.engines.llamacpp import CONTEXT_TOKENS, engine_version
from bench.engines.rows import Rows
from bench.engines.server_process import ServerProcess
from bench.engines.submission_params import SubmissionParams
from bench.submission import Manifest, read_manifest
from sandbox import processes
from sandbox.errors import ConfigError, JobError

BRIDGE = "bench.engines.submission_bridge"
PATH = "/v1/completions"
_RIVALS = 4
"""Alternatives asked for at each scored place: a few control tokens may be the likeliest."""


class SubmittedEngine:
    """A submission in processes of its own, one request at a time.

    Start it from a thread that outlives it: the kernel ends it with that thread.
    """

    name = "submitted"
    simulated = False

    def __init__(  # noqa: PLR0913  # each is one fact about the process
        self,
        config: LlamaCppConfig,
        artefact: Artefact,
        *,
        folder: Path,
        cores: Sequence[int] | None = None,
        start_seconds: float = 60,
        request_seconds: float = 120,
        is_counted: bool = True,
    ) -> None:
        """Start the submission in `folder` on `artefact` and wait until it is healthy.

        Args:
            config: every lever; it is told, and may do better.
            artefact: from `bench.artefacts.artefact.build`; keep its cache open meanwhile.
            folder: its files, `manifest.json` among them.
            cores: CPU numbers to pin its processes to; None leaves the choice to the system.
            start_seconds: limit for becoming healthy.
            request_seconds: limit for one request.
            is_counted: another number of tokens than asked for is an error; the judge alone says
                False, to whom it is a finding.

        Raises:
            ConfigError: the manifest cannot be used.
            JobError: `engine_died`, `engine_start_timeout` or `no_port`, with the end of its
                messages.
        """
        files = {str(p.relative_to(folder)): p.read_bytes() for p in _files_below(folder)}
        self._manifest = read_manifest(files)
        self._is_counted, self._peak_bytes = is_counted, 0
        self.version, self.config = engine_version(), config
        self.artefact, self.artefact_bytes = artefact.recipe_hash, artefact.bytes
        self._rows = Rows(artefact, context_tokens=CONTEXT_TOKENS)
        params = _params(config, artefact, self._manifest, folder, cores)
        readable = [folder, artefact.path.resolve()]
        readable += [artefact.drafter_path.resolve()] if artefact.drafter_path else []
        self._server = ServerProcess(
            BRIDGE,
            params.model_dump_json(),
            start_seconds=start_seconds,
            request_seconds=request_seconds,
            readable=readable,
            takes_network=True,
        )

    def clock(self) -> float:
        """Seconds on the monotonic wall clock."""
        return time.perf_counter()

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all its processes that live; None once they are gone."""
        used = [processes.cpu_seconds(pid) for pid in self._pids()]
        return None if used[0] is None else sum(one or 0.0 for one in used)

    def peak_memory_bytes(self) -> int | None:
        """High-water marks of its processes' resident bytes, mapped weights included."""
        peak = sum(processes.peak_memory_bytes(pid) or 0 for pid in self._pids())
        self._peak_bytes = max(peak, self._peak_bytes)
        return self._peak_bytes or None

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Refuse: what text means is not for a submission to say.

        Raises:
            ConfigError: always; ask the baseline engine.
        """
        raise ConfigError(
            f"a submission does not tokenize, not even {text[:40]!r}",
            code="no_tokenizer",
            hint="Tokenize with the baseline engine",
        )

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit exactly `max_tokens` greedy tokens; see `Engine.generate`."""
        asked: dict[str, object] = {
            "prompt": self._rows.fitting(self._rows.of(prompt_ids), room=max_tokens),
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        choice = self._choice(asked | ({"logprobs": 1} if with_logprobs else {}))
        rows = choice.get("token_ids")
        if not isinstance(rows, list) or not all(type(row) is int for row in rows):
            raise _rubbish(f"answered token_ids = {rows!r:.200}")
        if self._is_counted and len(rows) != max_tokens:
            raise _rubbish(f"emitted {len(rows)} tokens instead of {max_tokens}")
        logprobs = _token_logprobs(choice, len(rows)) if with_logprobs else None
        return Generation(self._rows.ids(rows), None, logprobs)

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return ln p of each target and of its likeliest rival; see `Engine.ranked`."""
        if not target_ids:
            return ()
        prompt, places = self._scored(context_ids, target_ids)
        asked = {
            "prompt": prompt,
            "max_tokens": 1,
            "prompt_logprobs": _RIVALS,
            "prompt_logprobs_start": len(self._rows.of(context_ids)),
        }
        said = self._choice(asked).get("prompt_logprobs")
        if not isinstance(said, list) or len(said) != len(prompt):
            raise _rubbish(f"answered prompt_logprobs = {said!r:.200}")
        return tuple(
            None if place is None else self._ranked(prompt[place], said[place]) for place in places
        )

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return ln p of each target; see `Engine.logprobs`."""
        answers = self.ranked(context_ids, target_ids)
        return tuple(None if answer is None else answer.logprob for answer in answers)

    def lacks(self, token_ids: Sequence[int]) -> int:
        """Return how many of `token_ids` were not kept."""
        return self._rows.lacks(token_ids)

    def close(self) -> None:
        """End its processes; safe to call twice."""
        self.peak_memory_bytes()
        self._server.close()

    def _pids(self) -> list[int]:
        return [self._server.pid, *processes.descendants(self._server.pid)]

    def _choice(self, asked: Mapping[str, object]) -> dict[str, Any]:
        common = {
            "model": self._manifest.served_model_name,
            "temperature": 0,
            "add_special_tokens": False,
        }
        reply = self._server.post(PATH, {**common, **asked})
        choices = reply.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise _rubbish(f"answered choices = {choices!r:.200}")
        return choices[0]

    def _scored(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[list[int], list[int | None]]:
        """Return the prompt to be scored, and where in it each target stands; None: nowhere.

        A token that was not kept is spelt by several rows that were.
        """
        prompt, places = self._rows.of(context_ids), list[int | None]()
        for target in target_ids:
            places.append(None if self._rows.row(target) is None else len(prompt))
            prompt += self._rows.of([target])
        return self._rows.fitting(prompt, room=1), places

    def _ranked(self, row: int, place: object) -> Ranked:
        """Rank one token among those listed beside it that can be emitted."""
        if not isinstance(place, dict):
            raise _rubbish(f"gave no probability for token {row}")
        logprob = _logprob(place.get(str(row)), row)
        rivals = [
            _logprob(said, row) for other, said in place.items() if other not in self._control_rows
        ]
        return Ranked(logprob, max(logprob, *rivals) if rivals else logprob)

    @cached_property
    def _control_rows(self) -> frozenset[str]:
        """As they stand in JSON."""
        return frozenset(map(str, self._rows.control))


def _files_below(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()]


def _params(
    config: LlamaCppConfig,
    artefact: Artefact,
    manifest: Manifest,
    folder: Path,
    cores: Sequence[int] | None,
) -> SubmissionParams:
    drafter = artefact.drafter_path
    told = {
        "PACELINE_WEIGHTS": str(artefact.path.resolve()),
        "PACELINE_DRAFTER": str(drafter.resolve()) if drafter else "",
        "PACELINE_CONFIG": config.model_dump_json(),
        "PACELINE_THREADS": str(config.threads),
        "PACELINE_CORES": ",".join(map(str, cores or ())),
        "PACELINE_CONTEXT_TOKENS": str(CONTEXT_TOKENS),
        "PACELINE_PORT": str(manifest.port),
    }
    return SubmissionParams(
        folder=folder.resolve(),
        serve=manifest.serve,
        env=manifest.env | told,
        port=manifest.port,
        cores=None if cores is None else tuple(cores),
    )


def _token_logprobs(choice: Mapping[str, Any], count: int) -> tuple[float, ...]:
    """Return ln p of each emitted token as it says; NaN where it says nothing."""
    listed = choice.get("logprobs")
    said = listed.get("token_logprobs") if isinstance(listed, dict) else None
    if not isinstance(said, list) or len(said) != count:
        return (math.nan,) * count
    return tuple(float(one) if isinstance(one, int | float) else math.nan for one in said)


def _logprob(said: object, row: int) -> float:
    value = said.get("logprob") if isinstance(said, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _rubbish(f"gave no probability for token {row}: {said!r:.200}")
    return float(value)


def _rubbish(what: str) -> JobError:
    return JobError(f"the submission {what}", code="engine_rubbish")
