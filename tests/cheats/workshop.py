"""Makes what submissions carry: weights that are not the declared ones, answers known by heart."""

import json
import shutil
from contextlib import ExitStack, closing
from pathlib import Path

from pydantic import JsonValue

from bench.artefacts.artefact import Artefact, build
from bench.artefacts.cache import ArtefactCache
from bench.artefacts.model_file import locate
from bench.challenge_files import LoadedChallenge
from bench.config import Changes, apply_changes
from bench.engines.llamacpp import LlamaCppEngine
from tests.cheats.corpus import SHIPPED, Case, Loot

SUBMISSIONS = Path(__file__).with_name("submissions")
DROPPED = (5, 8)
"""Tenths of the model between which every other layer is dropped."""
KEPT_IN_SECRET = 16_384
"""Most frequent tokens that a head pruned in secret keeps."""


class Workshop:
    """One model and its cache."""

    def __init__(self, layers: int, cache_folder: Path, stack: ExitStack) -> None:
        self._layers, self._cache_folder = layers, cache_folder
        self._cache = stack.enter_context(closing(ArtefactCache(cache_folder)))

    def submission(self, case: Case, loaded: LoadedChallenge, folder: Path) -> Path:
        """Fill `folder` with the submission's code and all that it carries."""
        shutil.copytree(SUBMISSIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        if case.rate is not None:
            (folder / "rate").write_text(str(case.rate))
        if case.loot == "answers":
            (folder / "answers.json").write_text(json.dumps(self._public_answers(loaded)))
        elif case.loot is not None:
            artefact = self._artefact({**SHIPPED, **self._secret_changes(case.loot)}, loaded)
            shutil.copy(artefact.drafter_path or artefact.path, folder / "weights.gguf")
            (folder / "kept.json").write_text(json.dumps(artefact.vocabulary))
        return folder

    def _secret_changes(self, loot: Loot) -> Changes:
        if loot == "quarter":
            return dict.fromkeys(SHIPPED, "q4_0")
        if loot == "pruned":
            return {"weights.vocabulary": {"strategy": "frequent", "size": KEPT_IN_SECRET}}
        return {"speculation": self._fewer_layers()}

    def _fewer_layers(self) -> dict[str, JsonValue]:
        """Return the drafter that is the model with layers left out."""
        low, high = (tenth * self._layers // 10 for tenth in DROPPED)
        kept = [layer for layer in range(self._layers) if not low <= layer < high or layer % 2]
        return {"kind": "drafter", "drafter_layers": kept, "drafter_format": "shipped"}

    def _public_answers(
        self, loaded: LoadedChallenge
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Compute beforehand what the declared config answers to every public prompt."""
        protocol, artefact = loaded.challenge.protocol, self._artefact(SHIPPED, loaded)
        config = apply_changes(loaded.challenge.baseline, SHIPPED)
        with closing(LlamaCppEngine(config, artefact)) as engine:
            prompts = [
                engine.tokenize(text.text)[: protocol.prompt_tokens] for text in loaded.prompts
            ]
            return [
                (ids, engine.generate(ids, max_tokens=protocol.output_tokens).token_ids)
                for ids in prompts
            ]

    def _artefact(self, changes: Changes, loaded: LoadedChallenge) -> Artefact:
        model = locate(loaded.challenge.model, self._cache_folder)
        return build(apply_changes(loaded.challenge.baseline, changes), model, self._cache)
