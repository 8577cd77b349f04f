"""What the machine and its user decide, read from the environment once. Nothing else reads it.

`PACELINE_<NAME>` sets a field; what belongs to one session is in its `session.toml`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sandbox.errors import ConfigError


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
    debug: bool = False
    """Show tracebacks."""


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
