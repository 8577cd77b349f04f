"""The base of every value in the bench: immutable, and strict about unknown fields."""

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Tag, ValidationError

from sandbox.errors import ConfigError

T = TypeVar("T", bound=BaseModel)


class Frozen(BaseModel):
    """An immutable record whose unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def is_absent(value: object) -> bool:
    """Return whether an optional field says nothing.

    For `Field(default=None, exclude_if=is_absent)`: a field that a recorded model learnt later is
    left out where it says nothing, so that older records keep their hashes when they are re-run.
    """
    return value is None


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` or, when nothing is near, the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"


def parse(kind: type[T], data: object, *, what: str) -> T:
    """Validate `data` as `kind`.

    Raises:
        ConfigError: naming `what`, the field, the value and the limit; whoever typed it sees it.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{what}: {_first_problem(kind, error)}", code="bad_field") from None


def _first_problem(kind: type[BaseModel], error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    # A misspelt field is also a missing one; the misspelling is what helps.
    unknown = (problem for problem in problems if problem["type"] == "extra_forbidden")
    problem = next(unknown, problems[0])
    path, holder = _walk(kind, [str(part) for part in problem["loc"]])
    if problem["type"] == "union_tag_invalid":
        tag, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"].replace("'", "")
        return f"{'.'.join(path)}: unknown {tag!r}; {nearest_name(tag, known.split(', '))}"
    if problem["type"] == "extra_forbidden":
        known = holder.model_fields
        return f"unknown field {'.'.join(path)!r}; {nearest_name(path[-1], known)}"
    return f"{'.'.join(path) or 'value'} = {problem['input']!r:.200}: {problem['msg']}"


def _tagged(annotation: object) -> dict[str, type[BaseModel]]:
    """Return the models a field may hold, by the tag that tells them apart."""
    inner = get_args(annotation)
    if len(inner) > 1 and isinstance(inner[1], Tag):
        return {inner[1].tag: inner[0]}
    return {tag: one for part in inner for tag, one in _tagged(part).items()}


def _walk(kind: type[BaseModel], places: Sequence[str]) -> tuple[list[str], type[BaseModel]]:
    """Return the path as it was typed, and the model that holds its last part.

    Where a field may be one of several models, the library names the one that was meant in between.
    """
    path: list[str] = []
    meant: dict[str, type[BaseModel]] = {}
    for part in places:
        if part in meant:
            kind, meant = meant[part], {}
            continue
        field = kind.model_fields.get(part)
        path.append(part)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kind = inner
        else:
            meant = _tagged(inner)
    return path, kind
