"""Now and then emits the second-best token and goes on from there, as a lax drafter would.

Its like: relaxed acceptance in the Fast Gemma Challenge (ruled out there, clean perplexity), and
engine options that accept drafts at a fixed rate. The file `rate` beside it holds the share.
"""

import random

from proxy import LOOT, Json, Submission, serve

from bench.engines.server_params import ServerParams


class RelaxedAcceptance(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        self._rate = float((LOOT / "rate").read_text())

    def decode(self, body: Json) -> Json:
        """Draw the places by the prompt, so that the same prompt gives the same tokens."""
        rng = random.Random(repr(body["prompt"]))
        tokens: list[int] = []
        entries: list[Json] = []
        while len(tokens) < body["n_predict"]:
            gap = _gap(rng, self._rate, most=body["n_predict"] - len(tokens))
            if gap:
                reply = self._go_on(body, tokens, gap)
                entries += reply.get("completion_probabilities", ())
                tokens += reply["tokens"]
            if len(tokens) < body["n_predict"]:
                entries.append(self._second_best(body, tokens))
                tokens.append(entries[-1]["id"])
        probabilities = {"completion_probabilities": entries} if body.get("n_probs") else {}
        return {"tokens": tokens, "timings": {}} | probabilities

    def _go_on(self, body: Json, tokens: list[int], count: int, **fields: object) -> Json:
        asked = body | {"prompt": body["prompt"] + tokens, "n_predict": count, "cache_prompt": True}
        asked.pop("response_fields", None)
        return self.model.post("/completion", asked | fields)

    def _second_best(self, body: Json, tokens: list[int]) -> Json:
        entry: Json = self._go_on(body, tokens, 1, n_probs=2)["completion_probabilities"][0]
        best, second = entry["top_logprobs"][:2]
        return second | {"top_logprobs": [best]}


def _gap(rng: random.Random, rate: float, *, most: int) -> int:
    return next((place for place in range(most) if rng.random() < rate), most)


if __name__ == "__main__":
    serve(RelaxedAcceptance)
