"""The ledger in the life of exports: kept at the check, told in the release, compared again there, and never forgotten."""

from __future__ import annotations

import json
import threading

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from export_gate import exports, release
from export_gate.exports import Export
from export_gate.records.tries import MOST_REFUSED, open_tries
from export_gate.schema import record_set, record_told
from export_gate.states import ExportState
from lineage.errors import DefinitionError, GateRefusedError, MissingPartError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox import ending
from sandbox.messages import Language
from sandbox.messages import text as message
from tests.factories import World, refused
from tests.fixtures_domain import WorldAt
from tests.selftests import file_real
from tests.telling import approve, ask, check, desk, grant_of, people, provision_rows, tell
from tests.worlds import Stage


BY_DISTRICT = "SELECT district, COUNT(*) AS n FROM visits GROUP BY district"
BY_CLINIC = "SELECT clinic, COUNT(*) AS n FROM visits GROUP BY clinic"


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """Two tenants who hold the same sixty people."""
    found = world_at(Stage.SCENARIO)
    file_real(found.domain)
    for tenant in ("medica", "rival"):
        grant_of(found, tenant)
        provision_rows(found, tenant, people(60), 0)
    return found


def reasons(found: Export) -> set[str]:
    return {one["reason"] for one in found.reasons if one["check"].startswith("records.")}


def evidence(world: World, found: Export, file: str = "evidence.json") -> str:
    return (exports.folder_of(world.domain, found.id) / file).read_text(encoding="utf-8")


def told(world: World) -> int:
    with world.domain.read() as connection:
        return int(connection.execute(select(func.count()).select_from(record_told)).scalar_one())


def test_a_release_enters_the_ledger_with_its_entry(world: World) -> None:
    before = len(world.log())
    found = tell(world, "medica", BY_DISTRICT)
    assert found.state is ExportState.RELEASED
    assert reasons(found) == {"records.passed"}
    assert told(world) == 1
    entries = {entry.kind: entry for entry in world.log()[before:]}
    assert "records:person" in entries[Kind.EXPORT_RELEASED].subjects
    assert set(entries[Kind.EXPORT_CHECKED].payload["records"]) == {"person"}
    world.verified()


def test_the_same_table_again_passes_and_tells_nothing_new(world: World) -> None:
    tell(world, "medica", BY_DISTRICT)
    assert tell(world, "medica", BY_DISTRICT).state is ExportState.RELEASED
    assert tell(world, "rival", BY_DISTRICT).state is ExportState.RELEASED
    assert told(world) == 3


def test_another_tenants_release_stands_against_it_and_is_not_named(world: World) -> None:
    first = tell(world, "medica", BY_DISTRICT)
    provision_rows(world, "rival", people(61), 1)
    found = check(world, "rival", BY_DISTRICT)
    assert found.state is ExportState.REFUSED
    assert reasons(found) == {"records.difference"}
    shown = json.dumps(found.reasons)
    assert first.id not in shown
    assert "medica" not in shown
    assert first.id in evidence(world, found)
    assert told(world) == 1


def test_ones_own_release_is_named(world: World) -> None:
    first = tell(world, "medica", BY_DISTRICT)
    provision_rows(world, "medica", people(61), 1)
    found = check(world, "medica", BY_DISTRICT)
    assert reasons(found) == {"records.difference-own"}
    (reason,) = (one for one in found.reasons if one["reason"] == "records.difference-own")
    assert reason["params"] == {"failing": 5, "minimum": 10, "release": first.id}
    for language in Language:
        assert first.id in message(reason["reason"], language, **reason["params"])


def test_a_refused_table_was_not_told(world: World) -> None:
    """What never left stands against nothing, and its sets are not even kept."""
    tell(world, "medica", BY_DISTRICT)
    provision_rows(world, "rival", people(61), 1)
    refused_one = check(world, "rival", BY_DISTRICT)
    with world.domain.read() as connection:
        kept = set(connection.execute(select(record_set.c.export)).scalars())
    assert refused_one.id not in kept
    assert reasons(check(world, "medica", BY_DISTRICT)) == {"records.passed"}


def test_of_two_approved_at_once_one_leaves(world: World) -> None:
    """Both were checked when nothing was told; the second release is refused in its own transaction and its votes are void."""
    provision_rows(world, "rival", people(61), 1)
    first = approve(world, check(world, "medica", BY_DISTRICT))
    second = approve(world, check(world, "rival", BY_DISTRICT))
    release.release(world.domain, first.id)
    with refused(GateRefusedError, "records.overtaken"):
        release.release(world.domain, second.id)
    with world.domain.read() as connection:
        found = exports.get_export(connection, second.id)
    assert found.state is ExportState.REFUSED
    assert reasons(found) == {"records.passed", "records.difference"}
    assert first.id in evidence(world, found, "refusal.json")
    assert first.id not in json.dumps(found.reasons)
    assert not (world.domain.home / "releases" / second.id).exists()
    assert world.log()[-1].kind is Kind.EXPORT_REFUSED
    with refused(DefinitionError, "export.not-approved"):
        release.release(world.domain, second.id)
    world.verified()


def test_two_releases_in_one_moment_are_ordered(world: World) -> None:
    provision_rows(world, "rival", people(61), 1)
    both = [approve(world, check(world, tenant, BY_DISTRICT)).id for tenant in ("medica", "rival")]
    start, results = threading.Barrier(2), dict.fromkeys(both, "released")

    def go(identity: str) -> None:
        start.wait()
        try:
            release.release(world.domain, identity)
        except ShuzhaError as error:
            results[identity] = error.code

    threads = [threading.Thread(target=go, args=(one,)) for one in both]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(results.values()) == ["records.overtaken", "released"]
    assert told(world) == 1
    world.verified()


def test_the_end_of_a_tenant_takes_nothing_back(world: World) -> None:
    """Law 4 outlives law 10: the tenant's keys are gone, what it was told is not."""
    tell(world, "medica", BY_DISTRICT)
    ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement"], "over")
    provision_rows(world, "rival", people(61), 1)
    assert reasons(check(world, "rival", BY_DISTRICT)) == {"records.difference"}


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("DELETE FROM record_told", "records.ledger-incomplete"),
        ("DELETE FROM record_set", "records.ledger-incomplete"),
        ("UPDATE record_set SET head = totals", "records.does-not-open"),
        ("UPDATE record_set SET sets = head", "records.does-not-open"),
    ],
)
def test_a_ledger_that_is_not_whole_lets_nothing_out(world: World, harm: str, code: str) -> None:
    tell(world, "medica", BY_DISTRICT)
    provision_rows(world, "rival", people(61), 1)
    asked = ask(world, "rival", BY_DISTRICT)
    with pytest.raises(DatabaseError, match="append-only"), world.domain.database.write() as connection:
        connection.execute(text(harm))
    with world.domain.database.write() as connection:
        for table in ("record_set", "record_told"):
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER {table}_no_{action}"))
        connection.execute(text(harm))
    from export_gate.checking import check_export

    with refused(MissingPartError, code):
        check_export(desk(world), asked)
    with world.domain.read() as connection:
        assert exports.get_export(connection, asked).state is ExportState.REQUESTED


def test_a_table_without_numbers_waits(world: World) -> None:
    import shutil

    asked = ask(world, "medica", BY_DISTRICT)
    shutil.rmtree(world.domain.sealed(world.ids["grant:medica"], "numbers"))
    from export_gate.checking import check_export

    with refused(MissingPartError, "records.not-numbered"):
        check_export(desk(world), asked)


def test_the_ledger_is_unreadable_at_rest(world: World) -> None:
    tell(world, "medica", BY_DISTRICT)
    with world.domain.read() as connection:
        row = connection.execute(select(record_set.c.head, record_set.c.sets, record_set.c.totals)).one()
    assert all(b"north" not in blob and b"district" not in blob for blob in row)


def test_refusals_run_out_and_only_the_authority_opens_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    few = "SELECT cost, COUNT(*) AS n FROM visits GROUP BY cost"
    for _ in range(MOST_REFUSED):
        assert check(world, "medica", few).state is ExportState.REFUSED
    spent = check(world, "medica", BY_DISTRICT)
    assert reasons(spent) == {"records.too-many-refusals"}
    assert reasons(check(world, "rival", BY_DISTRICT)) == {"records.passed"}
    scenario = world.ids["scenario"]
    with pytest.raises(NotPermittedError):
        open_tries(world.domain, world.session("processor"), scenario, reason="please")
    with refused(DefinitionError, "reason.missing"):
        open_tries(world.domain, world.session("officer"), scenario, reason=" ")
    open_tries(world.domain, world.session("officer"), scenario, reason="looked at all ten")
    assert world.log()[-1].kind is Kind.TRIES_OPENED
    assert reasons(check(world, "medica", BY_DISTRICT)) == {"records.passed"}
    with refused(DefinitionError, "records.tries-left"):
        open_tries(world.domain, world.session("officer"), scenario, reason="more")


def test_the_same_numbers_from_another_question_are_for_people_to_look_at(world: World) -> None:
    """If two questions differ by one person, an equal answer tells of that person; a program cannot say whether they do."""
    tell(world, "medica", BY_DISTRICT)
    other = "SELECT district, COUNT(*) AS n FROM visits WHERE cost <> '7' GROUP BY district"
    found = check(world, "rival", other)
    assert found.state is ExportState.IN_REVIEW
    assert reasons(found) == {"records.passed", "records.same-numbers"}


def test_an_unrelated_table_passes_beside_it(world: World) -> None:
    tell(world, "medica", BY_DISTRICT)
    assert reasons(check(world, "rival", BY_CLINIC)) == {"records.passed"}


def test_a_table_about_nobody_is_for_people_to_look_at(world: World) -> None:
    """The catalogue says that nobody is behind it; there is nothing to enter, and the reviewers are told so."""
    from sqlalchemy import update

    from sandbox.schema import dataset, dataset_column

    with world.domain.database.write() as connection:
        connection.execute(
            update(dataset).where(dataset.c.name == "health.visits").values(subject_kind=None, subject_column=None)
        )
        connection.execute(update(dataset_column).values(grade=1))
    found = approve(world, check(world, "medica", BY_DISTRICT))
    assert reasons(found) == {"records.no-subjects"}
    release.release(world.domain, found.id)
    assert told(world) == 0
