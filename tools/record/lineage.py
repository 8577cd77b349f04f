"""The graph of attempts as a fold: who built on what, what ran, what came of it.

Knows attempts, jobs and verdicts; knows neither ranks nor money. Parents precede their children
in every record, so walks need no cycle check: a parent that is not there yet is no edge.
"""

from collections.abc import Callable
from statistics import median

from bench.measurement import Interval, Measurement
from tools.record.events import Event
from tools.record.node import Node, NodeState, Run, RunState

__all__ = ["Lineage", "Node", "NodeState", "Run", "RunState"]


class Lineage:
    """All attempts so far. Valid after any prefix of a record."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.by_fingerprint: dict[str, str] = {}
        """The first attempt with a fingerprint."""
        self.simulated_jobs = 0
        self.real_jobs = 0
        self._children: dict[str, list[str]] = {}
        self._depths: dict[str, int] = {}
        self._jobs: dict[str, tuple[Node, Run]] = {}
        self._live: dict[str, tuple[Node, Run]] = {}
        self._baseline_speeds: list[float] = []
        self._reference_perplexities: dict[str, list[float]] = {"screen": [], "full": []}
        self.rules: dict[str, Callable[[Event], None]] = {
            "attempt_proposed": self._propose,
            "job_requested": self._request,
            "job_started": self._start,
            "job_ended": self._end,
            "verdict_given": self._rule,
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
        """Return the attempts from a root to `attempt`, each time through the fastest parent."""
        steps = [attempt]
        while parents := self._parents(steps[-1]):
            steps.append(max(parents, key=lambda parent: _estimate(self.nodes[parent])))
        return steps[::-1]

    def frontier(self) -> list[Node]:
        """Return the attempts that were the fastest not invalid one when they were measured."""
        best, front = float("-inf"), []
        for node in sorted(self._eligible(), key=lambda node: node.measured_seq or 0):
            if _estimate(node) > best:
                best = _estimate(node)
                front.append(node)
        return front

    def best(self) -> Node | None:
        """Return the not invalid attempt with the highest lower bound; fulls before screens."""
        eligible = self._eligible()
        fulls = [node for node in eligible if node.best_stage == "full"]
        best: Node | None = None
        for node in sorted(fulls or eligible, key=_estimate, reverse=True):
            if best and _estimate(node) <= _interval(best).low:
                break  # a lower bound lies below its estimate: nobody further down can win
            if best is None or _interval(node).low > _interval(best).low:
                best = node
        return best

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
        """Median over every kept baseline request of the session."""
        return median(self._baseline_speeds) if self._baseline_speeds else None

    @property
    def baseline_perplexity(self) -> float | None:
        """Median of the reference perplexities of full jobs, else of screens."""
        values = self._reference_perplexities["full"] or self._reference_perplexities["screen"]
        return median(values) if values else None

    # --- rules

    def _propose(self, event: Event) -> None:
        payload = event.payload
        if payload.attempt in self.nodes:
            return
        parents = [parent.attempt for parent in payload.parents if parent.attempt in self.nodes]
        self._depths[payload.attempt] = 1 + max((self._depths[p] for p in parents), default=-1)
        for parent in parents:
            self._children.setdefault(parent, []).append(payload.attempt)
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
        )

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
        run.state, run.outcome, run.ended_seq = "ended", event.payload.outcome, event.seq
        measurement = run.outcome.measurement
        if measurement is not None:
            node.measured_seq = node.measured_seq or event.seq
            self._calibrate(measurement)

    def _rule(self, event: Event) -> None:
        if node := self.nodes.get(event.payload.attempt):
            node.verdict = event.payload.verdict
            node.verdict_reason = event.payload.reason
            node.verdict_by = event.payload.by

    def _calibrate(self, measurement: Measurement) -> None:
        self.simulated_jobs += measurement.simulated
        self.real_jobs += not measurement.simulated
        self._reference_perplexities[measurement.stage].append(
            measurement.reference_perplexity.value
        )
        self._baseline_speeds += [
            sample.output_tokens / sample.wall_seconds
            for sample in measurement.samples
            if sample.side == "baseline" and sample.rejected is None and sample.wall_seconds > 0
        ]

    # --- walks

    def _parents(self, attempt: str) -> list[str]:
        node = self.nodes[attempt]
        known = (self.nodes.get(parent.attempt) for parent in node.parents)
        return [parent.attempt for parent in known if parent and parent.seq < node.seq]

    def _reach(self, attempt: str, step: Callable[[str], list[str]]) -> list[str]:
        seen: set[str] = set()
        waiting = step(attempt)
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
            if node.measured_seq is not None and node.verdict != "invalid" and node.estimate
        ]


def _interval(node: Node) -> Interval:
    assert node.speedup is not None
    return node.speedup


def _estimate(node: Node) -> float:
    estimate = node.estimate
    return float("-inf") if estimate is None else estimate
