"""Finds persona files, and turns them into the riders of a session.

Looked for in `./personas`, `./.claude/agents`, installed packages (entry points
`paceline.personas`) and beside this module; a name found earlier hides a later one.
"""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Literal, NamedTuple

from agents.persona import Persona
from agents.persona_file import parse_persona, problems_of, read_persona
from sandbox.errors import ConfigError

ENTRY_POINTS = "paceline.personas"

SHIPPED = Path(__file__).with_name("personas")

Origin = Literal["./personas", "./.claude/agents", "entry point", "shipped", "given"]

_TEMPLATE = """\
---
name: {name}
description: One sentence the others read when you join.
x-paceline:
  role: what you look after
  policy: explorer          # climber, quantiser, speculator, tuner, recombiner,
                            # sceptic, librarian, explorer, pruner
  temperature: 0.5          # 0 = always the best-looking idea, 2 = nearly any
  parent_policy: frontier   # best, frontier, recent, baseline
  focus: [weights.head]     # config paths you like to change
---
You are {name}. Say here who you are: what you read first on the board, what you
try, how you argue with numbers, and what you refuse to do.
"""


class Found(NamedTuple):
    """A persona and where its file is."""

    persona: Persona
    origin: Origin
    path: Path


class Rider(NamedTuple):
    """One agent of a session."""

    agent_name: str
    persona: Persona


def find_personas(root: Path = Path()) -> list[Found]:
    """Return every persona that can be named, those found first hiding later namesakes.

    Args:
        root: folder whose `personas` and `.claude/agents` are searched.

    Raises:
        ConfigError: a file that cannot be used, or an entry point that cannot be loaded; a file
            passed over in silence would be a rider nobody misses.
    """
    found: dict[str, Found] = {}
    for one in itertools.chain(
        _in_folder(root / "personas", "./personas"),
        _in_folder(root / ".claude" / "agents", "./.claude/agents"),
        _from_entry_points(),
        _in_folder(SHIPPED, "shipped"),
    ):
        found.setdefault(one.persona.name, one)
    return list(found.values())


def load_personas(spec: str | None = None, *, count: int, root: Path = Path()) -> list[Rider]:
    """Return `count` riders, the same ones for the same files.

    Args:
        spec: names, files and folders, separated by commas; None = every persona found.
        count: how many agents ride. Each persona first joins as often as its `count` says, then
            all join again in turn; the second `mira` is `mira-2`.
        root: what relative paths are relative to.

    Raises:
        ConfigError: unknown name (with the nearest), no such file, or a file that cannot be used.
    """
    if count < 1:
        raise ConfigError(f"agents = {count}: at least 1 rides", code="bad_count")
    chosen = [found.persona for found in _chosen(spec, root)]
    if not chosen:
        raise ConfigError(f"--personas {spec!r} names no persona", code="no_personas")
    first = [persona for persona in chosen for _ in range(persona.x_paceline.count)]
    return _named(itertools.islice(itertools.chain(first, itertools.cycle(chosen)), count), chosen)


def check_file(path: Path) -> list[str]:
    """Return what is wrong with a persona file, one sentence each; empty = it can ride."""
    return problems_of(path)


def new_persona_text(name: str) -> str:
    """Return a persona file to start from.

    Raises:
        ConfigError: `name` cannot be a persona's name.
    """
    text = _TEMPLATE.format(name=name)
    parse_persona(text, where=f"{name}.md")
    return text


def _chosen(spec: str | None, root: Path) -> list[Found]:
    if spec is None:
        return find_personas(root)
    chosen: list[Found] = []
    for item in (item.strip() for item in spec.split(",") if item.strip()):
        path = root / item
        if path.is_dir():
            chosen += _in_folder(path, "given")
        elif item.endswith(".md") or "/" in item:
            chosen.append(Found(read_persona(path), "given", path))
        else:
            chosen.append(_by_name(item, find_personas(root)))
    return chosen


def _by_name(name: str, known: Sequence[Found]) -> Found:
    for found in known:
        if found.persona.name == name:
            return found
    names = sorted(found.persona.name for found in known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    hint += f"Known are: {', '.join(names)}"
    raise ConfigError(f"unknown persona {name!r}", code="unknown_persona", hint=hint)


def _in_folder(folder: Path, origin: Origin) -> Iterator[Found]:
    for path in sorted(folder.glob("*.md"), key=lambda path: path.stem):
        if path.stem.lower() != "readme":
            yield Found(read_persona(path), origin, path)


def _from_entry_points() -> Iterator[Found]:
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS)):
        try:
            folder = Path(str(resources.files(entry.value)))
        except (ImportError, TypeError, ValueError) as error:
            raise ConfigError(
                f"entry point {entry.name!r} of {ENTRY_POINTS}: {entry.value!r}: {error}",
                code="bad_entry_point",
                hint="it must name a package that has persona files",
            ) from None
        yield from _in_folder(folder, "entry point")


def _named(personas: Iterable[Persona], chosen: Sequence[Persona]) -> list[Rider]:
    """Name each agent after its persona; copies get the next free number."""
    taken: set[str] = set()
    own = {persona.name for persona in chosen}
    riders = []
    for persona in personas:
        numbered = (f"{persona.name}-{number}" for number in itertools.count(2))
        names = itertools.chain([persona.name], (name for name in numbered if name not in own))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        riders.append(Rider(name, persona))
    return riders
