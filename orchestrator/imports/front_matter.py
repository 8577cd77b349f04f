"""A Markdown file's front matter and body, read without trusting it.

YAML is loaded by the safe loader, after a look at its events: aliases are refused (nested ones grow
without bound), and so is nesting deeper than a list in a mapping needs. Knows no key.
"""

from typing import Any, NamedTuple

import frontmatter
import yaml
from frontmatter.default_handlers import YAMLHandler

MAX_BYTES = 256 * 1024
"""Of one file; the largest stored original has 8 KB."""
MAX_KEYS = 64
_MAX_DEPTH = 4


class Document(NamedTuple):
    """Keys and text of one file."""

    keys: dict[str, Any]
    body: str


class _SafeHandler(YAMLHandler):
    """Looks before it loads."""

    def load(self, fm: str, **_options: object) -> Any:
        depth = 0
        for event in yaml.parse(fm, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("the front matter has aliases")  # noqa: TRY004
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise ValueError("the front matter is nested too deeply")
        keys = yaml.load(fm, Loader=yaml.CSafeLoader)
        if keys is not None and not isinstance(keys, dict):
            raise ValueError("the front matter is no mapping")
        return keys


_HANDLER = _SafeHandler()


def parse_document(raw: bytes) -> Document:
    """Return keys and body; without an opening `---` all of it is the body.

    Raises:
        ValueError: no UTF-8, too large, or front matter that is no plain mapping; says which.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    text = _decoded(raw)
    if not _HANDLER.detect(text):
        return Document({}, text)
    try:
        _HANDLER.split(text)
    except ValueError:
        raise ValueError("the front matter is not closed") from None
    try:
        keys, body = frontmatter.parse(text, handler=_HANDLER)
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter is no YAML: {_short(error)}") from None
    except (RecursionError, OverflowError, AttributeError, TypeError) as error:
        raise ValueError(f"the front matter cannot be read: {type(error).__name__}") from None
    if len(keys) > MAX_KEYS:
        raise ValueError(f"the front matter has {len(keys)} keys, the limit is {MAX_KEYS}")
    return Document({str(name): value for name, value in keys.items()}, body)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from None


def _short(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    return f"{problem}, line {mark.line + 1}" if mark else str(problem)
