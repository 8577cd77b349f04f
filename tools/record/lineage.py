"""The graph of attempts as a fold: who built on what, what ran, what came of it, what was ruled.

Knows attempts, jobs, verdicts and bans; knows neither ranks nor money. Parents precede their
children in every record, so walks need no cycle check: a parent not there yet is no edge.
"""

from collections.abc import Callable, Hashable
from statistics import median
from typing import Any

from bench.configs.engine_config import EngineConfig
from bench.measurement import FreshLaunch, Interval, JobOutcome, Sample
from tools.record.events import Event
from tools.record.node import Node, NodeState, Run, RunState, launches_of
from tools.record.reported import BASELINE, Reported, ReportedYard
from tools.record.retraction import Ban, ban_of, carriers, first_ban_on
from tools.record.rulings import Ruling, taken_back

__all__ = ["Lineage", "Node", "NodeState", "Run", "RunState"]


class Lineage:
    """All attempts so far. Valid after any prefix of a record."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.by_fingerprint: dict[str, str] = {}
        """The first attempt with a fingerprint."""
        self.simulated_jobs = 0
        self.real_jobs = 0
        self.reported_results = 0
        """Of an imported collaboration."""
        self.yard = ReportedYard()
        self.memo: dict[Hashable, Any] = {}
        """What readers worked out from the measurements; emptied by the next one."""
        self._bans: list[Ban] = []
        self._children: dict[str, list[str]] = {}
        self._heirs_of: dict[str, list[str]] = {}
        self._depths: dict[str, int] = {}
        self._jobs: dict[str, tuple[Node, Run]] = {}
        self._live: dict[str, tuple[Node, Run]] = {}
        self._baseline_speeds: list[float] = []
        self._reference_perplexities: dict[str, list[float]] = {"screen": [], "full": []}
        self.rules: dict[str, Callable[[Event], None]] = {
            "session_opened": self._open,
            "attempt_proposed": self._propose,
            "result_reported": self._report,
            "job_requested": self._request,
            "job_started": self._start,
            "job_ended": self._end,
            "verdict_given": self._rule,
            "attempt_invalidated": self._invalidate,
            "attempt_reinstated": self._reinstate,
            "receipt_issued": self._receive,
        }

    def apply(self, event: Event) -> None:
        """Take in the next event; kinds the lineage does not know are ignored."""
        if rule := self.rules.get(event.kind):
            rule(event)

    # --- graph

    def children(self, attempt: str) -> list[str]:
        """Return the attempts that name `attempt` as a parent, oldest first."""
        return list(self._children.get(attempt, ()))

    def ancestors(self, attempt: str) -> list[str]:
        """Return everything `attempt` descends from, oldest first."""
        return self._reach(attempt, self._parents)

    def descendants(self, attempt: str) -> list[str]:
        """Return everything that descends from `attempt`, oldest first."""
        return self._reach(attempt, self.children)

    def depth(self, attempt: str) -> int:
        """Return the length of the longest path from a root; 0 for a root."""
        return self._depths[attempt]

    def path(self, attempt: str) -> list[str]:
        """Return the attempts from a root to `attempt`, each time through the fastest parent.

        A parent that is invalid or suspect is passed through only where there is no other.
        """
        steps = [attempt]
        while parents := self._parents(steps[-1]):
            steps.append(max(parents, key=lambda parent: _standing(self.nodes[parent])))
        return steps[::-1]

    def frontier(self, *, valid_only: bool = False) -> list[Node]:
        """Return the attempts that were the fastest when they were measured and still count.

        `valid_only`: as if nobody but those ruled valid had measured anything.
        """
        best, front = float("-inf"), []
        for node in sorted(self._eligible(), key=_moment):
            if valid_only and node.verdict != "valid":
                continue
            if _pace(node) > best:
                best = _pace(node)
                front.append(node)
        return front

    def best(self) -> Node | None:
        """Return the attempt that counts with the highest lower bound.

        Fulls and what was verified come before screens.
        """
        eligible = self._eligible()
        fulls = [node for node in eligible if node.best_stage == "full" or node.verified]
        best: Node | None = None
        for node in sorted(fulls or eligible, key=_pace, reverse=True):
            if best and _pace(node) <= _interval(best).low:
                break  # a lower bound lies below its estimate: nobody further down can win
            if best is None or _interval(node).low > _interval(best).low:
                best = node
        return best

    # --- rulings

    @property
    def bans(self) -> dict[str, Ban]:
        """The latest ban in force for each attempt whose ruling named an ingredient."""
        return {ban.attempt: ban for ban in self._bans}

    @property
    def all_bans(self) -> tuple[Ban, ...]:
        """Every ban in force, oldest first; one attempt may have several."""
        return tuple(self._bans)

    def ban_on(self, config: EngineConfig) -> Ban | None:
        """Return the oldest ban in force whose ingredient `config` has."""
        return first_ban_on(config, self._bans)

    def suspects(self) -> list[Node]:
        """Return the attempts to be verified before they count again, oldest first."""
        return [node for node in self.nodes.values() if node.verdict == "suspect"]

    # --- jobs

    def job(self, job: str) -> tuple[Node, Run] | None:
        """Return the run called `job` and its node."""
        return self._jobs.get(job)

    def jobs_waiting(self) -> list[tuple[Node, Run]]:
        """Return the runs that were requested and not started, first come first."""
        return [pair for pair in self._live.values() if pair[1].state == "queued"]

    def live_jobs(self, agent: str | None = None) -> list[tuple[Node, Run]]:
        """Return the runs without an outcome, of one agent or of all, first come first."""
        return [
            pair for pair in self._live.values() if agent is None or pair[1].requested_by == agent
        ]

    # --- the yardstick

    @property
    def baseline_tokens_per_second(self) -> float | None:
        """Median over every kept baseline request of the session, or what was reported."""
        if self.yard.baseline is not None:
            return self.yard.baseline.tokens_per_second
        return median(self._baseline_speeds) if self._baseline_speeds else None

    @property
    def baseline_perplexity(self) -> float | None:
        """Median of the reference perplexities of full jobs, else of screens, or as reported."""
        if self.yard.baseline is not None:
            return self.yard.baseline.perplexity
        values = self._reference_perplexities["full"] or self._reference_perplexities["screen"]
        return median(values) if values else None

    # --- rules

    def _open(self, event: Event) -> None:
        rule = event.payload.challenge.get("promotion")
        sd = rule.get("prior_launch_sd") if isinstance(rule, dict) else None
        if isinstance(sd, float) and event.payload.challenge.get("engine") == "reported":
            self.yard.launch_sd = sd

    def _report(self, event: Event) -> None:
        payload = event.payload
        node = self.nodes.get(payload.attempt)
        if node is None or node.reported is not None:
            return  # what is posted over there never changes
        reported = Reported(
            seq=event.seq,
            time=event.time,
            tokens_per_second=payload.tokens_per_second,
            perplexity=payload.perplexity,
            status=payload.status,
            source=payload.source,
            note=payload.note,
        )
        self.memo.clear()
        self.reported_results += 1
        node.report(reported, self.yard)
        if payload.attempt == BASELINE:
            self.yard.baseline = reported

    def _propose(self, event: Event) -> None:
        payload = event.payload
        if payload.attempt in self.nodes:
            return
        parents = [parent.attempt for parent in payload.parents if parent.attempt in self.nodes]
        self._depths[payload.attempt] = 1 + max((self._depths[p] for p in parents), default=-1)
        for parent in parents:
            self._children.setdefault(parent, []).append(payload.attempt)
        for edge in payload.parents:
            if edge.kind != "refutes" and edge.attempt in self.nodes:
                self._heirs_of.setdefault(edge.attempt, []).append(payload.attempt)
        self.by_fingerprint.setdefault(payload.fingerprint, payload.attempt)
        self.nodes[payload.attempt] = Node(
            attempt=payload.attempt,
            agent=event.actor,
            parents=payload.parents,
            config=payload.config,
            fingerprint=payload.fingerprint,
            hypothesis=payload.hypothesis,
            direction=payload.direction,
            seq=event.seq,
            time=event.time,
            files=payload.files,
        )
        if self._bans:
            self._suspect_newborn(self.nodes[payload.attempt])

    def _request(self, event: Event) -> None:
        payload = event.payload
        node = self.nodes.get(payload.attempt)
        if node is None or payload.job in self._jobs:
            return
        run = Run(
            job=payload.job,
            stage=payload.stage,
            replicate=payload.replicate,
            requested_by=event.actor,
            seed=payload.seed,
            seq=event.seq,
            time=event.time,
            incumbent=payload.incumbent,
            purpose=payload.purpose,
        )
        node.runs.append(run)
        self._jobs[run.job] = self._live[run.job] = (node, run)

    def _start(self, event: Event) -> None:
        if pair := self._live.get(event.payload.job):
            pair[1].state = "running"
            pair[1].tries = max(pair[1].tries, event.payload.try_number)

    def _end(self, event: Event) -> None:
        pair = self._live.pop(event.payload.job, None)
        if pair is None:
            return  # a second outcome of one job never counts
        node, run = pair
        outcome = event.payload.outcome
        run.state, run.outcome, run.ended_seq = "ended", outcome, event.seq
        if run.is_riders:
            self._measure(node, outcome, seq=event.seq)
        elif run.stage == "fresh" and outcome.fresh is not None:
            self._time_afresh(node, self.nodes.get(run.incumbent), outcome.fresh)
        elif run.stage == "private" and outcome.verification is not None:
            node.examined(run.job, outcome.verification)

    def _measure(self, node: Node, outcome: JobOutcome, *, seq: int) -> None:
        measurement = outcome.measurement
        if measurement is None:
            return
        node.measured(measurement, seq=seq)
        self._reference_perplexities[measurement.stage].append(
            measurement.reference_perplexity.value
        )
        self._calibrate(measurement.samples, is_simulated=measurement.simulated)
        if measurement.baseline_stated:
            self._baseline_speeds.append(measurement.baseline_tokens_per_second)

    def _time_afresh(self, contender: Node, incumbent: Node | None, fresh: FreshLaunch) -> None:
        own, others = launches_of(fresh)
        if own.ratios:
            contender.fresh.append(own)
        if incumbent is not None and incumbent.parents and others.ratios:
            incumbent.fresh.append(others)  # the baseline beside itself would tell nothing
        self._calibrate(fresh.samples, is_simulated=fresh.simulated)

    def _calibrate(self, samples: tuple[Sample, ...], *, is_simulated: bool) -> None:
        self.memo.clear()
        self.simulated_jobs += is_simulated
        self.real_jobs += not is_simulated
        self._baseline_speeds += [
            sample.output_tokens / sample.wall_seconds
            for sample in samples
            if sample.side == "baseline" and sample.rejected is None and sample.wall_seconds > 0
        ]

    def _rule(self, event: Event) -> None:
        payload = event.payload
        if node := self.nodes.get(payload.attempt):
            node.rule(Ruling(event.seq, payload.verdict, payload.reason, payload.by))

    def _invalidate(self, event: Event) -> None:
        payload = event.payload
        node = self.nodes.get(payload.attempt)
        if node is None:
            return
        node.rule(Ruling(event.seq, "invalid", payload.reason, payload.by, is_invalidation=True))
        if ban := ban_of(payload, seq=event.seq):
            self._bans.append(ban)
            for heir in self._heirs(ban):
                heir.suspect(ban)

    def _reinstate(self, event: Event) -> None:
        node = self.nodes.get(event.payload.attempt)
        ended = taken_back(node.rulings, by=event.payload.by) if node else frozenset()
        if node is None or not ended:
            return
        node.take_back(ended)
        self._bans = [ban for ban in self._bans if ban.seq not in ended]
        for other in self.nodes.values():
            if not ended.isdisjoint(other.suspicions):
                other.acquit(ended)

    def _receive(self, event: Event) -> None:
        if node := self.nodes.get(event.payload.attempt):
            node.receipt = event.payload.receipt

    def _suspect_newborn(self, node: Node) -> None:
        for ban in self._bans:
            if ban.is_in(node.config) and ban.attempt in self._reach(node.attempt, self._origins):
                node.suspect(ban)

    def _heirs(self, ban: Ban) -> list[Node]:
        below = self._reach(ban.attempt, self._offspring)
        configs = ((attempt, self.nodes[attempt].config) for attempt in below)
        return [self.nodes[attempt] for attempt in carriers(ban, configs)]

    # --- walks

    def _parents(self, attempt: str) -> list[str]:
        node = self.nodes[attempt]
        known = (self.nodes.get(parent.attempt) for parent in node.parents)
        return [parent.attempt for parent in known if parent and parent.seq < node.seq]

    def _origins(self, attempt: str) -> list[str]:
        """Return the parents it took something from: who refutes an attempt inherits nothing."""
        refuted = {one.attempt for one in self.nodes[attempt].parents if one.kind == "refutes"}
        return [parent for parent in self._parents(attempt) if parent not in refuted]

    def _offspring(self, attempt: str) -> list[str]:
        """Return the children that took something from it."""
        return self._heirs_of.get(attempt, [])

    def _reach(self, attempt: str, step: Callable[[str], list[str]]) -> list[str]:
        seen: set[str] = set()
        waiting = list(step(attempt))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += step(name)
        return sorted(seen, key=lambda name: self.nodes[name].seq)

    def _eligible(self) -> list[Node]:
        return [
            node
            for node in self.nodes.values()
            if node.measured_seq is not None and node.counts and node.pace
        ]


def _interval(node: Node) -> Interval:
    interval = node.pace_interval
    assert interval is not None
    return interval


def _pace(node: Node) -> float:
    pace = node.pace
    return float("-inf") if pace is None else pace


def _moment(node: Node) -> tuple[float, int]:
    """When it was measured; a reported result may be written down long after later ones."""
    seq = node.measured_seq or 0
    return (node.reported.time if node.reported else 0.0, seq)


def _standing(node: Node) -> tuple[bool, float]:
    return node.counts, _pace(node)
