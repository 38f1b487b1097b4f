"""Worlds that walk: to have a thing in a state, every real step up to that state is taken, by the people who may take it.

A test can therefore never start from a state that the product cannot reach. ``tests/fixtures_domain.py`` walks each stage once a run
and hands every test a copy of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

from export_gate import checking, exports, ledger, release, review
from export_gate.artefact import card_file, table_files
from export_gate.finding import Finding, Verdict
from jobs import promotion, runs, submitting
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox import agreements, backup, catalogue, enrolment, grants, parties, requests
from sandbox.columns import Grade, SubjectKind
from sandbox.columns import Role as ColumnRole
from sandbox.roles import OrganisationKind, Role
from sandbox.states import PersonState
from tests.selftests import file_real
from tests.worlds import NAME, Hands, Stage, World, at, found, refused


__all__ = ["NAME", "Hands", "Stage", "World", "at", "found", "refused"]

ORGANISATIONS: Mapping[str, OrganisationKind] = {
    "health": OrganisationKind.PROVIDER,
    "police": OrganisationKind.PROVIDER,
    "medica": OrganisationKind.TENANT,
    "rival": OrganisationKind.TENANT,
    "college": OrganisationKind.EXPERT,
    "machines": OrganisationKind.MAINTAINER,
    "dormant": OrganisationKind.PROVIDER,
}
PEOPLE: Mapping[str, tuple[str, Role]] = {
    "deputy": ("authority", Role.AUTHORITY_OFFICER),
    "aide": ("authority", Role.REGISTRAR),
    "auditor": ("authority", Role.AUDITOR),
    "reviewer": ("authority", Role.REVIEWER),
    "expert": ("college", Role.REVIEWER),
    "third": ("college", Role.REVIEWER),
    "doctor": ("health", Role.PROVIDER_OFFICER),
    "captain": ("police", Role.PROVIDER_OFFICER),
    "manager": ("medica", Role.TENANT_MANAGER),
    "processor": ("medica", Role.PROCESSOR),
    "colleague": ("medica", Role.PROCESSOR),
    "rival-manager": ("rival", Role.TENANT_MANAGER),
    "rival-processor": ("rival", Role.PROCESSOR),
    "keeper": ("machines", Role.MAINTAINER),
}
"""Everybody but ``officer`` and ``clerk``, with whom a domain is founded: whom they work for and what they are."""

COLUMNS: Mapping[str, Mapping[str, tuple[ColumnRole, Grade]]] = {
    "health.visits": {
        "resident_id": (ColumnRole.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
        "district": (ColumnRole.PLAIN, Grade.OPEN),
        "clinic": (ColumnRole.PLAIN, Grade.OPEN),
        "cost": (ColumnRole.PLAIN, Grade.INTERNAL),
    },
    "police.residents": {
        "resident_id": (ColumnRole.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
        "district": (ColumnRole.QUASI_IDENTIFIER, Grade.INTERNAL),
        "age": (ColumnRole.QUASI_IDENTIFIER, Grade.INTERNAL),
    },
}
RECOVERY_KEY = "age10au96qyf6hnzeppc7pxjtt3aesu78m4qsm9r0myuhs9junmvpy8s7g98y5"
"""The public half of a recovery key whose private half nobody kept."""
TERMS = dict.fromkeys(agreements.REQUIRED_TERMS, "as agreed")

JOB = """
[job]
name = "clinic-visits"
scenario = "{scenario}"

[inputs]
visits = "health.visits"

[[run]]
runtime = "python"
entry = "main.py"

[[product]]
name = "visits_by_district"
kind = "statistic"
sql = "SELECT district, COUNT(*) AS visits FROM visits GROUP BY district"
subject = "resident_id"
groups_per_subject = 3
rows_per_group = 20
epsilon = 0.5

[[product]]
name = "visits_by_clinic"
kind = "table"
sql = "SELECT clinic, COUNT(*) AS visits FROM visits GROUP BY clinic"

[[product]]
name = "made_by_hand"
kind = "opaque"
"""
STATISTIC, TABLE, OPAQUE = "visits_by_district", "visits_by_clinic", "made_by_hand"


def walk(world: World, to: Stage) -> World:
    """Take every step that is still missing up to a stage; gives the same world."""
    while world.stage < to:
        following = Stage(world.stage + 1)
        STEPS[following](world)
        world.stage = following
    return world


def add_organisation(world: World, name: str, kind: OrganisationKind) -> str:
    """Register an organisation; gives its id."""
    made = parties.register(world.domain, world.session("clerk"), name=name, title=f"{name} 单位", kind=kind)
    world.ids[name] = made
    return made


def add_person(world: World, login: str, organisation: str, *roles: Role, to: PersonState = PersonState.ACTIVE) -> str:
    """File a person and lead them up to a state, with roles and a token; gives the id."""
    clerk = world.session("clerk")
    made = parties.file_person(
        world.domain, clerk, login=login, name=login.title(), organisation_id=world.ids[organisation]
    )
    world.ids[login] = made
    for state in (PersonState.VETTED, PersonState.TRAINED, PersonState.ACTIVE):
        if to is not PersonState.FILED and list(PersonState).index(state) <= list(PersonState).index(to):
            parties.advance_person(world.domain, clerk, made, state)
    for role in roles:
        give_role(world, made, role)
    world.tokens[login] = new_token(world, made)
    return made


def give_role(world: World, person: str, role: Role) -> None:
    """Let the registrar propose a role and the officer confirm it."""
    enrolment.propose_role(world.domain, world.session("clerk"), person, role)
    enrolment.confirm_role(world.domain, world.session("officer"), person, role)


def new_token(world: World, person: str) -> str:
    """Let the registrar and the officer each draw a half of a person's new token; gives the whole."""
    return enrolment.new_token(world.domain, world.session("clerk"), world.session("officer"), person)


def _parties(world: World) -> None:
    for name, kind in ORGANISATIONS.items():
        add_organisation(world, name, kind)
    for login, (organisation, role) in PEOPLE.items():
        add_person(world, login, organisation, role)
    _idle(world)
    parties.suspend(world.domain, world.session("officer"), world.ids["dormant"], "risk found")


def _idle(world: World) -> None:
    """File somebody for whom everything is proposed and nothing confirmed."""
    clerk = world.session("clerk")
    made = parties.file_person(world.domain, clerk, login="idle", name="Idle", organisation_id=world.ids["medica"])
    enrolment.propose_role(world.domain, clerk, made, Role.PROCESSOR)
    enrolment.offer_token(world.domain, clerk, made)
    world.ids["idle"] = made


def add_dataset(world: World, login: str, name: str, columns: Mapping[str, tuple[ColumnRole, Grade]]) -> str:
    """Declare and grade a dataset and enter one version of it; gives the id."""
    session = world.session(login)
    made = catalogue.declare(
        world.domain,
        session,
        name=name,
        title=name,
        columns=[(column, "string") for column in columns],
        schema={},
        subject=(SubjectKind.PERSON, "resident_id") if "resident_id" in columns else None,
    )
    world.ids[name] = made
    confirmed = {column: (role, grade, "") for column, (role, grade) in columns.items()}
    catalogue.grade(world.domain, session, name, confirmed)
    add_version(world, name, 0)
    return made


def add_version(world: World, name: str, version: int) -> None:
    """Enter a version of a dataset into the catalogue, as an import does after its Delta commit."""
    with world.domain.change(PLATFORM) as change:
        dataset = catalogue.get_dataset(change.connection, name)
        imported = catalogue.Version(
            dataset=dataset.id,
            version=version,
            as_of="2026-11-01",
            imported=change.at,
            rows=1000,
            quarantined={},
            source_sha256=f"{version:064x}",
        )
        catalogue.record_version(change, dataset, imported, [])


def _catalogue(world: World) -> None:
    add_dataset(world, "doctor", "health.visits", COLUMNS["health.visits"])
    add_dataset(world, "captain", "police.residents", COLUMNS["police.residents"])


def add_scenario(world: World, tenant: str, name: str, *, days: float = 365) -> str:
    """Sign an agreement and open a scenario under it; gives the scenario's id."""
    officer = world.session("officer")
    until = world.hands() + timedelta(days=days)
    agreed = agreements.sign_agreement(world.domain, officer, tenant=world.ids[tenant], terms=TERMS, until=until)
    world.ids[f"agreement:{name}"] = agreed
    made = agreements.open_scenario(world.domain, officer, agreement_id=agreed, name=name, purpose="to plan clinics")
    world.ids[f"scenario:{name}"] = made
    return made


def _scenario(world: World) -> None:
    world.ids["scenario"] = add_scenario(world, "medica", "clinics")
    world.ids["agreement"] = world.ids["agreement:clinics"]
    add_scenario(world, "rival", "rivals")


def item(name: str, *columns: str, row_filter: str | None = None) -> requests.Item:
    """An item over the named columns, every one when none is named."""
    return requests.Item(name, columns or tuple(COLUMNS[name]), row_filter)


def make_request(
    world: World,
    *items: requests.Item,
    login: str = "manager",
    scenario: str = "scenario",
    persons: Sequence[str] = ("processor",),
    days: float = 90,
) -> str:
    """Ask for data; by default for both datasets whole."""
    return requests.make(
        world.domain,
        world.session(login),
        scenario_id=world.ids[scenario],
        items=items or tuple(item(name) for name in COLUMNS),
        persons=persons,
        purpose="to plan clinics",
        until=world.hands() + timedelta(days=days),
    )


def _requested(world: World) -> None:
    world.ids["request"] = make_request(world)


def approve_as_providers(world: World, request: str, *logins: str) -> None:
    """Let providers approve a request, both by default."""
    for login in logins or ("doctor", "captain"):
        assert requests.approve(world.domain, world.session(login), request) is None


def approve_as_authority(world: World, request: str) -> str:
    """Let the authority approve a request; gives the grant's id."""
    made = requests.approve(world.domain, world.session("officer"), request)
    assert made is not None
    return made


def _granted(world: World) -> None:
    world.ids["grant"] = approve_as_authority(world, world.ids["request"])


def add_grant(world: World, tenant: str, scenario: str) -> str:
    """Walk a request of a tenant's manager to a grant for its processor; gives the grant's id."""
    own = {"medica": ("manager", "processor"), "rival": ("rival-manager", "rival-processor")}[tenant]
    made = make_request(world, login=own[0], scenario=scenario, persons=[own[1]])
    approve_as_providers(world, made)
    return approve_as_authority(world, made)


def provision(world: World, grant: str) -> None:
    """Enter each granted dataset as a view and an input, with the grant's key but without rows."""
    with world.domain.read() as connection:
        given = grants.get_grant(connection, grant)
        sources = [catalogue.get_dataset(connection, one.dataset) for one in given.items]
    grants.ensure_key(world.domain, given)
    for zone in grants.Zone:
        with grants.zone_opened(world.domain, given, zone):
            for one, source in zip(given.items, sources, strict=True):
                with world.domain.change(PLATFORM) as change:
                    grants.record_provisioned(
                        change,
                        given,
                        zone,
                        source,
                        0,
                        table=grants.new_table_id(),
                        columns={column: column for column in one.columns},
                        rows=1000,
                        record={},
                    )


def _provisioned(world: World) -> None:
    provision(world, world.ids["grant"])
    backup.set_recovery_key(world.domain, world.session("officer"), RECOVERY_KEY)


def write_job(folder: Path, scenario: str, *, epsilon: str = "0.5") -> Path:
    """Write a job folder."""
    folder.mkdir(parents=True)
    (folder / "job.toml").write_text(JOB.format(scenario=scenario).replace("epsilon = 0.5", f"epsilon = {epsilon}"))
    (folder / "main.py").write_text("def main(job):\n    pass\n")
    return folder


def submit(world: World, login: str, scenario: str, *, epsilon: str = "0.5") -> str:
    """Submit a job; gives its id."""
    folder = world.domain.home.parent / f"job-{login}-{epsilon}"
    shutil.rmtree(folder, ignore_errors=True)
    write_job(folder, world.ids[scenario], epsilon=epsilon)
    return submitting.submit(world.domain, world.session(login), folder).id


def _submitted(world: World) -> None:
    file_real(world.domain)
    world.ids["job"] = submit(world, "processor", "scenario")
    session = world.session("processor")
    world.ids["run"] = runs.queue(world.domain, session, world.ids["job"], 0, runs.Stage.DEVELOPMENT)


def _promotion_requested(world: World) -> None:
    world.ids["promotion"] = promotion.request(world.domain, world.session("processor"), world.ids["job"])


def _promoted(world: World) -> None:
    promotion.decide(world.domain, world.session("reviewer"), world.ids["promotion"], approve=True, reason="read")


def request_export(world: World, product: str = STATISTIC, *, login: str = "processor", job: str = "job") -> str:
    """Ask to let a product out; gives the export's id."""
    return exports.request(world.domain, world.session(login), world.ids[job], product)


def _export_requested(world: World) -> None:
    world.ids["export"] = request_export(world)


def claim(world: World, export: str, **changed: object) -> ledger.Claim:
    """What a question of an export costs."""
    values: dict[str, object] = {
        "question": ledger.question_key(export, []),
        "export": export,
        "universe": "person",
        "datasets": (world.ids["health.visits"],),
        "tenant": world.ids["medica"],
        "scenario": world.ids["scenario"],
        "rho": Fraction(1, 100),
        "delta": Fraction(1, 10**7),
    }
    return ledger.Claim(**{**values, **changed})  # type: ignore[arg-type]


def check(world: World, export: str, verdict: Verdict = Verdict.NO_ATTACK_SUCCEEDED) -> exports.Export:
    """Do what the gate does with a made product: charge it, write the evidence and settle. Only the noise is left out."""
    case = checking.open_case(world.domain, export)
    cost = claim(world, export)
    with world.domain.change(PLATFORM) as change:
        ledger.admit(change, cost, ledger.Caps())
    with world.domain.change(PLATFORM) as change:
        ledger.store_answer(change, cost.question, "{}")
        change.record(Kind.PRODUCT_MADE, [export], {"question": cost.question})
    finding = Finding("statistic.measured", 1, verdict, "gate.measured", {"rho": "0.01", "delta": "0", "epsilon": "1"})
    files = (*table_files(["district", "visits"], [["north", 12], ["south", 7]], 1), card_file({"rho": "0.01"}))
    columns = {name: sorted(f"table:{table.id}#district" for table in case.tables.values()) for name in ("district",)}
    return checking._settle(world.domain, case, checking.Made(files, (finding,), columns))


def _in_review(world: World) -> None:
    world.ids["digest"] = str(check(world, world.ids["export"]).evidence_digest)
    for login in ("reviewer", "expert", "third", "officer", "deputy"):
        review.inspect(world.domain, world.session(login), world.ids["export"])


def _look(world: World, login: str) -> None:
    """Look at what would leave, for exports other than the walked one; nothing where there is nothing to see."""
    with world.domain.read() as connection:
        state = exports.get_export(connection, world.ids["export"]).state
        seen = {one.actor.person for one in world.domain.log.about(connection, world.ids["export"])}
    if state in {exports.ExportState.IN_REVIEW, exports.ExportState.REVIEWED} and world.ids[login] not in seen:
        review.inspect(world.domain, world.session(login), world.ids["export"])


def vote(world: World, login: str, decision: review.Decision = review.Decision.APPROVE) -> exports.Export:
    """Let a reviewer vote on the world's export."""
    session, digest = world.session(login), world.ids["digest"]
    _look(world, login)
    return review.vote(world.domain, session, world.ids["export"], decision, reason="seen", digest=digest)


def _reviewed(world: World) -> None:
    vote(world, "reviewer")
    vote(world, "expert")


def approve_export(world: World, login: str = "officer") -> exports.Export:
    """Let the authority approve the world's export."""
    session, digest = world.session(login), world.ids["digest"]
    _look(world, login)
    return review.approve(world.domain, session, world.ids["export"], reason="lawful", digest=digest)


def _released(world: World) -> None:
    release.release(world.domain, world.ids["export"])


STEPS: Mapping[Stage, Callable[[World], object]] = {
    Stage.PARTIES: _parties,
    Stage.CATALOGUE: _catalogue,
    Stage.SCENARIO: _scenario,
    Stage.REQUESTED: _requested,
    Stage.PROVIDER_APPROVED: lambda world: approve_as_providers(world, world.ids["request"]),
    Stage.GRANTED: _granted,
    Stage.PROVISIONED: _provisioned,
    Stage.SUBMITTED: _submitted,
    Stage.PROMOTION_REQUESTED: _promotion_requested,
    Stage.PROMOTED: _promoted,
    Stage.EXPORT_REQUESTED: _export_requested,
    Stage.IN_REVIEW: _in_review,
    Stage.REVIEWED: _reviewed,
    Stage.APPROVED: approve_export,
    Stage.RELEASED: _released,
}
