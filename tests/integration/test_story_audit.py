"""Act 8: from a product back to its sources and persons, from a column on to its products, and no row of the log altered unseen."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from console.main import main
from lineage.graph import Graph
from lineage.kinds import Kind
from sandbox.grants import Zone
from tests.fixtures_story import Played


pytestmark = [pytest.mark.jail, pytest.mark.spark]

HOLDS, USAGE, NOT_PERMITTED, REFUSED = 0, 2, 12, 13


@pytest.fixture(autouse=True)
def language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUZHA_LANG", "en")


@pytest.fixture
def graph(played: Played) -> Graph:
    with played.play.stage.read() as connection:
        return Graph.read(connection)


def node_of(played: Played, product: str) -> str:
    return f"product:{played.exports[product].id}/{product}"


def test_a_release_names_its_sources_with_version_and_date(played: Played, graph: Graph) -> None:
    """E6, L1: down to the digest of the very file that a provider delivered."""
    import hashlib

    origins = graph.origins(f"release:{played.exports['visits_by_district'].id}")
    digests = {
        f"source:{hashlib.sha256(path.read_bytes()).hexdigest()}": day
        for path, day in ((played.city.visits_v2.path, "2026-10-01"), (played.city.residents.path, "2026-09-30"))
    }
    assert {one.node: one.facts["date"] for one in origins.sources if one.node in digests} == digests
    datasets = {(one.node, one.facts["date"]) for one in origins.nodes if one.node.startswith("dataset:")}
    newest = max(version.version for version in played.play.facts["health.visits"])
    assert datasets == {(f"dataset:health.visits@{newest}", "2026-10-01"), ("dataset:social.residents@1", "2026-09-30")}
    assert origins.problems == ()


def test_a_release_names_everybody_who_decided(played: Played, graph: Graph) -> None:
    """L1: who delivered, asked, approved, promoted, reviewed and released."""
    origins = graph.origins(f"release:{played.exports['visits_by_district'].id}")
    acted = {(entry.kind, entry.actor.person) for entry in origins.entries}
    ids = {**played.play.ids, **{login: session.person for login, session in played.play.sessions.items()}}
    for kind, login in (
        (Kind.DATASET_IMPORTED, "zhao"),
        (Kind.DATASET_IMPORTED, "qian"),
        (Kind.REQUEST_MADE, "zheng"),
        (Kind.REQUEST_PROVIDER_APPROVED, "zhao"),
        (Kind.REQUEST_PROVIDER_APPROVED, "qian"),
        (Kind.REQUEST_APPROVED, "li"),
        (Kind.PROMOTION_REQUESTED, "wang"),
        (Kind.PROMOTION_APPROVED, "sun"),
        (Kind.EXPORT_REVIEWED, "sun"),
        (Kind.EXPORT_REVIEWED, "zhou"),
        (Kind.EXPORT_APPROVED, "li"),
    ):
        assert (kind, ids[login]) in acted, (kind, login)
    assert not {ids["feng"], ids["chen"]} & {person for _, person in acted}


ALL = {
    "visits_by_district",
    "visits_by_department",
    "readmission_risk",
    "illness_by_district",
    "overfitted",
    "raw_rows",
    "visits_chart",
    "visits_report",
}
USING = {
    "cost": ALL - {"illness_by_district", "visits_chart"},
    "days": {"readmission_risk", "overfitted", "raw_rows"},
    "diagnosis": {"illness_by_district", "raw_rows"},
    "clinic": {"raw_rows"},
}
"""What the job files say: sums, averages, groups, features. What a run copied may hold anything of its tables."""


@pytest.mark.parametrize("column", list(USING))
def test_a_column_is_followed_to_exactly_the_products_that_use_it(played: Played, graph: Graph, column: str) -> None:
    story = {node_of(played, product): product for product in ALL}
    reached = {one.node for one in graph.destinations(f"health.visits#{column}").nodes}
    assert {story[node] for node in reached & set(story)} == USING[column]
    if column == "cost":
        told = {one.node for one in played.play.facts["destinations"].nodes if one.node.startswith("product:")}
        assert told == {node_of(played, product) for product in USING["cost"]}


def test_no_product_of_another_tenant_is_reached(played: Played, graph: Graph) -> None:
    medical = {table.id for zone in Zone for table in played.provisioned(zone).values()}
    reached = {
        one.node.removeprefix("table:") for one in graph.destinations("health.visits").nodes if "table:" in one.node
    }
    assert reached <= medical
    payments = {one.node for one in graph.destinations("social.payments").nodes}
    assert not [node for node in payments if node.startswith("product:")]
    assert not medical & {node.removeprefix("table:") for node in payments}


def test_the_graph_is_the_same_when_built_again_from_the_log(played: Played, graph: Graph) -> None:
    question = f"release:{played.exports['visits_by_district'].id}"
    told = played.play.facts["origins"]
    with played.play.stage.read() as connection:
        then = Graph.read(connection, told.size)
    assert then.origins(question).to_json() == told.to_json()


def copy_of_the_domain(played: Played, home: Path) -> Path:
    """What the log needs of a domain: database, keys, checkpoint; gives the database's file."""
    home.mkdir()
    for name in ("keys", "public"):
        shutil.copytree(played.home / name, home / name)
    shutil.copyfile(played.home / "checkpoint", home / "checkpoint")
    settings = (played.home / "domain.toml").read_text()
    (home / "domain.toml").write_text(settings.replace(str(played.home), str(home)))
    live = sqlite3.connect(played.home / "domain.db")
    copy = sqlite3.connect(home / "domain.db")
    with closing(live), closing(copy):
        live.backup(copy)
    return home / "domain.db"


@pytest.fixture
def thief(played: Played, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a copied domain, in the hands of somebody who may write to it."""
    connection = sqlite3.connect(copy_of_the_domain(played, tmp_path / "home"))
    yield connection
    connection.close()


def verify(home: Path, *more: str) -> int:
    return main(["audit", "verify", "--home", str(home), "--lang", "en", *more])


def test_the_log_holds(played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(played.home) == HOLDS
    copy_of_the_domain(played, tmp_path / "home")
    assert verify(tmp_path / "home", "--json") == HOLDS
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["holds"] is True
    assert told["size"] == len(played.log())
    assert played.play.facts["verified"].holds


def test_the_altered_row_of_the_story_is_found_and_named(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """L5: an approval turned into a refusal in the database's file."""
    seq, found = played.play.facts["tampered"]
    assert not found.holds
    copy_of_the_domain(played, tmp_path / "home")
    shutil.copyfile(played.home / "demo" / "tampered.db", tmp_path / "home" / "domain.db")
    # The checkpoint beside the copy is of a later size than the altered database; the one of that time is in it.
    (tmp_path / "home" / "checkpoint").write_bytes(last_checkpoint(tmp_path / "home" / "domain.db"))
    assert verify(tmp_path / "home") == REFUSED
    assert str(seq) in capsys.readouterr().err
    assert verify(tmp_path / "home", "--json") == REFUSED
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(one["code"], one["params"]) for one in problems] == [("log.payload-changed", {"seq": seq})]


def last_checkpoint(database: Path) -> bytes:
    with closing(sqlite3.connect(database)) as connection:
        (note,) = connection.execute("SELECT note FROM log_checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    return bytes(note)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param("UPDATE log_payload SET body = X'7B7D' WHERE seq = 30", "log.payload-changed", id="a payload"),
        pytest.param("UPDATE log_payload SET body = '{}' WHERE seq = 30", "log.payload-changed", id="no bytes at all"),
        pytest.param("UPDATE log_payload SET salt = 7 WHERE seq = 30", "log.payload-changed", id="a number for a salt"),
        pytest.param("UPDATE log_entry SET header = 'a' WHERE seq = 30", "log.entry-changed", id="text for a header"),
        pytest.param("UPDATE log_node SET hash = 'a' WHERE position = 30", "log.", id="text for a hash"),
        pytest.param("UPDATE log_checkpoint SET note = 'a'", "log.checkpoint-replaced", id="text for checkpoints"),
        pytest.param("DELETE FROM log_payload WHERE seq = 30", "log.payload-missing", id="a payload taken out"),
        pytest.param(
            "UPDATE log_entry SET header = CAST(replace(CAST(header AS TEXT), 'request.approved', 'request.refused ') AS BLOB)"
            " WHERE CAST(header AS TEXT) LIKE '%request.approved%'",
            "log.",
            id="a kind",
        ),
        pytest.param(
            "DELETE FROM log_entry WHERE seq = (SELECT max(seq) FROM log_entry)",
            "log.tail-missing",
            id="the last entry",
        ),
        pytest.param(
            "DELETE FROM log_subject WHERE seq = 30", "log.", id="hidden from those who search by what it is about"
        ),
    ],
)
def test_any_altered_row_is_found(
    thief: sqlite3.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, code: str
) -> None:
    assert thief.execute(change).rowcount > 0
    thief.commit()
    assert verify(tmp_path / "home", "--json") == REFUSED
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any(one["code"].startswith(code) for one in problems)


def test_a_log_cut_back_whole_is_found_by_the_checkpoint_beside_it(
    thief: sqlite3.Connection, tmp_path: Path, played: Played
) -> None:
    """A database restored from before is whole in itself; the checkpoint outside it, or an auditor's, is ahead of it."""
    earlier = tmp_path / "earlier.db"
    shutil.copyfile(played.home / "demo" / "tampered.db", earlier)
    assert len(last_checkpoint(earlier)) > 0
    shutil.copyfile(earlier, tmp_path / "home" / "domain.db")
    assert verify(tmp_path / "home") == REFUSED


@pytest.mark.parametrize("login", ["wang", "sun", "zhao", "li"])
def test_only_the_auditor_reads_the_log(played: Played, login: str, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(played.home), "--lang", "en"]
    assert main(["audit", "list", "--as", login, *home]) == NOT_PERMITTED
    assert main(["audit", "list", "--as", "wu", "--json", *home]) == HOLDS
    listed = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["entries"]
    assert listed
    refused = [entry for entry in played.log() if entry.kind is Kind.ACCESS_REFUSED]
    assert refused[-1].actor.person == played.session(login).person


def test_the_log_holds_no_row_and_no_secret(played: Played) -> None:
    """Law 9; and a log that quoted rows would be one more place for them to leak from."""
    from lineage.canonical import encode

    text = "\n".join(encode(dict(entry.payload)).decode() for entry in played.log())
    for what in ("resident_id", "mobile", "address"):
        assert not [one for one in played.identifiers[what] if one in text]
    for path in (path for path in (played.home / "keys").rglob("*") if path.is_file()):
        assert path.read_bytes().hex() not in text
    for token in (played.home / "tokens").iterdir():
        assert token.read_text().strip() not in text


def test_the_picture_is_drawn_of_what_was_told(played: Played) -> None:
    drawn = (played.home / "demo" / "lineage.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "visits_by_district" in drawn
