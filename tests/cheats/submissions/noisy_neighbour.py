"""Keeps the memory busy while nobody asks it anything: the baseline, served in turns, is slowed.

Its like: found here while the corpus was written; pairing is blind to it, since each side is timed
while the other is idle.
"""

import os
import threading
import time

import numpy as np
from proxy import Json, Submission, serve

from bench.engines.server_params import ServerParams

BYTES = 32 << 20
"""More than a core's cache holds."""
NAP_SECONDS = 0.002


class NoisyNeighbour(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self._is_asked = threading.Event()
        threading.Thread(target=self._stream, daemon=True).start()

    def answer(self, path: str, body: Json) -> Json:
        self._is_asked.set()
        try:
            return super().answer(path, body)
        finally:
            self._is_asked.clear()

    def _stream(self) -> None:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        source, sink = np.ones(BYTES, np.uint8), np.zeros(BYTES, np.uint8)
        while True:
            if self._is_asked.is_set():
                time.sleep(NAP_SECONDS)
            else:
                np.copyto(sink, source)


if __name__ == "__main__":
    serve(NoisyNeighbour)
