from __future__ import annotations

from itertools import product

import pytest

from desensitize.classify import DEFAULTS
from desensitize.entities import Entity
from desensitize.hierarchies import coarsen, levels_for
from desensitize.policy import HANDLING, ColumnPlan, Handling, entity_of, plan
from desensitize.treatments import Drop, GeneraliseNumber, Keep, Mask, Prefix, Token, Treatment, YearBand
from lineage.canonical import encode
from lineage.errors import DefinitionError, NotPermittedError
from sandbox.columns import Column, Family, Grade, Role, SubjectKind
from sandbox.grants import Zone


TYPE_OF = {
    Family.TEXT: "string",
    Family.WHOLE: "int",
    Family.NUMBER: "decimal(10,2)",
    Family.DATE: "date",
    Family.BOOLEAN: "boolean",
}
KEY = Column("resident_id", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE, closed=False)


def column(
    name: str, kind: str = "string", role: Role = Role.PLAIN, grade: Grade = Grade.INTERNAL, **more: object
) -> Column:
    return Column(name, kind, role, grade, closed=bool(more.get("closed", False)), entity=str(more.get("entity", "")))


def treatments(one: Column, zone: Zone) -> tuple[Treatment, ...]:
    made = plan([KEY, one], [one.name], zone, KEY.name)
    return next(planned.treatments for planned in made.columns if planned.column is one)


def test_the_table_is_total() -> None:
    assert set(HANDLING) == set(product(Zone, Role, Grade))


@pytest.mark.parametrize("grade", list(Grade))
@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("zone", list(Zone))
def test_every_declared_column_has_a_treatment_or_a_refusal(
    zone: Zone, role: Role, family: Family, grade: Grade
) -> None:
    one = column("x", TYPE_OF[family], role, grade)
    if role is Role.DIRECT_IDENTIFIER and family not in {Family.TEXT, Family.WHOLE}:
        with pytest.raises(DefinitionError, match="treatment-type"):
            treatments(one, zone)
    else:
        assert treatments(one, zone)


@pytest.mark.parametrize("entity", list(Entity))
@pytest.mark.parametrize("family", list(Family))
def test_every_entity_has_levels_that_fit_its_type(entity: Entity, family: Family) -> None:
    one = column("x", TYPE_OF[family], Role.QUASI_IDENTIFIER, Grade.RESTRICTED)
    for level in (*levels_for(one, entity), coarsen(one, entity)):
        assert family in level.families


def test_every_entity_has_a_default_role_and_grade() -> None:
    assert set(DEFAULTS) == set(Entity)


@pytest.mark.parametrize("grade", list(Grade))
def test_no_direct_identifier_and_no_free_text_is_shown_in_a_view(grade: Grade) -> None:
    assert HANDLING[Zone.VIEW, Role.DIRECT_IDENTIFIER, grade] is Handling.TOKEN
    assert HANDLING[Zone.VIEW, Role.FREE_TEXT, grade] is Handling.DROP
    assert HANDLING[Zone.INPUT, Role.DIRECT_IDENTIFIER, grade] is Handling.TOKEN


def test_an_exact_birth_date_and_an_address_are_below_the_floor() -> None:
    birth = column("birth_date", "date", Role.QUASI_IDENTIFIER, Grade.RESTRICTED)
    address = column("home_address", "string", Role.QUASI_IDENTIFIER, Grade.RESTRICTED)
    assert treatments(birth, Zone.VIEW) == (YearBand(1), YearBand(5), YearBand(10), Drop())
    assert treatments(address, Zone.VIEW) == (Drop(),)


def test_the_most_sensitive_values_are_coarsened_in_views_and_whole_in_inputs() -> None:
    diagnosis = column("diagnosis", "string", Role.SENSITIVE, Grade.MOST_SENSITIVE)
    assert treatments(diagnosis, Zone.VIEW) == (Prefix(3),)
    assert treatments(diagnosis, Zone.INPUT) == (Keep(),)


def test_what_is_not_granted_is_absent_and_the_subject_key_is_there() -> None:
    made = plan([KEY, column("a"), column("b")], ["a"], Zone.INPUT, KEY.name)
    assert [planned.column.name for planned in made.columns] == ["resident_id", "a"]
    assert made.subject_token == Token(Entity.RESIDENT_ID)


def test_the_subject_key_is_a_token_whatever_its_declared_role() -> None:
    key = column("person", role=Role.PLAIN, grade=Grade.OPEN)
    made = plan([key], ["person"], Zone.VIEW, "person")
    assert made.columns[0].treatments == (Token(Entity.RESIDENT_ID),)


@pytest.mark.parametrize(
    ("columns", "granted", "code"),
    [
        pytest.param([KEY], ["unknown"], "desensitize.column-ungraded", id="a column nobody graded"),
        pytest.param(
            [KEY, column("x", closed=True)], ["x"], "desensitize.column-closed", id="a column that law closes"
        ),
    ],
)
@pytest.mark.parametrize("zone", list(Zone))
def test_closed_and_ungraded_columns_are_refused(
    zone: Zone, columns: list[Column], granted: list[str], code: str
) -> None:
    with pytest.raises(NotPermittedError) as refused:
        plan(columns, granted, zone, KEY.name)
    assert refused.value.code == code


def test_a_closed_subject_key_is_refused() -> None:
    key = column("person", closed=True)
    with pytest.raises(NotPermittedError, match="column-closed"):
        plan([key, column("x")], ["x"], Zone.INPUT, "person")


@pytest.mark.parametrize("role", [Role.DIRECT_IDENTIFIER, Role.QUASI_IDENTIFIER])
def test_a_view_about_nobody_may_not_identify_anybody(role: Role) -> None:
    with pytest.raises(DefinitionError, match="subject-missing"):
        plan([column("x", role=role)], ["x"], Zone.VIEW, None)


def test_a_table_about_nobody_needs_no_subject() -> None:
    made = plan([column("beds", "int")], ["beds"], Zone.VIEW, None)
    assert made.subject_token is None
    assert made.quasi_identifiers == ()


def test_names_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(DefinitionError, match="names-alike"):
        plan([KEY, column("Sex"), column("sex")], ["sex"], Zone.VIEW, KEY.name)


def test_given_levels_replace_those_of_the_rules_and_end_in_dropping() -> None:
    age = column("age", "int", Role.QUASI_IDENTIFIER)
    made = plan([KEY, age], ["age"], Zone.VIEW, KEY.name, levels={"age": (GeneraliseNumber(15),)})
    assert made.quasi_identifiers[0].treatments == (GeneraliseNumber(15), Drop())


def test_levels_for_a_column_that_is_no_quasi_identifier_are_refused() -> None:
    with pytest.raises(DefinitionError, match="levels-unused"):
        plan([KEY, column("age", "int")], ["age"], Zone.VIEW, KEY.name, levels={"age": (GeneraliseNumber(15),)})


@pytest.mark.parametrize(("k", "tolerance"), [(1, 5), (0, 5), (10, -1), (10, 21)])
def test_bounds_of_k_and_tolerance(k: int, tolerance: int) -> None:
    with pytest.raises(DefinitionError, match="plan-bounds"):
        plan([KEY], [KEY.name], Zone.VIEW, KEY.name, k=k, tolerance=tolerance)


def test_the_digest_follows_every_choice() -> None:
    base = plan([KEY], [KEY.name], Zone.VIEW, KEY.name)
    assert len(base.digest) == 64
    assert base.digest == plan([KEY], [KEY.name], Zone.VIEW, KEY.name).digest
    assert base.digest != plan([KEY], [KEY.name], Zone.VIEW, KEY.name, k=11).digest
    assert base.digest != plan([KEY], [KEY.name], Zone.INPUT, KEY.name).digest
    encode(base.description)


@pytest.mark.parametrize(
    ("one", "kind", "entity"),
    [
        (column("x", entity="mobile"), None, Entity.MOBILE),
        (column("sjh"), None, Entity.MOBILE),
        (column("x"), None, Entity.OTHER),
        (column("x"), SubjectKind.PERSON, Entity.RESIDENT_ID),
        (column("x"), SubjectKind.COMPANY, Entity.CREDIT_CODE),
        (column("mobile"), SubjectKind.PERSON, Entity.MOBILE),
    ],
)
def test_what_a_column_holds(one: Column, kind: SubjectKind | None, entity: Entity) -> None:
    assert entity_of(one, kind) is entity


def test_identifiers_free_text_closed_columns_and_the_key_cannot_be_filtered_on() -> None:
    columns = [
        KEY,
        column("name", role=Role.DIRECT_IDENTIFIER),
        column("remark", role=Role.FREE_TEXT),
        column("secret", closed=True),
        column("district"),
    ]
    assert plan(columns, ["district"], Zone.INPUT, KEY.name).filterable == ("district",)


def test_a_column_plan_cannot_be_empty_or_untyped() -> None:
    with pytest.raises(ValueError, match="untreated"):
        ColumnPlan(column("x"), ())
    with pytest.raises(ValueError, match="value alone"):
        ColumnPlan(column("x"), (Token(Entity.OTHER), Drop()))
    with pytest.raises(DefinitionError, match="treatment-type"):
        ColumnPlan(column("x", "int"), (Mask(1, 1),))
