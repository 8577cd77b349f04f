"""Text typed by agents, made safe to store: no control, bidi, zero-width or surrogate characters.

The record keeps what this returns; views clean once more for terminals.
"""

import unicodedata

from sandbox.errors import ToolError

_HARMLESS = "\n\t"
_STRIPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode categories: control, format (bidi, zero-width), surrogate, private, unassigned."""


def plain(text: str) -> str:
    """Return `text` without characters that could hide or reorder what a reader sees."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = (c for c in text if c in _HARMLESS or unicodedata.category(c) not in _STRIPPED)
    return "".join(kept).strip()


def body_of(text: str, *, limit_bytes: int) -> str:
    """Return `text` made plain.

    Raises:
        ToolError: empty, or longer than `limit_bytes` of UTF-8; the agent writes less.
    """
    body = plain(text)
    if not body:
        raise ToolError("the text is empty", code="empty_text", hint="say something")
    size = len(body.encode())
    if size > limit_bytes:
        raise ToolError(
            f"the text has {size} bytes, the limit is {limit_bytes}",
            code="text_too_long",
            hint="say it shorter or in several messages",
        )
    return body
