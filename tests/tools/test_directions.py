"""One wording for claims, dead ends and what is new in a config."""

from tools.directions import blocking_dead_end, direction_of, normal
from tools.record.board import DeadEnd


def dead_ends(*directions: str) -> dict[str, DeadEnd]:
    return {one: DeadEnd(one, "r", "ann", (), 1) for one in directions}


def test_a_direction_is_sorted_words_with_compact_values() -> None:
    changes = {"weights.head": "q8_0", "threads": 2, "memory_map": False, "x": [{"b": 1, "a": 2}]}

    assert direction_of(changes) == 'memory_map=false threads=2 weights.head=q8_0 x=[{"a":2,"b":1}]'


def test_the_order_of_words_does_not_matter() -> None:
    assert normal(" b=2   a=1 ") == "a=1 b=2"


def test_a_dead_end_blocks_what_contains_all_of_it() -> None:
    ends = dead_ends("a=1 b=2")

    assert blocking_dead_end("a=1 b=2 c=3", ends)
    assert blocking_dead_end("a=1 b=2", ends)
    assert blocking_dead_end("a=1 c=3", ends) is None
