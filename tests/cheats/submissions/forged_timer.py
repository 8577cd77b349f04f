"""Reports a tenth of the time it took, for whoever believes the server's own clock.

Its like: the timer patched from inside, gpu-mode/reference-kernels#162.
"""

from proxy import Json, Submission, serve

FACTOR = 10


class ForgedTimer(Submission):
    def decode(self, body: Json) -> Json:
        reply = super().decode(body)
        timings = reply.get("timings", {})
        for name in ("prompt_ms", "predicted_ms", "predicted_per_token_ms"):
            timings[name] = timings.get(name, 0) / FACTOR
        timings["predicted_per_second"] = timings.get("predicted_per_second", 0) * FACTOR
        return reply


if __name__ == "__main__":
    serve(ForgedTimer)
