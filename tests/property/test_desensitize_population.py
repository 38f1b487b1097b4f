"""k holds on the whole population for any table, counted in plain Python from the rows and the view alone."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desensitize.entities import long_resident_id
from desensitize.sampling import SampleRate
from lineage.errors import DefinitionError
from sandbox.columns import Column, Grade, Role
from sandbox.grants import Zone


if TYPE_CHECKING:
    from tests.fixtures_desensitize import Town

pytestmark = pytest.mark.spark

COLUMNS = (
    Column("resident_id", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE, closed=False),
    Column("birth_date", "date", Role.QUASI_IDENTIFIER, Grade.RESTRICTED, closed=False),
    Column("age", "int", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
    Column("district", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
)
NUMBERS = [long_resident_id(f"2201026{i % 10}01{1 + i // 10:02d}{i:03d}") for i in range(60)]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "resident_id": st.sampled_from([*NUMBERS, None]),
            "birth_date": st.sampled_from(
                [None, date(1960, 1, 1), date(1961, 5, 5), date(1968, 1, 1), date(1990, 1, 1)]
            ),
            "age": st.sampled_from([None, 3, 7, 12, 64]),
            "district": st.sampled_from([None, "220102", "220104", "229000", "南关区"]),
        }
    ),
    min_size=1,
    max_size=300,
)


def by_hand(row: dict[str, Any], treatments: dict[str, tuple[str, dict[str, Any]]]) -> tuple[Any, ...]:
    """What the record says happened, done by hand."""
    shown: list[Any] = []
    for name in ("birth_date", "age", "district"):
        value, (treatment, parameters) = row[name], treatments[name]
        match treatment:
            case "drop":
                shown.append(None)
            case _ if value is None:
                shown.append(None)
            case "year-band":
                shown.append(date(value.year // parameters["years"] * parameters["years"], 1, 1))
            case "generalise-number":
                shown.append(value // parameters["width"] * parameters["width"])
            case "generalise-region" if value.isdecimal():
                shown.append(value[: parameters["digits"]].ljust(6, "0"))
            case "generalise-region":
                shown.append(value if parameters["digits"] == 6 else None)
            case _:
                raise AssertionError(treatment)
    return tuple(shown)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, k=st.integers(2, 8))
def test_every_shown_class_has_k_subjects_in_the_population(town: Town, rows: list[dict[str, Any]], k: int) -> None:
    subjects = {row["resident_id"] for row in rows} - {None}
    rate = SampleRate(Fraction(1, 10), floor=1000)
    try:
        record, view = town.provision(town.raw(rows, COLUMNS), COLUMNS, Zone.VIEW, k=k, sample=rate)
    except DefinitionError:
        # Too few people, or a sample of a few that drew nobody.
        assert len(subjects) < max(k, 20)
        return
    treatments = {column.name: (column.treatment, dict(column.parameters)) for column in record.columns}
    members: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        if row["resident_id"] is not None:
            members.setdefault(by_hand(row, treatments), set()).add(row["resident_id"])
    shown = {(row["birth_date"], row["age"], row["district"]) for row in view}
    assert all(len(members[one]) >= k for one in shown)
    lost = set().union(*(people for people in members.values() if len(people) < k))
    assert record.risk is not None
    assert record.risk.suppressed_subjects == len(lost)
    assert len(lost) * 100 <= 5 * len(subjects)
    assert record.risk.subjects == len(subjects)
    assert record.rows_without_subject == sum(row["resident_id"] is None for row in rows)
