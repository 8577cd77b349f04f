"""Decodes LZ4 frames: what hf_xet sends of text.

Slow (a few MB a second) and enough for code and requests. Checksums are not compared: the bytes
came over a loopback socket. Knows no chunks and no files.
Format: github.com/lz4/lz4/blob/v1.10.0/doc/lz4_Frame_format.md and lz4_Block_format.md.
"""

_MAGIC = b"\x04\x22\x4d\x18"
_HAS_BLOCK_CHECKSUM, _HAS_SIZE, _HAS_DICTIONARY = 0x10, 0x08, 0x01
_IS_STORED = 1 << 31
_SHORTEST_MATCH = 4
_MORE = 15
"""A length of 15 goes on in the bytes that follow, each of 255 but the last."""


def decode(frame: bytes) -> bytes:
    """Return the content of one frame.

    Raises:
        ValueError: that is no LZ4 frame, or a damaged one.
    """
    if frame[:4] != _MAGIC:
        raise ValueError("no LZ4 frame")
    flags, at = frame[4], 6
    at += 8 * bool(flags & _HAS_SIZE) + 4 * bool(flags & _HAS_DICTIONARY) + 1
    out = bytearray()
    while size := int.from_bytes(frame[at : at + 4], "little"):
        length = size & ~_IS_STORED
        block = frame[at + 4 : at + 4 + length]
        if len(block) != length:
            raise ValueError("the LZ4 frame ends early")
        if size & _IS_STORED:
            out += block
        else:
            _block(block, out)
        at += 4 + length + 4 * bool(flags & _HAS_BLOCK_CHECKSUM)
    return bytes(out)


def _block(block: bytes, out: bytearray) -> None:
    at, end = 0, len(block)
    while at < end:
        token = block[at]
        literals, at = _length(block, at + 1, token >> 4)
        out += block[at : at + literals]
        at += literals
        if at >= end:  # the last sequence has literals only
            return
        distance = block[at] | block[at + 1] << 8
        match, at = _length(block, at + 2, token & _MORE)
        _copy(out, distance, match + _SHORTEST_MATCH)


def _length(block: bytes, at: int, length: int) -> tuple[int, int]:
    if length == _MORE:
        while (more := block[at]) == 255:  # noqa: PLR2004 - the format's own number
            length += more
            at += 1
        length += more
        at += 1
    return length, at


def _copy(out: bytearray, distance: int, length: int) -> None:
    """Append what lies `distance` back; it may overlap what is being written."""
    start = len(out) - distance
    if distance == 0 or start < 0:
        raise ValueError("the LZ4 block points before its begin")
    if distance >= length:
        out += out[start : start + length]
        return
    pattern = bytes(out[start:])
    out += (pattern * (length // distance + 1))[:length]
