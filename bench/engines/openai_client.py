"""What an OpenAI-compatible server is asked, and how far its answers are believed.

Integer-token prompts only. Counts, shapes and ids are looked at: a server that ignores
`return_token_ids` or `prompt_logprobs` (llama.cpp's does, without a word) is refused, never scored
wrongly. Log-probabilities of given tokens come from one teacher-forced request, which takes a
server's prefill path, not its decode path. Ids on the wire are the full vocabulary's. Knows the
wire; knows no process and no config.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.engines.engine import Ranked
from bench.engines.http_line import HttpLine, json_object
from bench.measurement import Drafting
from sandbox.errors import ConfigError, JobError

COMPLETIONS = "/v1/completions"
_LEAST = -9999.0
"""What vLLM writes for minus infinity, which JSON does not have."""
_SPECULATED = re.compile(
    r"^vllm:spec_decode_num_(draft|accepted)_tokens(?:_total)?(?:\{[^}]*\})?\s+(\S+)", re.MULTILINE
)


class Emitted(NamedTuple):
    """What one request emitted."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None


class OpenAiClient:
    """Speaks for one model of one server."""

    def __init__(self, line: HttpLine, model: str, *, seed: int = 0) -> None:
        """Ask `model` over `line`; the prefix of an address may end in `/v1` or not."""
        self.line, self.model = line, model
        self._common = {
            "model": model,
            "temperature": 0,
            "seed": seed,
            "add_special_tokens": False,
        }

    def is_healthy(self) -> bool:
        """Tell whether it serves; raises what `HttpLine` raises."""
        return any(
            self.line.get(path).status == 200  # noqa: PLR2004  # HTTP's OK
            for path in ("/health", "/v1/models")
        )

    def models(self) -> tuple[str, ...]:
        """Return the names it serves under.

        Raises:
            JobError: `engine_rubbish`, it does not list them.
        """
        listed = json_object(self.line.get("/v1/models")).get("data")
        if not isinstance(listed, list):
            raise rubbish(f"listed its models as {listed!r:.200}")
        return tuple(str(one["id"]) for one in listed if isinstance(one, dict) and "id" in one)

    def emit(
        self, prompt_ids: Sequence[int], count: int, *, with_logprobs: bool, is_counted: bool = True
    ) -> Emitted:
        """Return exactly `count` greedy tokens.

        Raises:
            JobError: `engine_rubbish`: no ids, or another number of them.
        """
        asked: dict[str, object] = {
            "prompt": list(prompt_ids),
            "max_tokens": count,
            "min_tokens": 0,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        if with_logprobs:  # as ids, since a server without a tokenizer has no other names
            asked |= {"logprobs": 1, "return_tokens_as_token_ids": True}
        choice = self._choice(asked)
        ids = choice.get("token_ids")
        if not isinstance(ids, list) or not all(type(one) is int and one >= 0 for one in ids):
            raise rubbish(f"answered token_ids = {ids!r:.200}")
        if is_counted and len(ids) != count:
            raise rubbish(f"emitted {len(ids)} tokens instead of {count}")
        said = _token_logprobs(choice, len(ids)) if with_logprobs else None
        return Emitted(tuple(ids), said)

    def ranked(self, context_ids: Sequence[int], target_ids: Sequence[int]) -> tuple[Ranked, ...]:
        """Return each target beside the likeliest token at its place, by one forced pass.

        Raises:
            ConfigError: `no_prompt_logprobs`, the server does not score prompts.
            JobError: `engine_rubbish`: about other tokens, or no log-probabilities.
        """
        if not target_ids:
            return ()
        prompt, start = [*context_ids, *target_ids], len(context_ids)
        if not start:
            raise ConfigError(
                "the first token has nothing before it to be scored by", code="no_context"
            )
        asked = {"prompt": prompt, "max_tokens": 1, "prompt_logprobs": 1}
        said = self._choice(asked).get("prompt_logprobs")
        if said is None:
            raise ConfigError(
                "the server ignored prompt_logprobs, so that perplexity cannot be measured",
                code="no_prompt_logprobs",
                hint="Serve with vLLM, or another server that scores prompts",
            )
        if not isinstance(said, list) or len(said) != len(prompt):
            raise rubbish(f"answered prompt_logprobs = {said!r:.200}")
        places = zip(target_ids, said[start:], strict=True)
        return tuple(_ranked(target, place) for target, place in places)

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return the server's own ids, begin-of-text first where the model has one.

        Raises:
            ConfigError: `no_tokenizer`, the server has none.
            JobError: `engine_rubbish`: no ids.
        """
        try:
            reply = self.line.post(
                "/tokenize", {"model": self.model, "prompt": text, "add_special_tokens": True}
            )
        except JobError as error:
            raise ConfigError(
                f"the server does not tokenize: {error}",
                code="no_tokenizer",
                hint="Give the challenge's texts as token ids, or serve with a tokenizer",
            ) from error
        ids = reply.get("tokens")
        if not isinstance(ids, list) or not all(type(one) is int for one in ids):
            raise rubbish(f"answered tokens = {ids!r:.200}")
        return tuple(ids)

    def drafting(self) -> Drafting | None:
        """Return what was drafted and accepted since the server started; None: it does not say."""
        reply = self.line.get("/metrics")
        counted = {"draft": 0.0, "accepted": 0.0}
        found = _SPECULATED.findall(reply.body.decode(errors="replace"))
        for name, value in found:
            counted[name] += float(value)
        if not found:
            return None
        return Drafting(
            drafted_tokens=int(counted["draft"]), accepted_tokens=int(counted["accepted"])
        )

    def _choice(self, asked: Mapping[str, object]) -> dict[str, Any]:
        reply = self.line.post(COMPLETIONS, {**self._common, **asked})
        choices = reply.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise rubbish(f"answered choices = {choices!r:.200}")
        return choices[0]


def rubbish(what: str) -> JobError:
    """Return the error for an answer that cannot be used."""
    return JobError(f"the server {what}", code="engine_rubbish")


def _ranked(target: int, place: object) -> Ranked:
    """Rank a token among those listed beside it; greedy decoding takes the likeliest of them."""
    if not isinstance(place, dict) or str(target) not in place:
        raise rubbish(f"gave no probability for token {target}: {place!r:.200}")
    logprob = _logprob(place[str(target)], target)
    return Ranked(logprob, max(_logprob(said, target) for said in place.values()))


def _logprob(said: object, token: int) -> float:
    value = said.get("logprob") if isinstance(said, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise rubbish(f"gave no probability for token {token}: {said!r:.200}")
    return -math.inf if value <= _LEAST else float(value)


def _token_logprobs(choice: Mapping[str, Any], count: int) -> tuple[float, ...]:
    """Return ln p of each emitted token as it says; NaN where it says nothing."""
    listed = choice.get("logprobs")
    said = listed.get("token_logprobs") if isinstance(listed, dict) else None
    if not isinstance(said, list) or len(said) != count:
        return (math.nan,) * count
    return tuple(
        float(one) if isinstance(one, int | float) and not isinstance(one, bool) else math.nan
        for one in said
    )
