"""The one documented entry: `python -m orchestrator VERB`.

The five packages have generic names, so another distribution may shadow one of them. That is said
in one sentence here, before anything of theirs is imported.
"""

import importlib.util
import sys
from pathlib import Path

SIBLINGS = ("agents", "tools", "bench", "sandbox")


def intruder() -> str | None:
    """Return a sentence about the first sibling that is missing or somebody else's."""
    root = Path(__file__).resolve().parent.parent
    for name in SIBLINGS:
        spec = importlib.util.find_spec(name)
        places = [
            Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()
        ]
        if places == [root / name]:
            continue
        found = f"the one Python finds is {places[0]}" if places else "Python finds none"
        return (
            f"paceline: package {name!r} must be {root / name}, but {found}. Run "
            "`python -m orchestrator` in the checkout, in an environment without that package"
        )
    return None


if __name__ == "__main__":
    if sentence := intruder():
        print(sentence, file=sys.stderr)  # noqa: T201  (no console yet)
        raise SystemExit(2)
    from orchestrator.cli.app import main

    main()
