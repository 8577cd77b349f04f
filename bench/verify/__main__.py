"""One verification as a process: `python -m bench.verify --request FILE`.

It writes `result.json`, a `JobOutcome`, beside the request, prints the same as its last line, and
tells its progress on standard error. The folder is the organiser's own: the request holds private
texts. Exit codes: 0 measured (passed or not), 5 it failed, 2 the request cannot be used, 130
interrupted.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench.frozen import parse
from bench.verify.request import VerifyRequest
from bench.verify.verifier import verify
from sandbox.errors import ConfigError, PacelineError

EXIT_MEASURED, EXIT_FAILED, EXIT_INTERRUPTED = 0, 5, 130
RESULT_NAME = "result.json"


def main(argv: list[str] | None = None) -> int:
    """Run one verification; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify", description="Judge a config.")
    parser.add_argument("--request", type=Path, required=True, help="JSON file of a VerifyRequest")
    file: Path = parser.parse_args(argv).request
    try:
        request = parse(VerifyRequest, _read(file), what=f"request {str(file)!r}")
    except PacelineError as error:
        sys.stderr.write(f"error: {error} [{error.code}]\n")
        return error.exit_code
    outcome = verify(request, tell=_tell)
    _write(file.with_name(RESULT_NAME), outcome.model_dump_json())
    sys.stdout.write(f"{outcome.model_dump_json()}\n")
    if outcome.status == "cancelled":
        return EXIT_INTERRUPTED
    return EXIT_MEASURED if outcome.status == "measured" else EXIT_FAILED


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"request {str(file)!r}: {error}", code="bad_request") from None


def _write(file: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
    Path(draft.name).replace(file)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being stopped is an outcome too
    sys.exit(main())
