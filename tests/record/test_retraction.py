"""Who rules, what a ruling bans, who inherits it, and how it is taken back."""

import pytest

from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.builders import (
    make_attempt,
    make_events,
    make_invalidated,
    make_private,
    make_reinstated,
    make_run,
    make_session,
    make_verdict,
    make_verification,
    make_verified,
)
from tools.record.events import AttemptInvalidated, Draft, Parent
from tools.record.leaderboard import leaderboard
from tools.record.lineage import Lineage
from tools.record.projection import Projection

FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 9000}}
WORD = "weights.vocabulary.strategy=public_text"
SIZE = "weights.vocabulary.size=9000"


def config(**changes: object) -> LlamaCppConfig:
    return apply_changes(LlamaCppConfig(), {**changes})


def family(*more: list[Draft]) -> Lineage:
    """a0001 has a fitted keep-set; a0002 builds on it, a0003 drops it, a0004 takes it up again."""
    drafts = make_session(
        make_run("a0000"),
        make_run("a0001", parents=["a0000"], speedup=2.0, config=config(**FITTED)),
        make_run("a0002", parents=["a0001"], speedup=2.5, config=config(**FITTED, threads=2)),
        make_run("a0003", parents=["a0001"], speedup=1.2, config=config(threads=2)),
        make_run("a0004", parents=["a0003"], speedup=3.0, config=config(**FITTED, poll=0)),
        make_run("a0005", parents=["a0000"], speedup=1.1, config=config(**FITTED, poll=1)),
        *more,
    )
    return Projection.of(make_events(drafts)).lineage


def verdicts(lineage: Lineage) -> dict[str, str]:
    return {name: node.verdict for name, node in lineage.nodes.items() if node.verdict != "pending"}


def test_descendants_that_inherit_the_ingredient_are_suspect() -> None:
    lineage = family([make_invalidated("a0001", WORD)])

    assert verdicts(lineage) == {"a0001": "invalid", "a0002": "suspect", "a0004": "suspect"}
    assert [node.attempt for node in lineage.suspects()] == ["a0002", "a0004"]
    assert lineage.nodes["a0004"].suspected_by == {"a0001"}


def test_all_words_of_an_ingredient_must_be_there() -> None:
    lineage = family([make_invalidated("a0001", WORD, "poll=0")])

    assert verdicts(lineage) == {"a0001": "invalid", "a0004": "suspect"}


def test_without_an_ingredient_only_the_attempt_is_invalid() -> None:
    lineage = family([make_invalidated("a0001")])

    assert verdicts(lineage) == {"a0001": "invalid"}
    assert lineage.bans == {}


def test_suspects_leave_best_frontier_and_the_ranking() -> None:
    lineage = family([make_invalidated("a0001", WORD)])
    board = leaderboard(lineage, session="s", challenge="c")

    assert lineage.best() is lineage.nodes["a0003"]
    assert [node.attempt for node in lineage.frontier()] == ["a0000", "a0003"]
    assert [row.attempt for row in board.rows] == ["a0003", "a0005", "a0000"]
    assert [row.attempt for row in board.suspects] == ["a0004", "a0002"]
    assert [row.attempt for row in board.rejected] == ["a0001"]


def test_the_ingredient_is_banned_for_everybody_until_reinstated() -> None:
    banned = family([make_invalidated("a0001", WORD, SIZE)])
    again = family([make_invalidated("a0001", WORD, SIZE), make_reinstated("a0001")])

    found = banned.ban_on(config(**FITTED, threads=7))
    assert found is not None
    assert (found.attempt, found.by, found.reason) == ("a0001", "verifier", "missing_targets")
    assert banned.ban_on(config(threads=7)) is None
    assert again.bans == {}
    assert again.ban_on(config(**FITTED)) is None


def test_a_reinstatement_restores_every_verdict() -> None:
    lineage = family([make_invalidated("a0001", WORD), make_reinstated("a0001")])

    assert verdicts(lineage) == {}
    assert lineage.best() is lineage.nodes["a0004"]


def test_who_was_verified_after_the_ruling_is_no_longer_suspect() -> None:
    lineage = family([make_invalidated("a0001", WORD)], make_verified("a0002"))

    assert verdicts(lineage) == {"a0001": "invalid", "a0002": "valid", "a0004": "suspect"}


def test_a_verification_before_the_ruling_does_not_help() -> None:
    lineage = family(make_verified("a0002"), [make_invalidated("a0001", WORD)])
    node = lineage.nodes["a0002"]

    assert (node.verdict, node.verified) == ("suspect", None)


def test_the_badge_comes_back_with_the_reinstatement() -> None:
    rulings = [make_invalidated("a0001", WORD), make_reinstated("a0001")]
    lineage = family(make_verified("a0002"), rulings)

    assert lineage.nodes["a0002"].verdict == "valid"
    assert lineage.nodes["a0002"].verified is not None


def test_a_later_child_of_an_invalid_attempt_is_born_suspect() -> None:
    late = make_attempt("a0006", parents=["a0002"], config=config(**FITTED, threads=3))
    clean = make_attempt("a0007", parents=["a0002"], config=config(threads=3))
    drafts = [Draft("ann", late, "l"), Draft("ann", clean, "c")]
    lineage = family([make_invalidated("a0001", WORD), *drafts])

    assert lineage.nodes["a0006"].verdict == "suspect"
    assert lineage.nodes["a0007"].verdict == "pending"


def test_who_refutes_an_attempt_inherits_nothing_from_it() -> None:
    edge = Parent(attempt="a0001", kind="refutes")
    critic = make_run("a0006", parents=[edge], config=config(**FITTED, threads=3))
    lineage = family(critic, [make_invalidated("a0001", WORD)])

    assert lineage.nodes["a0006"].verdict == "pending"


def test_the_path_goes_round_what_does_not_count() -> None:
    merge = make_run("a0006", parents=["a0002", "a0003"], speedup=3.0, config=config(threads=4))
    lineage = family(merge, [make_invalidated("a0001", WORD)])

    assert lineage.path("a0006") == ["a0000", "a0001", "a0003", "a0006"]


RANKS = [
    (["guardrail invalid", "verifier valid"], "valid"),
    (["verifier valid", "guardrail invalid"], "valid"),
    (["verifier valid", "verifier invalid"], "invalid"),
    (["organiser invalid", "verifier valid"], "invalid"),
    (["person:eve valid", "organiser invalid"], "valid"),
    (["person:eve valid", "person:bob invalid"], "invalid"),
    (["guardrail invalid", "guardrail pending"], "pending"),
]


@pytest.mark.parametrize(("rulings", "verdict"), RANKS)
def test_of_the_highest_who_ruled_the_latest_counts(rulings: list[str], verdict: str) -> None:
    pairs = [ruling.split() for ruling in rulings]
    drafts = [
        Draft(by, make_verdict("a0005", state, by=by), f"{place}")
        for place, (by, state) in enumerate(pairs)
    ]

    assert family(drafts).nodes["a0005"].verdict == verdict


def test_a_reinstatement_leaves_the_guardrails_verdict() -> None:
    guardrail = Draft("guardrail", make_verdict("a0005", "invalid", reason="perplexity"), "g")
    rulings = [guardrail, make_invalidated("a0005"), make_reinstated("a0005")]
    node = family(rulings).nodes["a0005"]

    assert (node.verdict, node.verdict_by, node.verdict_reason) == (
        "invalid",
        "guardrail",
        "perplexity",
    )


def test_a_person_takes_back_what_anybody_ruled_a_verifier_only_its_own() -> None:
    def after(by: str) -> str:
        person = make_invalidated("a0005", by="person:bob")
        return family([person, make_reinstated("a0005", by=by)]).nodes["a0005"].verdict

    assert after("person:ann") == "pending"
    assert after("organiser") == "pending"
    assert after("verifier") == "invalid"


def test_a_second_ban_on_one_attempt_does_not_lift_the_first() -> None:
    second = AttemptInvalidated(attempt="a0001", reason="r", ingredient=("poll=0",), by="organiser")
    lineage = family([make_invalidated("a0001", SIZE), Draft("organiser", second, "2")])

    assert lineage.ban_on(config(**FITTED)) is not None
    assert lineage.ban_on(config(poll=0)) is not None


def test_rulings_on_unknown_attempts_change_nothing() -> None:
    lineage = family([make_invalidated("a0099", WORD), make_reinstated("a0098")])

    assert verdicts(lineage) == {}
    assert lineage.bans == {}


def test_flags_are_counted_until_a_reinstatement_and_are_no_verdict() -> None:
    failed = make_verification("regret")
    twice = [make_private("a0005", number=n, verification=failed) for n in (2, 3)]
    flagged, cleared = family(*twice), family(*twice, [*_in_and_out("a0005")])

    assert (flagged.nodes["a0005"].flags, flagged.nodes["a0005"].verdict) == (2, "pending")
    assert len(flagged.nodes["a0005"].verifications) == 2
    assert cleared.nodes["a0005"].flags == 0


def _in_and_out(attempt: str) -> list[Draft]:
    return [make_invalidated(attempt), make_reinstated(attempt)]


def test_the_verification_behind_a_badge_is_the_one_that_passed() -> None:
    failed = make_private("a0005", number=2, verification=make_verification("regret"))
    node = family(failed, make_verified("a0005", number=3, speedup=1.7)).nodes["a0005"]

    assert node.verified is not None
    assert node.verified.speed is not None
    assert node.verified.speed.speedup == 1.7
    assert node.receipt == {"attempt": "a0005"}
