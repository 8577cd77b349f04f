"""The engines of one verification: the candidate as submitted, and three that the judge trusts.

    reference  the challenge's baseline on cores of its own; only scores and tokenizes
    baseline   the same, where the candidate runs too; only timed, then ended
    twin       the candidate's own weights and settings, speculation off, on our own server: what
               the candidate ought to be

At most three are loaded at once; where the device holds one engine, asking for the next ends the
one before. Knows how they start and whom to blame; knows no test.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Literal, TypeVar

from bench.challenge import VerificationRule
from bench.challenge_files import Ids, LoadedChallenge, Text
from bench.configs.engine_config import EngineConfig
from bench.engine_sources import EngineSource, LlamaCppSource
from bench.engines.engine import Engine
from bench.failures import Blamed, Deadline
from bench.measurement import Side
from bench.pairs import Prompt
from bench.perplexity import Passage, passage_of
from bench.placement import available_cores, engine_cores
from bench.stamp import cpu_model
from bench.verify.canaries import Declared, declared_ids
from bench.verify.memory import ReferenceMemory
from bench.verify.request import VerifyRequest
from bench.verify.watched import Watched

T = TypeVar("T")
Role = Literal["reference", "candidate", "twin"]

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
        source: EngineSource,
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
        self.is_alone = bool(loaded.challenge.protocol.alone)
        self._engines: list[Engine] = []
        self._running: dict[Role, Engine] = {}
        self._deadline = Deadline()
        self._ids: dict[bytes, Ids] = {}
        stack.callback(self._deadline.clear)
        self.limit(loaded.challenge.quotas.build_seconds)
        if not self.is_alone:
            self._engine("reference")
        self._public_ids = self._tokens_of_public_texts()
        for text in request.texts:
            self.ids(text)  # now, for later the reference is busy, or gone
        with blame("candidate"):
            self.declared = self._declared()
        every = self.declared.every
        self.candidate = Watched(self._engine("candidate"), vocabulary=every)
        self._clerk = stack.enter_context(ThreadPoolExecutor(1))

    @property
    def is_late(self) -> bool:
        """Whether the time was up before it was done."""
        return self._deadline.is_over

    @property
    def model_sha256(self) -> str:
        """Of the published weights."""
        return self._source.model_sha256

    @property
    def reference(self) -> Engine:
        """The challenge's baseline."""
        return self._engine("reference")

    @property
    def twin(self) -> Engine:
        """The candidate's weights and settings, speculation off, on our server."""
        return self._engine("twin")

    @cached_property
    def memory(self) -> ReferenceMemory:
        """What the reference has said, on this machine, ever."""
        memory = ReferenceMemory(self.reference, self.request.reference_file, key=self._key())
        self._stack.callback(memory.save)
        return memory

    @contextmanager
    def baseline(self) -> Iterator[Watched]:
        """The baseline beside the candidate, as long as both are timed.

        Where nothing depends on cores, the reference is as good, and one start less.
        """
        if not self._plain.cpu_threads:
            yield Watched(self.reference, vocabulary=None)
            return
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

    def ids(self, text: Text) -> Ids:
        """Return the text in the full vocabulary's ids; asks the reference the first time."""
        given = text.ids
        if given is not None:
            return given
        if text.content not in self._ids:
            assert text.text is not None
            self._ids[text.content] = self.reference.tokenize(text.text)
        return self._ids[text.content]

    def passage(self, text: Text) -> Passage:
        """Return what of a text is given and what is scored."""
        return passage_of(text, self.ids(text))

    def prompts(self, texts: Sequence[Text]) -> list[Prompt]:
        """Return the texts cut to the protocol's prompt length."""
        length = self.loaded.challenge.protocol.prompt_tokens
        return [Prompt(text.id, self.ids(text)[:length]) for text in texts]

    @property
    def _plain(self) -> EngineConfig:
        return self.loaded.challenge.baseline

    def _cores_aside(self) -> tuple[int, ...] | None:
        """Return cores for the reference that the candidate leaves free; None: there are none."""
        wanted = self._plain.cpu_threads
        if self.is_alone or not wanted or not self.request.config.cpu_threads:
            return None  # they share a device
        busy = engine_cores(self.request.config.cpu_threads)
        free = tuple(core for core in available_cores() if core not in busy)
        return free[:wanted] if len(free) >= wanted else None

    def _engine(self, role: Role) -> Engine:
        """Return the engine in a role, started now if it does not run."""
        if role in self._running:
            return self._running[role]
        if self.is_alone:
            self._end_all()
        if role == "reference":
            engine = self._start(self._plain, "baseline", cores=self._cores_aside())
        elif role == "candidate":
            engine = self._start(self.request.config, "candidate")
        else:
            engine = self._start(self.request.config.without_speculation(), "baseline")
        self._running[role] = engine
        return engine

    def _end_all(self) -> None:
        for engine in self._running.values():
            engine.close()
        self._running.clear()

    def _start(
        self, config: EngineConfig, side: Side, *, cores: Sequence[int] | None = None
    ) -> Engine:
        ids = self._public_ids if config.has_reduced_vocabulary else ()
        with self.blame(side):
            if isinstance(self._source, LlamaCppSource):
                start = self._source.prepare(config, side, public_ids=ids, cores=cores)
            else:
                start = self._source.prepare(config, side, public_ids=ids)
            engine = start()
        self._stack.callback(engine.close)
        self._engines.append(engine)
        return engine

    def _declared(self) -> Declared:
        """Return what the config says it can emit; of engines without a list, all tokens.

        Canaries are then drawn from the tokens of all texts at hand, private ones among them.
        """
        if isinstance(self._source, LlamaCppSource):
            return declared_ids(
                self._source.artefact(self.request.config, public_ids=self._public_ids)
            )
        private = (token for text in self.request.texts for token in self.ids(text)[1:])
        firsts: Collection[int] = {self.ids(text)[0] for text in self.request.texts}
        return Declared(None, sorted({*self._public_ids, *private} - set(firsts)))

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
