"""The two national identifiers against implementations written another way, and against the standards' own examples."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.ingest.checksums import (
    CREDIT_ALPHABET,
    credit_code_check,
    is_credit_code,
    is_resident_id,
    resident_id_check,
)


AS_OF = date(2026, 1, 1)


def iso7064_mod_11_2(text: str) -> bool:
    """The recursive method of ISO 7064: the value of the whole string, check character included, is 1 modulo 11."""
    value = 0
    for character in text:
        value = (value * 2 + (10 if character == "X" else int(character))) % 11
    return value == 1


def horner_mod_31(text: str) -> bool:
    """The weights are the powers of 3, so the sum is a polynomial in 3; with the check character it vanishes modulo 31."""
    value = 0
    for character in reversed(text[:17]):
        value = (value * 3 + "0123456789ABCDEFGHJKLMNPQRTUWXY".index(character)) % 31
    return (value + CREDIT_ALPHABET.index(text[17])) % 31 == 0


digits = st.text("0123456789", min_size=3, max_size=3)
days = st.integers(0, (AS_OF - date(1850, 1, 1)).days).map(lambda number: date(1850, 1, 1) + timedelta(number))
id_bodies = st.builds(
    lambda division, born, sequence: f"{division}{born:%Y%m%d}{sequence}", st.integers(100000, 999999), days, digits
)
credit_bodies = st.builds(
    lambda head, division, rest: f"{head}{division:06d}{rest}",
    st.text(CREDIT_ALPHABET, min_size=2, max_size=2),
    st.integers(0, 999999),
    st.text(CREDIT_ALPHABET, min_size=9, max_size=9),
)


@given(id_bodies, st.sampled_from("0123456789X"))
def test_identity_numbers_agree_with_iso_7064(body: str, check: str) -> None:
    assert is_resident_id(body + check, AS_OF) == iso7064_mod_11_2(body + check)


@given(credit_bodies, st.sampled_from(CREDIT_ALPHABET))
def test_credit_codes_agree_with_the_polynomial(body: str, check: str) -> None:
    assert is_credit_code(body + check) == horner_mod_31(body + check)


@given(id_bodies, st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(body: str, position: int, shift: int) -> None:
    whole = body + resident_id_check(body)
    wrong = str((int(whole[position]) + shift) % 10)
    assert not is_resident_id(whole[:position] + wrong + whole[position + 1 :], AS_OF)


@given(credit_bodies, st.integers(0, 16), st.integers(1, 30))
def test_one_wrong_character_is_noticed(body: str, position: int, shift: int) -> None:
    whole = body + credit_code_check(body)
    wrong = CREDIT_ALPHABET[(CREDIT_ALPHABET.index(whole[position]) + shift) % 31]
    assert not is_credit_code(whole[:position] + wrong + whole[position + 1 :])


@given(st.text(max_size=20))
def test_any_other_text_is_no_identifier(text: str) -> None:
    assert not is_credit_code(text) or len(text) == 18
    assert not is_resident_id(text, AS_OF) or len(text) == 18


@pytest.mark.parametrize("text", ["11010519491231002X", "440524188001010014"])
def test_the_examples_of_gb_11643(text: str) -> None:
    assert is_resident_id(text, AS_OF)


def test_the_example_of_gb_32100() -> None:
    assert is_credit_code("91350100M000100Y43")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("11010519491231002x", "the small letter is cleaned before, not accepted here"),
        ("110105194912310021", "wrong check character"),
        ("11010519490230002X", "no such day"),
        ("110105209912310021", "born after the day the data is of"),
        ("110105491231002", "the old form of 15 digits"),
        ("１１010519491231002X", "digits of another script"),
        ("11010519491231002X\n", "a line end behind"),
    ],
)
def test_what_is_no_identity_number(text: str, why: str) -> None:
    assert not is_resident_id(text, AS_OF), why


def test_birth_on_the_day_itself_is_possible_and_the_day_after_is_not() -> None:
    body = "11010520260101002"
    assert is_resident_id(body + resident_id_check(body), AS_OF)
    later = "11010520260102002"
    assert not is_resident_id(later + resident_id_check(later), AS_OF)
