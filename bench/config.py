"""What an agent proposes, whatever the engine: one union of configs, and changes to them.

Knows which engines' configs there are and how they are written; their levers lie in
`bench.configs`. Knows no file, no process and no score.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, TypeVar

import rfc8785
from pydantic import Discriminator, JsonValue, Tag

from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.openai_endpoint import OpenAiConfig
from bench.configs.reported import ReportedConfig
from bench.configs.transformers_config import TransformersConfig
from bench.configs.vllm import VllmConfig
from bench.frozen import Frozen, nearest_name, parse
from sandbox.errors import ConfigError

DEFAULT_ENGINE = "llamacpp"
"""Of a config that names none."""

CONFIGS: dict[str, type[EngineConfig]] = {
    "llamacpp": LlamaCppConfig,
    "vllm": VllmConfig,
    "openai": OpenAiConfig,
    "transformers": TransformersConfig,
    "reported": ReportedConfig,
}
"""Every config's class, by the name of its engine."""


def _engine_of(data: object) -> str:
    named = data.get("engine") if isinstance(data, dict) else getattr(data, "engine", None)
    return str(named or DEFAULT_ENGINE)


AnyConfig = Annotated[
    Annotated[LlamaCppConfig, Tag("llamacpp")]
    | Annotated[VllmConfig, Tag("vllm")]
    | Annotated[OpenAiConfig, Tag("openai")]
    | Annotated[TransformersConfig, Tag("transformers")]
    | Annotated[ReportedConfig, Tag("reported")],
    Discriminator(_engine_of),
]
"""The type of every recorded field that holds a config."""

T = TypeVar("T", bound=EngineConfig)

Changes = Mapping[str, JsonValue]
"""Dotted path -> value, e.g. `{"weights.head": "q8_0", "threads": 2}`."""


def apply_changes(config: T, changes: Changes) -> T:
    """Return `config` with `changes` made.

    Raises:
        ConfigError: unknown path (with the nearest name) or a value out of range.
    """
    data = config.model_dump(mode="json")
    for path, value in changes.items():
        _set(data, path, value)
    return parse(type(config), data, what="config")


def parse_config(data: object, *, what: str, engine: str = DEFAULT_ENGINE) -> EngineConfig:
    """Return the config in `data`, of the engine it names, else of `engine`.

    Raises:
        ConfigError: an unknown engine or field (with the nearest name), or a value out of range.
    """
    named = data.get("engine", engine) if isinstance(data, dict) else engine
    if named not in CONFIGS:
        raise ConfigError(
            f"{what}: unknown engine {named!r}; {nearest_name(str(named), CONFIGS)}",
            code="bad_field",
        )
    return parse(CONFIGS[named], data, what=what)


def diff(old: EngineConfig, new: EngineConfig) -> dict[str, JsonValue]:
    """Return the changes that turn `old` into `new`; lists and absent mappings are leaves."""
    left, right = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    changed = {path: value for path, value in right.items() if left.get(path, ...) != value}
    gone = {path.rsplit(".", 1)[0] for path in left if path not in right}
    return {path: value for path, value in changed.items() if path not in gone or value is None}


def word(path: str, value: JsonValue) -> str:
    """Return `path=value`, the one wording of a lever: compact JSON, strings without quotes."""
    return f"{path}={_worded(value)}"


def _worded(value: JsonValue) -> str:
    if type(value) is int:
        return str(value)  # the same digits, without the way through the library
    text = value if isinstance(value, str) else rfc8785.dumps(value).decode()
    return text.replace(" ", "_")


@lru_cache(maxsize=8192)
def words(config: EngineConfig) -> frozenset[str]:
    """Return every leaf of `config` as a `path=value` word, defaults included."""
    changed = _flatten(config.model_dump(mode="json", exclude_defaults=True))
    known = _default_words(type(config))
    replaced = changed.keys() | {path.rpartition(".")[0] for path in changed}
    kept = known.keys() - replaced
    return frozenset([known[path] for path in kept] + [word(*leaf) for leaf in changed.items()])


def carries(ingredient: Iterable[str]) -> Callable[[EngineConfig], bool]:
    """Return the test whether a config has all words of `ingredient`.

    The same as `words(config).issuperset(ingredient)` at a tenth of the cost: it reads the named
    levers only, where a retraction asks thousands of configs (2 us each instead of 20).
    """
    levers = [one.partition("=")[::2] for one in ingredient]
    if not all(path for path, _ in levers):
        return lambda _config: False
    readers = [(attrgetter(path), wanted) for path, wanted in levers]

    def has_all(config: EngineConfig) -> bool:
        return all(_has(config, read, wanted) for read, wanted in readers)

    return has_all


def _has(config: EngineConfig, read: Callable[[Any], Any], wanted: str) -> bool:
    try:
        value = read(config)
    except AttributeError:  # no such lever, or one of a part that is absent
        return False
    if isinstance(value, tuple):
        value = [one.model_dump(mode="json") if isinstance(one, Frozen) else one for one in value]
    is_leaf = value is None or isinstance(value, str | int | float | list)
    return is_leaf and (value == wanted or _worded(value) == wanted)


@lru_cache(maxsize=16)
def _default_words(kind: type[EngineConfig]) -> dict[str, str]:
    """Return the words of the fields that have a default: a config need not have one for all."""
    fields = kind.model_fields
    given = {name: field.default for name, field in fields.items() if not field.is_required()}
    leaves = _flatten(kind.model_construct(**given).model_dump(mode="json"))
    return {path: word(path, value) for path, value in leaves.items()}


def _set(data: dict[str, JsonValue], path: str, value: JsonValue) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        inner = data.get(name)
        if inner is None and name in data:
            inner = data[name] = {}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"config: unknown field {path!r}; {nearest_name(name, data)}", code="bad_field"
            )
        data = inner
    data[leaf] = value


def _flatten(data: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
