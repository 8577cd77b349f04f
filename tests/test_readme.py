"""What the README says is what the program prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class Shown(NamedTuple):
    """A command in a console block, and what the README says it prints."""

    command: str
    output: str


def shown_commands(text: str) -> list[Shown]:
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    pairs = [
        part.partition("\n")
        for block in blocks
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)
    ]
    return [Shown(command.strip(), output) for command, _, output in pairs if command.strip()]


SHOWN = [shown for shown in shown_commands(README) if shown.command.startswith("python -m ")]


def run(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "python"
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return result.stdout


def abridged(expected: str, printed: str) -> str:
    """Return `printed` with the lines left out that a line of dots in `expected` stands for."""
    if "\n...\n" not in f"\n{expected}":
        return printed
    head, _, tail = expected.partition("...\n")
    lines = printed.splitlines(keepends=True)
    first, last = len(head.splitlines()), len(tail.splitlines())
    return "".join([*lines[:first], "...\n", *(lines[-last:] if last else [])])


@pytest.mark.parametrize("shown", SHOWN, ids=[shown.command for shown in SHOWN])
def test_a_command_in_the_readme_prints_what_the_readme_says(shown: Shown) -> None:
    printed = run(shown.command)
    printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())

    assert abridged(shown.output, printed) == shown.output


def test_the_readme_shows_commands_with_their_output() -> None:
    assert len(SHOWN) >= 4


def test_the_picture_is_drawn_from_the_recorded_ride() -> None:
    drawn = run("python -m orchestrator lineage examples/first-ride --format svg")

    assert (ROOT / "docs" / "lineage.svg").read_text() == drawn


def test_the_tree_in_the_readme_is_the_tree_on_disk() -> None:
    block = re.search(r"^```text\n(orchestrator/.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block
    named = {line.split()[0] for line in block[1].splitlines() if line.strip()}
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    parents = {str(Path(name).parent) + "/" for name in listing.stdout.split()}
    packages = ("orchestrator/", "agents/", "tools/", "bench/", "sandbox/", "tests/", "examples/")

    assert named <= parents | {f"{p.split('/')[0]}/" for p in parents}
    assert {path for path in parents if path.startswith(packages[:5])} <= named


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text()

    assert {
        name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)
    } == set()
