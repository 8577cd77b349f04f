"""Starts a server that lies outside the project: a submission, with the same parameter file.

    python -m bench.engines.outside_server --params FILE.json

It only makes the submission's folder importable and hands over. What runs then is not ours: its
answers are evidence, and the clock is elsewhere.
"""

import argparse
import runpy
import sys
from pathlib import Path

from bench.engines.server_params import ServerParams


def main() -> None:
    """Become the submission's server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    params = ServerParams.model_validate_json(parser.parse_args().params.read_text())
    assert params.server is not None
    assert params.server_folder is not None
    sys.path.insert(0, str(params.server_folder))
    runpy.run_module(params.server, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
