"""Writes the private texts: sampled from the reference, on this machine, from a secret seed.

    python -m bench.verify.write_pool --request FILE

Nobody has seen them, the author of this program included. Over text drawn from the reference R the
mean of ln p_R - ln p_S estimates how far a served model S is from it (the Kullback-Leibler
divergence). Knows the reference and a seed; knows no candidate and no session. The same seed writes
the same texts on the same machine.
"""

import argparse
import hashlib
import random
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from pydantic import Field

from bench.challenge_files import Text, load_challenge
from bench.configs.llamacpp import as_llamacpp
from bench.engine_sources import LlamaCppSource
from bench.engines.llamacpp import LlamaCppEngine
from bench.frozen import Frozen, parse
from bench.placement import available_cores
from bench.request_file import read_json, write_atomically
from bench.verify.draw import SHORTEST_SHARE
from bench.verify.likelihood import repeated_share
from bench.verify.openings import OPENINGS
from sandbox.errors import JobError, PacelineError

GRAMMAR = r"""root ::= [A-Za-z0-9 ,.;:'"?!()-]+"""
"""Plain prose: a keep-set is judged on the kind of text that the challenge is about."""
MOST_ENGINES = 4
"""One thread each: two of them write 1.3 times what one with two threads does."""
MOST_TRIES = 12
LOOP_SHARE = 0.15
"""More repeated runs of four words than this is a loop, not a text."""
ALIKE_WORDS = 6
"""Two texts that share so many words in a row are one text."""

Tell = Callable[[str], None]


class PoolRequest(Frozen):
    """The content of the request file."""

    challenge: str
    texts: int = Field(ge=1, le=999)
    tokens: int = Field(ge=16)
    seed_hex: str = Field(pattern=r"^[0-9a-f]{16,}$")
    """Secret: whoever knows it can write the same texts."""
    cache_folder: Path
    out: Path


def write_pool(request: PoolRequest, *, tell: Tell) -> tuple[Text, ...]:
    """Return the texts.

    Raises:
        ConfigError: the challenge or its model cannot be used.
        JobError: an engine failed, or the reference writes no usable text.
    """
    loaded = load_challenge(request.challenge)
    with ExitStack() as stack:
        source = LlamaCppSource(loaded.challenge, request.cache_folder)
        stack.callback(source.close)
        baseline = as_llamacpp(loaded.challenge.baseline)
        config = baseline.model_copy(update={"threads": 1})
        artefact = source.artefact(config, public_ids=())
        engines = []
        for core in available_cores()[:MOST_ENGINES]:
            engines.append(LlamaCppEngine(config, artefact, cores=(core,)))
            stack.callback(engines[-1].close)
        written = _Writer(engines, request, tell).write()
    source_line = f"written by {loaded.challenge.model.title} at temperature 1, from a secret seed"
    return tuple(
        Text(id=f"t{number:03}", text=text, source=source_line)
        for number, text in enumerate(written, start=1)
    )


class _Writer:
    """Tries seed after seed until every place has a text that will do."""

    def __init__(self, engines: Sequence[LlamaCppEngine], request: PoolRequest, tell: Tell) -> None:
        self._request, self._tell, self._tokenize = request, tell, engines[0].tokenize
        self._idle: SimpleQueue[LlamaCppEngine] = SimpleQueue()
        for engine in engines:
            self._idle.put(engine)
        self._workers = len(engines)
        order = list(OPENINGS)
        random.Random(f"openings {request.seed_hex}").shuffle(order)
        self._openings = order

    def write(self) -> list[str]:
        found: dict[int, str] = {}
        grams: set[tuple[str, ...]] = set()
        for attempt in range(MOST_TRIES):
            places = [place for place in range(self._request.texts) if place not in found]
            for place, text in zip(places, self._sampled(places, attempt), strict=True):
                own = _runs(text)
                if self._will_do(text) and not own & grams:
                    found[place], grams = text, grams | own
            self._tell(f"{len(found)} of {self._request.texts} texts")
            if len(found) == self._request.texts:
                return [text for _, text in sorted(found.items())]
        raise JobError(
            f"the reference wrote {len(found)} of {self._request.texts} usable texts in"
            f" {MOST_TRIES} tries each",
            code="pool_unwritten",
            hint="Lower `verification.pool_texts`, or give texts of your own: pool = 'path:FILE'",
        )

    def _sampled(self, places: Sequence[int], attempt: int) -> list[str]:
        def one(place: int) -> str:
            engine = self._idle.get()
            try:
                return self._sample(engine, place, attempt)
            finally:
                self._idle.put(engine)

        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(one, places))

    def _sample(self, engine: LlamaCppEngine, place: int, attempt: int) -> str:
        number = place + attempt * self._request.texts
        opening = self._openings[number % len(self._openings)]
        digest = hashlib.sha256(f"{self._request.seed_hex}/{number}".encode()).digest()
        content = engine.sample(
            opening,
            max_tokens=self._request.tokens,
            seed=int.from_bytes(digest[:4]) >> 1,
            grammar=GRAMMAR,
        )
        return whole_words(content)

    def _will_do(self, text: str) -> bool:
        is_long = len(self._tokenize(text)) >= SHORTEST_SHARE * self._request.tokens
        return is_long and repeated_share([text.lower().split()]) <= LOOP_SHARE


def whole_words(content: str) -> str:
    """Return what follows an opening, from the first word that is its own to the last whole one."""
    _, _, rest = content.partition(" ")
    body, _, _ = rest.rpartition(" ")
    return re.sub(r"\s+", " ", body).strip()


def main(argv: list[str] | None = None) -> int:
    """Write one pool; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify.write_pool")
    parser.add_argument("--request", type=Path, required=True, help="JSON file of a PoolRequest")
    file: Path = parser.parse_args(argv).request
    try:
        request = parse(PoolRequest, read_json(file), what=f"request {str(file)!r}")
        texts = write_pool(request, tell=_tell)
    except PacelineError as error:
        sys.stderr.write(f"error: {error} [{error.code}]\n")
        return error.exit_code
    write_atomically(request.out, "".join(f"{text.model_dump_json()}\n" for text in texts))
    return 0


def _runs(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(*(words[start:] for start in range(ALIKE_WORDS)), strict=False))


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
