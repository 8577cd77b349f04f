"""Where a session's verifications run: the private texts, the key, and a folder of its own.

Knows the private folder, the pool and what a verification is asked; knows no queue. Requests hold
private texts, so they lie outside the session. Where the texts would not be safe nothing is
verified, and the record says why.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from bench.challenge import Challenge
from bench.verify.draw import draw, texts_needed
from bench.verify.request import Claim, VerifyRequest
from orchestrator import notices
from orchestrator.keys import Key, signing_key
from orchestrator.private_pool import Pool
from orchestrator.probing import check_confinement
from orchestrator.promotions import public_claim
from orchestrator.receipts import ChainHead, Receipt, issue, receipt_text
from orchestrator.settings import Settings
from sandbox.errors import VerificationUnavailable
from sandbox.job import Sandbox
from tools.jobs import Command, Workplace, code_folder
from tools.record.events import Draft, PoolCommitted, VerificationRefused
from tools.record.lineage import Lineage, Node, Run
from tools.record.projection import Projection
from tools.record.recorder import Recorder

ACTOR = "organiser"
RECEIPTS = "receipts"
"""Folder of a session's receipts, one JSON file for each verified attempt."""

Tell = Callable[[str], None]
"""Takes a line of progress, for people."""


class OpenPool(Protocol):
    """Finds or writes the private texts: `orchestrator.private_pool.open_pool`, the shipped one."""

    async def __call__(
        self,
        challenge: Challenge,
        challenge_file: Path,
        *,
        session: str,
        settings: Settings,
        sandbox: Sandbox,
        tell: Tell,
    ) -> Pool:
        """Return the session's texts, the same at each call.

        Raises:
            VerificationUnavailable: they are not there, or not safe.
        """


def verifier(request: Path) -> tuple[str, ...]:
    """Return the argv that verifies, in a process of its own."""
    return (sys.executable, "-m", "bench.verify", "--request", str(request))


class Judge(NamedTuple):
    """What verifying takes, once it was found safe."""

    folder: Path
    """Of the session; its receipts are written there."""
    pool: Pool
    key: Key
    place: Workplace
    """Its `attempts` lie beside the private texts; its `request` is not used."""
    reference_file: Path

    def workplace(self, known: Projection) -> Workplace:
        """Return where private jobs run; texts are drawn when one is started."""

        def request(node: Node, run: Run) -> Mapping[str, JsonValue]:
            asked: Mapping[str, JsonValue] = self._request(known, node, run).model_dump(mode="json")
            return asked

        return self.place._replace(request=request)

    def issue(self, known: Projection, node: Node, *, session: str, now: float) -> Receipt:
        """Return the receipt of the verification that `node` passed."""
        assert node.verified is not None
        assert known.pool is not None
        return issue(
            session=session,
            challenge=self.place.challenge,
            node=node,
            verification=node.verified,
            commitment=known.pool.commitment,
            head=ChainHead(seq=known.seq, hash=known.head_hash),
            key=self.key,
            now=now,
        )

    def _request(self, known: Projection, node: Node, run: Run) -> VerifyRequest:
        challenge = self.place.challenge
        assert challenge.verification is not None
        claim = public_claim(known, node, challenge)
        count = texts_needed(challenge.verification)
        used = set(node.verifications[-1][1].drawn) if node.verifications else set()
        fresh = len(self.pool.texts) - len(used) >= count
        texts = draw(
            self.pool.texts,
            count=count,
            seed=f"{self.pool.salt}/{run.job}",
            exclude=used if fresh else (),
        )
        return VerifyRequest(
            challenge=str(self.place.challenge_file),
            config=node.config,
            claim=Claim(speedup=claim.estimate, low=claim.low, high=claim.high) if claim else None,
            texts=texts,
            seed=run.seed,
            cache_folder=self.place.cache_folder,
            reference_file=self.reference_file,
            submission=code_folder(self.place, node),
            places=self.place.places,
        )


class Chambers(NamedTuple):
    """What a judge is opened with."""

    folder: Path
    """Of the session."""
    settings: Settings
    place: Workplace
    """Of the session's ordinary jobs."""
    command: Command
    open_pool: OpenPool


async def judge_or_refusal(recorder: Recorder, chambers: Chambers, *, tell: Tell) -> Judge | None:
    """Return the judge of a session; None when it refuses, which the record then says, and why.

    Raises:
        RecordError: nothing can be written.
    """
    try:
        return await open_judge(recorder, chambers, tell=tell)
    except VerificationUnavailable as error:
        refused = VerificationRefused(code=error.code, message=str(error))
        key = f"verification_refused/{recorder.projection.resumes}"
        notice = notices.of_refusal(recorder.projection, refused)
        drafts = [Draft(ACTOR, refused, key), Draft(ACTOR, notice, f"{key}/notice")]
        await recorder.append_all(drafts)
        return None


async def open_judge(recorder: Recorder, chambers: Chambers, *, tell: Tell) -> Judge:
    """Open the private texts, and commit the session to them if it is not yet.

    Raises:
        VerificationUnavailable: the texts are not there, not safe, or not those the session
            committed to; the operator sees it.
    """
    place, settings = chambers.place, chambers.settings
    check_confinement(place.sandbox)
    _refuse_unisolated(recorder.projection.lineage)
    session = recorder.store.session
    pool = await chambers.open_pool(
        place.challenge,
        place.challenge_file,
        session=session,
        settings=settings,
        sandbox=place.sandbox,
        tell=tell,
    )
    private = settings.private_folder.absolute()
    key = signing_key(private)
    committed = recorder.projection.pool
    if committed is None:
        payload = PoolCommitted(
            commitment=pool.commitment, texts=len(pool.texts), public_key=key.public_hex
        )
        await recorder.append(ACTOR, payload, key="pool")
    elif committed.commitment != pool.commitment:
        raise VerificationUnavailable(
            f"the private texts of session {session!r} are {pool.commitment[:16]}.., it committed"
            f" to {committed.commitment[:16]}..",
            code="pool_changed",
            hint="Bring its private folder back, or start a new session",
        )
    inner = place._replace(attempts=pool.folder / "jobs", command=chambers.command, readable=None)
    reference = private / f"reference-{place.challenge.name}.json"
    return Judge(chambers.folder, pool, key, inner, reference)


def _refuse_unisolated(lineage: Lineage) -> None:
    """What once ran free may have read anything, and left anything for later."""
    for node in lineage.nodes.values():
        if any(one.stamp.isolation == "none" for one in node.all_measurements):
            raise VerificationUnavailable(
                f"{node.attempt} was measured with --sandbox none",
                code="no_confinement",
                hint="Nothing of this session can be verified; start a new one without that option",
            )


def write_receipt(folder: Path, attempt: str, receipt: Mapping[str, JsonValue]) -> Path:
    """Write an issued receipt into the session's folder, unless it is there; return its file."""
    file = folder / RECEIPTS / f"{attempt}.json"
    text = receipt_text(Receipt.model_validate(receipt))
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(exist_ok=True)
        draft = file.with_suffix(".part")
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    return file
