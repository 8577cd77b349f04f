"""The `openai` engine: an endpoint that somebody else runs, spoken to as vLLM's own server is.

Knows an address and a name; knows no process, no weights and no memory. An endpoint that does not
return token ids, or does not score prompts, is refused when it is asked.
"""

import hashlib
from pathlib import Path

from bench.configs.openai_endpoint import OpenAiConfig
from bench.engines.completions_engine import CompletionsEngine
from bench.engines.http_line import HttpLine, Lost
from bench.engines.openai_client import OpenAiClient
from sandbox.errors import ConfigError, JobError


class OpenAiEngine(CompletionsEngine):
    """One endpoint, one connection, one request at a time."""

    name = "openai"
    version = "unknown"
    artefact_bytes = 0
    """Unknown."""

    def __init__(
        self,
        config: OpenAiConfig,
        *,
        key_file: Path | None = None,
        request_seconds: float = 300,
        is_counted: bool = True,
    ) -> None:
        """Find the endpoint and the model.

        Args:
            config: address and name.
            key_file: file of the key that is sent as bearer.
            request_seconds: limit for one request.
            is_counted: see `CompletionsEngine`.

        Raises:
            ConfigError: `no_key`, `model_unnamed`: several models, and none named.
            JobError: `engine_died`, nobody serves there.
        """
        self.config, self.start_seconds = config, {}
        key = None if key_file is None else _key(key_file)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        address = config.base_url.rstrip("/").removesuffix("/v1")
        self._line = HttpLine(address, request_seconds=request_seconds, headers=headers)
        client = OpenAiClient(self._line, config.model)
        super().__init__(client, context_tokens=config.max_model_len, is_counted=is_counted)
        client.model = config.model or self._only(self._asked(client.models))
        named = hashlib.sha256(f"{address} {client.model}".encode())
        self.artefact = named.hexdigest()[:16]

    def cpu_seconds(self) -> float | None:
        """Return None: its processes are elsewhere."""
        return None

    def peak_memory_bytes(self) -> int | None:
        """Return None: its memory is elsewhere."""
        return None

    def lost(self, error: Lost) -> JobError:
        """Return the error for an endpoint that is not there."""
        return JobError(
            f"nobody serves at {self.config.base_url!r}: {error}",
            code="engine_died",
            hint="Start it, or correct base_url",
        )

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        self._line.close()

    def _only(self, names: tuple[str, ...]) -> str:
        if len(names) != 1:
            raise ConfigError(
                f"{self.config.base_url!r} serves {', '.join(names) or 'nothing'}",
                code="model_unnamed",
                hint="Name one of them as `model`",
            )
        return names[0]


def _key(file: Path) -> str:
    try:
        key = file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"cannot read the key in {str(file)!r}: {error}", code="no_key") from None
    if not key.isprintable() or not key or " " in key:
        raise ConfigError(f"{str(file)!r} holds no key", code="no_key")
    return key
