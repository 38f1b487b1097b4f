from __future__ import annotations

import random

import pytest

from desensitize.classify import Suggestion, suggest
from desensitize.entities import Entity, long_resident_id
from desensitize.names import entity_of_name
from sandbox.columns import Grade, Role


DRAW = random.Random(3)
IDS = [
    long_resident_id(f"220102{DRAW.randint(50, 99)}{DRAW.randint(1, 12):02d}{DRAW.randint(1, 28):02d}{i:03d}")
    for i in range(300)
]
SERIALS = [str(DRAW.randint(10**17, 10**18 - 1)) for _ in range(500)]


@pytest.mark.parametrize(
    ("name", "values", "entity", "role"),
    [
        ("sfzh", IDS, Entity.RESIDENT_ID, Role.DIRECT_IDENTIFIER),
        ("x1", IDS, Entity.RESIDENT_ID, Role.DIRECT_IDENTIFIER),
        ("备注", IDS, Entity.RESIDENT_ID, Role.DIRECT_IDENTIFIER),
        ("联系电话", ["13812345678", "+86 139 1234 5678"], Entity.MOBILE, Role.DIRECT_IDENTIFIER),
        ("xm", ["张三", "李四光"], Entity.NAME, Role.DIRECT_IDENTIFIER),
        ("csrq", ["1990-01-01", "1991-02-03"], Entity.BIRTH_DATE, Role.QUASI_IDENTIFIER),
        ("visit_date", ["1990-01-01", "1991-02-03"], Entity.OTHER, Role.PLAIN),
        ("zz", ["吉林省长春市南关区人民大街100号"], Entity.ADDRESS, Role.QUASI_IDENTIFIER),
        ("mz", ["汉族", "满族"], Entity.ETHNICITY, Role.QUASI_IDENTIFIER),
        ("c7", ["汉族", "满族"], Entity.ETHNICITY, Role.QUASI_IDENTIFIER),
        ("zdbm", ["I10", "E11.9"], Entity.DIAGNOSIS, Role.SENSITIVE),
        ("income", ["1000", "2000.5"], Entity.INCOME, Role.SENSITIVE),
        ("remark", ["无异常", "请复查"], Entity.REMARK, Role.FREE_TEXT),
        ("病历号", ["A001", "A002"], Entity.LOCAL_NUMBER, Role.DIRECT_IDENTIFIER),
        ("order_no", SERIALS, Entity.REMARK, Role.FREE_TEXT),
        ("clinic_name", ["第一医院", "第二医院"], Entity.OTHER, Role.PLAIN),
        ("cost", ["1.2", "3.4"], Entity.OTHER, Role.PLAIN),
        ("nothing", [], Entity.OTHER, Role.PLAIN),
    ],
)
def test_what_is_suggested(name: str, values: list[str], entity: Entity, role: Role) -> None:
    found = suggest(name, "", values)
    assert (found.entity, found.role) == (entity, role)


def test_the_comment_speaks_where_the_name_does_not() -> None:
    assert suggest("c1", "居民身份证号", []).entity is Entity.RESIDENT_ID


def test_name_and_values_together_are_surer_than_either() -> None:
    both, values, name = suggest("sfzh", "", IDS), suggest("x1", "", IDS), suggest("sfzh", "", [])
    assert both.confidence > values.confidence > name.confidence


def test_a_mixed_column_is_left_to_a_person() -> None:
    found = suggest("x1", "", IDS[:150] + [f"n{i}" for i in range(150)])
    assert found.confidence < 50
    assert found.role is Role.DIRECT_IDENTIFIER


def test_numbers_hidden_in_a_remark_make_it_the_strictest_free_text() -> None:
    found = suggest("clinic_note", "", ["今日门诊人数较多请注意秩序"] * 99 + [f"患者身份证{IDS[0]}，已办理入院手续"])
    assert (found.role, found.grade) == (Role.FREE_TEXT, Grade.MOST_SENSITIVE)
    assert found.confidence < 50


def test_the_innocent_twin_without_numbers_is_not() -> None:
    found = suggest("clinic_name", "", ["第一医院"] * 99 + ["第二医院"])
    assert found.role is Role.PLAIN


def test_evidence_quotes_no_value() -> None:
    found = suggest("sfzh", "", IDS)
    assert not any(number in piece for piece in found.evidence for number in IDS)


def test_confidence_is_in_per_cent() -> None:
    with pytest.raises(ValueError, match="per cent"):
        Suggestion(Role.PLAIN, Grade.OPEN, Entity.OTHER, 101, ())


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("residentId", Entity.RESIDENT_ID),
        ("PATIENT_AGE", Entity.AGE),
        ("法人姓名", Entity.NAME),
        ("法定代表人证件号码", Entity.RESIDENT_ID),
        ("name", Entity.NAME),
        ("hospital_name", None),
        ("visit_id", None),
        ("统一社会信用代码", Entity.CREDIT_CODE),
        ("homeAddress", Entity.ADDRESS),
        ("", None),
    ],
)
def test_what_a_name_says(name: str, entity: Entity | None) -> None:
    assert entity_of_name(name) is entity
