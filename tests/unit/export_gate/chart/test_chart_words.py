"""What is said of typed words: each check's verdict, and that ordinary sentences pass (B2, B11)."""

from __future__ import annotations

import pytest

from export_gate.chart.wording import check_characters, judge_words
from export_gate.finding import Verdict
from lineage.errors import DefinitionError
from tests.factories import refused


PASS, REVIEW, BLOCK = Verdict.NO_ATTACK_SUCCEEDED, Verdict.REVIEW, Verdict.BLOCK


def verdict(check: str, *texts: str) -> Verdict:
    (found,) = (one for one in judge_words(texts) if one.check == check)
    return found.verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("证件号 11010519491231002X", BLOCK),
        ("证件号 110105194912310021", PASS),
        ("电话13800138000", BLOCK),
        ("统一社会信用代码 91350100M000100Y43", BLOCK),
        ("主机 192.168.10.20", BLOCK),
        ("车牌京A12345", BLOCK),
        ("本季度门诊量平稳", PASS),
        ("See the table of 2026", PASS),
    ],
)
def test_identifiers(text: str, expected: Verdict) -> None:
    assert verdict("words.personal", text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026年11月", PASS),
        ("2025-2026", PASS),
        ("第3条", PASS),
        ("Q3 2026", PASS),
        ("万一、统一、一起、十分", PASS),
        ("共 41 人", REVIEW),
        ("1999.5", REVIEW),
        ("２０", REVIEW),
        ("三千人", REVIEW),
        ("二〇四一", REVIEW),
        ("2026年11月3日", REVIEW),
    ],
)
def test_typed_numbers(text: str, expected: Verdict) -> None:
    assert verdict("words.digits", text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("internationalization of responsibilities", PASS),
        ("Health-Department", PASS),
        ("d41d8cd98f00b204e9800998ecf8427e", BLOCK),
        ("QmFzZTY0IGlzIG5vdCBzZWNyZXQgYXQgYWxs", BLOCK),
        ("QmFz ZTY0 IGlz IG5v dCBz ZWNy", BLOCK),
        ("9f86d081884c", REVIEW),
        ("饕餮鼙鼓黼黻齟齬鼴鼹龘龖", REVIEW),
        ("各区门诊量与上年同期相比略有上升", PASS),
    ],
)
def test_strings_unlike_language(text: str, expected: Verdict) -> None:
    assert verdict("words.rare", text) is expected


def test_the_amount_is_told() -> None:
    (found,) = (one for one in judge_words(["就诊情况"]) if one.check == "words.amount")
    assert found.params["characters"] == 4
    assert int(found.params["bits"]) > 0


@pytest.mark.parametrize(
    "character", "\u200b\u00ad\u202e\ufeff\u0430\u03bf\u2800\u3000\U0001d7d8\ue000\t\u00a0\u0301\u2460"
)
def test_characters_that_deceive_are_refused(character: str) -> None:
    with refused(DefinitionError, "words.strange-character"):
        check_characters(f"就诊{character}", "title")


def test_ordinary_characters_pass_and_blanks_are_one() -> None:
    assert check_characters("就诊  人次（含复诊）：é ±5 ℃ “好”……", "title") == "就诊 人次（含复诊）：é ±5 ℃ “好”……"
