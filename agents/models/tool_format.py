"""Verbs as a language model is offered them, and its calls as verbs again.

Two ways: tool calling (`native`), or one JSON object whose schema is the union of the verbs
(`schema`), for models that write prose when they are offered tools. A call that cannot be read is
kept as a call with what was wrong with it, so that the model is told and may correct it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import rfc8785

from agents.model import Reply
from agents.models.litellm_model import Completion, RawCall
from agents.reply_text import MAX_CALLS
from tools.record.canonical import canonical, clean
from tools.record.events import ToolCall
from tools.verb import ToolSpec

MALFORMED = "malformed_arguments"
"""Argument that holds what could not be read; no verb takes it, so the toolbox refuses the call."""
PROBLEM = "problem"
END = "end_turn"
"""Not a verb: how a model without tool calling says that it is done."""
_SHOWN_CHARACTERS = 1000
_LONGEST_STRING = 300
"""Characters of a free text in a schema: a small model that runs on is cut off in valid JSON."""
_UNUSED = ("title", "default", "pattern")
"""Of a schema: noise for the reader, or more than a grammar can say. The verb checks again."""


def openai_tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Return the tools in OpenAI's format, which LiteLLM translates for everybody else."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": _lean(tool.parameters),
            },
        }
        for tool in tools
    ]


def union_schema(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """Return the response format in which a reply is one call, or the end of the turn."""
    definitions: dict[str, Any] = {}
    choices = [_choice(END, {"type": "object", "properties": {}, "additionalProperties": False})]
    for tool in tools:
        parameters = _bounded(_lean(tool.parameters))
        definitions |= parameters.pop("$defs", {})
        choices.insert(-1, _choice(tool.name, parameters))
    schema = {"anyOf": choices, **({"$defs": definitions} if definitions else {})}
    return {"type": "json_schema", "json_schema": {"name": "next_call", "schema": schema}}


def reply_of(completion: Completion) -> Reply:
    """Return the reply of a model that calls tools."""
    calls = tuple(_call(raw) for raw in completion.calls[:MAX_CALLS])
    text, dropped = completion.text, len(completion.calls) - MAX_CALLS
    if dropped > 0:
        text += f"\n[{dropped} more calls were dropped: at most {MAX_CALLS} in one reply]"
    return Reply(text, calls)


def reply_of_object(completion: Completion) -> Reply:
    """Return the reply of a model that wrote one JSON object."""
    try:
        told = json.loads(completion.text)
        name, arguments = told["tool"], told["arguments"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        problem = f"not an object with `tool` and `arguments`: {error!r}"
        return Reply("", (_malformed("unreadable", completion.text, problem),))
    if name == END:
        return Reply("", ())
    return Reply("", (_checked(str(name), arguments, completion.text),))


def is_malformed(call: ToolCall, result: dict[str, Any]) -> bool:
    """Return whether a call went wrong in its form, not in what it asked for."""
    code = result.get("code")
    is_of_the_form = code == "bad_field" and str(result.get("error")).startswith(f"{call.name}: ")
    return MALFORMED in call.arguments or code == "unknown_verb" or is_of_the_form


def correction(call: ToolCall) -> dict[str, Any]:
    """Return what a model is told about a call nobody could read."""
    return {
        "error": f"the arguments of {call.name} are {call.arguments.get(PROBLEM, 'unreadable')}",
        "code": "malformed_call",
        "hint": "arguments are one JSON object that fits the tool's schema; call it again",
    }


def _call(raw: RawCall) -> ToolCall:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", raw.name)[:64] or "unnamed"
    try:
        arguments = json.loads(raw.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return _malformed(name, raw.arguments, f"not valid JSON: {error}")
    return _checked(name, arguments, raw.arguments)


def _checked(name: str, arguments: Any, text: str) -> ToolCall:
    if not isinstance(arguments, dict):
        return _malformed(name, text, f"not an object but {type(arguments).__name__}")
    try:
        canonical(clean(arguments))
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        return _malformed(name, text, f"not valid JSON: {error}")
    return ToolCall(name=name, arguments=clean(arguments))


def _malformed(name: str, text: str, problem: str) -> ToolCall:
    kept = {MALFORMED: text[:_SHOWN_CHARACTERS], PROBLEM: problem[:200]}
    return ToolCall(name=name, arguments=clean(kept))


def _choice(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"tool": {"const": name}, "arguments": parameters},
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def _lean(schema: Any, *, is_named: bool = False) -> Any:
    """Return a schema without what nobody reads; under `properties` every key is a name."""
    if isinstance(schema, list):
        return [_lean(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Iterable[tuple[str, Any]] = schema.items()
    if not is_named:
        kept = [(key, value) for key, value in kept if not _is_noise(key, value)]
    return {
        key: _lean(value, is_named=not is_named and key in ("properties", "$defs"))
        for key, value in kept
    }


def _is_noise(key: str, value: Any) -> bool:
    return key in _UNUSED or (key == "description" and str(value).startswith("Arguments of "))


def _bounded(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bounded(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _bounded(value) for key, value in schema.items()}
    if inner.get("type") == "string" and not {"enum", "const"} & inner.keys():
        inner["maxLength"] = min(inner.get("maxLength", _LONGEST_STRING), _LONGEST_STRING)
    return inner
