"""Where the corpus is judged: private texts, a challenge, and the verifier as the organiser has it.

A case is condemned when two independent runs fail, on other texts and a fresh launch: the
protocol's own rule. The short form takes a cheat as caught after one, to save half of its time, and
gives itself a second run where a busy machine hid one that only its times betray.
"""

import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.challenge import VerificationRule
from bench.challenge_files import LoadedChallenge, Text, load_challenge
from bench.config import apply_changes
from bench.engines.llamacpp import OWN_SERVER
from bench.measurement import JobOutcome
from bench.verify.draw import draw, texts_needed
from bench.verify.request import VerifyRequest
from bench.verify.verifier import verify
from bench.verify.write_pool import PoolRequest, write_pool
from tests.cheats.corpus import Case, Form, Numbers
from tests.cheats.trial import TWICE, Trial, run_of
from tests.cheats.workshop import Workshop

SEED_HEX = "5e" * 32
"""Of the private texts: fixed, so that a failure can be looked at again."""
TRIES = 3
"""Of one run, as long as what failed is the machine and not the candidate."""


class Setting(NamedTuple):
    """What a form is judged on."""

    challenge: str
    layers: int
    numbers: Numbers
    """In place of the challenge's own; with none, the shipped challenge itself."""
    public_prompts: int


SETTINGS: Mapping[Form, Setting] = {
    "short": Setting(
        "smollm2-135m-cpu",
        layers=30,
        numbers={
            "prompt_tokens": 8,
            "output_tokens": 12,
            "min_cpu_share": 0.5,
            "pool_texts": 24,
            "pool_tokens": 32,
            "speed_rounds": 3,
            "public_rounds": 2,
            "perplexity_tokens": 32,
            "served_prompts": 2,
            "served_tokens": 24,
            "repeated_prompts": 2,
            "canaries": 4,
        },
        public_prompts=16,
    ),
    "long": Setting("gemma-270m-cpu", layers=18, numbers={}, public_prompts=44),
}


class Stand:
    """One form of the corpus, with texts for a first and a second run."""

    def __init__(self, form: Form, folder: Path, cache_folder: Path, stack: ExitStack) -> None:
        """Write the private texts; seconds in the short form, a minute in the long one."""
        self._form, self._folder, self._cache_folder = form, folder, cache_folder
        self._setting = SETTINGS[form]
        self._workshop = Workshop(self._setting.layers, cache_folder, stack)
        self._draws = self._draw_twice(self._challenge({}))

    def judge(self, case: Case) -> Trial:
        """Verify `case`, and a second time while that may change what is said of it."""
        needed = 1 if case.is_cheat and self._form == "short" else TWICE
        request = self.request(case)
        trial = Trial(case, (run_of(_verified(request)),), needed)
        if trial.is_condemned or (needed == TWICE and not trial.runs[0].failed):
            return trial
        again = request.model_copy(update={"texts": self._draws[1], "seed": 1})
        return trial._replace(runs=(*trial.runs, run_of(_verified(again))))

    def request(self, case: Case) -> VerifyRequest:
        """Return what the organiser would ask about `case`, with its submission made ready."""
        loaded = self._challenge(case.numbers)
        server_folder = None
        if case.server is not None:
            folder = self._folder / "submissions" / case.name
            server_folder = self._workshop.submission(case, loaded, folder)
        return VerifyRequest(
            challenge=str(loaded.folder),
            config=apply_changes(loaded.challenge.baseline, case.changes),
            claim=case.claim,
            texts=self._draws[0],
            seed=0,
            cache_folder=self._cache_folder,
            reference_file=self._folder / "private" / "reference.json",
            server=case.server or OWN_SERVER,
            server_folder=server_folder,
        )

    def _challenge(self, numbers: Numbers) -> LoadedChallenge:
        """Return the shipped challenge, or a copy of it with the form's and the case's numbers."""
        wanted = {**self._setting.numbers, **(numbers if self._form == "short" else {})}
        if not wanted:
            return load_challenge(self._setting.challenge)
        name = "-".join(f"{field}-{number}" for field, number in numbers.items()) or "usual"
        folder = self._folder / "challenges" / name
        if not folder.exists():
            _copy_changed(load_challenge(self._setting.challenge), folder, self._setting, wanted)
        return load_challenge(folder)

    def _draw_twice(self, loaded: LoadedChallenge) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
        rule = _rule(loaded)
        request = PoolRequest(
            challenge=str(loaded.folder),
            texts=rule.pool_texts,
            tokens=rule.pool_tokens,
            seed_hex=SEED_HEX,
            cache_folder=self._cache_folder,
            out=self._folder / "pool.jsonl",
        )
        pool, count = write_pool(request, tell=lambda _line: None), rule.pool_texts // 2
        assert count >= texts_needed(rule)
        first = draw(pool, count=count, seed="first", exclude=())
        return first, draw(pool, count=count, seed="second", exclude={one.id for one in first})


def _verified(request: VerifyRequest) -> JobOutcome:
    """Verify, again where it was the machine that failed: the organiser would."""
    for _ in range(TRIES):
        outcome = verify(request)
        if outcome.verification is not None or outcome.fault == "agent":
            break
    return outcome


def _copy_changed(
    shipped: LoadedChallenge, folder: Path, setting: Setting, numbers: Numbers
) -> None:
    folder.mkdir(parents=True)
    text = (shipped.folder / "challenge.toml").read_text().replace('"../texts/', '"')
    for field, number in numbers.items():
        text, count = re.subn(rf"(?m)^{field} = .*$", f"{field} = {number}", text)
        assert count, field
    (folder / "challenge.toml").write_text(text)
    for file, texts in (("prompts", shipped.prompts), ("passages", shipped.passages)):
        lines = [one.model_dump_json() for one in texts[: setting.public_prompts]]
        (folder / f"{file}.jsonl").write_text("\n".join(lines))
    shutil.copy(shipped.folder / _rule(shipped).thresholds, folder)


def _rule(loaded: LoadedChallenge) -> VerificationRule:
    assert loaded.challenge.verification is not None
    return loaded.challenge.verification
