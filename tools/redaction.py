"""Secrets taken out of text: values handed in by whoever knows them, and shapes that keys have.

Pure: the same text and the same known values give the same text, and a text redacted once stays as
it is, with or without the values, so a replay needs none of them. Does not know where values come
from, and does not find a secret that was split up, reversed or encrypted.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)

LEAST_CHARACTERS = 8
"""Of a known value: blacking out shorter ones would black out ordinary words."""

SHAPES = re.compile(
    r"""
      (?<![A-Za-z0-9])(?:
          (?P<hf>hf_[A-Za-z0-9]{20,})
        | (?P<sk>sk-[A-Za-z0-9_-]{20,})
        | (?P<github>gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})
        | (?P<gitlab>glpat-[A-Za-z0-9_-]{20,})
        | (?P<slack>xox[abeprs]-[A-Za-z0-9-]{10,})
        | (?P<google>AIza[0-9A-Za-z_-]{35,})
        | (?P<aws>A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z_]))
        | (?P<jwt>eyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})
        | (?P<bearer>[Bb](?:earer|EARER)\s+(?=[A-Za-z._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{16,})
      )
    | (?P<pem>-----BEGIN\ [A-Z ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z))
    | (?i:(?<=authorization:)\s*(?P<basic>basic\s+[A-Za-z0-9+/]{8,}={0,2}))
    | (?<=://)(?P<url>[^\s/:@\[\]"'<>]{0,200}:[^\s/@\[\]"'<>]{1,200})(?=@)
    """,
    re.VERBOSE,
)
"""Hub, OpenAI-like, GitHub, GitLab, Slack, Google and AWS keys, JSON web tokens, bearer and basic
headers, PEM private keys to their end, and the user and password of a URL."""

_MARKS = tuple(
    re.compile(mark)
    for mark in (
        "_(?:(?<=hf_)|(?<=gh[pousr]_)|(?<=github_pat_))",
        "-(?:(?<=sk-)|(?<=glpat-))",
        "A(?:Iza|(?<=[KS]IA))",
        "J(?<=eyJ)",
        "R(?:(?<=EARER)|(?<=UTHOR)IZATION:|(?<=PR)IVATE KEY)",
        "z(?<=uthoriz)ation:",
        "xox",
        "earer",
        "://",
    )
)
"""One of them is in every text that `SHAPES` matches; looking for them costs a twentieth of that.
Each begins with what is rare in it: that the engine finds by leaps, faster than `in` a short text.
"""

_WORTH_KEEPING = range(2_000, 100_000)
"""Characters of texts that come again with every question, as rules and tools do."""
_MOST_KEPT = 64

_encoded = json.JSONEncoder(ensure_ascii=False, default=repr).encode


class Redactor:
    """Replaces known values and what is shaped like a key by `[redacted:KIND]`."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known`: secret values; they are found as they are and in their common encodings."""
        self._forms: tuple[str, ...] = ()
        self._harmless: set[str] = set()
        self.learn(*known)

    def learn(self, *values: str) -> None:
        """Know more values from here on; those too short to be told from words are left out."""
        usable = (value.strip() for value in values)
        forms = {form for value in usable if len(value) >= LEAST_CHARACTERS for form in _of(value)}
        # the longest first: a value may contain another
        self._forms = tuple(sorted({*self._forms, *forms}, key=lambda form: (-len(form), form)))
        self._harmless.clear()

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        if text in self._harmless:
            return text
        redacted = self._redacted(text)
        if redacted == text and len(text) in _WORTH_KEEPING:
            if len(self._harmless) >= _MOST_KEPT:
                self._harmless.clear()
            self._harmless.add(text)
        return redacted

    def _redacted(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, "[redacted:known]")
        if _has_mark(text):
            text = SHAPES.sub(_replacement, text)
        return text

    def raw(self, data: bytes) -> bytes:
        """Return `data`, which need not be text, without secrets; nothing else in it changes."""
        text = data.decode("utf-8", "surrogateescape")
        redacted = self(text)
        return data if redacted == text else redacted.encode("utf-8", "surrogateescape")

    def value(self, value: Any) -> Any:
        """Return JSON-able `value` with every text in it redacted, names of members too."""
        # one text instead of many: encoding it costs a tenth of looking into each
        return self._walked(value) if self._may_hold_one(_encoded(value)) else value

    def _walked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self._walked(name): self._walked(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._walked(inner) for inner in value]
        if isinstance(value, tuple):
            return tuple(self._walked(inner) for inner in value)
        return value

    def record(self, record: T) -> T:
        """Return `record` with its texts redacted; itself when there is nothing to do."""
        try:
            # see `value`
            if not self._may_hold_one(record.model_dump_json()):
                return record
        except ValueError:  # a lone surrogate; whoever stores it cleans it
            pass
        data = record.model_dump(mode="json")
        redacted = self._walked(data)
        return record if redacted == data else type(record).model_validate(redacted)

    def _may_hold_one(self, text: str) -> bool:
        """Return False when neither `text` nor what it says as JSON can hold a secret."""
        return _has_mark(text) or any(form in text for form in self._forms)


def redact(text: str) -> str:
    """Return `text` without what is shaped like a secret, for whoever knows no values."""
    return _SHAPES_ALONE(text)


def find_secret(text: str) -> str | None:
    """Return the first characters of what is shaped like a secret; never the whole of it."""
    if not _has_mark(text):
        return None
    found = SHAPES.search(text)
    return f"{found.group()[:6]}..." if found else None


def secret_in_json(text: str) -> str | None:
    """Return what `find_secret` says of the texts in a JSON document."""
    if not _has_mark(text):
        return None
    # one text after another: in the document itself a line break before a key reads as a letter
    found = (find_secret(one) for one in _texts(json.loads(text)))
    return next((one for one in found if one), None)


def _has_mark(text: str) -> bool:
    # a loop, not a generator: most texts are short, and there the generator is the cost
    for mark in _MARKS:  # noqa: SIM110
        if mark.search(text):
            return True
    return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


_SHAPES_ALONE = Redactor()


def _replacement(match: re.Match[str]) -> str:
    return f"[redacted:{match.lastgroup}]"


def _of(value: str) -> Iterable[str]:
    """Yield the forms under which `value` travels: itself, in JSON, in a URL, in base64, in hex."""
    data = value.encode("utf-8", "surrogateescape")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="", errors="replace")
    yield quote_plus(value, errors="replace")
    yield data.hex()
    yield data.hex().upper()
    yield base64.b64encode(data).decode()
    yield base64.urlsafe_b64encode(data).decode()
    for offset in range(3):
        # Within a longer text its base64 depends on where it begins; what hangs on the neighbours
        # is cut off at both ends.
        coded = base64.b64encode(b"\0" * offset + data)
        whole = 4 * ((offset + len(data)) // 3)
        yield (form := coded[(0, 2, 3)[offset] : whole].decode())
        yield form.translate(str.maketrans("+/", "-_"))
