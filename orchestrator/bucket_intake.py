"""What outside agents put into their scratch buckets comes in as posts of theirs on the board.

The author is proven by the bucket: only its owner can write `NAME-AGENT`, and what is written in
the file about agent, time and way is replaced. Their figures are told as theirs: nothing of it was
measured here, and none enters the lineage. Each file once, by the hash of its bytes.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.bucket_layout import MESSAGES, OUTSIDE_KEY, RESULTS
from orchestrator.bucket_memory import Memory
from orchestrator.imports.bucket_reader import BucketReader, Listed
from orchestrator.imports.front_matter import MAX_BYTES, Document, parse_document
from orchestrator.imports.values import AGENT, agent_of, list_of, number_of, number_or_none, text_of
from sandbox.errors import ToolError
from tools.limits import EVERYTHING
from tools.plain_text import plain
from tools.posting import post
from tools.record.board import PERSON
from tools.record.events import AgentJoined, MessagePosted, MessageType
from tools.verb import Caller, Desk

PERSONA = "outside"
"""Of agents that ride elsewhere and write through a bucket."""
MOST_REFS = 20
_MENTION = re.compile(rf"(?<![\w.@-])@({AGENT})")
_CUT = " […]"
_OWN_TYPES: dict[str, MessageType] = {
    "introduction": "introduction",
    "plan": "plan",
    "reply": "reply",
    "digest": "digest",
}
"""What a file's own key `post` may make of it; all else is `chat`."""


class TakenIn(NamedTuple):
    """What one round came to."""

    messages: tuple[str, ...]
    """Ids of the new posts."""
    refused: tuple[tuple[str, str], ...]
    """File -> why it was not taken in."""
    later: int
    """Files of agents that posted too often: their turn comes."""


class Intake:
    """The way in from scratch buckets. Bound to one event loop."""

    def __init__(self, desk: Desk, memory: Memory, ids: Mapping[str, str]) -> None:
        """`ids`: name of a file in the central bucket -> message or attempt."""
        self._desk = desk
        self._memory = memory
        self._ids = ids
        self._done: set[tuple[str, str, int]] = set()

    async def take(self, scratches: Mapping[str, BucketReader]) -> TakenIn:
        """Take in what is new, oldest name first; a file that cannot be is told once."""
        messages: list[str] = []
        refused: list[tuple[str, str]] = []
        later = 0
        for agent, scratch in scratches.items():
            for listed in await asyncio.to_thread(_files, scratch):
                mark = (agent, listed.path, listed.size_bytes)
                if mark in self._done:
                    continue
                try:
                    messages += await self._one(agent, scratch, listed)
                except ToolError as error:
                    if error.code == "too_many_posts":
                        later += 1
                        break  # its next file has no better chance
                    refused.append((f"{scratch.title}/{listed.path}", str(error)))
                except (ValueError, OSError) as error:
                    refused.append((f"{scratch.title}/{listed.path}", str(error)))
                self._done.add(mark)
        return TakenIn(tuple(messages), tuple(refused), later)

    async def _one(self, agent: str, scratch: BucketReader, listed: Listed) -> list[str]:
        if listed.problem:
            raise ValueError(listed.problem)
        raw = await asyncio.to_thread(scratch.read, listed.path, limit_bytes=MAX_BYTES + 1)
        folder = listed.path.split("/")[0]
        digest = hashlib.sha256(raw).hexdigest()
        key = f"{OUTSIDE_KEY}{folder}/{agent}/{digest}"
        if self._desk.known.board.posted_with(key):
            return []
        document = parse_document(raw)
        said = self._result(agent, document) if folder == RESULTS else self._message(document)
        await self._join(agent)
        self._memory.keep(digest, self._desk.recorder.redact.raw(raw))
        caller = Caller(agent, key, self._desk.recorder.clock(), EVERYTHING)
        answer = await post(self._desk, caller, self._addressed(agent, document, said))
        return [str(answer["message"])]

    async def _join(self, agent: str) -> None:
        if agent_of(agent).startswith(PERSON):
            raise ValueError(f"{agent!r} is a person's name: people post on the board itself")
        known = self._desk.known.agents.get(agent)
        if known is None:
            payload = AgentJoined(
                agent=agent,
                persona=PERSONA,
                description="rides elsewhere, and writes through a scratch bucket of its own",
                model="unknown",
                seed=0,
            )
            await self._desk.recorder.append(agent, payload, key=f"join/{agent}")
        elif known.persona != PERSONA:
            raise ValueError(f"{agent!r} is the name of a rider of this session; take another")

    def _message(self, document: Document) -> MessagePosted:
        kind = _OWN_TYPES.get(str(document.keys.get("post")), "chat")
        return MessagePosted(type=kind, body=self._cut(document.body))

    def _result(self, agent: str, document: Document) -> MessagePosted:
        keys = document.keys
        if keys.get("status") not in ("agent-run", "negative"):
            raise ValueError(f"status is {plain(str(keys.get('status')))[:40]!r}")
        speed, perplexity = (
            number_of(keys.get("tps"), "tps"),
            number_or_none(keys.get("ppl"), "ppl"),
        )
        method = text_of(keys.get("method"), "method", limit=200) or "(not named)"
        words = text_of(keys.get("description"), "description", limit=1000)
        ppl = "perplexity unknown" if perplexity is None else f"perplexity {perplexity:g}"
        figures = f"{speed:g} tokens/s, {ppl}, as {agent} reports it, not measured here: {method}."
        return MessagePosted(type="result", body=self._cut(f"{figures} {words}\n{document.body}"))

    def _addressed(self, agent: str, document: Document, said: MessagePosted) -> MessagePosted:
        names = list_of(document.keys.get("refs"), "refs", most=MOST_REFS)
        refs = (self._ids.get(name.rsplit("/", 1)[-1]) for name in names)
        named = dict.fromkeys(_MENTION.findall(said.body))
        mentions = tuple(one for one in named if one in self._desk.known.agents and one != agent)
        found = tuple(dict.fromkeys(ref for ref in refs if ref))
        return said.model_copy(update={"refs": found, "mentions": mentions})

    def _cut(self, text: str) -> str:
        """Return `text` made plain, and cut to what a post of this session may hold."""
        body = plain(text)
        if not body:
            raise ValueError("the text is empty")
        limit = self._desk.challenge.quotas.message_bytes
        raw = body.encode()
        if len(raw) <= limit:
            return body
        return raw[: limit - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _files(scratch: BucketReader) -> list[Listed]:
    """Return what may be taken in: Markdown files right in the two folders."""
    return [
        listed
        for folder in (MESSAGES, RESULTS)
        for listed in scratch.list(folder)
        if listed.path.count("/") == 1 and listed.path.endswith(".md")
    ]
