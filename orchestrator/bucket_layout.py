"""A session's record as files in the layout of the Fast Gemma Challenge's central bucket. Pure.

A fold: each event gives the files it stands for, from the events before it alone, so writing goes
on where it was left and says the same again. What is immutable over there is given once. Knows
events and names; knows no bucket and no index of verdicts, only the states that belong into it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import yaml

from bench.measurement import Measurement
from tools.record.board import ORGANISERS, trust_of
from tools.record.events import Event
from tools.record.lineage import Lineage

MESSAGES, RESULTS, INBOX, AGENTS = "message_board", "results", "inbox", "agents"
INDEX = f"{RESULTS}/verification_status.json"
OUTSIDE_KEY = "bucket:"
"""Of the idempotency keys of what came in from a scratch bucket: `bucket:FOLDER/AGENT/SHA-256`."""
ORGANISER = "paceline-organiser"
"""Under which the session's own identities post; theirs are refused as agents' names."""
MOST_RECIPIENTS = 10
DESCRIPTION_CHARACTERS = 300
METHOD_CHARACTERS = 200
_GRAMMAR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_LONGEST_HANDLE = 40
_FILE = re.compile(r"\d{8}-\d{6}-\d{3}_[a-z0-9-]{1,40}\.md")
_BODY_KEY = "import:body/"
_TYPES = {"organiser": "system", "rider": "agent"}
_WAYS = {"organiser": "server", "rider": "raw"}
"""How a post came: by the service itself, by a call; a person's by the dashboard."""


class BucketFile(NamedTuple):
    """A file to be there. Never changed once it is."""

    path: str
    content: bytes
    key: str = ""
    """Of the event, where it came in from a scratch bucket: what lies there is promoted instead."""


class Layout:
    """The files of a session. Valid after any prefix of a record."""

    def __init__(self, *, session: str) -> None:
        self._session = session
        self._stamp_ms = 0
        self._handles: dict[str, str] = {}
        self._files: dict[str, str] = {}
        """Id of a message or an attempt -> the name of its latest file."""
        self._authors: dict[str, str] = {}
        """Id of a message or an attempt -> whose it is."""
        self._attempts: dict[str, Any] = {}
        self._agents: set[str] = set()
        self._requested_by: dict[str, str] = {}
        self._bodies: dict[str, str] = {}
        self.results: dict[str, str] = {}
        """Name of a result's file -> its attempt; empty where others measured it."""
        self.ids: dict[str, str] = {}
        """Name of a file -> id of the message or attempt it tells of."""
        self._rules: dict[str, Callable[[Event], Iterator[BucketFile]]] = {
            "agent_joined": self._join,
            "message_posted": self._post,
            "job_ended": self._measure,
            "result_reported": self._report,
        }

    def of(self, events: Iterable[Event]) -> Iterator[BucketFile]:
        """Yield the files that `events`, which come next, stand for."""
        events = list(events)
        for event in events:  # the text of an imported result follows it
            if event.key.startswith(_BODY_KEY):
                self._bodies[event.key.removeprefix(_BODY_KEY)] = event.payload.body
        for event in events:
            self._note(event)
            if rule := self._rules.get(event.kind):
                yield from rule(event)

    def states(self, lineage: Lineage) -> dict[str, str]:
        """Return what the index of verdicts should say: name of a result's file -> state."""
        nodes = lineage.nodes
        known = {
            file: nodes[attempt].verdict if attempt else "pending"
            for file, attempt in self.results.items()
        }
        return {file: "pending" if state == "suspect" else state for file, state in known.items()}

    # --- one kind of event each

    def _note(self, event: Event) -> None:
        payload = event.payload
        if event.kind == "attempt_proposed":
            self._attempts[payload.attempt] = payload
            self._authors[payload.attempt] = event.actor
        elif event.kind == "job_requested":
            self._requested_by[payload.job] = event.actor

    def _join(self, event: Event) -> Iterator[BucketFile]:
        joined = event.payload
        self._agents.add(joined.agent)
        handle = self._handle(joined.agent)
        keys = {
            "agent_name": handle,
            "agent_model": joined.model,
            "agent_harness": "paceline",
            "joined": moment_text(event.time),
        }
        bio = f"{joined.persona}: {joined.description}"
        yield BucketFile(f"{AGENTS}/{handle}.md", document(keys, bio))

    def _post(self, event: Event) -> Iterator[BucketFile]:
        if event.key.startswith(_BODY_KEY):
            return  # it is the body of the result's own file
        payload, author = event.payload, self._handle(event.actor)
        is_outside = event.key.startswith(OUTSIDE_KEY)
        folder = event.key.removeprefix(OUTSIDE_KEY).split("/")[0] if is_outside else MESSAGES
        name = self._name(event, author)
        refs = [self._files[ref] for ref in payload.refs if ref in self._files]
        keys: dict[str, Any] = {"type": _TYPES.get(trust_of(event.actor), "user")}
        if refs:
            keys["refs"] = ", ".join(dict.fromkeys(refs))
        if payload.type != "chat":
            keys["post"] = payload.type
        keys |= {"session": self._session, "message": f"m{event.seq}"}
        if untold := [ref for ref in payload.refs if ref not in self._files]:
            keys["attempts"] = ", ".join(untold)
        way = "bucket" if is_outside else _WAYS.get(trust_of(event.actor), "dashboard")
        content = document(keys | stamped(author, event.time, via=way), payload.body)
        self._know(f"m{event.seq}", name, event.actor)
        if folder == RESULTS:
            self.results[name] = ""
        key = event.key if is_outside else ""
        yield BucketFile(f"{folder}/{name}", content, key)
        if folder == MESSAGES:
            for handle in self._recipients(event):
                yield BucketFile(f"{INBOX}/{handle}/{name}", content, key)

    def _measure(self, event: Event) -> Iterator[BucketFile]:
        ended = event.payload
        measured = ended.outcome.measurement
        if measured is None:
            return
        by = self._requested_by.get(ended.job, "")
        agent = self._authors[ended.attempt] if by in ORGANISERS or not by else by
        own = {"attempt": ended.attempt, "job": ended.job} | _figures(measured)
        yield self._result(event, agent, _finite(measured.tokens_per_second), own)

    def _report(self, event: Event) -> Iterator[BucketFile]:
        told = event.payload
        own = {"ppl": told.perplexity, "attempt": told.attempt, "status": told.status}
        name = told.source.rsplit("/", 1)[-1]
        body = self._bodies.get(name, "")
        name = name if _FILE.fullmatch(name) else ""
        yield self._result(event, event.actor, told.tokens_per_second, own, name=name, body=body)

    # --- what they share

    def _result(
        self,
        event: Event,
        agent: str,
        speed: float | None,
        own: Mapping[str, Any],
        *,
        name: str = "",
        body: str = "",
    ) -> BucketFile:
        """Return the file of a result; `name` it has over there already, else it gets one."""
        attempt = self._attempts[own["attempt"]]
        handle = self._handle(agent)
        name = name or self._name(event, handle)
        parents = [one.attempt for one in attempt.parents if one.attempt in self._files]
        words = " ".join(attempt.hypothesis.split())[:DESCRIPTION_CHARACTERS]
        keys: dict[str, Any] = {
            "tps": None if speed is None else round(speed, 3),
            "ppl": own.get("ppl"),
            "method": _method(attempt),
            "status": own.get("status", "agent-run"),
            "description": f"simulated: {words}" if own.get("simulated") else words,
        }
        if parents:
            keys["parents"] = [self._files[one] for one in parents]
        more = {"session": self._session, "fingerprint": attempt.fingerprint}
        keys |= {k: v for k, v in own.items() if k not in keys} | more
        via = "raw" if event.kind == "job_ended" else "bucket"
        content = document(keys | stamped(handle, event.time, via=via), body)
        self.results[name] = own["attempt"]
        self._know(own["attempt"], name, self._authors[own["attempt"]])
        return BucketFile(f"{RESULTS}/{name}", content)

    def _know(self, id_: str, name: str, author: str) -> None:
        self._files[id_], self._authors[id_], self.ids[name] = name, author, id_

    def _name(self, event: Event, handle: str) -> str:
        """Return `{YYYYMMDD-HHmmss-mmm}_{handle}.md`, later than every name before it."""
        self._stamp_ms = max(int(event.time * 1000), self._stamp_ms + 1)
        seconds, ms = divmod(self._stamp_ms, 1000)
        moment = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y%m%d-%H%M%S")
        return f"{moment}-{ms:03d}_{handle}.md"

    def _recipients(self, event: Event) -> list[str]:
        """Return the handles of who was mentioned or referred to, the author excluded."""
        payload = event.payload
        named = [*payload.mentions, *(self._authors.get(ref, "") for ref in payload.refs)]
        others = dict.fromkeys(one for one in named if one != event.actor and self._can_read(one))
        return [self._handle(one) for one in others][:MOST_RECIPIENTS]

    def _can_read(self, actor: str) -> bool:
        return actor in self._agents or trust_of(actor).startswith("person")

    def _handle(self, actor: str) -> str:
        """Return the name `actor` has over there; no two have the same."""
        if actor not in self._handles:
            wanted = ORGANISER if trust_of(actor) == "organiser" else _folded(actor)
            taken = set(self._handles.values()) - {ORGANISER}
            number, handle = 2, wanted
            while handle in taken:
                tail = f"-{number}"
                number, handle = number + 1, wanted[: _LONGEST_HANDLE - len(tail)] + tail
            self._handles[actor] = handle
        return self._handles[actor]


def document(keys: Mapping[str, Any], body: str) -> bytes:
    """Return a Markdown file: `keys` in their order between `---` lines, a blank line, the body."""
    front = yaml.safe_dump(
        dict(keys), sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
    text = body.strip()
    return (f"---\n{front}---\n" + (f"\n{text}\n" if text else "")).encode()


def stamped(agent: str, time: float, *, via: str) -> dict[str, str]:
    """Return the keys that only the service writes; they come last and win."""
    return {"agent": agent, "timestamp": moment_text(time), "via": via}


def moment_text(time: float) -> str:
    """Return `2026-06-12 10:15 UTC`."""
    return datetime.fromtimestamp(time, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _figures(measured: Measurement) -> dict[str, Any]:
    figures: dict[str, Any] = {"ppl": _finite(measured.perplexity.value), "stage": measured.stage}
    if measured.simulated:
        figures["simulated"] = True
    interval = [measured.speedup, measured.speedup_low, measured.speedup_high]
    names = ("speedup", "speedup_low", "speedup_high")
    return figures | {n: round(v, 4) for n, v in zip(names, interval, strict=True) if _finite(v)}


def _finite(value: float) -> float | None:
    is_number = value == value and abs(value) != float("inf")  # noqa: PLR0124 - not a number
    return round(value, 4) if is_number else None


def _method(attempt: Any) -> str:
    config = attempt.config
    named = config.method if config.engine == "reported" else attempt.direction
    return " ".join((named or "baseline").split())[:METHOD_CHARACTERS]


def _folded(actor: str) -> str:
    """Return `actor` as the grammar of ids wants it: lower case, digits, inner hyphens."""
    if _GRAMMAR.fullmatch(actor):
        return actor
    folded = re.sub(r"[^a-z0-9]+", "-", actor.lower()).strip("-")[:_LONGEST_HANDLE].strip("-")
    return folded or "unnamed"
