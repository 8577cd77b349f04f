"""Which version of an engine a session's jobs run with: a part of every fingerprint.

Knows installed packages and what a challenge states; loads no engine but the simulated ones.
"""

import importlib.metadata

from bench.challenge import Challenge
from sandbox.errors import ConfigError

PACKAGES = {"llamacpp": "xllamacpp", "vllm": "vllm", "transformers": "transformers"}
"""Which distribution an engine is."""
ELSEWHERE = ("openai", "reported")
"""Engines that somebody else runs: their version is not known here."""


def engine_version(challenge: Challenge) -> str:
    """Return the version that is part of every fingerprint.

    Of the package that is installed, else what the challenge states of the place its jobs run in.

    Raises:
        ConfigError: `engine_missing`: neither is known; whoever opens the session sees it.
    """
    engine = challenge.engine
    if engine == "simulated":
        from bench.engines.simulated import VERSION  # noqa: PLC0415 - only where it is raced

        return VERSION
    if engine in ELSEWHERE:
        return challenge.engine_version or engine
    try:
        version = importlib.metadata.version(PACKAGES[engine])
    except importlib.metadata.PackageNotFoundError:
        if challenge.engine_version is None:
            raise ConfigError(
                f"engine {engine!r} is not installed",
                code="engine_missing",
                hint=f"Install {PACKAGES[engine]}, or take --engine simulated",
            ) from None
        version = challenge.engine_version
    return version if engine == "llamacpp" else f"{engine}-{version}"
