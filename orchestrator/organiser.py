"""The organiser: what it writes to the record, which job it asks for, and verifying on request.

Everything it writes follows from the folds and carries a fixed key, so after a kill at any point
the same is written again, or found written. What follows and what comes next is decided by the
pure modules beside it: `agenda`, `promotions`, `verifications`.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from bench.challenge import Challenge
from bench.drift import drift
from orchestrator import notices, promotions, verifications
from orchestrator.agenda import Agenda
from orchestrator.budgets import limits_of
from orchestrator.duties import Moment, Wish, affordable
from orchestrator.judge import ACTOR, Judge, open_judge, write_receipt
from orchestrator.known_secrets import learn_key
from orchestrator.opening import reopen_session
from orchestrator.parts import (
    OnEvent,
    Parts,
    Relay,
    chambers,
    default_parts,
    opened_recorder,
    workplace,
)
from orchestrator.session_folder import locked
from orchestrator.targets import is_rented, refuse_remote, seated_here
from sandbox.lane import device_lane
from tools.board_flags import flags_of
from tools.job_request import job_request
from tools.jobs import Workplace, run_job
from tools.limits import Limits
from tools.record.events import (
    Draft,
    Event,
    JobRequested,
    PromotionOpened,
    ReceiptIssued,
)
from tools.record.lineage import Node, Run
from tools.record.projection import Projection
from tools.record.recorder import Recorder


class Organiser:
    """Promotes, verifies, rules. Bound to one event loop."""

    def __init__(
        self, recorder: Recorder, challenge: Challenge, limits: Limits, judge: Judge | None
    ) -> None:
        self._recorder = recorder
        self._challenge = challenge
        self._limits = limits
        self._judge = judge
        self._written: set[str] = set()
        """Keys of what was appended already; spares the store the question."""
        self._heard = 0
        self._read_posts_to = 0
        self._measured: set[str] = set()
        self._audited: set[str] = set()
        self._baseline_speeds: list[float] = []

    @property
    def private_place(self) -> Workplace | None:
        """Where private jobs run; None when nothing can be verified."""
        return self._judge.workplace(self._known) if self._judge else None

    # --- what follows from what ended

    async def settle(self) -> None:
        """Write every decision, ruling and notice that is due, and the receipts' files."""
        await self._hear()
        known = self._known
        if decided := promotions.decision(known, self._challenge):
            key = f"promotion/{decided.promotion}/decided"
            await self._write(decided, notices.of_promotion(known, decided), key=key)
        for node in [node for node in known.lineage.nodes.values() if _was_examined(node)]:
            await self._rule(node)
        await self._tell_of_copies()
        await self._tell_of_invitations()
        if "drift" not in self._written and (found := drift(self._baseline_speeds)):
            await self._write(notices.of_drift(known, found), key="drift")

    async def _rule(self, node: Node) -> None:
        if acquitted := verifications.acquittal(node):
            job, verdict = acquitted
            notice = notices.of_verification(self._known, node.attempt, node.verifications[-1][1])
            await self._write(verdict, notice, key=f"verdict/{job}")
        elif condemned := verifications.condemnation(node):
            job, ruling = condemned
            heirs = verifications.heirs(self._known.lineage, ruling)
            notice = notices.of_invalidation(self._known, ruling, heirs)
            await self._write(ruling, notice, key=f"invalidated/{node.attempt}/{job}")
        if self._judge is not None and node.verified is not None:
            await self._give_receipt(self._judge, node)

    async def _give_receipt(self, judge: Judge, node: Node) -> None:
        job = next(job for job, found in reversed(node.verifications) if found == node.verified)
        key = f"receipt/{node.attempt}/{job}"
        if key in self._written:
            return
        session, now = self._recorder.store.session, self._recorder.clock()
        receipt = judge.issue(self._known, node, session=session, now=now)
        facts = receipt.model_dump(mode="json")
        await self._write(ReceiptIssued(attempt=node.attempt, job=job, receipt=facts), key=key)
        assert node.receipt is not None  # an earlier one with this key, if the record had it
        await asyncio.to_thread(write_receipt, judge.folder, node.attempt, node.receipt)

    async def _tell_of_copies(self) -> None:
        """Say of each copy that leads the contenders that it is passed over, and why."""
        known = self._known
        for node in promotions.contenders(known, self._challenge):
            source = promotions.copied_from(known.lineage, node)
            if source is None:
                return
            notice = notices.of_copy(known, node.attempt, source)
            await self._write(notice, key=f"uncited_copy/{node.attempt}")

    async def _tell_of_invitations(self) -> None:
        """Say once of each rider's post that it asks others to leave the board."""
        board = self._known.board
        for message in board.since(self._read_posts_to):
            if message.trust == "rider" and "off_board_invitation" in flags_of(message.body):
                notice = notices.of_invitation(message)
                await self._write(notice, key=f"off_board/{message.id}")
            self._read_posts_to = message.seq

    # --- which job next

    async def ask(self, moment: Moment) -> str | None:
        """Ask for the job that is the organiser's due now, if any; open a promotion for it first.

        Returns the attempt it waits for, where that has a job in the queue already: two jobs of
        one attempt never live at once, so the other goes first.
        """
        if any(not run.is_riders for _, run in self._known.lineage.live_jobs()):
            return None
        step = self.agenda(moment).next_step()
        if isinstance(step, PromotionOpened):
            await self._write(step, key=f"promotion/{step.promotion}/opened")
            step = self.agenda(moment).next_step()
        if not isinstance(step, Wish):
            return None
        if any(run.state != "ended" for run in step.node.runs):
            return step.node.attempt
        await self.request(step)
        return None

    async def request(self, wish: Wish) -> bool:
        """Queue the job `wish` asks for; False when it lives already or cannot be afforded."""
        async with self._recorder.exclusive():
            asked = self._asked(wish)
            is_free = all(run.state == "ended" for run in wish.node.runs)
            if not is_free or not self._can_afford(asked):
                return False
            await self._recorder.append(ACTOR, asked, key=f"organiser/{asked.job}")
        return True

    def owes(self, moment: Moment) -> bool:
        """Return whether there is something to do before a ride without queue may stop."""
        step = self.agenda(moment).next_step()
        if isinstance(step, PromotionOpened):
            contender = self._known.lineage.nodes[step.contender]
            step = Wish(contender, "fresh", step.promotion, step.incumbent)
        return step is not None and self._can_afford(self._asked(step))

    def agenda(self, moment: Moment) -> Agenda:
        """Return the organiser's view of a moment."""
        can_verify = self._judge is not None
        return Agenda(self._known, self._challenge, moment, can_verify, self._audited)

    # --- looking and writing

    @property
    def _known(self) -> Projection:
        return self._recorder.projection

    async def _hear(self) -> None:
        """Read what the folds do not keep: hashes of measuring events, the baseline's speeds."""
        while events := await self._recorder.store.read(self._heard):
            for event in events:
                if event.kind == "job_ended":
                    self._take_in(event)
            self._heard = events[-1].seq

    def _take_in(self, event: Event) -> None:
        attempt, outcome = event.payload.attempt, event.payload.outcome
        launch = outcome.measurement or outcome.fresh
        if launch is not None:
            self._baseline_speeds.append(launch.baseline_tokens_per_second)
        if outcome.measurement is not None and attempt not in self._measured:
            self._measured.add(attempt)
            rule = self._challenge.verification
            share = rule.audit_share if rule else 0.0
            if verifications.is_audited(event.hash, attempt, share=share):
                self._audited.add(attempt)

    def _asked(self, wish: Wish) -> JobRequested:
        session = self._recorder.store.session
        asked = job_request(wish.node, wish.stage, session=session, challenge=self._challenge)
        update = {"purpose": wish.purpose, "incumbent": wish.incumbent}
        return asked.model_copy(update=update)

    def _can_afford(self, request: JobRequested) -> bool:
        return affordable(self._known.spend, self._limits, request)

    async def _write(self, *payloads: BaseModel, key: str) -> None:
        """Append all or none, once; what the record has already is not written again."""
        if key not in self._written:
            keys = (key, *(f"{key}/notice" for _ in payloads[1:]))
            pairs = zip(payloads, keys, strict=True)
            await self._recorder.append_all([Draft(ACTOR, one, name) for one, name in pairs])
            self._written.add(key)


def _was_examined(node: Node) -> bool:
    return any(run.stage == "private" and run.outcome for run in node.runs)


# --- verifying on request, without a ride


async def verify_session(
    folder: Path,
    *,
    attempt: str | None,
    on_event: OnEvent | None,
    parts: Parts | None = None,
) -> int:
    """Verify what is due in a session that stands still, or one attempt; return how many jobs ran.

    Due are who holds the record, suspects, the five fastest, and audits.

    Args:
        folder: of the session.
        attempt: its id; None = all that is due.
        on_event: called with each new event, and the folds that contain it already.
        parts: None = this machine's settings and the local sandbox.

    Raises:
        ConfigError: `unknown_attempt`, `not_measured`, `invalid_attempt`, `simulated_session`,
            `no_verification`; whoever asked sees it.
        VerificationUnavailable: the private texts are not there, or not safe.
        SessionBusy: another process rides it.
    """
    parts = parts or default_parts()
    with locked(folder):
        async with opened_recorder(folder, parts) as recorder:
            opened = await reopen_session(folder, recorder)
            challenge, known = opened.challenge, recorder.projection
            verifications.refuse_unverifiable(known, challenge, attempt)
            if is_rented(folder):
                parts = parts._replace(open_pool=refuse_remote)
            parts = seated_here(opened.options.target, folder, challenge, parts)
            place = workplace(folder, challenge, parts)
            judge = await open_judge(recorder, chambers(folder, place, parts), tell=parts.tell)
            learn_key(recorder.redact, parts.settings)
            limits = limits_of(opened.options)
            organiser = Organiser(recorder, challenge, limits, judge)
            relay = Relay(recorder, on_event, after=known.seq)
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(relay.run())
                node = known.lineage.nodes[attempt] if attempt else None
                jobs = await _examine(organiser, recorder, node, device=parts.device)
                telling.cancel()
            await relay.flush()
    return jobs


async def _examine(
    organiser: Organiser, recorder: Recorder, named: Node | None, *, device: str
) -> int:
    """Run one verification after another until none is due."""
    jobs = 0
    place = organiser.private_place
    assert place is not None
    async with device_lane(device):
        while True:
            await organiser.settle()
            live = [one for one in recorder.projection.lineage.live_jobs() if _is_private(one[1])]
            if not live:
                agenda = organiser.agenda(Moment(recorder.clock(), None))
                wish = agenda.due_examination() if named is None else _asked_for(named, jobs)
                if wish is None or not await organiser.request(wish):
                    return jobs
                live = [(wish.node, wish.node.runs[-1])]
            await run_job(recorder, place, *live[0])
            jobs += 1


def _asked_for(node: Node, jobs: int) -> Wish | None:
    """Return the named attempt's next verification: one, and a second after a flag."""
    again = jobs == 1 and verifications.flags(node) == 1
    return Wish(node, "private", "asked") if jobs == 0 or again else None


def _is_private(run: Run) -> bool:
    return run.stage == "private"
