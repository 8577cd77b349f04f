"""Makes token ids of a file of texts, for engines that have no tokenizer.

    python -m bench.pretokenise --challenge NAME --texts FILE --out FILE

The challenge's own baseline makes the tokens, so the ids are those of its full vocabulary. Private
texts stay private: the file appears readable by its owner only. Knows texts; knows no score.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.challenge_files import Text, load_challenge, read_texts
from bench.engine_sources import open_source
from bench.request_file import write_atomically
from sandbox.errors import PacelineError


def pretokenise(challenge: str, texts: Sequence[Text], *, cache_folder: Path) -> tuple[Text, ...]:
    """Return `texts` as token ids; those that are ids already stay as they are.

    Raises:
        ConfigError: the challenge or its model cannot be used.
        JobError: the engine failed.
    """
    loaded = load_challenge(challenge).challenge
    with ExitStack() as stack:
        source = open_source(loaded.engine, loaded, cache_folder=cache_folder, seed=0)
        stack.callback(source.close)
        engine = source.prepare(loaded.baseline, "baseline", public_ids=())()
        stack.callback(engine.close)
        return tuple(
            text if text.text is None else _as_ids(text, engine.tokenize(text.text))
            for text in texts
        )


def _as_ids(text: Text, ids: tuple[int, ...]) -> Text:
    return Text(id=text.id, source=text.source, token_ids=ids)


def main(argv: list[str] | None = None) -> int:
    """Convert one file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.pretokenise")
    parser.add_argument("--challenge", default="gemma-270m-cpu", help="name, file or folder")
    parser.add_argument("--texts", type=Path, required=True, help="JSON Lines: id, text, source")
    parser.add_argument("--out", type=Path, required=True, help="JSON Lines: id, source, token_ids")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of weight files")
    asked = parser.parse_args(argv)
    try:
        texts = read_texts(asked.texts)
        found = pretokenise(asked.challenge, texts, cache_folder=asked.cache.resolve())
    except PacelineError as error:
        sys.stderr.write(f"error: {error} [{error.code}]\n")
        return error.exit_code
    write_atomically(asked.out, "".join(f"{text.model_dump_json()}\n" for text in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
