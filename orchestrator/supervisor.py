"""The graph that says who works next: waves of `plan` -> one subgraph per agent -> `settle`.

Knows LangGraph and a `Crew`; knows no board, no job and no model. Each agent of a wave is a
subgraph of its own (one node, one run of it per turn), never a flat fan-out, so a slow agent holds
up nobody but itself. State is lean: cursors and counters; texts live in the record. The
last thing a turn does is its checkpoint: a kill costs each agent at most the turn it was in.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send
from langsmith import tracing_context

from orchestrator.duties import StopReason

WAVES_LIMIT = 3_000_000
"""Super-steps of one run, three to a wave; the default differs between LangGraph versions."""

COLLECTOR_THRESHOLDS = (50_000, 20, 100)
"""With CPython's own (700, 10, 10), full collections over the live checkpoints of 1,000 agents
took 40 % of the CPU time of a turn."""


class Seat(TypedDict):
    """Where one agent is."""

    turn: int
    """Number of its next turn."""
    cursor: int
    """It has seen the record up to here."""
    taken: int
    """Its turns in the current wave."""


class Plan(NamedTuple):
    """Who acts in the next wave; nobody and a reason = the ride is over."""

    agents: tuple[str, ...]
    stop: StopReason | None


class TurnResult(NamedTuple):
    """How a turn came out. An unfinished turn is taken again under the same number."""

    cursor: int
    finished: bool


class Crew(Protocol):
    """Everything that is not the graph: who is due, what a turn is, when a wave is over."""

    async def plan(self, seats: Mapping[str, Seat]) -> Plan:
        """Wait until somebody is due, or until there is a reason to stop. Never returns neither."""

    def seat(self, agent: str) -> Seat:
        """Return the seat of an agent the graph has not seen yet."""

    async def act(self, agent: str, *, turn: int, cursor: int) -> TurnResult:
        """Take one turn. Raises only what must end the session."""

    def rides_on(self, agent: str, *, taken: int) -> bool:
        """Return whether the agent stays in the wave after `taken` turns of it."""

    async def ready(self, agent: str) -> bool:
        """Wait for news within the wave; False when the wave is over."""


def _merge(old: dict[str, Seat], new: dict[str, Seat]) -> dict[str, Seat]:
    return {**old, **new}


class SupervisorState(TypedDict):
    """What a checkpoint of the supervisor holds."""

    seats: Annotated[dict[str, Seat], _merge]
    wave: int
    stop: str


class AgentState(TypedDict):
    """What a checkpoint of one agent's subgraph holds: its own seat."""

    seats: dict[str, Seat]


Graph = CompiledStateGraph[SupervisorState, None, SupervisorState, SupervisorState]


def build(crew: Crew, saver: BaseCheckpointSaver[Any]) -> Graph:
    """Return the compiled supervisor; its functions are async, others cost a thread hop each."""

    async def plan(state: SupervisorState) -> Command[Literal["agent", "__end__"]]:
        seats = state.get("seats", {})
        agents, stop = await crew.plan(seats)
        if stop is not None:
            return Command(update={"stop": stop}, goto="__end__")
        starting = [Send("agent", {"seats": {name: _start(seats, name)}}) for name in agents]
        return Command(update={"wave": state.get("wave", 0) + 1}, goto=starting)

    def _start(seats: Mapping[str, Seat], agent: str) -> Seat:
        known = crew.seat(agent)
        seat = seats.get(agent, known)
        turn = max(seat["turn"], known["turn"])  # the record may be ahead of lost checkpoints
        return Seat(turn=turn, cursor=seat["cursor"], taken=0)

    async def settle(state: SupervisorState) -> None:
        """Join the wave; the super-step it makes is the wave's checkpoint."""

    graph = StateGraph(SupervisorState)
    graph.add_node("plan", plan)
    graph.add_node("agent", _agent(crew))
    graph.add_node("settle", settle)
    graph.add_edge(START, "plan")
    graph.add_edge("agent", "settle")
    graph.add_edge("settle", "plan")
    return graph.compile(checkpointer=saver, name="supervisor")


def _agent(crew: Crew) -> Any:
    """Return the subgraph of one agent; a Command costs 15 % less of a turn than a branch."""

    async def act(state: AgentState) -> Command[Literal["act"]]:
        ((agent, seat),) = state["seats"].items()
        if seat["taken"] and not await crew.ready(agent):
            return Command()
        cursor, finished = await crew.act(agent, turn=seat["turn"], cursor=seat["cursor"])
        taken = seat["taken"] + 1
        after = Seat(turn=seat["turn"] + finished, cursor=cursor, taken=taken)
        stays = crew.rides_on(agent, taken=taken)
        return Command(update={"seats": {agent: after}}, goto="act" if stays else ())

    graph = StateGraph(AgentState)
    graph.add_node("act", act)
    graph.add_edge(START, "act")
    return graph.compile(name="agent")


async def ride(graph: Graph, *, thread: str, at_once: int) -> StopReason:
    """Run the supervisor until it stops, from where its checkpoint stands; return the reason.

    Args:
        graph: from `build`.
        thread: the session's id.
        at_once: agents that may be in a turn at the same time.
    """
    config: RunnableConfig = {
        "configurable": {"thread_id": thread},
        "recursion_limit": WAVES_LIMIT,
        "max_concurrency": at_once,  # under `configurable` it would be ignored
    }
    # `next` is empty while a finished task waits for its super-step's commit; `tasks` is not
    midway = (await graph.aget_state(config)).tasks
    fresh: Any = {"stop": ""}
    with tracing_context(enabled=False):  # nothing is sent anywhere, whatever LANGSMITH_* says
        state = await graph.ainvoke(None if midway else fresh, config, durability="sync")
    reason: StopReason = state["stop"]
    return reason


@contextmanager
def calm_collector() -> Iterator[None]:
    """Let the garbage collector look less often while a graph runs."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
