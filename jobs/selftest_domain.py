"""A throw-away domain with two tenants, made by the operations that make a real one, in which the hostile job is an ordinary job."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lineage.clock import Clock, system_clock
from lineage.log import PLATFORM
from sandbox.access import Session, authenticate
from sandbox.agreements import REQUIRED_TERMS, open_scenario, sign_agreement
from sandbox.catalogue import Version, declare, get_dataset, grade, record_version
from sandbox.columns import Grade, SubjectKind
from sandbox.columns import Role as ColumnRole
from sandbox.domain import Domain, create, open_domain
from sandbox.enrolment import enrol
from sandbox.grants import Grant, Zone, ensure_key, get_grant, new_table_id, record_provisioned, zone_opened
from sandbox.parties import found_authority, get_organisation, register
from sandbox.requests import Item, approve, make
from sandbox.roles import OrganisationKind, Role


LOWEST_UID, HIGHEST_UID = 110_000, 180_000
"""Below the uids of real domains' tenants and of the gate, above those of the host: no run of the trial shares a uid with anybody."""
HURRY: Final = 60
"""The domain's clock runs so many times as fast: what production's grid of minutes holds back is told after a second."""
DATASET: Final = "office.rows"
_COLUMNS: Final[Mapping[str, tuple[ColumnRole, Grade]]] = {
    "person_id": (ColumnRole.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
    "district": (ColumnRole.PLAIN, Grade.OPEN),
}
_DAYS: Final = 400


@dataclass(frozen=True)
class Tenant:
    """One tenant of the trial.

    Attributes:
        name: its short name.
        processor: who submits the hostile job.
        scenario: under which scenario.
        grant: with which grant.
        uid: its uid for development; production has the next one.
    """

    name: str
    processor: Session
    scenario: str
    grant: Grant
    uid: int


@dataclass(frozen=True)
class TrialDomain:
    """The domain, who reviews promotions in it, and its two tenants."""

    domain: Domain
    reviewer: Session
    tenants: tuple[Tenant, Tenant]

    @property
    def names(self) -> tuple[str, ...]:
        """Names that the kernel must not show a run: companies, people, tables, the domain."""
        people = [self.reviewer.login, *(one.processor.login for one in self.tenants)]
        return (*(one.name for one in self.tenants), *people, DATASET, self.domain.name)


def hurried(begun: datetime) -> Clock:
    """Give a clock that stands at ``begun`` now and runs ``HURRY`` times as fast as the real one."""
    origin = system_clock()
    return lambda: begun + (system_clock() - origin) * HURRY


def build(home: Path, storage: str, database: Path, jail: str) -> TrialDomain:
    """Make the domain, with an authority, a provider with one small table, and two tenants with a grant on it.

    Args:
        home: an empty folder.
        storage: the storage provider.
        database: the file of its database.
        jail: the name of its kind of jail.

    Raises:
        MissingPartError: a part that a real domain needs is missing too.
    """
    mark = secrets.token_hex(4)
    domain = _create(home, f"selftest-{mark}.trial", storage, database, jail)
    tokens = found_authority(
        domain,
        name="bureau",
        title="selftest",
        login=f"officer-{mark}",
        officer="selftest",
        registrar_login=f"registrar-{mark}",
        registrar="selftest",
    )
    officer, registrar = authenticate(domain, tokens.officer), authenticate(domain, tokens.registrar)
    hall = _Hall(domain, officer, registrar, mark)
    authority = officer.organisation
    reviewer = hall.person("reviewer", authority, Role.REVIEWER)
    provider = hall.organisation("office", OrganisationKind.PROVIDER)
    owner = hall.person("owner", provider, Role.PROVIDER_OFFICER)
    _declare(domain, owner)
    tenants = [hall.tenant(f"{name}-{mark}", owner) for name in ("first", "second")]
    return TrialDomain(domain, reviewer, (tenants[0], tenants[1]))


def _create(home: Path, name: str, storage: str, database: Path, jail: str) -> Domain:
    create(home, name, storage=storage, url=f"sqlite:///{database}")
    settings = home / "domain.toml"
    first = LOWEST_UID + 2 * secrets.randbelow((HIGHEST_UID - LOWEST_UID) // 2)
    settings.write_text(
        f'first_uid = {first}\njail = "{jail}"\n{settings.read_text(encoding="utf-8")}', encoding="utf-8"
    )
    return open_domain(home, clock=hurried(system_clock()))


@dataclass(frozen=True)
class _Hall:
    """The two officials who let everybody else in."""

    domain: Domain
    officer: Session
    registrar: Session
    mark: str

    def organisation(self, name: str, kind: OrganisationKind) -> str:
        """Register an organisation; gives its id."""
        return register(self.domain, self._registering, name=name, title=name, kind=kind)

    @property
    def _registering(self) -> Session:
        from sandbox.roles import Permission

        return self.officer if self.officer.can(Permission.ORGANISATION_REGISTER) else self.registrar

    def person(self, login: str, organisation: str, role: Role) -> Session:
        """Enrol a person with one role; gives their session."""
        named = f"{login}-{self.mark}" if not login.endswith(self.mark) else login
        token = enrol(
            self.domain,
            self.registrar,
            self.officer,
            login=named,
            name=named,
            organisation=organisation,
            role=role,
        )
        return authenticate(self.domain, token)

    def tenant(self, name: str, owner: Session) -> Tenant:
        """Register a tenant with its people, agreement, scenario, request and grant, and give it its table."""
        made = self.organisation(name, OrganisationKind.TENANT)
        manager = self.person(f"manager-of-{name}", made, Role.TENANT_MANAGER)
        processor = self.person(f"processor-of-{name}", made, Role.PROCESSOR)
        until = self.domain.now() + timedelta(days=_DAYS)
        terms = dict.fromkeys(REQUIRED_TERMS, "selftest")
        agreement = sign_agreement(self.domain, self.officer, tenant=made, terms=terms, until=until)
        scenario = open_scenario(
            self.domain, self.officer, agreement_id=agreement, name=f"scenario-of-{name}", purpose="selftest"
        )
        request = make(
            self.domain,
            manager,
            scenario_id=scenario,
            items=[Item(DATASET, tuple(_COLUMNS))],
            persons=[processor.login],
            purpose="selftest",
            until=until,
        )
        approve(self.domain, owner, request)
        granted = approve(self.domain, self.officer, request)
        if granted is None:
            raise ValueError("both have approved, so the grant starts")
        with self.domain.read() as connection:
            grant, uid = get_grant(connection, granted), get_organisation(connection, made).uid
        if uid is None:
            raise ValueError("a tenant has a uid")
        _provide(self.domain, grant)
        return Tenant(name, processor, scenario, grant, uid)


def _declare(domain: Domain, owner: Session) -> None:
    """Enter the small table into the catalogue."""
    declare(
        domain,
        owner,
        name=DATASET,
        title="selftest",
        columns=[(column, "string") for column in _COLUMNS],
        schema={},
        subject=(SubjectKind.PERSON, "person_id"),
    )
    grade(domain, owner, DATASET, {name: (role, level, "") for name, (role, level) in _COLUMNS.items()})
    with domain.change(PLATFORM) as change:
        dataset = get_dataset(change.connection, DATASET)
        version = Version(dataset.id, 0, "2026-01-01", change.at, 3, {}, f"{0:064x}")
        record_version(change, dataset, version, [])


def _provide(domain: Domain, grant: Grant) -> None:
    """Lay three made-up rows into both zones of a grant.

    Written here and not by provisioning: what is tried is the jail round the table, and a JVM started for three rows would cost
    more than all the probes.
    """
    import pyarrow as pa
    from deltalake import write_deltalake

    rows = pa.table({"person_id": ["a", "b", "c"], "district": ["north", "south", "south"]})
    with domain.read() as connection:
        source = get_dataset(connection, DATASET)
    ensure_key(domain, grant)
    for zone in Zone:
        table = new_table_id()
        with zone_opened(domain, grant, zone) as folder:
            write_deltalake(folder / table, rows)
            for path in ((folder / table), *(folder / table).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        with domain.change(PLATFORM) as change:
            record_provisioned(
                change,
                grant,
                zone,
                source,
                0,
                table=table,
                columns={column: column for column in _COLUMNS},
                rows=rows.num_rows,
                record={},
            )
