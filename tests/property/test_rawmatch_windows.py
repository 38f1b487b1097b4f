"""The index of windows finds exactly what an Aho–Corasick automaton finds, and what is packed and spelled in any order is undone."""

from __future__ import annotations

import base64
import bz2
import gzip
import zlib
from collections.abc import Callable, Mapping

import zstandard
from ahocorasick_rs import BytesAhoCorasick
from hypothesis import given, settings
from hypothesis import strategies as st

from export_gate.rawmatch.decode import Bounds, Decoding
from export_gate.rawmatch.windows import WINDOW, build, find


FEW_LETTERS = st.text("01A", min_size=WINDOW, max_size=14).map(str.encode)
TEXTS = st.text("01A", max_size=300).map(str.encode)
SECRET = b"22010419900307123X"
STEPS: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base32": base64.b32encode,
    "base85": base64.b85encode,
    "hex": base64.b16encode,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "zstandard": zstandard.compress,
}


@given(st.lists(FEW_LETTERS, min_size=1, max_size=30, unique=True), TEXTS)
def test_the_index_agrees_with_an_automaton(patterns: list[bytes], text: bytes) -> None:
    automaton = BytesAhoCorasick(patterns)
    expected = {(which, start) for which, start, _ in automaton.find_matches_as_indexes(text, overlapping=True)}
    index = build(patterns)
    assert index is not None
    hits = find(index, text, 10**9)
    assert hits.complete
    assert set(zip(hits.owners.tolist(), hits.places.tolist(), strict=True)) == expected


@given(st.lists(FEW_LETTERS, min_size=1, max_size=30, unique=True), TEXTS, st.integers(0, 50))
def test_what_could_not_be_compared_is_said(patterns: list[bytes], text: bytes, most: int) -> None:
    index = build(patterns)
    assert index is not None
    all_of_them, some = find(index, text, 10**9), find(index, text, most)
    assert not some.complete or len(some.owners) == len(all_of_them.owners)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=4), st.binary(max_size=6))
def test_any_order_of_steps_is_undone(steps: list[str], before: bytes) -> None:
    data = before + SECRET
    for step in steps:
        data = STEPS[step](data)
    decoding = Decoding()
    assert any(SECRET in layer.data for layer in decoding.walk({"a": data})), steps


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.binary(max_size=2000), st.text(max_size=500).map(str.encode)))
def test_nothing_makes_the_walk_fail_or_pass_its_bounds(data: bytes) -> None:
    bounds = Bounds(most_bytes=1 << 20, most_layers=500)
    decoding = Decoding(bounds)
    layers = list(decoding.walk({"a": data}))
    assert sum(len(layer.data) for layer in layers) <= bounds.most_bytes
    assert len(layers) <= bounds.most_layers
