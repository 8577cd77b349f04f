"""The challenge an imported collaboration rode for, by name, as a session of reported results.

Knows the challenge's rules and its known noise; nothing in it can be run here.
"""

from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from bench.configs.reported import ReportedConfig

NAME = "gemma-4-e4b-a10g"


def reported_challenge(name: str = NAME) -> Challenge:
    """Return the challenge, with results that were reported and a baseline of that kind.

    Raises:
        ConfigError: there is no such challenge; whoever named it sees the nearest.
    """
    challenge = load_challenge(name).challenge
    baseline = ReportedConfig(method=f"baseline of {challenge.name}")
    changed = {"engine": "reported", "baseline": baseline, "verification": None}
    return challenge.model_copy(update=changed)
