"""The engines of one verification: the candidate as submitted, and three that the judge trusts.

    reference  the challenge's baseline on cores of its own; only scores and tokenizes
    baseline   the same, where the candidate runs too; only timed, then ended
    twin       the candidate's own weights and settings, speculation off, on our own server: what
               the candidate ought to be

At most three are loaded at once. Knows how they start and whom to blame; knows no test.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TypeVar

from bench.challenge import VerificationRule
from bench.challenge_files import LoadedChallenge, Text
from bench.config import EngineConfig, Speculation
from bench.engine_sources import LlamaCppSource
from bench.engines.engine import Engine
from bench.failures import Blamed, Deadline
from bench.measurement import Side
from bench.pairs import Prompt
from bench.placement import available_cores, engine_cores
from bench.stamp import cpu_model
from bench.verify.canaries import Declared, declared_ids
from bench.verify.memory import ReferenceMemory
from bench.verify.request import VerifyRequest
from bench.verify.watched import Watched

T = TypeVar("T")

OWN_SHARE = 0.9
"""Of the limit, after which it ends itself; the sandbox comes later and cannot say why."""


class Launch:
    """The engines, each started when it is first needed."""

    def __init__(
        self,
        request: VerifyRequest,
        loaded: LoadedChallenge,
        rule: VerificationRule,
        *,
        source: LlamaCppSource,
        stack: ExitStack,
        blame: Blamed,
    ) -> None:
        """Build and start reference and candidate.

        Raises:
            ConfigError: the model or the config cannot be used.
            JobError: an engine did not start.
        """
        self.request, self.loaded, self.rule = request, loaded, rule
        self.blame, self._source, self._stack = blame, source, stack
        self._engines: list[Engine] = []
        self._deadline = Deadline()
        self._ids: dict[str, tuple[int, ...]] = {}
        stack.callback(self._deadline.clear)
        self.limit(loaded.challenge.quotas.build_seconds)
        self.reference = self._start(self._plain, "baseline", cores=self._cores_aside())
        self._public_ids = self._tokens_of_public_texts()
        with blame("candidate"):
            artefact = source.artefact(request.config, public_ids=self._public_ids)
            self.declared: Declared = declared_ids(artefact)
        candidate = self._start(request.config, "candidate")
        self.candidate = Watched(candidate, vocabulary=self.declared.every)
        self.memory = ReferenceMemory(self.reference, request.reference_file, key=self._key())
        stack.callback(self.memory.save)
        self._clerk = stack.enter_context(ThreadPoolExecutor(1))

    @property
    def is_late(self) -> bool:
        """Whether the time was up before it was done."""
        return self._deadline.is_over

    @property
    def model_sha256(self) -> str:
        """Of the published weights."""
        return self._source.model_sha256

    @cached_property
    def twin(self) -> Engine:
        """The candidate's weights and settings, speculation off, on our server."""
        plain = self.request.config.model_copy(update={"speculation": Speculation()})
        return self._start(plain, "baseline")

    @contextmanager
    def baseline(self) -> Iterator[Watched]:
        """The baseline beside the candidate, as long as both are timed."""
        engine = self._start(self._plain, "baseline")
        try:
            yield Watched(engine, vocabulary=None)
        finally:
            engine.close()

    def beside(self, work: Callable[[], T]) -> Future[T]:
        """Let the reference do `work` while the other engines do something else.

        Where it has no core of its own it is done first. Meanwhile nobody else may ask the
        reference.
        """
        future = self._clerk.submit(work)
        if self._cores_aside() is None:
            with self.blame("baseline"):
                future.result()
        return future

    def limit(self, seconds: float) -> None:
        """End the engines in so many seconds, counted anew, so that nothing waits for ever."""

        def end_engines() -> None:
            for engine in list(self._engines):
                engine.close()

        self._deadline.set(OWN_SHARE * seconds, end_engines)

    def ids(self, text: Text) -> tuple[int, ...]:
        """Return the text in the full vocabulary's ids; asks the reference the first time."""
        if text.text not in self._ids:
            self._ids[text.text] = self.reference.tokenize(text.text)
        return self._ids[text.text]

    def prompts(self, texts: Sequence[Text]) -> list[Prompt]:
        """Return the texts cut to the protocol's prompt length."""
        length = self.loaded.challenge.protocol.prompt_tokens
        return [Prompt(text.id, self.ids(text)[:length]) for text in texts]

    @property
    def _plain(self) -> EngineConfig:
        return self.loaded.challenge.baseline

    def _cores_aside(self) -> tuple[int, ...] | None:
        """Return cores for the reference that the candidate leaves free; None: there are none."""
        busy = engine_cores(self.request.config.threads)
        free = tuple(core for core in available_cores() if core not in busy)
        return free[: self._plain.threads] if len(free) >= self._plain.threads else None

    def _start(
        self, config: EngineConfig, side: Side, *, cores: Sequence[int] | None = None
    ) -> Engine:
        ids = self._public_ids if config.weights.vocabulary is not None else ()
        with self.blame(side):
            engine = self._source.prepare(config, side, public_ids=ids, cores=cores)()
        self._stack.callback(engine.close)
        self._engines.append(engine)
        return engine

    def _tokens_of_public_texts(self) -> list[int]:
        """In the harness's order, so that a keep-set fitted to them is the one measured there."""
        whole = [self.ids(text) for text in self.loaded.passages]
        cut = [prompt.token_ids for prompt in self.prompts(self.loaded.prompts)]
        return [token for ids in (*whole, *cut) for token in ids]

    def _key(self) -> tuple[str, ...]:
        engine = self.reference
        fingerprint = engine.config.fingerprint(
            engine_version=engine.version, model_sha256=self.model_sha256
        )
        return fingerprint, engine.artefact, engine.version, cpu_model()
