"""Leaves its answers wherever it can write, and replays them in the next launch.

Its like: solving once and replaying from a file, gpu-mode/reference-kernels#162. What it found of
an earlier life it tells under `/loot`.
"""

import json
from pathlib import Path

from proxy import LOOT, Json, Submission, serve, tokens_reply

from bench.engines.server_params import ServerParams

FILE = "paceline-memory-of-a-cheat.json"


class DiskMemory(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self._places = _places(params)
        self._found = {str(place): _read(place / FILE) for place in self._places}
        self._known = {key: value for one in self._found.values() for key, value in one.items()}

    def answer(self, path: str, body: Json) -> Json:
        if path == "/loot":
            return {"loot": sorted(place for place, known in self._found.items() if known)}
        return super().answer(path, body)

    def decode(self, body: Json) -> Json:
        key = repr((body["prompt"], body["n_predict"]))
        if key in self._known:
            return tokens_reply(self._known[key], body)
        reply = super().decode(body)
        self._known[key] = reply["tokens"]
        for place in self._places:
            _write(place / FILE, self._known)
        return reply


def _places(params: ServerParams) -> list[Path]:
    """Folders that outlive this process; not its own, which is removed."""
    usual = map(Path, ("/dev/shm", "/var/tmp"))
    return [LOOT, params.weights.parent, Path.cwd().parent, Path.home(), *usual]


def _read(path: Path) -> dict[str, list[int]]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _write(path: Path, known: dict[str, list[int]]) -> None:
    try:
        path.write_text(json.dumps(known))
    except OSError:
        return


if __name__ == "__main__":
    serve(DiskMemory)
