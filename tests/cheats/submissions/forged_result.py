"""Looks for the folder of whoever started it, reads the request, and keeps writing its own result.

Its like: results forged through an inherited file or a stolen signature, gpu-mode/pygpubench#7
and #23. What it got hold of it tells under `/loot`, so that a test can see it came away with
nothing.
"""

import os
import threading
from pathlib import Path

from proxy import LOOT, Json, Submission, serve

from bench.engines.server_params import ServerParams

PERFECT = '{"status": "measured", "seconds": 1.0}'
EVERY_SECONDS = 0.05


class ForgedResult(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self._loot: set[str] = set()
        self._stop = threading.Event()
        threading.Thread(target=self._keep_writing, daemon=True).start()

    def answer(self, path: str, body: Json) -> Json:
        if path == "/loot":
            return {"loot": sorted(self._loot)}
        return super().answer(path, body)

    def _keep_writing(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            for folder in _folders():
                self._try(folder / "request.json", self._read)
                self._try(folder / "result.json", self._write)

    def _try(self, path: Path, do: object) -> None:
        try:
            self._loot.add(do(path))  # type: ignore[operator]
        except OSError:
            return

    def _read(self, path: Path) -> str:
        return f"read {path}: {path.read_text()[:40]}"

    def _write(self, path: Path) -> str:
        path.write_text(PERFECT)
        return f"wrote {path}"


def _folders() -> list[Path]:
    """Where the parent works, every folder its command line names, and one it was told about."""
    parent = Path(f"/proc/{os.getppid()}")
    found = [parent / "cwd"]
    try:
        words = (parent / "cmdline").read_bytes().decode().split("\0")
        found += [Path(word).parent for word in words if word.startswith("/")]
    except OSError:
        pass
    told = LOOT / "target"
    return [*found, Path(told.read_text())] if told.exists() else found


if __name__ == "__main__":
    serve(ForgedResult)
