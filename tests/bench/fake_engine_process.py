"""A tiny engine in a process of its own: JSON lines in, JSON lines out, and ways to fail.

fake_engine_process.py BEHAVIOUR REQUESTS_BEFORE_IT
"""

import json
import os
import signal
import sys
import time


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def answer(request: dict[str, int], *, fails: bool, how: str) -> object:
    if fails and how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fails and how == "out_of_memory":
        sys.exit("terminate called: std::bad_alloc")
    if fails and how == "hang":
        signal.pause()
    if fails and how == "rubbish":
        return "Segmentation fault (core dumped)"
    work(0.002)
    if request["op"] == "logprobs":
        value = float("nan") if fails and how == "nan" else -2.0
        return [value] * request["count"]
    return list(range(request["count"]))


def main() -> None:
    how, before = sys.argv[1], int(sys.argv[2])
    for number, line in enumerate(sys.stdin):
        reply = answer(json.loads(line), fails=number >= before, how=how)
        sys.stdout.write(f"{reply if isinstance(reply, str) else json.dumps(reply)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
