"""What is too large for an event and must not be lost: prompts, files, what commands wrote.

Content-addressed by SHA-256 in one append-only file beside the record, so a text that returns
(rules, tools, a persona) is stored once. Knows bytes; the record says what they mean. One writer,
who holds the session's lock; an entry torn by a kill is ignored and written again.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import RecordError
from tools.redaction import Redactor

FILE = "blobs.pack"
_HEAD = struct.Struct(">32sI")
"""SHA-256 of the content, bytes of its zlib form."""


_FAST = 1
"""Of zlib: half the time of its default for a tenth more bytes."""
_SHORT_BYTES = 1 << 15
_SHORT_WINDOW = 13
_SHORT_MEMORY = 6
"""Of zlib, for what is short: with its defaults the quarter of a megabyte that it sets up for each
takes 50 us, three times as long as to compress a prompt."""


class _Entry(NamedTuple):
    """A content and its SHA-256."""

    name: str
    data: bytes


class Blobs:
    """The blobs of one session. Nothing is opened before something is put or asked for."""

    def __init__(self, file: Path, *, redact: Redactor | None = None) -> None:
        self.file = file
        self._redact = redact or Redactor()
        self._places: dict[str, tuple[int, int]] = {}
        self._scanned_bytes = 0

    def put(self, content: bytes | str) -> str:
        """Store `content` without its secrets, unless it is there; return the SHA-256 in hex.

        The hash is of what is stored: where a secret was replaced, not of `content`.
        """
        entry = self._entry(content)
        self._store([entry])
        return entry.name

    def put_list(self, parts: Iterable[str]) -> str:
        """Store each part and the list of them, with one write; return the list's SHA-256."""
        entries = [self._entry(part) for part in parts]
        names = _named(json.dumps([entry.name for entry in entries]).encode())
        self._store([*entries, names])
        return names.name

    def _entry(self, content: bytes | str) -> _Entry:
        if isinstance(content, str):
            return _named(self._redact(content).encode())
        return _named(self._redact.raw(content))

    def _store(self, entries: Sequence[_Entry]) -> None:
        if all(entry.name in self._places for entry in entries):
            return
        self._scan()
        new, placed = b"", dict[str, tuple[int, int]]()
        for name, data in entries:
            if name not in self._places and name not in placed:
                packed = _packed(data)
                placed[name] = (self._scanned_bytes + len(new) + _HEAD.size, len(packed))
                new += _HEAD.pack(bytes.fromhex(name), len(packed)) + packed
        if new:
            self._write(new)
            self._places |= placed  # not before: a full disk stores nothing

    def _write(self, entries: bytes) -> None:
        with self.file.open("ab") as pack:
            pack.truncate(self._scanned_bytes)  # of an entry that a kill tore
            pack.write(entries)
        self._scanned_bytes += len(entries)

    def get(self, name: str) -> bytes:
        """Return the content called `name`.

        Raises:
            RecordError: `blob_missing`, or `blob_damaged`; whoever replays sees it.
        """
        if name not in self._places:
            self._scan()
        if name not in self._places:
            raise RecordError(
                f"blob {name[:16]!r} is not in {str(self.file)!r}",
                code="blob_missing",
                hint="restore the session from a copy that has its blobs",
            )
        at, size = self._places[name]
        with self.file.open("rb") as pack:
            pack.seek(at)
            packed = pack.read(size)
        try:
            data = zlib.decompress(packed)
        except zlib.error:
            data = b""
        if hashlib.sha256(data).hexdigest() != name:
            raise RecordError(f"blob {name[:16]!r} was changed", code="blob_damaged")
        return data

    def get_list(self, name: str) -> Sequence[str]:
        """Return the parts of a list stored with `put_list`."""
        return [self.get(part).decode() for part in json.loads(self.get(name))]

    def names(self) -> Sequence[str]:
        """Return the SHA-256 of everything stored, in the order it was."""
        self._scan()
        return list(self._places)

    def __contains__(self, name: str) -> bool:
        self._scan()
        return name in self._places

    def _scan(self) -> None:
        """Take in the entries written since the last look."""
        try:
            size = self.file.stat().st_size
        except FileNotFoundError:
            return
        if size == self._scanned_bytes:
            return
        with self.file.open("rb") as pack:
            while True:
                pack.seek(self._scanned_bytes)
                head = pack.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return
                digest, length = _HEAD.unpack(head)
                at = self._scanned_bytes + _HEAD.size
                if at + length > size:
                    return
                self._places[digest.hex()] = (at, length)
                self._scanned_bytes = at + length


def _named(data: bytes) -> _Entry:
    return _Entry(hashlib.sha256(data).hexdigest(), data)


def _packed(data: bytes) -> bytes:
    if len(data) > _SHORT_BYTES:
        return zlib.compress(data, _FAST)
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _SHORT_WINDOW, _SHORT_MEMORY)
    return packer.compress(data) + packer.flush()
