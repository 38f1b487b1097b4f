"""Tokens join within a scenario and nowhere else; samples hold whole subjects."""

from __future__ import annotations

from fractions import Fraction

import pyarrow as pa
from hypothesis import assume, example, given
from hypothesis import strategies as st

from desensitize.entities import Entity, canonical, long_resident_id
from desensitize.pseudonym import ScenarioKeys, sampled_tokens, tokens


ROOT = bytes(range(32))
ENTITIES = st.sampled_from(list(Entity))
BODIES = st.tuples(
    st.integers(110000, 659999), st.integers(0, 99), st.integers(1, 12), st.integers(1, 28), st.integers(0, 999)
).map(lambda p: f"{p[0]}{p[1]:02d}{p[2]:02d}{p[3]:02d}{p[4]:03d}")
SPACES = st.text(" \t\u3000\u00a0", max_size=3)


def keys(scenario: str = "S-1", tenant: str = "T-1", version: int = 1) -> ScenarioKeys:
    return ScenarioKeys.derive(ROOT, tenant=tenant, scenario=scenario, version=version)


def token(value: str, entity: Entity, of: ScenarioKeys) -> str | None:
    result: str | None = tokens(pa.array([value]), entity, of)[0].as_py()
    return result


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


@given(value=st.text(max_size=40), entity=ENTITIES)
@example(value="A¯", entity=Entity.RESIDENT_ID)
def test_a_canonical_spelling_is_its_own(value: str, entity: Entity) -> None:
    once = canonical(value, entity)
    assert once != ""

    assert canonical(once, entity) == once


@given(body=BODIES, before=SPACES, after=SPACES)
def test_all_spellings_of_a_resident_id_are_one(body: str, before: str, after: str) -> None:
    number = long_resident_id(body)
    spellings = [
        body,
        number,
        number.lower(),
        wide(number),
        f"{number[:6]} {number[6:14]}-{number[14:]}",
        before + number + after,
    ]
    assert {canonical(spelling, Entity.RESIDENT_ID) for spelling in spellings} == {number}


@given(number=st.integers(3_000_000_000, 9_999_999_999), before=SPACES)
def test_all_spellings_of_a_mobile_number_are_one(number: int, before: str) -> None:
    plain = f"1{number}"
    spellings = [
        plain,
        f"+86{plain}",
        f"0086 {plain}",
        f"86-{plain[:3]}-{plain[3:7]}-{plain[7:]}",
        before + wide(plain),
    ]
    assert {canonical(spelling, Entity.MOBILE) for spelling in spellings} == {plain}


@given(value=st.text(min_size=1, max_size=30), entity=ENTITIES)
def test_a_value_has_one_token_in_all_tables_of_a_scenario(value: str, entity: Entity) -> None:
    assert token(value, entity, keys()) == token(value, entity, keys())


@given(value=st.text(min_size=1, max_size=30), entity=ENTITIES, other=ENTITIES)
def test_nothing_joins_across_scenarios_tenants_versions_and_classes(value: str, entity: Entity, other: Entity) -> None:
    here = token(value, entity, keys())
    assume(here is not None)
    elsewhere = {
        token(value, entity, keys(scenario="S-2")),
        token(value, entity, keys(tenant="T-2")),
        token(value, entity, keys(version=2)),
    }
    assert here not in elsewhere
    assert len(elsewhere) == 3
    if other is not entity:
        assert here != token(value, other, keys())


@given(values=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=200, unique=True))
def test_different_values_have_different_tokens(values: list[str]) -> None:
    spelled = {canonical(value, Entity.OTHER) for value in values} - {None}
    found = {made for made in tokens(pa.array(values), Entity.OTHER, keys()).to_pylist() if made is not None}
    assert len(found) == len(spelled)
    assert all(len(made) == 32 and set(made) <= set("0123456789abcdef") for made in found)


@given(
    people=st.lists(st.text("0123456789", min_size=3, max_size=8), min_size=1, max_size=200, unique=True),
    low=st.integers(1, 99),
    step=st.integers(0, 99),
)
def test_a_sample_is_of_subjects_and_samples_are_nested(people: list[str], low: int, step: int) -> None:
    small, large = Fraction(low, 100), Fraction(min(low + step, 100), 100)
    chosen = set(sampled_tokens(pa.array(people), Entity.OTHER, keys(), small).drop_null().to_pylist())
    larger = set(sampled_tokens(pa.array(people[::-1]), Entity.OTHER, keys(), large).drop_null().to_pylist())
    assert larger <= set(tokens(pa.array(people), Entity.OTHER, keys()).to_pylist())
    assert chosen <= larger
    assert large < 1 or len(larger) == len(people)


def test_the_share_that_is_kept_is_the_rate() -> None:
    people = pa.array([str(number) for number in range(20_000)])
    kept = len(sampled_tokens(people, Entity.OTHER, keys(), Fraction(1, 10)).drop_null())
    # Five standard deviations of a binomial of 20 000 at one tenth.
    assert abs(kept - 2_000) < 5 * 42.5


def test_another_sample_key_draws_others() -> None:
    people = pa.array([str(number) for number in range(2_000)])
    first, second = (
        sampled_tokens(people, Entity.OTHER, keys(scenario), Fraction(1, 10)).is_valid().to_pylist()
        for scenario in ("S-1", "S-2")
    )
    both = sum(a and b for a, b in zip(first, second, strict=True))
    assert both < 60
