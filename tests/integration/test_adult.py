"""A real table through the whole domain: the UCI Adult extract of the 1994 census of the United States (Becker and Kohavi, CC BY 4.0).

What leaves is held against answers computed from the file itself, outside the domain: by DuckDB, and by scikit-learn.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from desensitize.cataloguing import classify_dataset
from desensitize.granting import provision_grant
from export_gate.checking import check_export
from export_gate.exports import Export
from export_gate.exports import request as request_export
from export_gate.gatekeeper import Gatekeeper
from export_gate.release import fetch, release
from export_gate.review import Decision, approve, inspect, vote
from export_gate.verifying import verify_release
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.promotion import decide
from jobs.promotion import request as request_promotion
from jobs.submitting import submit
from lineage.errors import ShuzhaError
from sandbox import domain
from sandbox.catalogue import columns_of, get_dataset, grade, latest_version
from sandbox.columns import Grade
from sandbox.columns import Role as ColumnRole
from sandbox.domain import read_public_keys
from sandbox.grants import Zone, get_grant, tables_of, zone_opened
from sandbox.importing import declare_dataset, import_dataset
from sandbox.requests import Item
from sandbox.roles import OrganisationKind, Role
from sandbox.schema_file import read_declaration
from tests import factories
from tests.factories import Hands, World
from tests.fixtures_story import shortened
from tests.selftests import file_real
from tests.worlds import enter_authority


if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

FILE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "adult.csv"
ROWS = 30_162
ERRORS = 6
POINTS = 0.04

pytestmark = [
    pytest.mark.jail,
    pytest.mark.spark,
    pytest.mark.skipif(not FILE.is_file(), reason="adult.csv does not lie beside the repository"),
]

COLUMNS = {
    "sex": ("sex", ColumnRole.QUASI_IDENTIFIER),
    "age": ("age", ColumnRole.QUASI_IDENTIFIER),
    "race": ("race", ColumnRole.QUASI_IDENTIFIER),
    "marital_status": ("marital-status", ColumnRole.PLAIN),
    "education": ("education", ColumnRole.PLAIN),
    "native_country": ("native-country", ColumnRole.QUASI_IDENTIFIER),
    "workclass": ("workclass", ColumnRole.PLAIN),
    "occupation": ("occupation", ColumnRole.PLAIN),
    "salary_class": ("salary-class", ColumnRole.SENSITIVE),
}
GRANTED = ("sex", "age", "marital_status", "education", "occupation", "salary_class")

DECLARATION = """
[table]
name = "census.adults"
title = "Adults"
format = "csv"
delimiter = ";"
make_subject = true
subject_kind = "person"
"""
JOB = """
[job]
name = "salaries"
scenario = "SCENARIO"

[inputs]
adults = "census.adults"

[[product]]
name = "salaries_by_education"
kind = "statistic"
sql = "SELECT education, salary_class, COUNT(*) AS people FROM adults GROUP BY education, salary_class"
subject = "row_subject"
groups_per_subject = 1
rows_per_group = 1
epsilon = 1.0

[[product]]
name = "adults_by_marital_status"
kind = "table"
sql = "SELECT marital_status, COUNT(*) AS people, AVG(age) AS age FROM adults GROUP BY marital_status"

[[product]]
name = "salary"
kind = "model"
estimator = "sklearn.ensemble.RandomForestClassifier"
params = { n_estimators = 40, max_depth = 8, min_samples_leaf = 20 }
features = "SELECT row_subject, age, sex, marital_status, education, occupation, salary_class FROM adults"
target = "salary_class"
"""
PRODUCTS = ("salaries_by_education", "adults_by_marital_status", "salary")
PEOPLE = {
    "registrar": ("census", OrganisationKind.PROVIDER, Role.PROVIDER_OFFICER),
    "manager": ("institute", OrganisationKind.TENANT, Role.TENANT_MANAGER),
    "processor": ("institute", OrganisationKind.TENANT, Role.PROCESSOR),
    "first": ("panel", OrganisationKind.EXPERT, Role.REVIEWER),
    "second": ("panel", OrganisationKind.EXPERT, Role.REVIEWER),
}


@dataclass
class Census:
    """A domain that walked the way once: the world, and for each product its export as checked and the fetched release."""

    world: World
    exports: Mapping[str, Export]
    releases: Mapping[str, Path]

    def rows(self, product: str) -> list[dict[str, str]]:
        with (self.releases[product] / "data" / "data.csv").open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def census(whole_machine: None, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Census:
    """Import, grade, agree, ask, grant, provision, submit, promote, check, review, release, fetch."""
    home = tmp_path_factory.mktemp("adult")
    world = new_world(home / "home")
    import_adults(world, spark, home / "adults.toml")
    provision_adults(world, spark)
    exports = produce(world, home / "job")
    return Census(world, exports, {name: leave(world, found, home / "inbox") for name, found in exports.items()})


def new_world(home: Path) -> World:
    hands = Hands()
    world = World(domain.create(home, "census.example", clock=hands), hands)
    enter_authority(world)
    for name, kind in {name: kind for name, kind, _ in PEOPLE.values()}.items():
        factories.add_organisation(world, name, kind)
    for login, (organisation, _, role) in PEOPLE.items():
        factories.add_person(world, login, organisation, role)
    return world


def import_adults(world: World, spark: SparkSession, path: Path) -> None:
    columns = [
        f'[[column]]\nname = "{name}"\nsource = "{source}"\ntype = "{"integer" if name == "age" else "string"}"\n'
        for name, (source, _) in COLUMNS.items()
    ]
    path.write_text(DECLARATION + "\n".join(columns))
    declaration, session = read_declaration(path), world.session("registrar")
    declare_dataset(world.domain, session, declaration)
    day = date(2026, 11, 1)
    import_dataset(world.domain, session, spark, "census.adults", declaration.source(FILE), day)
    classify_dataset(world.domain, session, spark, "census.adults")
    confirmed = {name: (role, Grade.INTERNAL, "") for name, (_, role) in COLUMNS.items()}
    confirmed["row_subject"] = (ColumnRole.DIRECT_IDENTIFIER, Grade.INTERNAL, "")
    grade(world.domain, session, "census.adults", confirmed)


def provision_adults(world: World, spark: SparkSession) -> None:
    world.ids["scenario"] = factories.add_scenario(world, "institute", "salaries")
    request = factories.make_request(world, Item("census.adults", GRANTED))
    factories.approve_as_providers(world, request, "registrar")
    world.ids["grant"] = factories.approve_as_authority(world, request)
    assert len(provision_grant(world.domain, spark, world.ids["grant"])) == 2


def produce(world: World, folder: Path) -> dict[str, Export]:
    folder.mkdir()
    (folder / "job.toml").write_text(JOB.replace("SCENARIO", world.ids["scenario"]))
    processor = world.session("processor")
    job = submit(world.domain, processor, folder)
    promotion = request_promotion(world.domain, processor, job.id)
    decide(world.domain, world.session("first"), promotion, approve=True, reason="read")
    gate = Gatekeeper(world.domain, BubblewrapJail())
    file_real(world.domain)
    return {name: check_export(gate, request_export(world.domain, processor, job.id, name)) for name in PRODUCTS}


def leave(world: World, found: Export, inbox: Path) -> Path:
    digest = found.evidence_digest or ""
    for login in ("first", "second", "officer"):
        inspect(world.domain, world.session(login), found.id)
    for login in ("first", "second"):
        vote(world.domain, world.session(login), found.id, Decision.APPROVE, reason="read", digest=digest)
    approve(world.domain, world.session("officer"), found.id, reason="lawful", digest=digest)
    release(world.domain, found.id)
    return fetch(world.domain, world.session("processor"), found.id, inbox)


@pytest.fixture(scope="module")
def outside() -> pd.DataFrame:
    """The file as DuckDB reads it, with plain names."""
    names = ", ".join(f'"{source}" AS {name}' for name, (source, _) in COLUMNS.items())
    frame: pd.DataFrame = duckdb.sql(f"SELECT {names} FROM read_csv('{FILE}', delim=';', header=true)").df()
    return frame


def test_every_row_was_imported(census: Census, outside: pd.DataFrame) -> None:
    with census.world.domain.read() as connection:
        found = get_dataset(connection, "census.adults")
        version = latest_version(connection, found.id)
        listed = [column.name for column in columns_of(connection, found.id)]
    assert (version.rows, dict(version.quarantined)) == (ROWS, {})
    assert len(outside) == ROWS
    assert listed == [*COLUMNS, "row_subject"]


def test_view_and_input_hold_what_was_granted(census: Census, outside: pd.DataFrame) -> None:
    from deltalake import DeltaTable

    stage = census.world.domain
    frames = {}
    with stage.read() as connection:
        grant = get_grant(connection, census.world.ids["grant"])
    for zone in Zone:
        with stage.read() as connection:
            table = tables_of(connection, grant, zone)["census.adults"]
        with zone_opened(stage, grant, zone) as folder:
            frames[zone] = DeltaTable(folder / table.id).to_pandas()
        assert set(frames[zone].columns) == {*GRANTED, "row_subject"}
        assert frames[zone]["row_subject"].is_unique
        assert frames[zone]["row_subject"].str.fullmatch("[0-9a-f]{32}").all()
    assert len(frames[Zone.INPUT]) == ROWS
    assert 0.05 < len(frames[Zone.VIEW]) / ROWS < 0.15
    assert frames[Zone.INPUT]["age"].nunique() == outside["age"].nunique()
    assert frames[Zone.VIEW]["age"].nunique() < 25
    classes = frames[Zone.VIEW].groupby(["age", "sex"]).size()
    assert len(classes) > 2


def test_the_statistic_is_the_truth_within_its_own_error(census: Census, outside: pd.DataFrame) -> None:
    exact = outside.groupby(["education", "salary_class"]).size().to_dict()
    rows = census.rows("salaries_by_education")
    assert len(rows) >= 0.8 * len(exact)
    for row in rows:
        error = float(row["people_stderr"])
        assert 0 < error < 50
        assert abs(float(row["people"]) - exact[row["education"], row["salary_class"]]) <= ERRORS * error
    assert any(float(row["people"]) != exact[row["education"], row["salary_class"]] for row in rows)
    inside = [
        float(row["people_low"]) <= exact[row["education"], row["salary_class"]] <= float(row["people_high"])
        for row in rows
    ]
    # 95 % each; fewer than three in four would be a wrong interval and no bad luck.
    assert sum(inside) >= 0.75 * len(rows)


def test_the_table_is_the_truth(census: Census) -> None:
    exact = duckdb.sql(
        'SELECT "marital-status" AS marital_status, COUNT(*) AS people, AVG(age) AS age '
        f"FROM read_csv('{FILE}', delim=';', header=true) GROUP BY 1"
    ).fetchall()
    rows = {row["marital_status"]: row for row in census.rows("adults_by_marital_status")}
    assert set(rows) == {status for status, _, _ in exact}
    for status, people, age in exact:
        assert int(rows[status]["people"]) == people
        assert rows[status]["age"] == shortened(age, people)


def test_the_model_is_about_as_good_as_one_trained_outside(census: Census, outside: pd.DataFrame) -> None:
    """Trained on a tenth of the people and on coarser values, and used on everybody, by the public runtime."""
    import onnxruntime

    folder = census.releases["salary"] / "data"
    card = json.loads((folder / "card.json").read_text())
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    (predicted,) = session.run(["prediction"], {one["name"]: fed(one, outside) for one in card["inputs"]})
    truth = outside["salary_class"].to_numpy()
    released = float((predicted.reshape(-1) == truth).mean())
    majority = float((truth == "<=50K").mean())
    own = trained_outside(outside)
    assert own > majority + 0.05
    assert released > majority + 0.03
    assert abs(released - own) < POINTS
    assert abs(released - float(card["holdout_metrics"]["accuracy"])) < 2 * POINTS


def fed(described: Mapping[str, Any], frame: pd.DataFrame) -> Any:
    column = frame[described["name"]]
    values = column.to_numpy(np.float32) if described["type"] == "float32" else column.astype(str).to_numpy(object)
    return values.reshape(-1, 1)


def trained_outside(frame: pd.DataFrame) -> float:
    """The accuracy of the same kind of model, trained on nine tenths of the raw file, on the last tenth."""
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    features = pd.get_dummies(frame[["age", "sex", "marital_status", "education", "occupation"]], dtype=float)
    parts = train_test_split(features.to_numpy(), frame["salary_class"].to_numpy(), test_size=0.1, random_state=1)
    model = RandomForestClassifier(n_estimators=40, max_depth=8, min_samples_leaf=20, random_state=1)
    model.fit(parts[0], parts[2])
    return float((model.predict(parts[1]) == parts[3]).mean())


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_was_fetched_holds_without_the_domain(census: Census, product: str) -> None:
    keys = read_public_keys((census.world.domain.home / "public" / "domain.pub").read_text(encoding="ascii"))
    verified = verify_release(census.releases[product], *keys)
    assert verified.manifest["sources"] == [{"dataset": "census.adults", "version": 1, "as_of": "2026-11-01"}]
    assert verified.manifest["recipient"]["name"] == "institute"


def test_a_column_that_was_not_granted_cannot_be_asked_about(census: Census, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    text = JOB.replace("SCENARIO", census.world.ids["scenario"])
    text = text.replace("SELECT marital_status, COUNT(*)", "SELECT race, COUNT(*)").replace(
        "BY marital_status", "BY race"
    )
    (folder / "job.toml").write_text(text)
    with pytest.raises(ShuzhaError):
        submit(census.world.domain, census.world.session("processor"), folder)


def test_the_domain_and_its_log_are_whole(census: Census) -> None:
    verified = census.world.verified()
    assert verified.holds, verified.problems
