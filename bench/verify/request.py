"""What a verification is asked to judge; pure data.

Whoever writes it has drawn the texts after the config was submitted. It holds private texts: it
belongs in the organiser's folder and nowhere else.
"""

from pathlib import Path

from pydantic import Field

from bench.challenge_files import Text
from bench.config import AnyConfig
from bench.engine_places import EnginePlaces
from bench.engines.llamacpp import OWN_SERVER
from bench.frozen import Frozen


class Claim(Frozen):
    """What the record says of the attempt: speed-up over the baseline, with its interval."""

    speedup: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)


class VerifyRequest(Frozen):
    """The content of `request.json`."""

    challenge: str
    """Name, file or folder; it must have a `[verification]` section."""
    config: AnyConfig
    claim: Claim | None
    """None: nothing was claimed, the private speed is only reported."""
    texts: tuple[Text, ...]
    """Private texts in the order drawn, `bench.verify.draw.texts_needed` of them."""
    seed: int
    cache_folder: Path
    """Shared by all sessions: weight files."""
    reference_file: Path
    """What the reference said about private texts, kept between verifications; private itself."""
    places: EnginePlaces | None = None
    """Where the engines are that run in a Python of their own, or elsewhere."""
    submission: Path | None = None
    """Folder of the attempt's own code, which serves the candidate instead of `server`."""
    server: str = OWN_SERVER
    """Module that serves the candidate."""
    server_folder: Path | None = None
    """Folder the module is imported from, where it lies outside the project."""
