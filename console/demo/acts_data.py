"""Acts one to three: the domain opens, data come in, data are asked for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from console.demo.city import City, generate
from console.demo.play import Play
from desensitize.cataloguing import classify_dataset
from desensitize.granting import check_items, provision_grant
from jobs.selftest import file_by_person, run_selftest
from lineage.errors import NotPermittedError
from sandbox.agreements import REQUIRED_TERMS, open_scenario, sign_agreement
from sandbox.catalogue import columns_of, get_dataset, grade
from sandbox.columns import Grade
from sandbox.columns import Role as ColumnRole
from sandbox.domain import create
from sandbox.engine import jars_folder, spark_session
from sandbox.enrolment import enrol, propose_role
from sandbox.importing import declare_dataset, import_dataset
from sandbox.messages import listed, text
from sandbox.parties import found_authority, register
from sandbox.requests import Item, approve, make, narrow
from sandbox.roles import OrganisationKind, Role
from sandbox.schema_file import read_declaration


DECLARATIONS = Path(__file__).parent / "declarations"
AUTHORITY, HEALTH, SOCIAL, EXPERTS = "data-bureau", "health", "social", "expert-panel"
MEDICAL, MOBILITY = "anxin-medical", "tongda-mobility"
MACHINES, MAINTAINER = "cloud-operations", "jiang"

ORGANISATIONS = {
    HEALTH: OrganisationKind.PROVIDER,
    SOCIAL: OrganisationKind.PROVIDER,
    EXPERTS: OrganisationKind.EXPERT,
    MEDICAL: OrganisationKind.TENANT,
    MOBILITY: OrganisationKind.TENANT,
    MACHINES: OrganisationKind.MAINTAINER,
}
PERSONS = {
    "zhao": (HEALTH, Role.PROVIDER_OFFICER),
    "qian": (SOCIAL, Role.PROVIDER_OFFICER),
    "sun": (EXPERTS, Role.REVIEWER),
    "zhou": (EXPERTS, Role.REVIEWER),
    "wu": (AUTHORITY, Role.AUDITOR),
    "zheng": (MEDICAL, Role.TENANT_MANAGER),
    "wang": (MEDICAL, Role.PROCESSOR),
    "feng": (MOBILITY, Role.TENANT_MANAGER),
    "chen": (MOBILITY, Role.PROCESSOR),
    "jiang": (MACHINES, Role.MAINTAINER),
}
"""Login → organisation and role; real names are in the catalogue under ``story.person.*``."""
OFFICER, REGISTRAR = "li", "he"

GRADES = {
    "health.visits": {
        "visit_id": (ColumnRole.DIRECT_IDENTIFIER, Grade.INTERNAL),
        "resident_id": (ColumnRole.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
        "clinic": (ColumnRole.QUASI_IDENTIFIER, Grade.INTERNAL),
        "department": (ColumnRole.PLAIN, Grade.INTERNAL),
        "diagnosis": (ColumnRole.SENSITIVE, Grade.RESTRICTED),
        "visit_date": (ColumnRole.QUASI_IDENTIFIER, Grade.INTERNAL),
        "days": (ColumnRole.PLAIN, Grade.INTERNAL),
        "cost": (ColumnRole.SENSITIVE, Grade.INTERNAL),
        "readmitted": (ColumnRole.PLAIN, Grade.INTERNAL),
    },
    "social.residents": {"district": (ColumnRole.QUASI_IDENTIFIER, Grade.INTERNAL)},
    "social.payments": {"month": (ColumnRole.PLAIN, Grade.INTERNAL)},
}
"""What the providers confirm otherwise than suggested; the rest is accepted as suggested."""


def open_domain(play: Play) -> None:
    """Act 1: authority, providers, tenants, persons (A7, D6, C10, C12)."""
    here = play.door.home
    play.domain = create(here, "city.demo")
    officer, registrar = _person_name(play, OFFICER), _person_name(play, REGISTRAR)
    founded = found_authority(
        play.stage,
        name=AUTHORITY,
        title=_title(play, AUTHORITY),
        login=OFFICER,
        officer=officer,
        registrar_login=REGISTRAR,
        registrar=registrar,
    )
    play.login(OFFICER, founded.officer)
    play.login(REGISTRAR, founded.registrar)
    play.ids[AUTHORITY] = play.sessions[OFFICER].organisation
    command = f"shuzha init --name city.demo --login {OFFICER} --registrar-login {REGISTRAR} …"
    play.tell("story.opened", command, who=officer, registrar=registrar, home=str(here))
    for name, kind in ORGANISATIONS.items():
        session = play.sessions[REGISTRAR]
        play.ids[name] = register(play.stage, session, name=name, title=_title(play, name), kind=kind)
    titles = listed((_title(play, name) for name in ORGANISATIONS), play.door.language)
    command = f"shuzha tenant add NAME --title … --as {REGISTRAR}"
    play.tell("story.registered", command, who=registrar, organisations=titles)
    for login, (organisation, role) in PERSONS.items():
        _admit(play, login, organisation, role)
    command = f"shuzha person role LOGIN ROLE --as {REGISTRAR}; shuzha person confirm LOGIN ROLE --as {OFFICER}"
    play.tell("story.admitted", command, who=registrar, officer=officer, count=len(PERSONS))
    _refuse_second_role(play)
    _try_the_jail(play)


def _try_the_jail(play: Play) -> None:
    """The maintainer tries on this machine whether the jail holds; without it nothing is produced later (law 7)."""
    session = play.sessions[MAINTAINER]
    filed = file_by_person(play.stage, session, run_selftest(play.stage))
    play.facts["selftest"] = filed
    tried, left = len(filed.result.probes), len(filed.result.open)
    play.tell(
        "story.jail-tried",
        f"shuzha selftest --as {MAINTAINER}",
        who=session.name,
        count=tried,
        open=left,
        seq=filed.seq,
    )


def _admit(play: Play, login: str, organisation: str, role: Role) -> None:
    registrar, officer = play.sessions[REGISTRAR], play.sessions[OFFICER]
    name, party = _person_name(play, login), play.ids[organisation]
    secret = enrol(play.stage, registrar, officer, login=login, name=name, organisation=party, role=role)
    play.login(login, secret)
    play.ids[login] = play.sessions[login].person


def _refuse_second_role(play: Play) -> None:
    """Two roles that may not meet in one person (law 6)."""
    try:
        propose_role(play.stage, play.sessions[REGISTRAR], play.ids["sun"], Role.AUDITOR)
    except NotPermittedError as error:
        play.facts["second_role"] = error.code
        play.tell_refused("story.second-role", error, f"shuzha person role sun auditor --as {REGISTRAR}")


def import_data(play: Play) -> None:
    """Act 2: files become RAW tables; quarantine, classification, grades (I1–I3, I8)."""
    city = generate(play.stage.home / "demo" / "files", play.scale, play.seed)
    play.facts["city"] = city
    spark = spark_session(jars_folder())
    today = date(2026, 10, 1)
    for login, name, path, day in _deliveries(city, today):
        _import(play, login, name, path, day)
    for login, name in (("zhao", "health.visits"), ("qian", "social.residents"), ("qian", "social.payments")):
        classify_dataset(play.stage, play.sessions[login], spark, name)
        _grade(play, login, name)


def _deliveries(city: City, today: date) -> list[tuple[str, str, Path, date]]:
    yesterday = today - timedelta(days=1)
    return [
        ("zhao", "visits", city.visits.path, yesterday),
        ("qian", "residents", city.residents.path, yesterday),
        ("qian", "payments", city.payments.path, yesterday),
        ("qian", "companies", city.companies.path, yesterday),
        ("zhao", "visits", city.visits_v2.path, today),
    ]


def _import(play: Play, login: str, declared: str, path: Path, day: date) -> None:
    declaration = read_declaration(DECLARATIONS / f"{declared}.toml")
    session = play.sessions[login]
    if declaration.name not in play.facts:
        declare_dataset(play.stage, session, declaration)
    version, _ = import_dataset(
        play.stage, session, spark_session(jars_folder()), declaration.name, declaration.source(path), day
    )
    play.facts.setdefault(declaration.name, []).append(version)
    play.tell(
        "story.imported",
        f"shuzha dataset import {path.name} --schema {declared}.toml --as {login}",
        who=session.name,
        file=path.name,
        dataset=declaration.name,
        version=version.version,
        rows=version.rows,
        quarantined=sum(version.quarantined.values()),
        rules=", ".join(f"{rule} {count}" for rule, count in version.quarantined.items()) or "-",
    )


def _grade(play: Play, login: str, name: str) -> None:
    session = play.sessions[login]
    with play.stage.read() as connection:
        listed = columns_of(connection, get_dataset(connection, name).id)
    confirmed = {}
    for column in listed:
        suggestion = column.suggestion or {}
        role, level = GRADES[name].get(column.name, (ColumnRole(suggestion["role"]), Grade(int(suggestion["grade"]))))
        confirmed[column.name] = (role, level, str(suggestion.get("entity", "")))
    grade(play.stage, session, name, confirmed)
    top = max(int(level) for _, level, _ in confirmed.values())
    command = f"shuzha dataset grade {name} --accept-suggestions --as {login}"
    play.tell("story.graded", command, who=session.name, dataset=name, columns=len(confirmed), highest=top)


def ask_for_data(play: Play) -> None:
    """Act 3: agreement, scenario, request, narrowing, both approvals, provisioning (A3, A5, A6)."""
    _agree(play, "medical", MEDICAL, "zheng")
    _agree(play, "mobility", MOBILITY, "feng")
    visits = ("resident_id", "clinic", "department", "diagnosis", "days", "cost", "readmitted")
    residents = ("resident_id", "sex", "birth_date", "district", "household_id")
    items = [Item("health.visits", visits), Item("social.residents", residents)]
    _ask(play, "medical", "zheng", "wang", items)
    narrower = Item("social.residents", ("resident_id", "birth_date", "district"), "birth_date >= DATE '1920-01-01'")
    narrow(play.stage, play.sessions["qian"], play.ids["medical.request"], narrower)
    play.tell(
        "story.narrowed",
        f"shuzha request narrow {play.ids['medical.request']} --item 'social.residents:…' --as qian",
        who=play.sessions["qian"].name,
        dropped="sex, household_id",
    )
    _approve(play, "medical", ["zhao", "qian"])
    payments = [Item("social.payments", ("resident_id", "month", "paid"))]
    _ask(play, "mobility", "feng", "chen", payments)
    _approve(play, "mobility", ["qian"])


def _agree(play: Play, key: str, tenant: str, manager: str) -> None:
    officer = play.sessions[OFFICER]
    until = play.stage.now() + timedelta(days=730)
    terms = {term: text(f"story.term.{term.replace('_', '-')}", play.door.language) for term in REQUIRED_TERMS}
    play.ids[f"{key}.agreement"] = sign_agreement(play.stage, officer, tenant=tenant, terms=terms, until=until)
    purpose = text(f"story.purpose.{key}", play.door.language)
    name = text(f"story.scenario.{key}", play.door.language)
    agreement = play.ids[f"{key}.agreement"]
    play.ids[key] = open_scenario(play.stage, officer, agreement_id=agreement, name=name, purpose=purpose)
    play.tell(
        "story.agreed",
        f"shuzha agreement sign {tenant} --terms terms.toml --until …; shuzha scenario open --agreement {agreement} …",
        who=officer.name,
        tenant=_title(play, tenant),
        scenario=name,
        identity=play.ids[key],
        manager=play.sessions[manager].name,
    )


def _ask(play: Play, key: str, manager: str, processor: str, items: list[Item]) -> None:
    session = play.sessions[manager]
    check_items(play.stage, items)
    until = play.stage.now() + timedelta(days=365)
    play.ids[f"{key}.request"] = make(
        play.stage,
        session,
        scenario_id=play.ids[key],
        items=items,
        persons=[processor],
        purpose=text(f"story.purpose.{key}", play.door.language),
        until=until,
    )
    play.tell(
        "story.asked",
        f"shuzha request make --scenario {play.ids[key]} --item … --person {processor} --as {manager}",
        who=session.name,
        datasets=", ".join(item.dataset for item in items),
    )


def _approve(play: Play, key: str, providers: list[str]) -> None:
    request = play.ids[f"{key}.request"]
    for login in providers:
        approve(play.stage, play.sessions[login], request)
        command = f"shuzha request approve {request} --as {login}"
        play.tell("story.provider-approved", command, who=play.sessions[login].name)
    granted = approve(play.stage, play.sessions[OFFICER], request)
    if granted is None:
        raise ValueError("the authority's approval starts a grant")
    play.ids[f"{key}.grant"] = granted
    made = provision_grant(play.stage, spark_session(jars_folder()), granted)
    command = f"shuzha request approve {request} --as {OFFICER}"
    play.tell("story.granted", command, who=play.sessions[OFFICER].name, grant=granted, tables=len(made))


def _title(play: Play, name: str) -> str:
    return text(f"story.organisation.{name}", play.door.language)


def _person_name(play: Play, login: str) -> str:
    return text(f"story.person.{login}", play.door.language)
