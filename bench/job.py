"""What a job is asked to measure: pure data, shared by all who measure."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bench.config import AnyConfig
from bench.engine_places import EnginePlaces
from bench.engine_sources import EngineName
from bench.frozen import Frozen
from bench.measurement import Side

Tell = Callable[[str], None]
"""Takes a line of progress, for people."""


class JobRequest(Frozen):
    """What a job is asked to measure; the content of `request.json`."""

    challenge: str
    """Name, file or folder."""
    config: AnyConfig
    """The candidate; the baseline itself is legal (an A/A launch)."""
    stage: Literal["screen", "full", "fresh"] = "screen"
    incumbent: AnyConfig | None = None
    """fresh: the config that holds the record; None = the baseline does."""
    submission: Path | None = None
    """Folder of the candidate's own code; None = our server serves it."""
    incumbent_submission: Path | None = None
    """fresh: the same of the incumbent."""
    seed: int = 0
    cache_folder: Path
    """Shared by all sessions: weight files, reference log-probabilities."""
    places: EnginePlaces | None = None
    """Where the engines are that run in a Python of their own, or elsewhere."""
    engine: EngineName | None = None
    """Instead of the challenge's; `simulated` is labelled so in the measurement."""
    incumbent_first: bool | None = None
    """fresh, alone: the incumbent is timed before the contender, so that over the launches of a
    promotion neither always gets the device first."""

    def submitted(self) -> dict[Side, Path]:
        """Return whose own code lies where."""
        sides: dict[Side, Path | None] = {
            "candidate": self.submission,
            "incumbent": self.incumbent_submission,
        }
        return {side: folder for side, folder in sides.items() if folder is not None}
