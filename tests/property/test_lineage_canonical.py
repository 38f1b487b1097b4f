"""Canonical JSON against an independent implementation of RFC 8785."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lineage.canonical import Json, decode, encode


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Where code point order and UTF-16 order part: beyond the basic plane against its private and full-width characters.
awkward = st.text(st.sampled_from('az\x00\x1f\x7f"\\/\u2028éé中（）\uffff\U00010000\U0001f600'), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts | awkward
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | awkward, inner, max_size=5),
    max_leaves=25,
)


@given(values)
def test_the_bytes_are_those_of_another_implementation(value: Json) -> None:
    assert encode(value) == rfc8785.dumps(value)


@given(values)
def test_what_was_written_reads_back_equal(value: Json) -> None:
    data = encode(value)
    assert decode(data) == value
    assert encode(decode(data)) == data


@given(values, st.booleans())
def test_another_spelling_of_the_same_value_is_refused(value: Json, indent: bool) -> None:
    other = json.dumps(value, ensure_ascii=True, indent=1 if indent else None).encode()
    if other != encode(value):
        with pytest.raises(ValueError, match="canonical"):
            decode(other)


def test_the_published_order_of_keys() -> None:
    # RFC 8785 §3.2.3
    keys = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(encode(keys))) == order


@pytest.mark.parametrize("value", [0.5, {"a": [1.0]}, {1: "a"}, b"bytes", {"a": {2}}, float("nan")])
def test_what_has_no_canonical_form_is_refused(value: Json) -> None:
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", {"\ud800": 1}])
def test_what_would_not_read_back_elsewhere_is_refused(value: Json) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"1.0",
        b"1e3",
        b"-0",
        b"NaN",
        b'{"a":1,"a":1}',
        b'"\\u0061"',
        b"\xef\xbb\xbf1",
        b"[" * 200_000,
        b"\xff",
    ],
)
def test_bytes_that_nothing_encodes_to_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(data)
