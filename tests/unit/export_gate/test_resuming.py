"""After a restore nothing is checked or released before the authority has looked: the ledgers may have forgotten (law 4)."""

from __future__ import annotations

from export_gate.checking import check_export
from export_gate.gatekeeper import Gatekeeper
from export_gate.release import release
from export_gate.resuming import is_resumed, resume
from jobs.jail.bubblewrap import BubblewrapJail
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


def restored(world: World) -> World:
    """As ``sandbox.backup_restore`` begins."""
    with world.domain.change(PLATFORM) as change:
        change.record(Kind.DOMAIN_RESTORED, ["backup"], {"lost": None})
    return world


def resumed(world: World) -> bool:
    with world.domain.read() as connection:
        return is_resumed(connection)


def test_a_domain_that_was_never_restored_works(world_at: WorldAt) -> None:
    assert resumed(world_at(Stage.FOUNDED))


def test_nothing_is_checked_after_a_restore(world_at: WorldAt) -> None:
    world = restored(world_at(Stage.EXPORT_REQUESTED))
    before = len(world.log())
    with refused(GateRefusedError, "gate.restored"):
        check_export(Gatekeeper(world.domain, BubblewrapJail()), world.ids["export"])
    assert len(world.log()) == before, "nothing was charged"


def test_nothing_is_released_after_a_restore_until_the_authority_resumes(world_at: WorldAt) -> None:
    world = restored(world_at(Stage.APPROVED))
    with refused(GateRefusedError, "gate.restored"):
        release(world.domain, world.ids["export"])
    resume(world.domain, world.session("officer"), reason="no release since, the recipients say")
    assert world.log()[-1].kind is Kind.GATE_RESUMED
    assert release(world.domain, world.ids["export"]).is_dir()


def test_a_second_restore_asks_again(world_at: WorldAt) -> None:
    world = restored(world_at(Stage.PARTIES))
    resume(world.domain, world.session("officer"), reason="looked")
    assert not resumed(restored(world))


def test_only_the_authority_resumes_with_a_reason_and_when_it_is_asked_for(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "gate.not-restored"):
        resume(world.domain, world.session("officer"), reason="why not")
    restored(world)
    for login in ("processor", "reviewer", "clerk"):
        with refused(NotPermittedError, "permission.missing"):
            resume(world.domain, world.session(login), reason="please")
    with refused(DefinitionError, "reason.missing"):
        resume(world.domain, world.session("officer"), reason=" ")
    assert not resumed(world)
