"""vLLM driven directly, in its own Python: what the harness's figures are compared with.

    PYTHONPATH=VLLM_SITE python3 direct.py '{"model": FOLDER, ...options of vllm.LLM}'

Prints one JSON line when it is ready, then one for each line of standard input, `{"prompt": [ids],
"tokens": N}`: the seconds that `LLM.generate` took, and the tokens it emitted.
"""

import json
import sys
import time

from vllm import LLM, SamplingParams


def main() -> None:
    begun = time.perf_counter()
    llm = LLM(skip_tokenizer_init=True, disable_log_stats=True, **json.loads(sys.argv[1]))
    say({"ready_seconds": time.perf_counter() - begun})
    for line in sys.stdin:
        asked = json.loads(line)
        params = SamplingParams(
            temperature=0, max_tokens=asked["tokens"], ignore_eos=True, detokenize=False
        )
        begun = time.perf_counter()
        answers = llm.generate([{"prompt_token_ids": asked["prompt"]}], params, use_tqdm=False)
        seconds = time.perf_counter() - begun
        say({"seconds": seconds, "token_ids": list(answers[0].outputs[0].token_ids)})


def say(answer: dict[str, object]) -> None:
    """The engine writes its log to standard output too: ours is marked."""
    print("ANSWER", json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
