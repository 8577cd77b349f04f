"""Stops after half of the tokens that were asked for.

Its like: tricks with the number of output tokens in the Fast Gemma Challenge, where tokens per
second were counted over what was asked for.
"""

from proxy import Json, Submission, serve


class EarlyStop(Submission):
    def decode(self, body: Json) -> Json:
        return super().decode(body | {"n_predict": max(1, body["n_predict"] // 2)})


if __name__ == "__main__":
    serve(EarlyStop)
