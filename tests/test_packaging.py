"""The guards that generic top-level names make necessary."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("orchestrator", "agents", "tools", "bench", "sandbox")


@pytest.mark.parametrize("name", PACKAGES)
def test_no_installed_distribution_owns_our_names(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, ()))

    assert owners <= {"paceline"}


def test_only_the_five_packages_would_ship() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = project["tool"]["setuptools"]["packages"]["find"]["include"]

    assert [f"{name}*" for name in PACKAGES] == shipped
    assert "scripts" not in project["project"]


def test_an_intruder_beside_the_entry_point_is_named(tmp_path: Path) -> None:
    """A foreign `agents` package that shadows ours ends in one sentence, not in a traceback."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; "
    code += "import runpy; runpy.run_module('orchestrator', run_name='__main__')"

    result = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert result.returncode == 2
    assert "agents" in result.stderr
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


def test_no_module_shadows_the_standard_library_or_a_dependency() -> None:
    names = {path.stem for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    foreign = sys.stdlib_module_names | set(importlib.metadata.packages_distributions())

    assert names & foreign <= {"__init__", "__main__", *PACKAGES}


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
