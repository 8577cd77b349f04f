"""Makes a drafter: the folder of a Gemma 3 model with only some of its layers.

    python3 drop_layers.py MODEL_FOLDER OUT_FOLDER --layers 5,11,17

Run it with a Python that has torch and safetensors. What such a drafter guesses is as good as the
layers that are left; it shares embedding, head and vocabulary with its target. Keep those of full
attention: vLLM wants all of a drafter's layers in one group of its cache, and they are few.
"""

import argparse
import json
import re
from pathlib import Path

LAYER = re.compile(r"(.*\.layers\.)(\d+)(\..*)")


def main() -> None:
    from safetensors.torch import load_file, save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", required=True)
    given = parser.parse_args()
    kept = [int(number) for number in given.layers.split(",")]
    given.out.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for file in sorted(given.model.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            found = LAYER.fullmatch(name)
            if found is None:
                tensors[name] = tensor
            elif int(found[2]) in kept:
                tensors[f"{found[1]}{kept.index(int(found[2]))}{found[3]}"] = tensor
    save_file(tensors, given.out / "model.safetensors", metadata={"format": "pt"})
    (given.out / "config.json").write_text(json.dumps(_config(given.model, kept), indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if (given.model / name).exists():
            (given.out / name).write_bytes((given.model / name).read_bytes())


def _config(model: Path, kept: list[int]) -> dict[str, object]:
    config = json.loads((model / "config.json").read_text())
    kinds = config.get("layer_types")
    own = {"layer_types": [kinds[number] for number in kept]} if kinds else {}
    return {**config, **own, "num_hidden_layers": len(kept)}


if __name__ == "__main__":
    main()
