"""Reads a bucket in the layout of the Fast Gemma Challenge: one Markdown file for everything said.

A file that cannot be read is a problem with its reason, and what it held; the others are read.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeVar

from orchestrator.imports.bucket_reader import BucketReader, Listed
from orchestrator.imports.collaboration import (
    AgentFile,
    Collaboration,
    Post,
    Problem,
    Result,
    Status,
)
from orchestrator.imports.front_matter import MAX_BYTES, Document, parse_document
from orchestrator.imports.values import (
    agent_of,
    list_of,
    moment_of,
    number_of,
    number_or_none,
    stamp_of,
    text_of,
)
from orchestrator.imports.verdict_posts import rulings_of, settled
from tools.plain_text import plain

INDEX = "results/verification_status.json"
PROVENANCE = "PROVENANCE.jsonl"
"""Of stored copies: which stamps were made up."""
READ = ("agents", "message_board", "results", "inbox", PROVENANCE)
MAX_INDEX_BYTES = 16 * 1024 * 1024
LONGEST_TEXT = 65_536
MINUTE_SECONDS = 60.0
MOST_REFS = 50
MOST_PARENTS = 20

T = TypeVar("T")
Tell = Callable[[int], None]
"""Called with how many files were looked at."""


def read_bucket(reader: BucketReader, *, tell: Tell = lambda _done: None) -> Collaboration:
    """Return what a bucket says.

    Raises:
        ConfigError: nothing of the layout is in it, or more files than anybody posts.
    """
    return _Bucket(reader, tell).read()


def is_bucket(names: list[str]) -> bool:
    """Return whether the names at the top of a folder are those of a bucket."""
    return not {"message_board", "results", "agents"}.isdisjoint(names)


class _Bucket:
    """One reading of a bucket."""

    def __init__(self, reader: BucketReader, tell: Tell) -> None:
        self._reader = reader
        self._tell = tell
        self._looked_at = 0
        self._problems: list[Problem] = []
        self._unreal = self._made_up()

    def read(self) -> Collaboration:
        agents = list(self._each("agents", _agent))
        results = [self._timed(one) for one in self._each("results", _result, besides=INDEX)]
        posts = list(self._each("message_board", _post))
        known = {one.file for one in posts}
        # a copy in an inbox is told from the message itself by its folder alone
        posts += {
            one.file: one for one in self._each("inbox", _post) if one.file not in known
        }.values()
        states = self._states()
        found = rulings_of(posts, source="message_board/")
        rulings, complaints = settled(states, found, known={one.file for one in results})
        self._problems += complaints
        return Collaboration(
            agents=tuple(agents),
            posts=tuple(posts),
            results=tuple(results),
            rulings=tuple(rulings),
            problems=tuple(self._problems),
            not_read=self._others(),
        )

    def _each(
        self, folder: str, read: Callable[[str, Document], tuple[T, str]], *, besides: str = ""
    ) -> Iterator[T]:
        taken: set[str] = set()
        for listed in self._reader.list(folder):
            if listed.path == besides:
                continue
            self._looked_at += 1
            self._tell(self._looked_at)
            name = PurePosixPath(listed.path).name
            if name in taken and folder != "inbox":
                raw = self._raw(listed, MAX_BYTES) or b""
                self._problems.append(Problem(listed.path, "another file has this name", raw))
                continue
            taken.add(name)
            value = self._one(listed, read)
            if value is not None:
                yield value

    def _one(self, listed: Listed, read: Callable[[str, Document], tuple[T, str]]) -> T | None:
        raw = self._raw(listed, MAX_BYTES + 1)
        if raw is None:
            return None
        try:
            value, remark = read(listed.path, parse_document(raw))
        except ValueError as error:
            self._problems.append(Problem(listed.path, str(error), raw[:MAX_BYTES]))
            return None
        if remark:
            self._problems.append(Problem(listed.path, remark))
        return value

    def _raw(self, listed: Listed, limit_bytes: int) -> bytes | None:
        if listed.problem:
            self._problems.append(Problem(listed.path, listed.problem, b""))
            return None
        try:
            return self._reader.read(listed.path, limit_bytes=limit_bytes)
        except OSError as error:
            reason = f"cannot be read: {error.strerror or type(error).__name__}"
            self._problems.append(Problem(listed.path, reason, b""))
            return None

    def _states(self) -> dict[str, str]:
        """Return the index of verdicts: file name -> state, as it is written there."""
        for listed in self._reader.list(INDEX):
            raw = self._raw(listed, MAX_INDEX_BYTES + 1)
            if raw is None:
                return {}
            try:
                data = json.loads(raw[: MAX_INDEX_BYTES + 1])
            except (ValueError, RecursionError) as error:
                reason = f"the index of verdicts is no JSON: {type(error).__name__}"
                self._problems.append(Problem(INDEX, reason, raw[:MAX_BYTES]))
                return {}
            if isinstance(data, dict):
                return {str(name): str(state)[:40] for name, state in data.items()}
            self._problems.append(Problem(INDEX, "the index of verdicts is no mapping", raw))
        return {}

    def _made_up(self) -> frozenset[str]:
        """Return the files whose stamps were made up by whoever stored them."""
        found = set()
        for listed in self._reader.list(PROVENANCE):
            raw = self._raw(listed, MAX_INDEX_BYTES) or b""
            for line in raw.splitlines():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict) and row.get("stamp") == "synthetic":
                    found.add(str(row.get("path")))
        return frozenset(found)

    def _timed(self, result: Result) -> Result:
        return result._replace(has_real_time=result.source not in self._unreal)

    def _others(self) -> dict[str, int]:
        return {name: 1 for name in self._reader.folders() if name not in READ}


# --- one file each: the value, and a remark where something was not as it should be


def _agent(path: str, document: Document) -> tuple[AgentFile, str]:
    keys, name = document.keys, PurePosixPath(path).name
    agent = agent_of(name.removesuffix(".md"), "the name")
    said = keys.get("agent_name", agent)
    remark = "" if said == agent else f"registers {plain(str(said))[:60]!r} under another name"
    joined = keys.get("joined")
    return (
        AgentFile(
            file=path,
            agent=agent,
            model=text_of(keys.get("agent_model"), "agent_model", limit=200),
            harness=text_of(keys.get("agent_harness"), "agent_harness", limit=200),
            account=text_of(keys.get("hf_user"), "hf_user", limit=100),
            joined=None if joined is None else moment_of(joined, "joined"),
            bio=plain(document.body)[:LONGEST_TEXT],
        ),
        remark,
    )


def _post(path: str, document: Document) -> tuple[Post, str]:
    keys, name = document.keys, PurePosixPath(path).name
    moment, author = stamp_of(name)
    body = plain(document.body)
    remarks = [_mismatch(keys, moment, author)]
    remarks += ["cut after 65,536 characters"] * (len(body) > LONGEST_TEXT)
    return (
        Post(
            file=name,
            time=moment,
            author=author,
            type=text_of(keys.get("type"), "type", limit=40) or "agent",
            via=text_of(keys.get("via"), "via", limit=40),
            refs=tuple(map(_name_in, list_of(keys.get("refs"), "refs", most=MOST_REFS))),
            body=body[:LONGEST_TEXT],
        ),
        _joined(remarks),
    )


def _result(path: str, document: Document) -> tuple[Result, str]:
    keys, name = document.keys, PurePosixPath(path).name
    moment, agent = stamp_of(name)
    status = _status(keys.get("status"))
    speed = keys.get("tps")
    body = plain(document.body)
    remarks = [_mismatch(keys, moment, agent)]
    remarks += ["cut after 65,536 characters"] * (len(body) > LONGEST_TEXT)
    return (
        Result(
            file=name,
            source=path,
            time=moment,
            agent=agent,
            method=text_of(keys.get("method"), "method", limit=500) or "(not named)",
            status=status,
            tokens_per_second=(
                number_of(speed, "tps") if status == "agent-run" else number_or_none(speed, "tps")
            ),
            perplexity=number_or_none(keys.get("ppl"), "ppl"),
            description=text_of(keys.get("description"), "description", limit=LONGEST_TEXT),
            body=body[:LONGEST_TEXT],
            parents=tuple(
                map(_name_in, list_of(keys.get("parents"), "parents", most=MOST_PARENTS))
            ),
        ),
        _joined(remarks),
    )


def _status(value: Any) -> Status:
    if value in ("agent-run", "negative"):
        status: Status = value
        return status
    raise ValueError(f"status is {plain(str(value))[:40]!r}, not agent-run or negative")


def _mismatch(keys: dict[str, Any], moment: float, agent: str) -> str:
    """The server writes both the name and the stamped keys, so they agree unless it was edited."""
    if keys.get("agent", agent) != agent:
        said = plain(str(keys["agent"]))[:60]
        return f"the name says {agent!r}, agent says {said!r}; the name counts"
    stamp = keys.get("timestamp")
    try:
        apart = 0.0 if stamp is None else abs(moment_of(stamp, "timestamp") - moment)
    except ValueError as error:
        return f"{error}; the name counts"
    if apart > MINUTE_SECONDS:
        return f"timestamp lies {apart:.0f} s from the name's stamp; the name counts"
    return ""


def _name_in(text: str) -> str:
    """Return the file name in a path such as `results/NAME.md`."""
    return text.rsplit("/", 1)[-1]


def _joined(remarks: list[str]) -> str:
    return "; ".join(one for one in remarks if one)
