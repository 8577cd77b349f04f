"""Our own canonical form beside the library's: the same bytes, and the same refusals."""

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tools.record.canonical import canonical, clean

NAMES = st.text(max_size=4) | st.sampled_from(["\ue000", "\U00010000", "é", "z", "Z", '"', "\x7f"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.floats(1e-9, 1e-3)
    | st.floats(1e14, 1e23)
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", "\u2028", "\x00\x1f\x7f\\/\"'\b\f\n\r\t"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(NAMES, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
@example({"usd": 4e-06, "least": 1e-06, "less": 9.9e-07, "plain": 1e-4, "big": 1e16, "zero": -0.0})
@example({"a": 2**53 - 1, "b": [-(2**53) + 1, True, None, ()], "c": {}})
@example([{"\U00010000": 1, "\ue000": 2}])
def test_every_value_has_the_form_that_the_library_gives_it(value: Any) -> None:
    value = clean(value)
    try:
        expected = rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError:
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical(value)
    else:
        assert canonical(value) == expected


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], 2**53, {"a": "\ud800"}, {1: 2}, {"a": {1, 2}}, b"bytes"]
)
def test_what_the_library_refuses_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(value)


def test_deep_nesting_costs_no_more_stack_than_in_the_library() -> None:
    value: Any = 1
    for _ in range(400):
        value = {"in": value}

    assert canonical(value) == rfc8785.dumps(value).decode()
