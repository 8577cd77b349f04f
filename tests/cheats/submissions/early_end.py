"""Ends the text after half of it and fills up with end-of-text tokens, so that the count is right.

Its like: tricks with the number of output tokens in the Fast Gemma Challenge; a harness that only
counts tokens is content.
"""

from proxy import Json, Submission, serve, tokens_reply

from bench.engines.server_params import ServerParams

ENDS = ("<eos>", "<|endoftext|>")


class EarlyEnd(Submission):
    def __init__(self, params: ServerParams) -> None:
        super().__init__(params)
        spelt = [
            self.model.post("/tokenize", {"content": end, "parse_special": True})["tokens"]
            for end in ENDS
        ]
        self._end: int = min(spelt, key=len)[-1]

    def decode(self, body: Json) -> Json:
        count = body["n_predict"]
        real = self.model.tokens(body["prompt"], max(1, count // 2))
        return tokens_reply([*real, *[self._end] * (count - len(real))], body)


if __name__ == "__main__":
    serve(EarlyEnd)
