"""Says it keeps every token, serves a pruned head, and invents a probability for what it lacks.

Its like: scorers that skip targets outside the kept vocabulary; a head of 16k ids then looks
better than the reference (5.81 against 10.17, measured). Skipping is not possible where the scorer
counts answers, so this one answers.
"""

import json

from proxy import LOOT, Json, Model, Submission, serve

from bench.engines.server_params import ServerParams

INVENTED_LOGPROB = -2.0
UNKNOWN_ROW = 0


class InventedProbabilities(Submission):
    def __init__(self, params: ServerParams) -> None:
        self.params = params
        self.model = Model(params, weights=LOOT / "weights.gguf")
        self._ids: list[int] = json.loads((LOOT / "kept.json").read_text())
        self._rows = {id_: row for row, id_ in enumerate(self._ids)}

    def decode(self, body: Json) -> Json:
        return self._whole(super().decode(self._pruned(body)))

    def score(self, body: Json) -> Json:
        (target, bias), *_ = body["logit_bias"]
        if target not in self._rows:
            entry = {"id": target, "logprob": INVENTED_LOGPROB}
            return {"completion_probabilities": [entry | {"top_logprobs": [entry]}]}
        asked = self._pruned(body) | {"logit_bias": [[self._rows[target], bias]]}
        return self._whole(super().score(asked))

    def _pruned(self, body: Json) -> Json:
        return body | {"prompt": [self._rows.get(id_, UNKNOWN_ROW) for id_ in body["prompt"]]}

    def _whole(self, reply: Json) -> Json:
        if "tokens" in reply:
            reply["tokens"] = [self._ids[row] for row in reply["tokens"]]
        for entry in reply.get("completion_probabilities", ()):
            for one in (entry, *entry["top_logprobs"]):
                one["id"] = self._ids[one["id"]]
        return reply


if __name__ == "__main__":
    serve(InventedProbabilities)
