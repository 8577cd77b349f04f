"""Computes a few tokens and then repeats them: likely text, and nearly free.

Its like: output never compared with anything, a blind spot of the Fast Gemma Challenge's verifier.
A loop has a low perplexity: a one-sided limit on the served likelihood calls it good.
"""

from proxy import Json, Submission, serve, tokens_reply

REAL_TOKENS = 8


class Loops(Submission):
    def decode(self, body: Json) -> Json:
        count = body["n_predict"]
        real = self.model.tokens(body["prompt"], min(count, REAL_TOKENS))
        return tokens_reply((real * count)[:count], body)


if __name__ == "__main__":
    serve(Loops)
