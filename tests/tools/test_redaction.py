"""The one filter: what it takes out, what it leaves, and that a second time changes nothing."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.record.events import MessagePosted, ModelReplied, ToolCall
from tools.redaction import Redactor, _has_mark, find_secret, redact, secret_in_json

CANARY = "cAn4ry/Sesame+öffne dich"
SHAPED = {
    "hf": "hf_" + "a1" * 17,
    "sk": "sk-proj-" + "b2" * 20,
    "github": "ghp_" + "c3" * 18,
    "gitlab": "glpat-" + "d4" * 10,
    "slack": "xoxb-" + "5" * 12,
    "google": "AIza" + "e6" * 18,
    "aws": "AKIA" + "F7" * 8,
    "jwt": ".".join(["eyJ" + "g" * 20, "eyJ" + "h" * 20, "i8" * 10]),
    "bearer": "Bearer " + "j9" * 10,
    "pem": "-----BEGIN EC PRIVATE KEY-----\nMIIE\n-----END EC PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", SHAPED)
def test_what_is_shaped_like_a_key_is_replaced_by_its_kind(kind: str) -> None:
    assert redact(f"before\n{SHAPED[kind]} after") == f"before\n[redacted:{kind}] after"


def test_headers_and_addresses_lose_only_their_secret() -> None:
    assert redact("Authorization: Basic YW5uOnNlc2FtZQ==") == "Authorization:[redacted:basic]"
    assert redact("see https://ann:sesame@host/x") == "see https://[redacted:url]@host/x"


@pytest.mark.parametrize(
    "text",
    [
        "hf_jobs task-list AKIA eyJ skeleton",
        "bearer of responsibilities",
        "https://host:80/a@b",
        "0f" * 32,
    ],
)
def test_harmless_words_stay(text: str) -> None:
    assert redact(text) == text


def forms(value: str) -> list[str]:
    data = value.encode()
    whole = [base64.b64encode(b"x" * n + data + b"yz").decode() for n in range(3)]
    return [
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        quote(value, safe=""),
        data.hex(),
        base64.urlsafe_b64encode(data).decode(),
        *whole,
    ]


@pytest.mark.parametrize("place", range(9))
def test_a_known_value_is_found_in_its_common_encodings(place: int) -> None:
    told = Redactor([CANARY])(f"it is <{forms(CANARY)[place]}>")

    assert "[redacted:known]" in told
    assert len(told) < len("it is <[redacted:known]>") + 12


def test_short_values_are_left_alone() -> None:
    assert Redactor(["seven77"])("seven77") == "seven77"


PIECES = st.sampled_from([*SHAPED.values(), CANARY, "://a:b@", "hf_", " ", "\n", "[redacted:hf]"])
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=8).map("".join)


@given(TEXTS)
def test_a_second_time_changes_nothing_with_or_without_the_values(text: str) -> None:
    told = Redactor([CANARY])(text)

    assert told == Redactor([CANARY])(told) == redact(told)
    assert CANARY not in told
    assert find_secret(told) is None


MARKS = (
    *("hf_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox"),
    *("AIza", "KIA", "SIA", "eyJ", "earer", "EARER", "PRIVATE KEY", "uthorization:"),
    *("UTHORIZATION:", "://"),
)
SPLINTERS = st.sampled_from(
    [*MARKS, *(mark[:-1] for mark in MARKS), *(mark[1:] for mark in MARKS), "é", "\U0001f511"]
)


@given(st.lists(SPLINTERS | st.text(max_size=3), max_size=8).map("".join))
def test_a_text_is_looked_into_when_and_only_when_a_mark_is_in_it(text: str) -> None:
    assert _has_mark(text) == any(mark in text for mark in MARKS)


@given(st.lists(TEXTS, max_size=12))
def test_what_was_harmless_before_is_told_the_same_by_who_sees_it_first(texts: list[str]) -> None:
    redactor, padding = Redactor([CANARY]), "rules and tools, " * 200
    texts = [padding + text for text in texts]

    told = [redactor(text) for text in texts * 2]

    assert told == [Redactor([CANARY])(text) for text in texts * 2]


def test_a_value_learnt_later_is_found_in_a_text_that_was_harmless() -> None:
    redactor, text = Redactor(), "a long prompt, " * 200 + CANARY
    assert redactor(text) == text

    redactor.learn(CANARY)

    assert redactor(text).endswith("[redacted:known]")


def test_no_more_texts_are_remembered_than_a_session_needs() -> None:
    redactor = Redactor()
    for number in range(1000):
        redactor(f"{number:3000}")

    assert len(redactor._harmless) <= 64


def test_an_event_is_redacted_down_to_its_leaves() -> None:
    arguments = {"body": f"x\n{SHAPED['hf']}", "deep": [{SHAPED["sk"]: CANARY}], "n": 3}
    call = ToolCall(name="post_message", arguments=arguments)
    reply = ModelReplied(turn=0, step=0, cursor=0, text=CANARY, calls=(call,))

    told = Redactor([CANARY]).record(reply)

    assert told.text == "[redacted:known]"
    assert told.calls[0].arguments == {
        "body": "x\n[redacted:hf]",
        "deep": [{"[redacted:sk]": "[redacted:known]"}],
        "n": 3,
    }


def test_an_event_without_secrets_is_passed_on_as_it_is() -> None:
    message = MessagePosted(type="chat", body='late layers\n"bear" less \ud800')

    assert Redactor([CANARY]).record(message) is message


def test_bytes_that_are_no_text_are_kept() -> None:
    data = bytes(range(256)) + SHAPED["hf"].encode()

    assert Redactor().raw(data) == bytes(range(256)) + b"[redacted:hf]"


def test_a_key_behind_a_line_break_is_found_in_json() -> None:
    assert secret_in_json(json.dumps({"body": f"x\n{SHAPED['hf']}"})) == "hf_a1a..."


def test_an_ordinary_event_costs_next_to_nothing() -> None:
    redactor = Redactor([f"{CANARY}{n}" for n in range(8)])
    message = MessagePosted(type="chat", body="a line of forty ordinary characters, all\n" * 24)
    began = time.process_time()
    for _ in range(200):
        redactor.record(message)

    assert (time.process_time() - began) / 200 < 0.0005
