"""Front matter of strangers: tolerant of form, closed to what harms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.imports.front_matter import MAX_BYTES, parse_document

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"


def test_keys_and_body_come_apart() -> None:
    found = parse_document(b"---\ntps: 420.1\nrefs: a, b\n---\n\nHello\n---\nthere")

    assert found.keys == {"tps": 420.1, "refs": "a, b"}
    assert found.body == "Hello\n---\nthere"


@pytest.mark.parametrize("text", ["just words", "", "tps: 1\n---\n", "\n---\ntps: 1\n---\n"])
def test_without_an_opening_line_all_of_it_is_the_body(text: str) -> None:
    assert parse_document(text.encode()) == ({}, text)


def test_windows_line_ends_and_byte_order_marks_are_read() -> None:
    assert parse_document(b"\xef\xbb\xbf---\r\ntps: 1\r\n---\r\nok").keys == {"tps": 1}


def test_empty_front_matter_has_no_keys() -> None:
    assert parse_document(b"---\n---\nwords") == ({}, "words")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\ntps: 1\n", "not closed"),
        (f"---\n{BOMB}---\n", "aliases"),
        (f"---\na: {'[' * 90}{']' * 90}\n---\n", "nested too deeply"),
        ("---\n- a\n- b\n---\n", "no mapping"),
        ("---\na: [1\n---\n", "no YAML"),
        ("---\na: !!python/object/apply:os.system [ls]\n---\n", "no YAML"),
        ("---\n" + "".join(f"k{n}: 1\n" for n in range(70)) + "---\n", "70 keys"),
        ("x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_harms_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_document(text.encode())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTF-8 at byte 0"):
        parse_document(b"\xff\xfe\x00")


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    for form in (text, f"---\n{text}\n---\nbody"):
        try:
            parse_document(form.encode("utf-8", "surrogatepass"))
        except ValueError:
            continue
