"""Those who decide see what would leave, whole and unchanged; its tenant sees nothing before the release (E1, L2, law 6)."""

from __future__ import annotations

import pytest

from export_gate import review
from export_gate.exports import folder_of
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError
from lineage.kinds import Kind
from tests.factories import TABLE, Stage, World, check, refused, request_export
from tests.fixtures_domain import WorldAt


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return world_at(Stage.IN_REVIEW)


@pytest.mark.parametrize("login", ["reviewer", "expert", "officer"])
def test_deciders_see_the_bytes_and_the_look_is_on_the_log(world: World, login: str) -> None:
    before = len(world.log())
    files = review.inspect(world.domain, world.session(login), world.ids["export"])
    folder = folder_of(world.domain, world.ids["export"]) / "product"
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert b"north,12" in files["data.csv"]
    (entry,) = world.log()[before:]
    assert entry.kind is Kind.EXPORT_INSPECTED
    assert world.ids["export"] in entry.subjects
    assert world.verified().holds


@pytest.mark.parametrize("login", ["processor", "manager", "auditor", "keeper"])
def test_nobody_else_sees_them(world: World, login: str) -> None:
    with refused(NotPermittedError, "permission.missing"):
        review.inspect(world.domain, world.session(login), world.ids["export"])


def test_changed_bytes_are_not_shown(world: World) -> None:
    path = folder_of(world.domain, world.ids["export"]) / "product" / "data.csv"
    path.write_bytes(path.read_bytes().replace(b"12", b"13"))
    before = len(world.log())
    with refused(GateRefusedError, "export.evidence-changed"):
        review.inspect(world.domain, world.session("reviewer"), world.ids["export"])
    assert Kind.EXPORT_INSPECTED not in world.kinds(before)


def test_before_the_check_there_is_nothing_to_see(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    with refused(DefinitionError, "export.nothing-made"):
        review.inspect(world.domain, world.session("reviewer"), world.ids["export"])


def test_what_was_refused_is_not_shown(world: World) -> None:
    review.refuse(world.domain, world.session("officer"), world.ids["export"], reason="harmful")
    with refused(DefinitionError, "export.nothing-made"):
        review.inspect(world.domain, world.session("reviewer"), world.ids["export"])


@pytest.fixture
def unseen(world: World) -> World:
    """A world with a second export in review, at which nobody has looked yet."""
    world.ids["export"] = request_export(world, TABLE)
    world.ids["digest"] = str(check(world, world.ids["export"]).evidence_digest)
    return world


def test_nobody_agrees_blindly(unseen: World) -> None:
    export, digest = unseen.ids["export"], unseen.ids["digest"]
    for login in ("reviewer", "expert"):
        session = unseen.session(login)
        with refused(DefinitionError, "review.not-inspected"):
            review.vote(unseen.domain, session, export, review.Decision.APPROVE, reason="trust", digest=digest)
        review.inspect(unseen.domain, session, export)
        review.vote(unseen.domain, session, export, review.Decision.APPROVE, reason="read", digest=digest)
    officer = unseen.session("officer")
    with refused(DefinitionError, "review.not-inspected"):
        review.approve(unseen.domain, officer, export, reason="trust", digest=digest)
    # Somebody else's look does not count.
    review.inspect(unseen.domain, unseen.session("deputy"), export)
    with refused(DefinitionError, "review.not-inspected"):
        review.approve(unseen.domain, officer, export, reason="trust", digest=digest)
    review.inspect(unseen.domain, officer, export)
    review.approve(unseen.domain, officer, export, reason="read", digest=digest)


def test_a_look_at_other_evidence_does_not_count(unseen: World) -> None:
    reviewer = unseen.session("reviewer")
    with unseen.domain.change(reviewer.actor) as change:
        change.record(Kind.EXPORT_INSPECTED, [unseen.ids["export"]], {"evidence": "0" * 64})
    with refused(DefinitionError, "review.not-inspected"):
        review.vote(
            unseen.domain,
            reviewer,
            unseen.ids["export"],
            review.Decision.APPROVE,
            reason="trust",
            digest=unseen.ids["digest"],
        )


def test_a_refusal_needs_no_look(unseen: World) -> None:
    digest = unseen.ids["digest"]
    review.vote(
        unseen.domain,
        unseen.session("reviewer"),
        unseen.ids["export"],
        review.Decision.REFUSE,
        reason="no",
        digest=digest,
    )
