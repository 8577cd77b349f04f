"""The rules of the house that a machine can check."""

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import errors

ROOT = Path(__file__).parent.parent
PACKAGES = ("orchestrator", "agents", "tools", "bench", "sandbox")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def names_of(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names_of(SOURCES))
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=names_of(SOURCES))
def test_no_function_is_longer_than_sixty_lines(path: Path) -> None:
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= 60
    ]

    assert long == []


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


DOORS = {
    "langgraph": {"orchestrator/supervisor.py", "orchestrator/checkpoints.py"},
    "langchain_core": {"orchestrator/supervisor.py", "orchestrator/checkpoints.py"},
    "sqlite3": {"tools/record/sqlite_store.py", "orchestrator/checkpoint_file.py"},
    "xllamacpp": {"bench/engines/llamacpp_server.py"},
    "torch": {"bench/engines/transformers_server.py"},
    "transformers": {"bench/engines/transformers_server.py"},
    "tokenizers": {"bench/engines/transformers_server.py"},
    "vllm": set(),  # it has a Python of its own
    "cryptography": {"orchestrator/keys.py"},
    "litellm": {"agents/models/litellm_model.py"},
    "huggingface_hub": {"sandbox/hub.py", "bench/artefacts/model_file.py"},
    "acp": {"agents/models/harness_acp.py"},
    "opentelemetry": {"orchestrator/tracing.py"},
}


@pytest.mark.parametrize("dependency", DOORS)
def test_a_heavy_dependency_has_one_door(dependency: str) -> None:
    users = {str(p.relative_to(ROOT)) for p in SOURCES if dependency in imports_of(p)}

    assert users <= DOORS[dependency]


def test_only_the_settings_read_the_environment() -> None:
    readers = [p for p in SOURCES if re.search(r"os\.(environ|getenv)", p.read_text())]

    assert names_of(readers) in ([], ["orchestrator/settings.py"])


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawing = re.findall(r"^ *[│├└─ ]*([A-Z]\w+)", inspect.getdoc(errors) or "", re.MULTILINE)
    drawn = [name for name in drawing if hasattr(errors, name)]
    real = [name for name, kind in vars(errors).items() if inspect.isclass(kind)]

    assert sorted(real) == sorted(drawn)


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


FORBIDDEN = {
    "a registry host": re.compile(r"py[p]i\.org|python[h]osted|registry\.npm[j]s|deb[.]debian"),
    "a machine's path": re.compile(r"(^|[^\w.])/(work|root|tmp/w)/", re.MULTILINE),
    "an unfinished place": re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tree_holds_nothing_private_or_unfinished(what: str) -> None:
    guilty = []
    for path in tracked_files():
        text = path.read_bytes()[:2_000_000].decode(errors="ignore")
        guilty += [path.name] if FORBIDDEN[what].search(text) else []

    assert guilty == []
