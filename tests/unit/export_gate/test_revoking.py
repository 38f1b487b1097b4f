"""A release is revoked: no more fetches, the recipient is told, a signed list tells whoever holds a copy (E1, E4, L5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from export_gate import exports, notes, release, revoking
from export_gate.revoking import Revocations
from export_gate.states import ExportState
from export_gate.verifying import verify_release
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from lineage.note import Signer
from sandbox.domain import open_domain
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


def revoke(world: World, login: str = "officer", reason: str = "misused") -> exports.Export:
    return revoking.revoke(world.domain, world.session(login), world.ids["export"], reason=reason)


def listed(world: World) -> Revocations:
    signed = (world.domain.home / "public" / revoking.FILE).read_text()
    return Revocations.open(signed, world.domain.release_signer.verifier)


def test_what_is_revoked_after_a_fetch_is_not_fetched_again(world_at: WorldAt, tmp_path: Path) -> None:
    world = world_at(Stage.RELEASED)
    session, export = world.session("processor"), world.ids["export"]
    copy = release.fetch(world.domain, session, export, tmp_path / "first")
    assert revoke(world).state is ExportState.REVOKED
    with refused(DefinitionError, "export.revoked"):
        release.fetch(world.domain, session, export, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    keys = world.domain.log.signer.verifier, world.domain.release_signer.verifier
    assert verify_release(copy, *keys).manifest["release"] == export
    for path in (copy, copy.with_suffix(".zip")):
        with refused(GateRefusedError, "release.revoked"):
            verify_release(path, *keys, listed(world))


def test_the_recipient_is_told_why(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    revoke(world)
    entry = world.log()[-1]
    assert entry.kind is Kind.RELEASE_REVOKED
    assert entry.payload["reason"] == "misused"
    assert {world.ids["export"], world.ids["medica"]} <= set(entry.subjects)
    with world.domain.read() as connection:
        session = world.session("manager")
        found = exports.get_export(connection, world.ids["export"], session)
        assert [one.text for one in notes.visible_notes(connection, session, found)] == ["misused"]
    assert world.verified().holds


@pytest.mark.parametrize("login", ["reviewer", "auditor", "processor", "clerk"])
def test_only_the_authority_revokes(world_at: WorldAt, login: str) -> None:
    world = world_at(Stage.RELEASED)
    with refused(NotPermittedError, "permission.missing"):
        revoke(world, login)


@pytest.mark.parametrize("stage", [Stage.IN_REVIEW, Stage.REVIEWED, Stage.APPROVED])
def test_only_what_left_is_revoked(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    with refused(DefinitionError, "state.cannot-move"):
        revoke(world)
    assert not (world.domain.home / "public" / revoking.FILE).exists()


def test_it_is_revoked_once_and_never_released_again(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    revoke(world)
    with refused(DefinitionError, "state.cannot-move"):
        revoke(world, "deputy")
    with refused(DefinitionError, "export.not-approved"):
        release.release(world.domain, world.ids["export"])


def test_a_release_that_is_not_on_the_list_verifies(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    revoking.publish(world.domain)
    target = world.domain.home / "releases" / world.ids["export"]
    found = listed(world)
    assert found.manifests == {}
    verify_release(target, world.domain.log.signer.verifier, world.domain.release_signer.verifier, found)


def test_another_domains_list_says_nothing(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    target = world.domain.home / "releases" / world.ids["export"]
    other = Revocations("other.example", "2026-11-21T12:00:00.000Z", {})
    with refused(GateRefusedError, "release.revocations-of-another"):
        verify_release(target, world.domain.log.signer.verifier, world.domain.release_signer.verifier, other)


SIGNER = Signer.generate("test.example/release")
GOOD = Revocations("test.example", "2026-11-21T12:00:00.000Z", {"0" * 64: "2026-11-20T12:00:00.000Z"})


def test_a_list_reads_as_it_was_written() -> None:
    assert Revocations.open(SIGNER.sign(GOOD.text), SIGNER.verifier) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        release.statement(b"{}"),
        GOOD.text.replace("shuzha revocations", "shuzha release"),
        GOOD.text.replace("0" * 64, "0" * 63 + "G"),
        GOOD.text.replace("2026-11-20T", "yesterday "),
        GOOD.text + "0" * 64 + " 2026-11-19T12:00:00.000Z\n",
        "shuzha revocations\n",
    ],
    ids=["a release", "another head", "no digest", "no instant", "a digest twice", "nothing"],
)
def test_what_is_signed_but_no_list_is_refused(text: str) -> None:
    with refused(GateRefusedError, "release.bad-revocations"):
        Revocations.open(SIGNER.sign(text), SIGNER.verifier)


def test_a_list_with_a_line_cut_out_is_refused() -> None:
    signed = SIGNER.sign(GOOD.text).replace(f"{'0' * 64} 2026-11-20T12:00:00.000Z\n", "")
    with pytest.raises(GateRefusedError):
        Revocations.open(signed, SIGNER.verifier)


def test_two_revocations_at_the_same_instant_are_one(world_on: WorldAt) -> None:
    world = world_on(Stage.RELEASED)
    start = Barrier(2)

    def act(login: str) -> str:
        own = World(
            open_domain(world.domain.home, clock=world.hands), world.hands, world.stage, world.ids, world.tokens
        )
        start.wait(timeout=60)
        try:
            revoke(own, login)
        except ShuzhaError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(act, ["officer", "deputy"]))
    assert answers == ["done", "state.cannot-move"]
    assert world.kinds().count(Kind.RELEASE_REVOKED) == 1
    assert len(listed(world).manifests) == 1
