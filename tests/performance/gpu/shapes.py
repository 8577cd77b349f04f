"""Writes a model folder with Gemma 4 E4B's text shapes and no weights, for vLLM's dummy loader.

    PYTHONPATH=VLLM_SITE python3 shapes.py FOLDER [--layers 42] [--width 10240]

Run it with the Python that holds vLLM's transformers. Speed on such a folder is real, text is not.
A narrower feed-forward gives points with fewer bytes per token and as many launches, which is what
a fit of bandwidth needs; fewer layers have fewer launches too.
"""

import argparse
import json
from pathlib import Path

FULL_EVERY = 6
"""Every sixth layer looks at the whole context, the others at a window."""
SHARED = 18 / 42
"""Share of the last layers that read the keys and values of earlier ones."""


def config(layers: int, width: int) -> dict[str, object]:
    """Return what `config.json` says of the text model with so many layers of that width."""
    from transformers import Gemma4TextConfig

    kinds = ["full" if (n + 1) % FULL_EVERY == 0 else "sliding" for n in range(layers)]
    shape = Gemma4TextConfig(
        vocab_size=262_144,
        hidden_size=2560,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_kv_shared_layers=round(SHARED * layers),
        layer_types=[f"{kind}_attention" for kind in kinds],
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=256,
        global_head_dim=512,
        sliding_window=512,
        hidden_size_per_layer_input=256,
        final_logit_softcapping=30.0,
        max_position_embeddings=131_072,
    )
    return {**shape.to_dict(), "architectures": ["Gemma4ForCausalLM"], "dtype": "bfloat16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=42)
    parser.add_argument("--width", type=int, default=10_240, help="of the feed-forward")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    ids = {"bos_token_id": 2, "eos_token_id": 1}
    (given.folder / "config.json").write_text(
        json.dumps(config(given.layers, given.width), indent=1)
    )
    (given.folder / "generation_config.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    main()
