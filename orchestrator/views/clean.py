"""Text written by agents, made safe for a terminal.

Knows nothing of rich: consoles that print the result must have markup switched off.
"""

import re

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)|\x1b.", re.DOTALL
)
_LINE_BREAK = re.compile(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Return `text` without escape sequences, control, bidi, zero-width or surrogate characters.

    Line breaks of every kind become a newline; other white space becomes a space.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_BREAK.sub("\n", _ESCAPE_SEQUENCE.sub("", text))
    return "".join(map(_shown, text))


def one_line(text: str, *, limit: int | None = None) -> str:
    """Return `text` cleaned, on one line, cut with an ellipsis after `limit` characters."""
    line = " ".join(clean(text).split())
    if limit is None or len(line) <= limit:
        return line
    return line[: limit - 1].rstrip() + "…"


def _shown(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return " " if character.isspace() else ""
