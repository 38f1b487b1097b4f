"""A tenant learns nothing of another: not that it exists, what it is called, how much it does, or when (D1, D2; law 6 for providers).

Every command is tried by another tenant's processor and manager three ways: with A's real id, with A's name for the thing, and with
something of the same shape that nobody has. Text, exit code, queries asked of the database and entries left on the log must be equal.
Then B's whole view of the domain is taken twice, with and without A at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from console.app import GROUPS
from console.commands.platform import TOP
from console.main import main
from export_gate import ledger, release
from jobs import promotion, runs
from lineage.errors import BudgetError, Exit
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox import domain as domains
from sandbox import parties
from sandbox.domain import new_id
from sandbox.roles import OrganisationKind
from tests.commands import BEHIND, INNER, OF_THE_MACHINE, TOLD, TRIED
from tests.factories import (
    Stage,
    World,
    add_organisation,
    add_person,
    add_scenario,
    approve_as_authority,
    approve_as_providers,
    approve_export,
    check,
    claim,
    item,
    make_request,
    provision,
    request_export,
    submit,
    vote,
    walk,
    write_job,
)
from tests.fixtures_domain import WorldAt, quick_folder


B = ("rival-processor", "rival-manager")
NAMES = {"scenario": "clinics", "job": "clinic-visits", "export": "visits_by_district", "agreement": "medica"}
"""What A calls its things; other people's commands might take a name where they take an id."""
ID = re.compile(r"\b[A-Za-z]-[a-hj-km-np-z2-9]{16}\b")


@dataclass(frozen=True)
class Answer:
    """All that a command gives away: what it prints, how it ends, what it asks the database, what it leaves on the log."""

    exit: int
    out: str
    err: str
    queries: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Apart:
    """A world with two tenants that both work; ``own`` are B's things, ``real`` A's, ``absent`` nobody's, of the same shape."""

    world: World
    own: Mapping[str, str]
    real: Mapping[str, str]
    absent: Mapping[str, str]


def work_as_rival(world: World) -> dict[str, str]:
    """Let B come as far as an export that waits for the gate; gives the ids."""
    made = make_request(
        world,
        item("health.visits"),
        login="rival-manager",
        scenario="scenario:rivals",
        persons=["rival-processor"],
    )
    approve_as_providers(world, made, "doctor")
    grant = approve_as_authority(world, made)
    provision(world, grant)
    job = submit(world, "rival-processor", "scenario:rivals")
    session = world.session("rival-processor")
    run = runs.queue(world.domain, session, job, 0, runs.Stage.DEVELOPMENT)
    asked = promotion.request(world.domain, session, job)
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    world.ids["job:rivals"] = job
    export = request_export(world, login="rival-processor", job="job:rivals")
    own = {"grant": grant, "job": job, "run": run, "promotion": asked, "export": export}
    return {**own, "scenario": world.ids["scenario:rivals"], "request": made}


@pytest.fixture(scope="module")
def apart(world_templates: WorldAt) -> Iterator[Apart]:
    with pytest.MonkeyPatch.context() as patch, quick_folder() as folder:
        patch.setenv("SHUZHA_UNIT_TESTS", "1")
        world = world_templates(Stage.RELEASED).copy(folder / "home")
        own = work_as_rival(world)
        files = _files(folder)
        real = _things_of_a(world, folder)
        absent = {name: _nobodys(name, value, folder) for name, value in real.items()}
        yield Apart(world, own | files, real, absent)


def _files(folder: Path) -> dict[str, str]:
    terms, table = folder / "terms.toml", folder / "table.csv"
    terms.write_text("".join(f'{term} = "x"\n' for term in ("scope", "security")))
    table.write_text("clinic\nnorth\n")
    return {"terms": str(terms), "file": str(table), "inbox": str(folder / "inbox")}


def _things_of_a(world: World, folder: Path) -> dict[str, str]:
    ids = ("scenario", "agreement", "request", "grant", "job", "run", "promotion", "export", "digest")
    with world.domain.read() as connection:
        entry = str(len(world.domain.log.about(connection, world.ids["export"])))
    return {
        **{name: world.ids[name] for name in ids},
        "provider": "health",
        "tenant": "medica",
        "login": "processor",
        "dataset": "police.residents",
        "table": "police.residents",
        "entry": entry,
        "folder": str(write_job(folder / "job-1", world.ids["scenario"])),
        "declaration": _declaration(folder / "table-1.toml", "police.residents"),
    }


def _nobodys(name: str, value: str, folder: Path) -> str:
    match name:
        case "folder":
            return str(write_job(folder / "job-2", new_id("S")))
        case "declaration":
            return _declaration(folder / "table-2.toml", "police.nonesuch0")
        case "entry":
            return "999999"
        case "digest":
            return "0" * len(value)
    return new_id(value[0]) if ID.fullmatch(value) else f"{value.partition('.')[0][:3]}{'.' if '.' in value else ''}zzz"


def _declaration(path: Path, name: str) -> str:
    path.write_text(
        f'[table]\nname = "{name}"\ntitle = "T"\nformat = "csv"\n[[column]]\nname = "clinic"\ntype = "string"\n'
    )
    return str(path)


def ask(world: World, login: str, words: list[str], *options: str) -> Answer:
    """Type a command as somebody, in the domain's own time."""
    out, err, queries = io.StringIO(), io.StringIO(), []
    before = len(world.log())

    def keep(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        # How many nodes of the tree an entry completes depends on its number alone.
        if "log_node" not in statement:
            queries.append(statement)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(domains, "open_domain", partial(domains.open_domain, clock=world.hands))
        patch.setenv("SHUZHA_TOKEN", world.tokens[login])
        patch.setenv("SHUZHA_LANG", os.environ.get("SHUZHA_LANG", "en"))
        event.listen(Engine, "before_cursor_execute", keep)
        try:
            code = main([*words, "--home", str(world.domain.home), "--lang", "en", *options])
        finally:
            event.remove(Engine, "before_cursor_execute", keep)
    left = tuple((entry.kind.value, json.dumps(dict(entry.payload), sort_keys=True)) for entry in world.log()[before:])
    return Answer(code, out.getvalue(), err.getvalue(), tuple(queries), left)


def fill(arguments: str, things: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    for name, value in own.items():
        arguments = arguments.replace(f"[{name}]", value)
    return shlex.split(re.sub(r"\{(\w+)\}", lambda found: things[found[1]], arguments))


def without(answer: Answer, things: Mapping[str, str], used: list[str]) -> Answer:
    """The answer with what was typed taken out: it may be repeated to who typed it."""
    out, err = answer.out, answer.err
    for name in used:
        out, err = out.replace(things[name], "…"), err.replace(things[name], "…")
    return dataclasses.replace(answer, out=out, err=err)


def commands() -> set[str]:
    return set(TOP) | {f"{group} {name}" for group, found in GROUPS.items() for name in found}


ROWS = [(command, arguments) for command, tries in TRIED.items() for arguments in tries]
each_try = pytest.mark.parametrize(("command", "arguments"), ROWS, ids=[" ".join(row) for row in ROWS])


def test_every_command_is_tried() -> None:
    assert commands() <= set(TRIED) | set(TOLD) | set(OF_THE_MACHINE)
    assert not (set(TRIED) | set(TOLD)) & set(OF_THE_MACHINE)


def operations() -> Iterator[str]:
    """Every function of the packages that takes a person's session."""
    for package in ("sandbox", "desensitize", "jobs", "export_gate"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if re.search(r"migrations|hostile|\.jail|\.sdk|archive_job|__main__", module.name):
                continue
            found = importlib.import_module(module.name)
            for name, function in vars(found).items():
                own = inspect.isfunction(function) and function.__module__ == module.name and not name.startswith("_")
                if own and "Session" in function.__annotations__.values():
                    yield f"{module.name}.{name}"


def test_every_operation_is_behind_a_command_that_is_tried() -> None:
    assert set(operations()) <= set(BEHIND) | INNER
    assert set(BEHIND.values()) <= set(TRIED) | set(TOLD) | set(OF_THE_MACHINE)


@each_try
@pytest.mark.parametrize("login", B)
def test_what_is_anothers_is_answered_as_what_is_not_there(
    apart: Apart, command: str, arguments: str, login: str
) -> None:
    if command.startswith("dataset"):
        pytest.skip("the catalogue is open to every tenant (I2); its providers are tried below")
    used = re.findall(r"\{(\w+)\}", arguments)
    names = {**apart.absent, **{name: NAMES[name] for name in used if name in NAMES}}
    answers = []
    for things in (apart.real, apart.absent, names):
        answer = ask(apart.world, login, [*command.split(), *fill(arguments, things, apart.own)], "--json")
        answers.append(without(answer, things, used))
    there, gone, named = answers
    assert there == gone
    assert named == gone
    assert gone.exit not in {int(Exit.DONE), int(Exit.USAGE)}
    assert {kind for kind, _ in gone.entries} <= {Kind.ACCESS_REFUSED.value}


@each_try
def test_one_provider_does_not_learn_what_concerns_another(apart: Apart, command: str, arguments: str) -> None:
    """The captain of police, on a request for health's table alone and on health's table."""
    used = re.findall(r"\{(\w+)\}", arguments)
    if not set(used) & {"request", "dataset", "declaration"}:
        pytest.skip("names nothing that one provider has and another has not")
    with quick_folder() as folder:
        foreign = {
            "request": apart.world.ids.setdefault(
                "request:health", make_request(apart.world, item("health.visits", "clinic"))
            ),
            "dataset": "health.visits",
            "declaration": _declaration(folder / "table-1.toml", "health.visits"),
        }
        nobodys = {
            "request": new_id("R"),
            "dataset": "health.nonesuch",
            "declaration": _declaration(folder / "table-2.toml", "health.nonesuch"),
        }
        answers = []
        for things in (foreign, nobodys):
            answer = ask(apart.world, "captain", [*command.split(), *fill(arguments, things, apart.own)], "--json")
            typed = {**things, "name": "health.visits" if things is foreign else "health.nonesuch"}
            answers.append(without(answer, typed, [*used, "name"]))
    assert answers[0] == answers[1]
    assert answers[0].exit not in {int(Exit.DONE), int(Exit.USAGE)}


def view_of(world: World, own: Mapping[str, str], login: str, options: tuple[str, ...]) -> dict[str, Any]:
    """Everything a person can ask of their own."""
    told = {}
    for command, arguments in TOLD.items():
        if command not in commands():
            continue
        answer = ask(world, login, [*command.split(), *fill(arguments, {}, own)], *options)
        told[command] = (answer.exit, _plain(world, answer.out), _plain(world, answer.err), len(answer.queries))
    return told


def _plain(world: World, text: str) -> str:
    return text.replace(str(world.domain.home), "HOME")


ACTS = (
    "request make --scenario [scenario] --item health.visits:clinic --person rival-processor --purpose p --until 2027-01-01",
    "request list",
    "job run [job] --no-wait",
    "job show [job]",
    "job list",
    "promotion list",
    "export request [job] visits_by_clinic --no-check",
    "export list",
    "budget show",
    "view list [scenario]",
    "job cancel [run]",
)
"""What B then does."""


def acts_of(world: World, own: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Let B work; ids that it is given are numbered in the order they come."""
    seen: dict[str, str] = {}
    done = []
    for act in ACTS:
        # Things of one instant come in the order of their ids, which are drawn.
        world.hands.forward(seconds=1)
        login = "rival-manager" if act.startswith("request make") else "rival-processor"
        answer = ask(world, login, fill(act, {}, own))
        texts = [
            ID.sub(lambda found: seen.setdefault(found[0], f"id-{len(seen)}"), _plain(world, one))
            for one in (answer.out, answer.err)
        ]
        done.append((answer.exit, *texts))
    return done


@pytest.fixture
def twins(world_templates: WorldAt, unit_storage: None) -> Iterator[tuple[World, World, Mapping[str, str]]]:
    """B at work in two equal worlds; in the second A then comes, works, is suspended, and others come too."""
    with quick_folder() as folder:
        first = world_templates(Stage.SCENARIO).copy(folder / "first" / "home")
        own = work_as_rival(first)
        quiet, loud = first.copy(folder / "quiet" / "home"), first.copy(folder / "loud" / "home")
        walk(loud, Stage.RELEASED)
        add_organisation(loud, "third-tenant", OrganisationKind.TENANT)
        add_person(loud, "fourth", "third-tenant")
        add_scenario(loud, "third-tenant", "thirds")
        ask(loud, "processor", ["export", "show", own["export"]])
        parties.suspend(loud.domain, loud.session("officer"), loud.ids["medica"], "risk found")
        yield quiet, loud, own


@pytest.mark.parametrize(
    ("login", "options"), [(B[0], ("--lang", "zh")), (B[0], ("--json",)), (B[1], ("--json",))], ids=str
)
def test_what_a_tenant_sees_does_not_move_when_another_acts(
    twins: tuple[World, World, Mapping[str, str]], login: str, options: tuple[str, ...]
) -> None:
    quiet, loud, own = twins
    assert len(loud.log()) > len(quiet.log()) + 30
    assert view_of(loud, own, login, options) == view_of(quiet, own, login, options)


def test_what_a_tenant_does_goes_the_same_way_when_another_acts(
    twins: tuple[World, World, Mapping[str, str]],
) -> None:
    quiet, loud, own = twins
    done = acts_of(quiet, own)
    assert [code for code, _, _ in done] == [0] * len(ACTS)
    assert acts_of(loud, own) == done


def test_a_tenants_answers_hold_nothing_of_another(apart: Apart) -> None:
    hidden = [apart.world.ids[name] for name in ("scenario", "job", "run", "promotion", "export", "grant", "request")]
    hidden += ["medica", "Colleague", apart.world.ids["medica"], apart.world.ids["processor"]]
    for login in B:
        told = json.dumps(view_of(apart.world, apart.own, login, ("--json",)))
        assert apart.own["job"] in told
        assert not [one for one in hidden if one in told]


def test_ids_tell_neither_order_nor_number(apart: Apart) -> None:
    made = [new_id("J") for _ in range(200)]
    assert len(set(made)) == 200
    assert all(ID.fullmatch(one) for one in [*made, *(apart.world.ids[k] for k in ("job", "run", "export", "grant"))])
    assert sorted(made) != made


@pytest.mark.parametrize("others", [(Fraction(9, 20), Fraction(1, 2)), (Fraction(0), Fraction(2, 5))])
def test_of_a_shared_budget_a_tenant_hears_only_whether_its_own_question_fits(
    world_at: WorldAt, others: tuple[Fraction, Fraction]
) -> None:
    """By nature shared: what everybody asks of the same people is one sum. The least that can be told is yes or no."""
    caps = ledger.Caps(dataset=Fraction(1), tenant=Fraction(1), scenario=Fraction(1))
    heard = []
    for spent in others:
        world = world_at(Stage.EXPORT_REQUESTED)
        own = work_as_rival(world)
        rivals = {"tenant": world.ids["rival"], "scenario": world.ids["scenario:rivals"], "rho": Fraction(1, 10)}
        with world.domain.change(PLATFORM) as change:
            if spent:
                ledger.admit(change, claim(world, world.ids["export"], rho=spent), caps)
            try:
                heard.append(ledger.admit(change, claim(world, own["export"], **rivals), caps))
            except BudgetError as error:
                change.record(Kind.LOG_VERIFIED, [], {})
                heard.append((error.code, tuple(sorted(error.params.items()))))
    assert heard[0] == heard[1]


def test_a_release_tells_of_others_only_the_size_of_the_log(
    twins: tuple[World, World, Mapping[str, str]],
) -> None:
    """By nature shared: a proof of inclusion holds an index, a size and a root (C2SP tlog-proof)."""
    quiet, loud, own = twins
    told = []
    for world in (quiet, loud):
        ids = {"export": own["export"], "medica": world.ids["rival"], "scenario": world.ids["scenario:rivals"]}
        rival = dataclasses.replace(world, ids=world.ids | ids)
        rival.ids["digest"] = str(check(rival, own["export"]).evidence_digest)
        vote(rival, "reviewer")
        vote(rival, "expert")
        approve_export(rival)
        folder = release.release(rival.domain, own["export"])
        manifest = (folder / "manifest.json").read_text()
        told.append((sorted(path.name for path in folder.rglob("*")), re.sub(r"[0-9a-f]{64}", "#", manifest)))
    assert told[0] == told[1]
