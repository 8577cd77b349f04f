"""One verification under way: its engines, its texts, and the evidence so far."""

from typing import NamedTuple

from bench.measurement import KeptCheck, Sample
from bench.pairs import Prompt
from bench.perplexity import LogProbs
from bench.verification import PrivatePerplexity, PrivateSpeed, Regret, TestName
from bench.verify.draw import Parts
from bench.verify.evidence import Part
from bench.verify.launch import Launch

ORDER: tuple[TestName, ...] = (
    "missing_targets",
    "private_perplexity",
    "completeness",
    "private_speed",
    "public_drop",
    "roofline",
    "timing_shape",
    "idle_work",
    "cache",
    "repetition",
    "served_likelihood",
    "regret",
    "self_consistency",
    "strict",
    "score_path",
    "shape_probe",
    "canaries",
)
"""In the order they run: cheapest and most telling first."""
HARD: frozenset[TestName] = frozenset({"missing_targets", "private_perplexity", "completeness"})
"""When one of these fails, the rest would only cost time."""


class Answer(NamedTuple):
    """A prompt and the tokens that the candidate served after it."""

    prompt: Prompt
    token_ids: tuple[int, ...]


class Hearing:
    """What the phases read and write."""

    def __init__(self, launch: Launch, texts: Parts) -> None:
        self.launch, self.texts = launch, texts
        self.parts: list[Part] = []
        for text in (*texts.scored, *texts.timed, *texts.served, *texts.repeated, *texts.warmup):
            launch.ids(text)  # now, for later the reference is busy
        self.scored: LogProbs = ()
        """What the candidate said of the private targets."""
        self.kept: KeptCheck | None = None
        """Of all drawn texts, where its vocabulary is a reduced one."""
        self.samples: tuple[Sample, ...] = ()
        self.served: list[Answer] = []
        """To the long private prompts."""
        self.timed: list[Answer] = []
        """To some of the timed ones."""
        self.speed: PrivateSpeed | None = None
        self.perplexity: PrivatePerplexity | None = None
        self.regret: Regret | None = None
        self.self_regret: Regret | None = None
        self.identical_share: float | None = None
        """Of the prompts that the twin continues with the same tokens."""

    def add(self, *parts: Part) -> None:
        """Note what was found."""
        self.parts.extend(parts)
