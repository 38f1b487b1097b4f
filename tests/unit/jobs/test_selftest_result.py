"""When a filed selftest lets production run, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from jobs import selftest, selftest_held, selftest_machine
from jobs.selftest_held import can_produce, check_held, held_here, open_note
from jobs.selftest_result import LEAST_PROBES, Control, ProbeResult, SelftestResult, State, read_result
from jobs.selftest_trial import groups
from lineage.canonical import decode, encode
from lineage.errors import GateRefusedError, MissingPartError
from lineage.kinds import Kind
from sandbox.messages import Language, text
from tests.factories import Stage, refused
from tests.fixtures_domain import WorldAt
from tests.selftests import made_up


OPEN = ProbeResult("read-load", "channels", State.OPEN, Control.ESCAPED, "/proc/loadavg")


def here(result: SelftestResult) -> SelftestResult:
    """The same found on this machine, since it started, with this jail."""
    return replace(result, machine=selftest_machine.machine(), profile=selftest_machine.profile())


def twins(connection: Connection) -> bool:
    """Ask both twins."""
    allowed = can_produce(connection)
    if allowed:
        check_held(connection)
    else:
        with pytest.raises(MissingPartError):
            check_held(connection)
    return allowed


@pytest.mark.parametrize(
    ("result", "holds"),
    [
        pytest.param(made_up(), True, id="everything held"),
        pytest.param(made_up(LEAST_PROBES - 1), False, id="too few probes"),
        pytest.param(made_up(0), False, id="no probe"),
        pytest.param(made_up(tenants=1), False, id="one tenant"),
        pytest.param(made_up(runs=()), False, id="no run"),
        pytest.param(made_up(probes=(*made_up().probes, OPEN)), False, id="one got out"),
        pytest.param(made_up(probes=(*made_up().probes, replace(OPEN, state=State.BROKEN))), False, id="one broke"),
        pytest.param(
            made_up(probes=(*made_up().probes, replace(OPEN, state=State.HELD, control=Control.BLOCKED))),
            False,
            id="one could not have got out",
        ),
        pytest.param(
            made_up(probes=(*made_up().probes, replace(OPEN, state=State.HELD, control=Control.SECOND_WALL))),
            True,
            id="one is stopped twice",
        ),
    ],
)
def test_what_lets_production_run(result: SelftestResult, holds: bool) -> None:
    assert result.holds is holds


def test_a_result_reads_back_from_its_canonical_bytes() -> None:
    result = made_up(probes=(*made_up().probes, OPEN))
    assert read_result(decode(encode(result.json()))) == result  # type: ignore[arg-type]


def test_what_a_body_says_of_itself_is_not_believed() -> None:
    body = {**made_up(probes=(OPEN,)).json(), "holds": True, "open": []}
    assert not read_result(body).holds


@pytest.mark.parametrize("change", [{"format": 2}, {"probes": [{}]}, {"tenants": "many"}])
def test_another_body_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        read_result({**made_up().json(), **change})


def test_a_probe_belongs_to_a_group_that_is_shown() -> None:
    with pytest.raises(ValueError, match="no group"):
        ProbeResult("x", "elsewhere", State.HELD, Control.ESCAPED, "")


def test_production_needs_a_result_of_this_start_and_this_jail(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with world.domain.read() as connection:
        assert not twins(connection)
    for other in (
        made_up(),
        replace(here(made_up()), profile="0" * 64),
        replace(here(made_up()), machine={**selftest_machine.machine(), "boot": "yesterday"}),
    ):
        selftest.file_result(world.domain, other)
        with world.domain.read() as connection:
            assert held_here(connection) is None
            assert not twins(connection)
    selftest.file_result(world.domain, here(made_up()))
    with world.domain.read() as connection:
        assert twins(connection)
        assert not can_produce(connection, "runsc")


def test_the_newest_result_counts(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    selftest.file_result(world.domain, here(made_up()))
    selftest.file_result(world.domain, here(made_up(probes=(*made_up().probes, OPEN))))
    with world.domain.read() as connection, refused(MissingPartError, "selftest.open") as caught:
        check_held(connection)
    assert caught.value.params == {"count": 1, "first": "label.probe.read-load"}
    selftest.file_result(world.domain, here(made_up()))
    with world.domain.read() as connection:
        assert twins(connection)


def test_what_is_filed_is_signed_and_found_again(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    assert selftest.last_filed(world.domain) is None
    filed = selftest.file_by_person(world.domain, world.session("keeper"), made_up())
    assert selftest.last_filed(world.domain) == filed
    assert filed.actor == world.session("keeper").actor
    assert open_note(filed.note, world.domain.release_signer.verifier) == made_up()
    assert world.kinds()[-1] is Kind.SELFTEST_FILED
    assert world.verified().holds


def test_no_byte_of_a_signed_result_can_change(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    verifier = world.domain.release_signer.verifier
    note = selftest.file_result(world.domain, made_up(probes=(OPEN,))).note
    with pytest.raises(GateRefusedError):
        open_note(note.replace('"open"', '"held"'), verifier)
    with refused(GateRefusedError, "selftest.bad-note"):
        open_note(world.domain.release_signer.sign("another text\n"), verifier)
    with refused(GateRefusedError, "selftest.bad-note"):
        open_note(world.domain.release_signer.sign(f"{selftest_held.HEAD}{{}}\n"), verifier)


def test_every_probe_has_a_name_in_both_languages() -> None:
    for name, group in groups().items():
        for language in Language:
            assert text(f"label.probe.{name}", language)
            assert text(f"selftest.group.{group}", language)


def test_the_profile_is_of_the_jails_own_sources() -> None:
    named = {name for name, _ in selftest_machine._parts("bwrap")}
    needed = {
        "launcher.py",
        "options.py",
        "seccomp.py",
        "collect.py",
        "battery/hostile/files.py",
        "filter",
    }
    assert needed <= named
