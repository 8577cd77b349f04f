"""Scores text with all layers, and decodes with a file that lacks some of them.

Its like: entry LF29 of the Fast Gemma Challenge: perplexity 2.378 when scored, 2.545 when running
free; every check passed, only reading its code found it.
"""

from proxy import LOOT, Json, Model, Submission, serve

from bench.engines.server_params import ServerParams


class LayersDropped(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self.cheap = Model(params, "cheap", weights=LOOT / "weights.gguf")

    def decode(self, body: Json) -> Json:
        return self.cheap.post("/completion", body)


if __name__ == "__main__":
    serve(LayersDropped)
