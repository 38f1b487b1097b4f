"""Provisioning with the real Spark and the real Delta."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desensitize.entities import Entity
from desensitize.output import digest_of
from desensitize.pseudonym import ScenarioKeys, tokens
from desensitize.sampling import SampleRate
from lineage.canonical import encode
from lineage.errors import DefinitionError, MissingPartError
from sandbox.columns import Column, Grade, Role
from sandbox.grants import Zone
from tests.fixtures_desensitize import RESIDENTS, VISITS, Row, residents


if TYPE_CHECKING:
    from tests.fixtures_desensitize import Town

pytestmark = pytest.mark.spark

PEOPLE = residents(1500)


def token_of(town: Town, value: str, entity: Entity = Entity.RESIDENT_ID) -> str:
    import pyarrow as pa

    return str(tokens(pa.array([value]), entity, town.keys)[0].as_py())


def shown_class(row: Row, levels: dict[str, Any]) -> tuple[Any, ...]:
    """The class of a RAW row by the record's own words, computed by hand."""
    years, digits = levels["birth_date"].get("years"), levels["district"].get("digits")
    born = date(row["birth_date"].year // years * years, 1, 1) if years else None
    sex = row["sex"] if levels["sex"]["treatment"] == "keep" else None
    return born, sex, row["district"][:digits].ljust(6, "0") if digits else None


def test_a_view_is_tokenised_generalised_sampled_and_written_down(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    record, view = town.provision(raw, RESIDENTS, Zone.VIEW)
    known = {token_of(town, row["resident_id"]): row for row in PEOPLE}
    levels = {column.name: {"treatment": column.treatment, **dict(column.parameters)} for column in record.columns}

    assert record.risk is not None
    assert record.sample_rate is not None
    members: dict[tuple[Any, ...], set[str]] = {}
    for token, row in known.items():
        members.setdefault(shown_class(row, levels), set()).add(token)
    for row in view:
        assert row["resident_id"] in known
        source = known[row["resident_id"]]
        shown = (row["birth_date"], row["sex"], row["district"])
        assert shown == shown_class(source, levels)
        assert len(members[shown]) >= 10
        assert row["name"] == token_of(town, source["name"], Entity.NAME)
        assert row["income"] == float(f"{source['income']:.1e}")
        assert (row["remark"], row["note"]) == (None, source["note"])

    large = [people for people in members.values() if len(people) >= 10]
    assert record.risk.classes == len(large)
    assert record.risk.smallest_class == min(len(people) for people in large)
    assert record.risk.suppressed_rows == len(PEOPLE) - sum(len(people) for people in large)
    assert record.risk.suppressed_rows <= len(PEOPLE) * 5 // 100
    assert (record.rows_in, record.rows_out) == (len(PEOPLE), len(view))
    assert abs(len(view) - record.sample_rate * len(PEOPLE)) < 150
    assert record.output_digest == digest_of(town.last)


def test_the_same_people_are_sampled_in_every_table_and_whole(town: Town) -> None:
    visits = [
        {
            "id_no": row["resident_id"].lower() if i % 2 else f" {row['resident_id']}",
            "district": "220102",
            "diagnosis": "E11.900",
            "cost": i,
        }
        for i, row in enumerate(PEOPLE * 3)
    ]
    _, people = town.provision(town.raw(PEOPLE, RESIDENTS), RESIDENTS, Zone.VIEW, ["resident_id", "sex"])
    _, seen = town.provision(town.raw(visits, VISITS), VISITS, Zone.VIEW)
    sampled = {row["resident_id"] for row in people}
    assert Counter(row["id_no"] for row in seen) == dict.fromkeys(sampled, 3)
    assert {row["diagnosis"] for row in seen} == {"E11"}


def test_another_scenario_shares_nothing(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    _, here = town.provision(raw, RESIDENTS, Zone.VIEW)
    town.keys = ScenarioKeys.derive(bytes(range(32)), tenant="T-1", scenario="S-2")
    _, there = town.provision(raw, RESIDENTS, Zone.VIEW)
    for name in ("resident_id", "name"):
        assert not {row[name] for row in here} & {row[name] for row in there}


def test_inputs_are_whole_and_ordered_by_token(town: Town) -> None:
    record, rows = town.provision(town.raw(PEOPLE, RESIDENTS), RESIDENTS, Zone.INPUT)
    expected = [
        {**row, "resident_id": token_of(town, row["resident_id"]), "name": token_of(town, row["name"], Entity.NAME)}
        for row in PEOPLE
    ]
    assert sorted(rows, key=lambda row: row["resident_id"]) == sorted(expected, key=lambda row: row["resident_id"])
    assert record.risk is None
    assert record.sample_rate is None
    import pyarrow.parquet as pq

    for path in town.last.glob("*.parquet"):
        column = pq.ParquetFile(path).read(["resident_id"]).column(0).to_pylist()
        assert column == sorted(column)


def test_only_what_was_granted_comes_out(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    _, rows = town.provision(raw, RESIDENTS, Zone.INPUT, ["sex"])
    assert set(rows[0]) == {"resident_id", "sex"}


def test_an_undeclared_column_never_comes_out(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    declared = [column for column in RESIDENTS if column.name != "note"]
    _, rows = town.provision(raw, declared, Zone.INPUT)
    assert "note" not in rows[0]


def test_exactly_the_version_asked_for_is_read(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    town.raw(PEOPLE[:20], RESIDENTS, at=raw)
    assert town.provision(raw, RESIDENTS, Zone.INPUT, version=0)[0].rows_out == len(PEOPLE)
    assert town.provision(raw, RESIDENTS, Zone.INPUT, version=1)[0].rows_out == 20


def test_rows_are_filtered_before_they_are_counted(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    wanted = [
        row for row in PEOPLE if row["district"] in {"220102", "220104"} and row["birth_date"] >= date(1970, 1, 1)
    ]
    record, _ = town.provision(
        raw, RESIDENTS, Zone.VIEW, row_filter="district IN ('220102', '220104') AND birth_date >= DATE '1970-01-01'"
    )
    assert record.risk is not None
    assert (record.rows_in, record.risk.subjects) == (len(wanted), len(wanted))


def test_a_filter_that_leaves_too_few_is_refused(town: Town) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    with pytest.raises(DefinitionError, match="too-few-subjects"):
        town.provision(raw, RESIDENTS, Zone.VIEW, row_filter="birth_date = DATE '1970-01-01'")
    assert not list(town.folder.glob("*out-*"))


def test_rows_about_nobody_are_left_out_of_views_and_kept_in_inputs(town: Town) -> None:
    rows = [*PEOPLE, *({**PEOPLE[0], "resident_id": empty} for empty in (None, "", " "))]
    raw = town.raw(rows, RESIDENTS)
    record, view = town.provision(raw, RESIDENTS, Zone.VIEW)
    assert (record.rows_in, record.rows_without_subject) == (len(rows), 3)
    assert all(row["resident_id"] for row in view)
    record, whole = town.provision(raw, RESIDENTS, Zone.INPUT)
    assert sum(row["resident_id"] is None for row in whole) == 3


def test_a_table_about_nobody_is_copied_whole(town: Town) -> None:
    columns = [
        Column("clinic", "string", Role.PLAIN, Grade.OPEN, closed=False),
        Column("beds", "int", Role.PLAIN, Grade.OPEN, closed=False),
    ]
    rows = [{"clinic": f"c{i}", "beds": i} for i in range(50)]
    record, out = town.provision(town.raw(rows, columns), columns, Zone.VIEW, subject=None)
    assert sorted(out, key=lambda row: row["beds"]) == rows
    assert out != rows
    assert (record.risk, record.sample_rate) == (None, None)


@pytest.mark.parametrize("zone", list(Zone))
def test_what_the_tenant_can_read_says_nothing_of_raw(town: Town, zone: Zone) -> None:
    raw = town.raw(PEOPLE, RESIDENTS)
    town.provision(raw, RESIDENTS, zone, row_filter="district = '220102'")
    log = "".join(path.read_text() for path in (town.last / "_delta_log").glob("*.json"))
    for told in ("220102", "raw-", str(town.folder), "root", "predicate", "minValues", "张", town.keys.token_key.hex()):
        assert told not in log, told
    assert {path.name for path in town.last.iterdir() if path.suffix != ".crc"} >= {"_delta_log"}
    assert "numIndexedCols" not in log or '"delta.dataSkippingNumIndexedCols":"0"' in log


def test_the_record_is_plain_and_holds_no_key(town: Town) -> None:
    record, _ = town.provision(town.raw(PEOPLE, RESIDENTS), RESIDENTS, Zone.VIEW)
    text = encode(record.to_json()).decode()

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for one in value.values() for leaf in leaves(one)]
        return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]

    assert {type(leaf) for leaf in leaves(json.loads(text))} == {int, str}
    for entity in Entity:
        assert town.keys.of(entity).hex() not in text
    assert '"key_version":1' in text
    by_name = {column.name: column for column in record.columns}
    assert (by_name["resident_id"].treatment, by_name["remark"].treatment, by_name["note"].treatment) == (
        "token",
        "drop",
        "keep",
    )
    assert (by_name["income"].grade_before, by_name["income"].grade_after) == (4, 3)
    assert record.grade == 3


@pytest.mark.parametrize(
    ("more", "error", "code"),
    [
        pytest.param({"version": 7}, MissingPartError, "desensitize.failed", id="a version that is not there"),
        pytest.param({"raw": Path("/nowhere")}, MissingPartError, "desensitize.failed", id="a table that is not there"),
        pytest.param({"sample": None}, DefinitionError, "desensitize.sample-wanted", id="a view without a sample"),
    ],
)
def test_a_failure_leaves_nothing(town: Town, more: dict[str, Any], error: type[Exception], code: str) -> None:
    raw = more.pop("raw", None) or town.raw(PEOPLE[:50], RESIDENTS)
    with pytest.raises(error, match=code):
        town.provision(raw, RESIDENTS, Zone.VIEW, **more)
    assert not list(town.folder.glob("*out-*"))


def test_inputs_are_not_sampled(town: Town) -> None:
    with pytest.raises(DefinitionError, match="sample-unwanted"):
        town.provision(town.raw(PEOPLE[:50], RESIDENTS), RESIDENTS, Zone.INPUT, sample=SampleRate.training())


def test_a_type_that_differs_from_the_catalogue_is_refused(town: Town) -> None:
    raw = town.raw(PEOPLE[:50], RESIDENTS)
    columns = [
        Column("note", "int", Role.PLAIN, Grade.INTERNAL, closed=False) if c.name == "note" else c for c in RESIDENTS
    ]
    with pytest.raises(DefinitionError, match="column-differs"):
        town.provision(raw, columns, Zone.INPUT)


def test_nothing_is_overwritten(town: Town) -> None:
    target = town.folder / "taken"
    target.mkdir()
    with pytest.raises(MissingPartError, match=r"desensitize\.target"):
        town.provision(town.raw(PEOPLE[:50], RESIDENTS), RESIDENTS, Zone.INPUT, into=target)
    assert list(target.iterdir()) == []


def test_an_engine_error_that_quotes_a_cell_is_not_repeated(town: Town) -> None:
    columns = [RESIDENTS[0], Column("note", "string", Role.PLAIN, Grade.INTERNAL, closed=False)]
    raw = town.raw([{"resident_id": "1", "note": "机密内容"}], columns)
    with pytest.raises(MissingPartError) as failed:
        town.provision(raw, columns, Zone.INPUT, row_filter="note > 5")
    assert "机密" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
