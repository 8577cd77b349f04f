from tests.builders import START_TIME, make_attempt, make_event, make_message
from tools.record.board import Board
from tools.record.events import ClaimMade, ClaimReleased, DeadEndRecorded, Event


def board_of(*events: Event) -> Board:
    board = Board()
    for event in events:
        board.apply(event)
    return board


def claim(agent: str, *, seq: int = 1, until: float = 100.0, time: float = 0.0) -> Event:
    payload = ClaimMade(direction="threads=2", expires_at=until)
    return make_event(payload, seq=seq, actor=agent, time=time)


def test_a_post_is_found_by_its_id() -> None:
    board = board_of(make_event(make_message("first"), seq=4, actor="ann"))

    message = board.message("m4")
    assert message is not None
    assert (message.author, message.body, message.time) == ("ann", "first", START_TIME + 4)
    assert board.message("m5") is None


def test_recent_and_since_are_oldest_first() -> None:
    board = board_of(*(make_event(make_message(str(n)), seq=n) for n in range(1, 6)))

    assert [message.seq for message in board.recent(2)] == [4, 5]
    assert board.recent(0) == []
    assert [message.seq for message in board.since(3)] == [4, 5]


def test_an_inbox_holds_mentions_and_answers_to_posts_and_attempts() -> None:
    board = board_of(
        make_event(make_message("mine"), seq=1, actor="ann"),
        make_event(make_attempt("a0001"), seq=2, actor="ann"),
        make_event(make_message("hey", mentions=("ann",)), seq=3, actor="bob"),
        make_event(make_message("re", refs=("m1",)), seq=4, actor="bob"),
        make_event(make_message("nice", refs=("a0001",)), seq=5, actor="bob"),
        make_event(make_message("unrelated", refs=("m3", "a0099")), seq=6, actor="eve"),
    )

    assert [message.seq for message in board.inbox("ann", after=0)] == [3, 4, 5]
    assert [message.seq for message in board.inbox("ann", after=4)] == [5]
    assert board.inbox("nobody", after=0) == []


def test_a_post_is_in_an_inbox_once_however_often_it_means_the_agent() -> None:
    board = board_of(
        make_event(make_message(), seq=1, actor="ann"),
        make_event(make_message(refs=("m1", "m1"), mentions=("ann", "ann")), seq=2, actor="bob"),
    )

    assert len(board.inbox("ann", after=0)) == 1


def test_nobody_finds_their_own_posts_in_their_inbox() -> None:
    board = board_of(
        make_event(make_message(), seq=1, actor="ann"),
        make_event(make_message(refs=("m1",), mentions=("ann",)), seq=2, actor="ann"),
    )

    assert board.inbox("ann", after=0) == []


def test_a_claim_holds_until_it_expires() -> None:
    board = board_of(claim("ann", until=100.0))

    held = board.claim_on("threads=2", now=99.0)
    assert held is not None
    assert held.agent == "ann"
    assert board.claims(now=99.0) == [held]
    assert board.claim_on("threads=2", now=100.0) is None
    assert board.claims(now=100.0) == []


def test_a_second_claim_on_a_held_direction_changes_nothing() -> None:
    board = board_of(claim("ann", until=100.0), claim("bob", seq=2, time=50.0, until=150.0))

    held = board.claim_on("threads=2", now=60.0)
    assert held is not None
    assert held.agent == "ann"


def test_the_holder_may_renew_and_others_may_follow() -> None:
    board = board_of(
        claim("ann", until=100.0),
        claim("ann", seq=2, time=50.0, until=200.0),
        claim("bob", seq=3, time=201.0, until=300.0),
    )

    assert [one.agent for one in board.claims(now=250.0)] == ["bob"]


def test_only_the_holder_releases_a_claim() -> None:
    release = ClaimReleased(direction="threads=2")
    board = board_of(claim("ann"), make_event(release, seq=2, actor="bob"))
    assert board.claim_on("threads=2", now=1.0) is not None

    board.apply(make_event(release, seq=3, actor="ann"))
    assert board.claim_on("threads=2", now=1.0) is None


def test_a_dead_end_keeps_its_latest_reason() -> None:
    events = [
        make_event(DeadEndRecorded(direction="d", reason=reason, refs=("a0001",)), seq=seq)
        for seq, reason in enumerate(["slow", "still slow"], start=1)
    ]

    dead_end = board_of(*events).dead_ends["d"]
    assert (dead_end.reason, dead_end.refs, dead_end.agent) == ("still slow", ("a0001",), "ann")
