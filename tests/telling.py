"""Worlds that release exact tables: inputs with real rows, tokens and subject numbers, and the gate's own worker without its jail.

What a run of Spark does when a grant is provisioned is done here by the same functions without Spark, so that a test of the ledger
takes a second. The way through Spark and through the jail is in ``tests/integration/test_records_released.py``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desensitize.entities import Entity
from desensitize.numbers_file import write_numbers
from desensitize.pseudonym import ScenarioKeys, tokens
from desensitize.registry import Universe, make_numbers_folder, number_subjects, numbers_opened
from export_gate import checking, exports, release, review
from export_gate.exports import Export
from export_gate.gatekeeper import Gatekeeper
from export_gate.review import Decision
from export_gate.worker import carry_out
from jobs import promotion, submitting
from jobs.jail.bubblewrap import BubblewrapJail
from lineage.log import PLATFORM
from sandbox import catalogue, grants
from sandbox.columns import SubjectKind
from tests.factories import World, add_grant, add_version


Rows = Sequence[Mapping[str, str]]

JOB = """
[job]
name = "{name}"
scenario = "{scenario}"

[inputs]
visits = "health.visits"

[[product]]
name = "told"
kind = "table"
sql = "{sql}"
"""


def people(count: int = 60, **changed: str) -> list[dict[str, str]]:
    """One visit of each of some people, in the districts north and south; ``p7="…"`` changes the clinic of one."""
    return [
        {
            "resident_id": f"p{number}",
            "district": ("north", "south")[number % 2],
            "clinic": changed.get(f"p{number}", ("A", "B")[(number // 2) % 2]),
            "cost": str(100 + number),
        }
        for number in range(count)
    ]


@dataclass(frozen=True)
class Desk(Gatekeeper):
    """The gate with its worker in this process; the wall around it is tried elsewhere."""

    def work(
        self, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path], scenario: str, person: str
    ) -> dict[str, Any]:
        """Carry a request out on a folder in which the tables lie as they do in the jail."""
        folder = Path(tempfile.mkdtemp(dir=self.domain.home))
        try:
            for name, path in tables.items():
                (folder / name).symlink_to(path)
            return carry_out(request, job, folder)
        finally:
            shutil.rmtree(folder)


def desk(world: World) -> Desk:
    """The gate of a world."""
    return Desk(world.domain, BubblewrapJail())


def grant_of(world: World, tenant: str) -> str:
    """Grant a tenant the visits; gives the grant's id."""
    scenario = {"medica": "scenario", "rival": "scenario:rivals"}[tenant]
    world.ids[f"grant:{tenant}"] = made = add_grant(world, tenant, scenario)
    return made


def provision_rows(world: World, tenant: str, rows: Rows, version: int) -> None:
    """Provision a version of the visits to a tenant as an input with its subjects' numbers, and as a view without rows."""
    with world.domain.read() as connection:
        given = grants.get_grant(connection, world.ids[f"grant:{tenant}"])
        dataset = catalogue.get_dataset(connection, "health.visits")
        known = {one.version for one in catalogue.versions_of(connection, dataset.id)}
    if version not in known:
        add_version(world, "health.visits", version)
    _write_raw(world.domain.raw(dataset.id) / "table", rows, version)
    grants.ensure_key(world.domain, given)
    keys = ScenarioKeys.derive(world.domain.keys.tenant_key(given.tenant), tenant=given.tenant, scenario=given.scenario)
    for zone in grants.Zone:
        table = grants.new_table_id()
        with grants.zone_opened(world.domain, given, zone) as folder:
            if zone is grants.Zone.INPUT:
                _write(world, given, folder / table, rows, keys)
        columns = {name: name for name in rows[0]}
        with world.domain.change(PLATFORM) as change:
            grants.record_provisioned(
                change, given, zone, dataset, version, table=table, columns=columns, rows=len(rows), record={}
            )


def _write_raw(target: Path, rows: Rows, version: int) -> None:
    """Put a version into RAW, where the gate looks for the identifiers that must not leave."""
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    target.parent.mkdir(parents=True, exist_ok=True)
    held = DeltaTable(target).version() if DeltaTable.is_deltatable(str(target)) else -1
    for _ in range(held, version):
        write_deltalake(target, pa.table({name: [one[name] for one in rows] for name in rows[0]}), mode="overwrite")


def _write(world: World, given: grants.Grant, folder: Path, rows: Rows, keys: ScenarioKeys) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    subjects = pa.array([one["resident_id"] for one in rows])
    columns = {name: pa.array([one[name] for one in rows]) for name in rows[0]}
    columns["resident_id"] = tokens(subjects, Entity.RESIDENT_ID, keys)
    write_deltalake(folder, pa.table(columns))
    universe = Universe(SubjectKind.PERSON, Entity.RESIDENT_ID, "P-1")
    marked, numbers = number_subjects(world.domain, universe, subjects, keys)
    make_numbers_folder(world.domain, given)
    with numbers_opened(world.domain, given) as numbered:
        write_numbers(numbered / folder.name, marked, numbers)


def ask(world: World, tenant: str, sql: str) -> str:
    """Submit a job with one table, promote it, and ask for the table; gives the export's id."""
    processor, scenario = {"medica": ("processor", "scenario"), "rival": ("rival-processor", "scenario:rivals")}[tenant]
    session = world.session(processor)
    number = world.ids["told"] = str(int(world.ids.get("told", "0")) + 1)
    folder = world.domain.home.parent / f"job-{number}"
    folder.mkdir()
    text = JOB.format(name=f"job-{number}", scenario=world.ids[scenario], sql=sql)
    (folder / "job.toml").write_text(text)
    job = submitting.submit(world.domain, session, folder).id
    asked = promotion.request(world.domain, session, job)
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    return exports.request(world.domain, session, job, "told")


def check(world: World, tenant: str, sql: str) -> Export:
    """Ask for a table and let the gate check it."""
    return checking.check_export(desk(world), ask(world, tenant, sql))


def approve(world: World, found: Export) -> Export:
    """Let two reviewers and the authority agree to an export, each after a look."""
    digest = str(found.evidence_digest)
    for login in ("reviewer", "expert"):
        review.inspect(world.domain, world.session(login), found.id)
        review.vote(world.domain, world.session(login), found.id, Decision.APPROVE, reason="seen", digest=digest)
    review.inspect(world.domain, world.session("officer"), found.id)
    return review.approve(world.domain, world.session("officer"), found.id, reason="lawful", digest=digest)


def tell(world: World, tenant: str, sql: str) -> Export:
    """Ask for a table and see it released."""
    found = approve(world, check(world, tenant, sql))
    release.release(world.domain, found.id)
    with world.domain.read() as connection:
        return exports.get_export(connection, found.id)
