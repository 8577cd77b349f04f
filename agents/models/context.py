"""The whole prompt of one step, within the context that was configured: a pure function.

    1 system   the rules, then the persona
    2 user     where the race stands and what the board says, fenced as data
    3 ...      this turn so far
    4 user     a word about a bad habit, when there is one

The board may take a quarter of the context and twenty messages a turn, read by verb or told here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from agents.model import Observation, TurnMessage
from agents.models.board_text import BoardText
from agents.models.dialogue import Chat, Fences, Manner, Told, part_of, told_so_far
from agents.models.habits import judge_habits
from agents.models.model_spec import ModelSpec
from agents.models.race_text import race_lines, state_line
from agents.models.rules_text import system_text
from agents.models.tokens import MESSAGE_TOKENS, Room, tokens_of, tokens_of_ours
from agents.models.tool_format import openai_tools, union_schema
from sandbox.errors import ModelError
from tools.board_verbs import READ_LIMIT
from tools.record.canonical import canonical, clean
from tools.verb import ToolSpec

BOARD_SHARE = 0.25
"""Of the context, for what others wrote: more of it is rot, not knowledge."""
_TURN_SHARE = 0.5
"""Of what rules and tools leave, for the turn so far."""
_LEAST_TOKENS = 400
"""For the race and the turn; with less an agent would be blind."""
_FENCE_TOKENS = 120
_GO_ON = "\nTake the next step of your turn."
_NEWS = "What you know at this moment:\n"


class Prompt(NamedTuple):
    """What is sent, and how much of it there is at most."""

    parts: tuple[str, ...]
    """Canonical JSON: settings and tools, then a message each."""
    tokens: int


class _Sized(NamedTuple):
    text: str
    tokens: int


class Prompts:
    """Writes the prompts of one model; keeps what does not change from one to the next."""

    def __init__(self, spec: ModelSpec, redact: Callable[[str], str] = str) -> None:
        """Take the filter for what is not in the record yet: what verbs answered."""
        self._spec = spec
        self._redact = redact
        self._settings: dict[tuple[str, ...], _Sized] = {}
        self._systems: dict[tuple[str, ...], _Sized] = {}
        self._challenge: object = None
        self._board: BoardText | None = None

    def prompt(
        self,
        observation: Observation,
        messages: Sequence[TurnMessage],
        tools: Sequence[ToolSpec],
    ) -> Prompt:
        """Return what is asked at this step.

        Raises:
            ModelError: `context_too_small`; the operator gives the model more.
        """
        settings, system = self._settings_of(tools), self._system_of(observation, tools)
        word = judge_habits(messages).word
        warning = [part_of({"role": "user", "content": word})] if word else []
        fixed = settings.tokens + system.tokens + sum(map(tokens_of, warning)) + MESSAGE_TOKENS
        room = Room(self._spec.context - self._spec.output - fixed)
        if room.left < _LEAST_TOKENS:
            raise self._too_small(fixed)
        told, news = self._told(observation, messages, room)
        parts = [settings.text, system.text, part_of(news), *told, *warning]
        tokens = self._spec.context - self._spec.output - room.left
        return Prompt(tuple(parts), tokens)

    def _told(
        self, observation: Observation, messages: Sequence[TurnMessage], room: Room
    ) -> tuple[list[str], Chat]:
        fences = Fences(observation.seed, str(observation.cursor))
        board = Room(int(self._spec.context * BOARD_SHARE))
        for_turn = Room(int(room.left * _TURN_SHARE))
        all_for_turn = for_turn.left
        turn = told_so_far(
            messages,
            Manner(Fences(observation.seed, "turn"), self._redact, self._spec.tools == "native"),
            room=for_turn,
            board=board,
            most=READ_LIMIT,
        )
        room.take(all_for_turn - for_turn.left)
        return turn.parts, self._news(observation, turn, fences, room, board)

    def _news(
        self, observation: Observation, turn: Told, fences: Fences, room: Room, board: Room
    ) -> Chat:
        room.take(min(room.left, _FENCE_TOKENS + MESSAGE_TOKENS))
        lines = [line for line in [state_line(observation)] if room.take(tokens_of(line) + 1)]
        if turn.dropped_steps:
            lines.append(f'{{"earlier_steps_of_this_turn_not_shown":{turn.dropped_steps}}}')
            room.take(min(room.left, tokens_of(lines[-1])))
        for_board = Room(min(board.left, room.left // 2))
        most = max(0, READ_LIMIT - turn.board_messages)
        all_for_board = for_board.left
        posts = self._board_of(observation).lines(
            observation.agent, seen=observation.seen, room=for_board, most=most
        )
        room.take(all_for_board - for_board.left)
        lines += _fitting(race_lines(observation), room)
        text = fences.around("\n".join(lines + posts), "news")
        return {"role": "user", "content": f"{_NEWS}{text}{_GO_ON}"}

    def _settings_of(self, tools: Sequence[ToolSpec]) -> _Sized:
        names = tuple(tool.name for tool in tools)
        if names not in self._settings:
            text = canonical(clean(self._settings_with(tools)))
            self._settings[names] = _Sized(text, tokens_of_ours(text))
        return self._settings[names]

    def _settings_with(self, tools: Sequence[ToolSpec]) -> dict[str, object]:
        spec = self._spec
        settings: dict[str, object] = {"model": spec.name, "max_tokens": spec.output}
        if spec.base_url:
            settings["base_url"] = spec.base_url
        if spec.temperature is not None:
            settings["temperature"] = spec.temperature
        if not tools:
            return settings
        if spec.tools == "schema":
            return {**settings, "response_format": union_schema(tools)}
        return {**settings, "tools": openai_tools(tools), "tool_choice": "auto"}

    def _system_of(self, observation: Observation, tools: Sequence[ToolSpec]) -> _Sized:
        if self._challenge is not observation.challenge:
            self._systems.clear()
            self._challenge = observation.challenge
        persona, is_native = observation.persona, self._spec.tools == "native"
        key = (persona.name, *(tool.name for tool in tools))
        if key not in self._systems:
            text = system_text(observation.challenge, persona, tools, is_native=is_native)
            part = part_of({"role": "system", "content": text})
            self._systems[key] = _Sized(part, tokens_of(part) + MESSAGE_TOKENS)
        return self._systems[key]

    def _board_of(self, observation: Observation) -> BoardText:
        if self._board is None or self._board.board is not observation.board:
            self._board = BoardText(observation.board, observation.lineage)
        return self._board

    def _too_small(self, fixed: int) -> ModelError:
        return ModelError(
            f"rules and tools take {fixed} tokens, the reply {self._spec.output}, and the context "
            f"of {self._spec.title!r} is {self._spec.context}",
            code="context_too_small",
            hint=f"say '?context={fixed + self._spec.output + 4000}', or give the persona fewer"
            " tools",
        )


def _fitting(lines: Iterable[str], room: Room) -> list[str]:
    """Return the lines there is room for, from the first on; what is left out is counted."""
    kept, left_out = [], 0
    for line in lines:
        if left_out or not room.take(tokens_of(line) + 1):
            left_out += 1
        else:
            kept.append(line)
    if left_out and room.take(40):
        kept.append(f'{{"not_shown":{left_out},"look_at":"show_lineage, read_board"}}')
    return kept
