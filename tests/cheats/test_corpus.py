"""Every cheat is caught, no honest config is condemned; the real verifier on a real model.

`make test` runs the short form, `make test-cheats` the long one with the shipped numbers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.settings import Settings
from tests.cheats.corpus import Case, Form, cases
from tests.cheats.stand import Stand

LAYERS: dict[Form, int] = {"short": 30, "long": 18}


def corpus() -> Iterator[object]:
    """The short form's cases, then the long form's."""
    for form, layers in LAYERS.items():
        marks = [pytest.mark.slow, pytest.mark.timeout(1800)] if form == "long" else []
        for case in cases(layers, form):
            yield pytest.param(form, case, id=f"{case.name}, {form}", marks=marks)


pytestmark = [pytest.mark.engine, pytest.mark.enable_socket, pytest.mark.timeout(300)]


class Stands:
    """One stand per form, made when it is first asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._made: dict[Form, Stand] = {}

    def __getitem__(self, form: Form) -> Stand:
        if form not in self._made:
            folder = self._folder / form
            folder.mkdir()
            self._made[form] = Stand(form, folder, Settings().cache_folder, self._stack)
        return self._made[form]


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stands]:
    with ExitStack() as stack:
        yield Stands(tmp_path_factory.mktemp("stands"), stack)


@pytest.mark.parametrize(("form", "case"), list(corpus()))
def test_cheats_are_caught_and_honest_configs_are_not_condemned(
    form: Form,
    case: Case,
    stands: Stands,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # one of them writes into the folder its parent works in
    trial = stands[form].judge(case)
    record_property("trial", trial.summary())

    assert trial.is_condemned is case.is_cheat, trial.summary()
