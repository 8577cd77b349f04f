"""The formats of Xet, in which the Hub's clients send and fetch the bytes of files.

A file is a list of terms, each a run of chunks in a xorb; a shard tells which. What is uploaded is
decoded here; what is downloaded is packed anew as one uncompressed xorb, whose name is that of the
file. Knows no HTTP and no buckets. Formats: huggingface.co/docs/xet (shard, xorb).
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sandbox.fake_hub.lz4_frames import decode

CHUNK_BYTES = 65_536
_HEADER, _ENTRY, _CHUNK_HEADER = 48, 48, 8
_END = b"\xff" * 32
_HAS_VERIFICATION, _HAS_METADATA = 1 << 31, 1 << 30
_STORED, _LZ4, _GROUPED_LZ4 = range(3)


class Term(NamedTuple):
    """A run of chunks of one xorb."""

    xorb: str
    first: int
    end: int


def files_of(shard: bytes) -> dict[str, tuple[Term, ...]]:
    """Return the files that a shard tells of: hash -> terms."""
    files, at = {}, _HEADER
    while shard[at : at + 32] != _END:
        name = hash_text(shard[at : at + 32])
        flags, count = struct.unpack_from("<II", shard, at + 32)
        at += _ENTRY
        files[name] = tuple(_term(shard, at + _ENTRY * number) for number in range(count))
        entries = count * (2 if flags & _HAS_VERIFICATION else 1) + bool(flags & _HAS_METADATA)
        at += _ENTRY * entries
    return files


def _term(shard: bytes, at: int) -> Term:
    _flags, _size, first, end = struct.unpack_from("<4I", shard, at + 32)
    return Term(hash_text(shard[at : at + 32]), first, end)


def hash_text(raw: bytes) -> str:
    """Return a hash as it is written in addresses: four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def content(terms: tuple[Term, ...], xorbs: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a file."""
    return b"".join(
        chunk for term in terms for chunk in _chunks(xorbs[term.xorb], term.first, term.end)
    )


def _chunks(xorb: bytes, first: int, end: int) -> Iterator[bytes]:
    """Yield the chunks from number `first` to before `end`."""
    at = number = 0
    while number < end and at + _CHUNK_HEADER <= len(xorb):
        packed_bytes = int.from_bytes(xorb[at + 1 : at + 4], "little")
        if number >= first:
            size = int.from_bytes(xorb[at + 5 : at + 8], "little")
            body = xorb[at + _CHUNK_HEADER : at + _CHUNK_HEADER + packed_bytes]
            yield _unpacked(body, xorb[at + 4], size)
        at += _CHUNK_HEADER + packed_bytes
        number += 1


def _unpacked(body: bytes, scheme: int, size: int) -> bytes:
    if scheme == _STORED:
        return body
    if scheme == _LZ4:
        return decode(body)
    if scheme == _GROUPED_LZ4:
        return _ungrouped(decode(body), size)
    raise ValueError(f"unknown compression scheme {scheme}")


def _ungrouped(grouped: bytes, size: int) -> bytes:
    """Undo the grouping by position in words of four bytes."""
    out, at = bytearray(size), 0
    for position in range(4):
        count = len(range(position, size, 4))
        out[position::4] = grouped[at : at + count]
        at += count
    return bytes(out)


def packed(data: bytes) -> bytes:
    """Return `data` as a xorb of uncompressed chunks."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return b"".join(_header(len(chunk)) + chunk for chunk in chunks)


def _header(size: int) -> bytes:
    return b"\0" + size.to_bytes(3, "little") + bytes([_STORED]) + size.to_bytes(3, "little")


def reconstruction(name: str, size: int, url: str) -> dict[str, object]:
    """Return how a client puts the file `name` together, all of it from the xorb at `url`."""
    count = -(-size // CHUNK_BYTES)
    chunks = {"start": 0, "end": count}
    whole = {"start": 0, "end": size + count * _CHUNK_HEADER - 1}
    return {
        "offset_into_first_range": 0,
        "terms": [{"hash": name, "unpacked_length": size, "range": chunks}],
        "fetch_info": {name: [{"range": chunks, "url": url, "url_range": whole}]},
    }
