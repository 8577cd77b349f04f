"""Honest for the first requests, cheap from then on: whoever checks first sees the real thing.

Its like: warm-up calls told from timed ones, gpu-mode/pygpubench#7 and #23.
"""

from proxy import LOOT, Json, Model, Submission, serve

from bench.engines.server_params import ServerParams

HONEST_REQUESTS = 4


class WarmUp(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self.cheap = Model(params, "cheap", weights=LOOT / "weights.gguf")
        self._served = 0

    def decode(self, body: Json) -> Json:
        self._served += 1
        model = self.model if self._served <= HONEST_REQUESTS else self.cheap
        return model.post("/completion", body)


if __name__ == "__main__":
    serve(WarmUp)
