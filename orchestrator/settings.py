"""What the machine and its user decide, read from the environment once. Nothing else reads it.

`PACELINE_<NAME>` sets a field; what belongs to one session is in its `session.toml`.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sandbox.errors import ConfigError

CREDENTIAL = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""In the name of a variable: what it holds may appear nowhere."""
_ORDINARY = re.compile(r"[a-z_-]{1,20}|[0-9.]+")
"""Values that would black out words and figures of ours: `TOKENIZERS_MODE=measured`."""


class _Folders(BaseSettings):
    """The variables of other people's conventions."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    xdg_cache_home: str = ""
    xdg_data_home: str = ""


def _cache() -> Path:
    return _ours(_Folders().xdg_cache_home, "~/.cache")


def _private() -> Path:
    return _ours(_Folders().xdg_data_home, "~/.local/share")


def _ours(home: str, default: str) -> Path:
    # the XDG standard: a relative path is to be ignored
    base = Path(home) if home.startswith("/") else Path(default).expanduser()
    return base / "paceline"


class Settings(BaseSettings):
    """Settings of this machine; frozen."""

    model_config = SettingsConfigDict(env_prefix="PACELINE_", frozen=True, extra="ignore")

    sessions_folder: Path = Path("sessions")
    """Folder of the sessions; relative to where the command is typed."""
    cache_folder: Annotated[Path, Field(default_factory=_cache)]
    """Folder of the artefacts (weight files), shared by all sessions."""
    private_folder: Annotated[Path, Field(default_factory=_private)]
    """Folder of the organiser alone, mode 0700: private texts, what was drawn from them, and the
    key that signs receipts. Never within the sessions, the cache or the checkout."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Of the log on standard error; the session's own log holds everything from info on."""
    finish_seconds: float = Field(default=15.0, ge=0)
    """A running job gets this long when a session stops."""
    turns_at_once: int = Field(default=64, ge=1)
    """Agents that may ask their model at the same time."""
    tracing: Literal["off", "console", "otlp"] = "off"
    """Where OpenTelemetry spans of a ride go: nowhere, standard error, or a collector, whose place
    the usual `OTEL_EXPORTER_OTLP_ENDPOINT` says."""
    tracing_tier: Literal["stats", "full"] = "stats"
    """Whether the texts of replies and calls go with the spans, without secrets."""
    debug: bool = False
    """Show tracebacks."""
    engine_places: Path | None = None
    """TOML file that says where engines are that are not ours; see docs/engines.md."""
    hub_namespace: str = ""
    """User or organisation that owns and pays what `--target hf-jobs` rents."""
    hub_bucket: str = ""
    """NAMESPACE/NAME that jobs send and leave their files in; empty = `paceline-jobs` there."""
    hub_image: str = ""
    """Image of rented jobs, pinned: NAME@sha256:DIGEST."""
    hub_prepare: str = ""
    """A shell command that a rented machine runs first, such as one that installs what the harness
    needs and the image lacks; its time is paid."""
    hub_flavor: str = "a10g-small"
    """Kind of machine; its price is read when a session opens."""
    hub_python: str = "/usr/bin/python3"
    """Interpreter in that image, for our harness and for the engine."""
    hub_poll_seconds: float = Field(default=5.0, gt=0)
    """Between two looks at a rented job; a free account has 1,000 calls in 5 minutes."""
    hub_scheduling_seconds: float = Field(default=1800.0, gt=0)
    """How long a rented job may wait for its machine; waiting costs nothing."""


def environment_secrets() -> tuple[str, ...]:
    """Return the values of all variables that are named like credentials.

    Plain lower-case words of up to 20 letters, numbers and names of existing files are no secrets.
    """
    values = (value for name, value in os.environ.items() if CREDENTIAL.search(name))
    return tuple(one for one in values if not _ORDINARY.fullmatch(one) and not _is_file(one))


def _is_file(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: a variable that cannot be used; whoever set it sees it.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = f"PACELINE_{str(problem['loc'][0]).upper()}"
        raise ConfigError(
            f"environment variable {name} = {problem['input']!r}: {problem['msg']}",
            code="bad_environment",
        ) from None


class _HubSettings(BaseSettings):
    """The variables of the Hub's own tools."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    hf_token: str = Field(default="", repr=False)
    hf_token_path: str = ""
    hf_home: str = "~/.cache/huggingface"
    hf_endpoint: str = ""


def hub_token() -> str | None:
    """Return the token of the Hub: HF_TOKEN, else the one `hf auth login` left; None = neither."""
    found = _HubSettings()
    if found.hf_token:
        return found.hf_token.strip()
    file = Path(found.hf_token_path or f"{found.hf_home}/token").expanduser()
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def hub_endpoint() -> str | None:
    """Return the address of the Hub, where HF_ENDPOINT names one; None = the usual one."""
    return _HubSettings().hf_endpoint.rstrip("/") or None


def handed_over(names: Iterable[str]) -> dict[str, str]:
    """Return PATH and the variables `names` of our environment, as far as they are set."""
    return {name: os.environ[name] for name in ("PATH", *names) if name in os.environ}


def prepare_fake_hub(folder: Path) -> None:
    """Tell the Hub's client, before its import, to keep what it remembers of a fake in `folder`."""
    os.environ["HF_XET_CACHE"] = str(folder / "xet")


def prepare_litellm() -> None:
    """Tell LiteLLM, before its import, to fetch no price list and to read no `.env` file."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
