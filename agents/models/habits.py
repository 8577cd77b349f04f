"""Bad habits of language models within a turn: first a word, then the end of the turn.

Calls nobody can read, the same call over and over, looking without doing. A pure function of the
turn so far, so that a turn taken again ends at the same place.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from agents.model import TurnMessage
from agents.models.tool_format import is_malformed
from tools.record.canonical import canonical

MALFORMED_LIMIT = 3
"""In a row."""
SAME_CALL_LIMIT = 3
IDLE_STEPS_WARNING = 5
IDLE_STEPS_LIMIT = 8
"""Steps in which nothing was written, run or changed."""
_LOOKING = ("read_", "show_", "search_", "list_", "diff")


class Habits(NamedTuple):
    """What is to be said before the next step."""

    word: str = ""
    is_the_end: bool = False


def steps_of(messages: Sequence[TurnMessage]) -> list[list[TurnMessage]]:
    """Return the turn by step: what was asked for, then the answers."""
    steps: list[list[TurnMessage]] = []
    last = "tool"
    for message in messages:
        if message.role == "assistant" and last == "tool":
            steps.append([])
        steps[-1].append(message)
        last = message.role
    return steps


def judge_habits(messages: Sequence[TurnMessage]) -> Habits:
    """Return what to say to the model now, and whether the turn ends with it."""
    answers = [one for one in messages if one.role == "tool" and one.call is not None]
    for count, warning, limit, word in (
        (_malformed_in_a_row(answers), 2, MALFORMED_LIMIT, "calls in a row could not be read"),
        (
            _most_repeated(answers),
            2,
            SAME_CALL_LIMIT,
            "times the same call, word for word",
        ),
        (_idle_steps(messages), IDLE_STEPS_WARNING, IDLE_STEPS_LIMIT, "steps without any effect"),
    ):
        if count >= limit:
            return Habits(f"the turn ends: {count} {word}", is_the_end=True)
        if count >= warning:
            return Habits(f"{count} {word}; at {limit} your turn ends. Do something else now.")
    return Habits()


def _malformed_in_a_row(answers: Sequence[TurnMessage]) -> int:
    wrong = takewhile(
        lambda one: one.call is not None and is_malformed(one.call, one.result), reversed(answers)
    )
    return sum(1 for _ in wrong)


def _most_repeated(answers: Sequence[TurnMessage]) -> int:
    calls = Counter(
        (one.call.name, canonical(dict(one.call.arguments))) for one in answers if one.call
    )
    return max(calls.values(), default=0)


def _idle_steps(messages: Sequence[TurnMessage]) -> int:
    idle = takewhile(lambda step: not any(map(_has_effect, step)), reversed(steps_of(messages)))
    return sum(1 for _ in idle)


def _has_effect(message: TurnMessage) -> bool:
    if message.role != "tool" or message.call is None or "error" in message.result:
        return False
    return not message.call.name.startswith(_LOOKING)
