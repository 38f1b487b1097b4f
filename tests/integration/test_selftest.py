"""The selftest on the real machine: what it finds, how it is filed and shown, and what it keeps from starting."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from console.main import main
from jobs import runs, selftest
from jobs.jail import options
from jobs.jail.battery import Surroundings
from jobs.selftest_held import can_produce, open_note
from jobs.selftest_result import GROUPS, Control, SelftestResult, State
from jobs.selftest_trial import LINK_REFUSED, groups, run_trial
from lineage.canonical import encode
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox.domain import read_public_keys
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt
from tests.selftests import file_real, real_result


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("bwrap", "gocryptfs"))),
        reason="needs root and the jail's parts",
    ),
]


@pytest.fixture(scope="module")
def result() -> SelftestResult:
    return real_result()


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """A world in which nothing was tried yet, with the maintainer's and a manager's token where the command line looks for them."""
    made = world_at(Stage.PARTIES)
    for login in ("keeper", "manager"):
        path = made.domain.home / "tokens" / f"{login}.token"
        path.touch(mode=0o600)
        path.write_text(made.tokens[login])
    return made


def told(world: World, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    """Run a command and read its one JSON object."""
    capsys.readouterr()
    code = main([*words, "--home", str(world.domain.home), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_jail_holds_for_two_tenants_in_both_stages(result: SelftestResult) -> None:
    assert result.open == ()
    assert result.holds
    assert (set(result.runs), result.tenants) == ({"development", "production"}, 2)
    assert {one.probe: one.group for one in result.probes} == groups()
    assert {one.group for one in result.probes} == set(GROUPS)
    assert len(result.probes) >= 190


def test_the_control_shows_that_the_probes_can_get_out(result: SelftestResult) -> None:
    controls = [one.control for one in result.probes]
    assert controls.count(Control.BLOCKED) == 0
    assert controls.count(Control.ESCAPED) >= 75


def test_a_link_in_an_ordinary_run_is_refused(result: SelftestResult) -> None:
    found = next(one for one in result.probes if one.probe == LINK_REFUSED)
    assert (found.state, found.detail) == (State.HELD, "failed: outbox.link")


def test_the_result_tells_nothing_of_the_host(result: SelftestResult) -> None:
    """It goes to assessors: no host name, no path of a person's."""
    body = encode(result.json()).decode()
    assert os.uname().nodename not in body
    assert "/root" not in body
    assert str(Path.cwd()) not in body


def test_a_weaker_jail_is_found_out(monkeypatch: pytest.MonkeyPatch, whole_machine: None) -> None:
    """One mask less: the development half tells, nothing is promoted, and the result does not let production run."""
    monkeypatch.setattr(options, "_mask_options", tuple)
    found = run_trial({}, "gocryptfs", Surroundings(), selftest.file_in_trial)
    assert not found.holds
    assert found.runs == ("development",)
    assert {"read-load", "read-locks-of-others", "read-counts-of-open-files"} <= set(found.open)
    assert {one.group for one in found.probes if not one.proved} <= {"channels", "kernel"}


def test_a_person_without_the_right_tries_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = told(world, capsys, "selftest", "--as", "manager")
    assert (code, answer["error"]["code"]) == (12, "permission.missing")  # type: ignore[index]
    code, answer = told(world, capsys, "selftest", "--show", "--as", "manager")
    assert (code, answer["error"]["code"]) == (30, "selftest.nothing-filed")  # type: ignore[index]


def test_the_command_files_what_it_shows(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, result: SelftestResult
) -> None:
    """The trial itself has run above; here it is the same body that goes the command's way."""
    monkeypatch.setattr(selftest, "try_jail", lambda *_: result)
    code, answer = told(world, capsys, "selftest", "--as", "keeper")
    assert (code, answer["holds"], answer["open"]) == (0, True, [])
    again, shown = told(world, capsys, "selftest", "--show", "--as", "keeper")
    assert (again, shown) == (0, answer)
    _, verifier = read_public_keys((world.domain.home / "public" / "domain.pub").read_text())
    assert open_note(str(shown["note"]), verifier) == result
    entry = world.log()[-1]
    assert (entry.kind, entry.actor) == (Kind.SELFTEST_FILED, world.session("keeper").actor)
    assert not list(world.domain.home.rglob(".canary-*"))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_table_names_every_group(
    world: World, capsys: pytest.CaptureFixture[str], language: str, result: SelftestResult
) -> None:
    file_real(world.domain)
    command = ["selftest", "--show", "--as", "keeper", "--home", str(world.domain.home), "--lang", language]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert {"zh": "待出域区", "en": "outbox"}[language] in shown
    assert len(shown.strip().splitlines()) == 1 + len(GROUPS)


def test_the_platform_files_a_result_at_its_start_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, result: SelftestResult
) -> None:
    tried: list[object] = []

    def try_jail(*given: object) -> SelftestResult:
        tried.append(given)
        return result

    monkeypatch.setattr(selftest, "try_jail", try_jail)
    for _ in range(2):
        code, _ = told(world, capsys, "supervise", "--once")
        assert code == 0
    assert len(tried) == 1
    entry = world.log()[-1]
    assert (entry.kind, entry.actor) == (Kind.SELFTEST_FILED, PLATFORM)


def test_without_a_result_nothing_is_produced(world_at: WorldAt) -> None:
    """Queued with a result that held, started after one that did not: it does not start."""
    world = world_at(Stage.PROMOTED)
    session, job = world.session("processor"), world.ids["job"]
    with world.domain.read() as connection:
        assert can_produce(connection)
    runs.queue(world.domain, session, job, 0, runs.Stage.PRODUCTION)
    worse = real_result()
    broken = SelftestResult(worse.machine, worse.profile, worse.begun, 1, worse.runs, 2, worse.probes[:10])
    selftest.file_result(world.domain, broken)
    with world.domain.read() as connection:
        assert not can_produce(connection)
    with refused(MissingPartError, "selftest.too-few"):
        runs.queue(world.domain, session, job, 0, runs.Stage.PRODUCTION)
