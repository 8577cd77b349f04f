"""Tries to read what it should not be able to, and says what came of it; run as a file.

`probe.py PATH...` prints a JSON object: for each path `read`, or the name of the error. Started
confined like something else, it shows what that could read.
"""

import json
import os
import sys


def attempt(path: str) -> str:
    """Return `read` when the file or folder could be read, else the name of the error."""
    try:
        if os.path.isdir(path):  # noqa: PTH112
            os.listdir(path)  # noqa: PTH208
        else:
            with open(path, "rb") as file:  # noqa: PTH123
                file.read(1)
    except OSError as error:
        return type(error).__name__
    return "read"


if __name__ == "__main__":
    sys.stdout.write(json.dumps({path: attempt(path) for path in sys.argv[1:]}))
