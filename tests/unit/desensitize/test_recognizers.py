from __future__ import annotations

import random

import pyarrow as pa
import pytest

from desensitize.entities import Entity, long_resident_id
from desensitize.recognizers import (
    RECOGNIZERS,
    check_cards,
    check_credit_codes,
    check_resident_ids,
    holds_resident_id,
)


DRAW = random.Random(7)
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def resident_id() -> str:
    return long_resident_id(
        f"220102{DRAW.randint(50, 99)}{DRAW.randint(1, 12):02d}{DRAW.randint(1, 28):02d}{DRAW.randint(0, 999):03d}"
    )


def luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def mod_31(code: str) -> bool:
    total = sum(ALPHABET.index(c) * int(3**i) for i, c in enumerate(code[:17]))
    return (31 - total % 31) % 31 == ALPHABET.index(code[17])


def mod_11_2(number: str) -> bool:
    return sum((10 if c == "X" else int(c)) * int(2 ** (17 - i)) for i, c in enumerate(number)) % 11 == 1


def test_check_sums_agree_with_the_standards_written_out() -> None:
    numbers = ["".join(DRAW.choices("0123456789", k=18)) for _ in range(3000)]
    assert check_resident_ids(pa.array(numbers)).tolist() == [mod_11_2(n) for n in numbers]
    cards = ["".join(DRAW.choices("0123456789", k=DRAW.randint(13, 19))) for _ in range(3000)]
    assert check_cards(pa.array(cards)).tolist() == [luhn(n) for n in cards]
    codes = ["".join(DRAW.choices(ALPHABET, k=18)) for _ in range(3000)]
    assert check_credit_codes(pa.array(codes)).tolist() == [mod_31(n) for n in codes]


def test_published_examples() -> None:
    assert check_resident_ids(pa.array(["11010519491231002X"])).all()
    assert check_credit_codes(pa.array(["91350100M000100Y43"])).all()
    assert check_cards(pa.array(["4111111111111111", "6222021234567890128"[:16] + "000"])).tolist()[0]


def test_nothing_passes_an_empty_column() -> None:
    assert all(recognizer.ratio(pa.array([], pa.string())) == 0 for recognizer in RECOGNIZERS)
    assert check_resident_ids(pa.array([], pa.string())).tolist() == []


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        (Entity.RESIDENT_ID, "１１０１０５１９４９１２３１００２ｘ"),
        (Entity.RESIDENT_ID, "110105 19491231 002x"),
        (Entity.MOBILE, "+86 138-1234-5678"),
        (Entity.LANDLINE, "0431-88776655"),
        (Entity.EMAIL, "Li.Si@example.com"),
        (Entity.PLATE, "吉A·12345"),
        (Entity.PLATE, "吉AD12345"),
        (Entity.PASSPORT, "EA1234567"),
        (Entity.IP_ADDRESS, "192.168.1.20"),
        (Entity.DIAGNOSIS, "E11.900"),
        (Entity.REGION, "220102"),
        (Entity.REGION, "南关区"),
        (Entity.BIRTH_DATE, "1990年1月5日"),
        (Entity.BIRTH_DATE, "19900105"),
        (Entity.ETHNICITY, "朝鲜族"),
        (Entity.NAME, "欧阳修"),
        (Entity.NAME, "阿依古丽·买买提"),
        (Entity.COMPANY_NAME, "长春某某科技有限公司"),
        (Entity.ADDRESS, "吉林省长春市南关区人民大街100号2单元301室"),
    ],
)
def test_forms_that_are_recognised(entity: Entity, value: str) -> None:
    assert any(recognizer.ratio(pa.array([value])) == 1 for recognizer in RECOGNIZERS if recognizer.entity is entity)


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        (Entity.RESIDENT_ID, "110105194912310021"),
        (Entity.RESIDENT_ID, "110105194913310027"),
        (Entity.MOBILE, "12345"),
        (Entity.MOBILE, "128123456789"),
        (Entity.IP_ADDRESS, "300.1.1.1"),
        (Entity.DIAGNOSIS, "第一医院"),
        (Entity.NAME, "长春"),
        (Entity.PLATE, "12345"),
    ],
)
def test_forms_that_are_not(entity: Entity, value: str) -> None:
    assert all(recognizer.ratio(pa.array([value])) == 0 for recognizer in RECOGNIZERS if recognizer.entity is entity)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("患者{id}来院", True, id="touching Chinese"),
        pytest.param("ID{id}", True, id="touching letters"),
        pytest.param("９９号{wide}", True, id="full-width"),
        pytest.param("{split}", True, id="split by blanks"),
        pytest.param("9{id}", False, id="part of a longer number"),
        pytest.param("患者来院", False, id="no number"),
        pytest.param("110105194912310021", False, id="wrong check character"),
    ],
)
def test_resident_ids_inside_text(text: str, found: bool) -> None:
    number = resident_id()
    wide = number.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789X"})
    split = f"{number[:6]} {number[6:14]} {number[14:]}"
    value = text.format(id=number, wide=wide, split=split)
    assert holds_resident_id(pa.array(["普通", None, value])) is found


def test_numbers_and_dates_are_looked_at_by_type() -> None:
    whole = next(n for n in iter(resident_id, "") if n.isdecimal())
    assert holds_resident_id(pa.array([int(whole)]))
    assert not holds_resident_id(pa.array([1.5]))
