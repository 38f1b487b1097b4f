"""Acts 4 and 5: what a processor and their jobs can see, and what lies on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deltalake import DeltaTable

from jobs.runs import Run, Stage, get_run
from jobs.states import RunState
from jobs.supervisor import read_log
from lineage.errors import NotPermittedError, ShuzhaError
from sandbox.agreements import get_scenario
from sandbox.columns import Role
from sandbox.grants import Zone, zone_opened
from sandbox.viewing import first_rows
from tests.fixtures_story import Played


if TYPE_CHECKING:
    import pyarrow as pa

pytestmark = [pytest.mark.jail, pytest.mark.spark]

TOKEN = re.compile("[0-9a-f]{32}")
LEAST = 10


def values_of(table: pa.Table) -> dict[str, list[str]]:
    """The different values of each column as text."""
    return {name: [str(value) for value in table.column(name).unique().to_pylist()] for name in table.column_names}


@pytest.mark.parametrize("zone", list(Zone))
def test_no_identifier_of_the_city_is_in_views_or_inputs(played: Played, zone: Zone) -> None:
    """P1: every decoded value of every column is held against every real number, name, mobile and address."""
    for table in played.tables(zone).values():
        for column, values in values_of(table).items():
            text = "\n".join(values)
            for what, identifiers in played.identifiers.items():
                assert not identifiers & set(values), (column, what)
                if what != "name":
                    assert not [one for one in identifiers if one in text], (column, what)


@pytest.mark.parametrize("zone", list(Zone))
def test_what_lies_beside_the_rows_tells_nothing(played: Played, zone: Zone) -> None:
    """File names, footers and the Delta log: no identifier, no path or name of RAW, no filter, no extreme values."""
    with zone_opened(played.play.stage, played.grant("medical"), zone) as folder:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            data, name = path.read_bytes(), path.name
            for what in ("resident_id", "mobile", "address"):
                assert not [one for one in played.identifiers[what] if one.encode() in data or one in name]
            for told in (str(played.home), "/raw/", "1920-01-01", "health.visits", "minValues", "social"):
                assert told.encode() not in data, (name, told)


def test_one_person_has_one_token_throughout_a_scenario(played: Played) -> None:
    for zone in Zone:
        tables = played.tables(zone)
        tokens = {name: set(table.column("resident_id").to_pylist()) for name, table in tables.items()}
        assert all(TOKEN.fullmatch(token) for each in tokens.values() for token in each)
        shared = tokens["health.visits"] & tokens["social.residents"]
        assert len(shared) > 0.6 * len(tokens["social.residents"])
        if zone is Zone.INPUT:
            assert len(tokens["social.residents"]) == (played.residents["birth_date"].astype(str) >= "1920-01-01").sum()
            assert len(tokens["health.visits"]) == played.visits["resident_id"].nunique()


def test_views_and_inputs_of_one_scenario_join_row_for_row(played: Played) -> None:
    """A join over tokens gives what the join over real numbers gives: no token stands for two persons."""
    tables = {name: table.to_pandas() for name, table in played.tables(Zone.INPUT).items()}
    joined = tables["health.visits"].merge(tables["social.residents"], on="resident_id")
    old = played.residents[played.residents["birth_date"].astype(str) >= "1920-01-01"]
    real = played.visits.merge(old, on="resident_id")
    assert joined.groupby("district").size().to_dict() == real.groupby("district").size().to_dict()


def test_tokens_of_another_tenant_do_not_join(played: Played) -> None:
    """The same persons are in both tenants' tables, and nothing that they hold says so (D1)."""
    other = {zone: set(played.kept[zone, "social.payments"].column("resident_id").to_pylist()) for zone in Zone}
    paying = set(other[Zone.INPUT])
    assert len(paying) > 500
    for zone in Zone:
        for table in played.tables(zone).values():
            for values in values_of(table).values():
                assert not paying & set(values)


def test_every_combination_in_a_view_is_shared_by_ten_people_of_the_city(played: Played) -> None:
    """P2: counted on the population, from the delivered files, by other code than the one that chose the levels."""
    population = {
        "health.visits": played.visits,
        "social.residents": played.residents[played.residents["birth_date"].astype(str) >= "1920-01-01"],
    }
    views = played.tables(Zone.VIEW)
    for name, provisioned in played.provisioned(Zone.VIEW).items():
        columns = [one for one in provisioned.record["columns"] if one["role"] == Role.QUASI_IDENTIFIER]
        assert columns, name
        treated = pd.DataFrame({one["name"]: treat(population[name][one["name"]], one) for one in columns})
        treated["resident_id"] = population[name]["resident_id"]
        names = [one["name"] for one in columns]
        people = treated.groupby(names, dropna=False)["resident_id"].nunique()
        large = {as_tuple(key) for key, count in people.items() if count >= LEAST}
        shown = {as_tuple(row) for row in views[name].select(names).to_pandas().itertuples(index=False)}
        assert shown, name
        assert shown <= large, (name, shown - large)
        assert provisioned.record["risk"]["smallest_class"] == min(count for count in people if count >= LEAST)


def treat(values: pd.Series[Any], column: Mapping[str, Any]) -> pd.Series[Any]:
    """What a treatment of this name does, written down here a second time."""
    given = column["parameters"]
    text = values.astype(str)
    match column["treatment"]:
        case "keep":
            return text
        case "drop":
            return pd.Series("", index=values.index)
        case "year-band":
            years = text.str.slice(0, 4).astype(int)
            first: pd.Series[Any] = (years - years % given["years"]).astype(str) + "-01-01"
            return first
        case "generalise-region":
            return text.str.slice(0, given["digits"]).str.pad(6, side="right", fillchar="0")
        case "prefix":
            return text.str.slice(0, given["length"])
    raise AssertionError(f"a treatment this test does not know: {column['treatment']}")


def as_tuple(key: Any) -> tuple[str, ...]:
    parts: Iterable[Any] = key if isinstance(key, tuple) else (key,)
    return tuple("" if pd.isna(part) else str(part) for part in parts)


def test_a_view_is_a_sample_of_persons(played: Played) -> None:
    """P2: of persons, not of rows: who is in it has all of their allowed rows in it, in no table more than half the people."""
    for name, provisioned in played.provisioned(Zone.VIEW).items():
        tables = {zone: played.tables(zone)[name].to_pandas() for zone in Zone}
        people = {zone: set(table["resident_id"]) for zone, table in tables.items()}
        assert people[Zone.VIEW] < people[Zone.INPUT]
        assert 0.2 < len(people[Zone.VIEW]) / len(people[Zone.INPUT]) < 0.55
        assert provisioned.rows == len(tables[Zone.VIEW])


def test_the_precise_values_of_inputs_are_not_in_views(played: Played) -> None:
    views = played.tables(Zone.VIEW)
    for born in views["social.residents"].column("birth_date").unique().to_pylist():
        assert born is None or (isinstance(born, date) and (born.month, born.day) == (1, 1))


def test_what_was_looked_at_came_from_the_view(played: Played) -> None:
    head, view = played.play.facts["view"], played.tables(Zone.VIEW)["health.visits"]
    assert set(head.columns) == set(view.column_names)
    assert {row[head.columns.index("resident_id")] for row in head.rows} <= set(view.column("resident_id").to_pylist())


def test_tables_of_others_and_raw_tables_cannot_be_looked_at(played: Played) -> None:
    stage, wang = played.play.stage, played.session("wang")
    assert played.play.facts["raw_refused"] == "view.not-granted"
    assert played.play.facts["other_refused"] == "access.not-found"
    for scenario, dataset, login in (
        (played.play.ids["medical"], "social.payments", "wang"),
        (played.play.ids["medical"], "social.companies", "wang"),
        (played.play.ids["mobility"], "social.payments", "wang"),
        (played.play.ids["medical"], "health.visits", "zheng"),
        (played.play.ids["medical"], "health.visits", "zhao"),
        (played.play.ids["medical"], "health.visits", "li"),
    ):
        with pytest.raises(NotPermittedError):
            first_rows(stage, played.session(login), scenario, dataset, 3)
    with stage.read() as connection, pytest.raises(NotPermittedError):
        get_scenario(connection, played.play.ids["mobility"], wang)


def test_a_job_finds_nothing_of_the_host_and_no_network(played: Played) -> None:
    """Law 1: the job looked for the home folder's parts and for a listener that was open on the host."""
    lines = played.play.facts["probe"].strip().splitlines()
    assert [line for line in lines if line.startswith("path:")] == ["path: not there"] * 3
    assert "tables: ['visits']" in lines
    (network,) = [line for line in lines if line.startswith("network:")]
    assert network.removeprefix("network: ") in {"Connection refused", "Network is unreachable"}
    assert not re.search("FOUND|REACHED", played.play.facts["probe"])


def test_a_development_run_reads_the_view_and_not_the_input(played: Played) -> None:
    """D3: the rows that the jobs counted themselves are the view's."""
    rows = {zone: played.provisioned(zone)["health.visits"].rows for zone in Zone}
    assert f"view: {rows[Zone.VIEW]} rows" in played.play.facts["probe"]
    assert rows[Zone.VIEW] < rows[Zone.INPUT]
    view = played.tables(Zone.VIEW)["health.visits"].to_pandas()
    seen = re.findall(r"(\S+): (\d+) visits in the view", explored_log(played))
    assert len(seen) == 5
    counts = view.groupby("department").size().to_dict()
    assert {department: int(count) for department, count in seen} == {name: counts[name] for name, _ in seen}


def explored_log(played: Played) -> str:
    return read_log(played.play.stage, played.play.facts["explored"])


def test_the_spark_run_succeeded_and_its_log_is_shown(played: Played) -> None:
    run = now(played, played.play.facts["explored"])
    assert (run.state, run.stage, run.reason) == (RunState.SUCCEEDED, Stage.DEVELOPMENT, "reason.ended.done")
    area = re.search(r"AUC (\d\.\d+)", explored_log(played))
    assert area
    assert 0.5 < float(area.group(1)) <= 1
    assert run.outcome is not None
    assert run.outcome["wall_seconds"] > 0


def now(played: Played, run: Run) -> Run:
    with played.play.stage.read() as connection:
        return get_run(connection, run.id)


def test_what_a_production_run_says_is_not_heard(played: Played) -> None:
    """Law 8."""
    with played.play.stage.read() as connection:
        run = get_run(connection, str(played.exports["raw_rows"].run))
    assert run.stage is Stage.PRODUCTION
    with pytest.raises(ShuzhaError) as caught:
        read_log(played.play.stage, run)
    assert caught.value.code == "run.log-not-heard"


def test_previews_show_the_view(played: Played) -> None:
    previews = {one.product: one for one in played.play.facts["previews"]}
    drawn = {"visits_chart": "chart.png", "visits_report": "report.html"}
    assert set(previews) == {"visits_by_district", "visits_by_department", "readmission_risk", *drawn}
    assert all(file in previews[product].files for product, file in drawn.items())
    view = played.tables(Zone.VIEW)["health.visits"].to_pandas()
    shown = previews["visits_by_department"]
    places = [shown.columns.index(name) for name in ("department", "visits")]
    counts = view.groupby("department").size().to_dict()
    for row in shown.rows:
        department, visits = (row[place] for place in places)
        assert visits is None or int(visits) == counts[department]
    assert previews["readmission_risk"].card


def test_nothing_in_the_sealed_folders_can_be_read(played: Played) -> None:
    """D9: neither a value nor a name nor the form of a table is on the disk in clear."""
    files = [path for path in (played.home / "sealed").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes()
        assert b"PAR1" not in data
        assert b"commitInfo" not in data
        assert "parquet" not in path.name
        for identifiers in played.identifiers.values():
            assert not [one for one in identifiers if one.encode() in data]


def test_no_mount_and_no_workspace_is_left_open(played: Played) -> None:
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(played.home) in line]
    assert mounts == []
    assert list((played.home / "run" / "work").iterdir()) == []
    assert DeltaTable.is_deltatable(str(played.home / "sealed")) is False
