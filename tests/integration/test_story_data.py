"""Act 2: what the providers delivered is what the catalogue holds, and what was dirty is apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from console.demo.city import Delivery, Fault
from lineage.kinds import Kind
from sandbox.catalogue import Version, get_dataset, versions_of
from tests.fixtures_story import Played


pytestmark = [pytest.mark.jail, pytest.mark.spark]

RULES = {
    "health.visits": {
        Fault.BAD_CITIZEN_NUMBER: "resident_id.resident-id",
        Fault.MISSING_KEY: "resident_id.required",
        Fault.IMPOSSIBLE_DATE: "visit_date.type",
        Fault.TEXT_IN_NUMBER: "days.type",
        Fault.NEGATIVE_NUMBER: "cost.range",
    },
    "social.payments": {
        Fault.BAD_CREDIT_CODE: "uscc.credit-code",
        Fault.MISSING_KEY: "resident_id.required",
        Fault.IMPOSSIBLE_DATE: "month.one-of",
        Fault.TEXT_IN_NUMBER: "paid.type",
    },
    "social.residents": {},
    "social.companies": {},
}


def versions(played: Played, name: str) -> list[Version]:
    with played.play.stage.read() as connection:
        return versions_of(connection, get_dataset(connection, name).id)


def deliveries(played: Played) -> dict[str, list[Delivery]]:
    city = played.city
    return {
        "health.visits": [city.visits, city.visits_v2],
        "social.payments": [city.payments],
        "social.residents": [city.residents],
        "social.companies": [city.companies],
    }


@pytest.mark.parametrize("name", list(RULES))
def test_every_dirty_row_is_in_quarantine_under_its_rule(played: Played, name: str) -> None:
    for version, delivery in zip(versions(played, name), deliveries(played)[name], strict=True):
        expected = {RULES[name][fault]: count for fault, count in delivery.faults.items()}
        assert dict(version.quarantined) == expected
        assert version.rows == delivery.clean
    assert sum(delivery.dirty for delivery in deliveries(played)["health.visits"]) > 100


@pytest.mark.parametrize("name", list(RULES))
def test_what_the_tables_hold_is_what_the_catalogue_says(played: Played, name: str) -> None:
    """Counted in the files of the RAW table and of the quarantine, by another engine than the one that wrote them."""
    with played.play.stage.read() as connection:
        folder = played.play.stage.raw(get_dataset(connection, name).id)
    for version in versions(played, name):
        assert DeltaTable(folder / "table", version=version.version).to_pyarrow_dataset().count_rows() == version.rows
    dirty = [sum(version.quarantined.values()) for version in versions(played, name)]
    assert quarantined(folder / "quarantine")[-len(dirty) :] == (dirty if any(dirty) else [])


def quarantined(folder: Path) -> list[int]:
    """The rows of each version of a quarantine; each import takes the place of the one before, which stays a version."""
    if not folder.exists():
        return []
    newest = DeltaTable(folder).version()
    counts = [DeltaTable(folder, version=at).to_pyarrow_dataset().count_rows() for at in range(newest + 1)]
    return [count for count in counts if count]


def test_the_clean_rows_are_those_of_the_file(played: Played) -> None:
    with played.play.stage.read() as connection:
        folder = played.play.stage.raw(get_dataset(connection, "health.visits").id)
    newest = versions(played, "health.visits")[-1].version
    held = DeltaTable(folder / "table", version=newest).to_pandas()
    assert len(played.visits) == played.city.visits_v2.clean
    assert set(held["visit_id"]) == set(played.visits["visit_id"])
    assert round(float(held["cost"].sum()), 2) == round(float(played.visits["cost"].sum()), 2)


def test_both_versions_stay_with_the_dates_of_their_data(played: Played) -> None:
    """E6: a product must be able to name its source and date, so a new delivery does not take the place of the old."""
    first, second = versions(played, "health.visits")
    assert (first.as_of, second.as_of) == ("2026-09-30", "2026-10-01")
    assert first.version < second.version
    assert second.rows - first.rows == played.city.visits_v2.clean - played.city.visits.clean
    imports = [entry for entry in played.log() if entry.kind is Kind.DATASET_IMPORTED]
    told = [(e.payload["version"], e.payload["as_of"]) for e in imports if e.payload["dataset"] == "health.visits"]
    assert told == [(first.version, first.as_of), (second.version, second.as_of)]
