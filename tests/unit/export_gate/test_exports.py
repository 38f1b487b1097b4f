"""Exports: asked for promoted jobs only, moved one way, and bound to evidence that nobody can exchange (E1, law 2)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from export_gate import exports, ledger, release
from export_gate.artefact import File
from export_gate.evidence import Evidence, Source, read_evidence, read_file, write_evidence
from export_gate.finding import Finding, Verdict
from export_gate.states import EXPORT, ExportState
from export_gate.verifying import verify_release
from jobs import promotion, runs
from jobs.states import RunState
from lineage.canonical import encode
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from tests.factories import (
    OPAQUE,
    STATISTIC,
    TABLE,
    Stage,
    World,
    approve_export,
    check,
    claim,
    refused,
    request_export,
    submit,
    vote,
)
from tests.fixtures_domain import WorldAt


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.PROMOTION_REQUESTED])
def test_only_what_was_promoted_is_exported(world_at: WorldAt, stage: Stage) -> None:
    with refused(NotPermittedError, "promotion.missing"):
        request_export(world_at(stage))


def test_only_a_product_that_the_job_describes_is_exported(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    with refused(DefinitionError, "export.no-such-product") as caught:
        request_export(world, "everything")
    assert str(caught.value.params["products"]).split(", ") == [STATISTIC, TABLE, OPAQUE]


def test_a_job_changed_behind_the_platforms_back_is_not_exported(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    with world.domain.read() as connection:
        digest = runs.get_job(connection, world.ids["job"]).digest
    path = world.domain.home / "jobs" / digest / "job.toml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("epsilon = 0.5", "epsilon = 5"))
    with refused(DefinitionError, "job.frozen-changed"):
        request_export(world)


def production_run(world: World, *states: RunState, stage: runs.Stage = runs.Stage.PRODUCTION) -> str:
    run = runs.queue(world.domain, world.session("processor"), world.ids["job"], 0, stage)
    for state in states:
        runs.move(world.domain, run, state, "reason.running")
    return run


DONE = (RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING, RunState.SUCCEEDED)


def test_an_opaque_product_is_handed_over_by_a_finished_production_run(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    session = world.session("processor")

    def ask(product: str, run: str | None) -> str:
        return exports.request(world.domain, session, world.ids["job"], product, run)

    with refused(DefinitionError, "export.run-missing"):
        ask(OPAQUE, None)
    for unusable in (
        production_run(world),
        production_run(world, RunState.FAILED),
        production_run(world, *DONE, stage=runs.Stage.DEVELOPMENT),
    ):
        with refused(DefinitionError, "export.run-not-usable"):
            ask(OPAQUE, unusable)
    with refused(NotPermittedError, "access.not-found"):
        ask(OPAQUE, "x-none")
    finished = production_run(world, *DONE)
    with refused(DefinitionError, "export.run-only-for-opaque"):
        ask(STATISTIC, finished)
    made = ask(OPAQUE, finished)
    with world.domain.read() as connection:
        assert exports.get_export(connection, made).run == finished


def test_a_run_of_another_job_hands_over_nothing(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    finished = production_run(world, *DONE)
    world.ids["job"] = submit(world, "processor", "scenario", epsilon="0.6")
    asked = promotion.request(world.domain, world.session("processor"), world.ids["job"])
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    with refused(DefinitionError, "export.run-not-usable"):
        exports.request(world.domain, world.session("processor"), world.ids["job"], OPAQUE, finished)


REACHED = {
    ExportState.REQUESTED: Stage.EXPORT_REQUESTED,
    ExportState.IN_REVIEW: Stage.IN_REVIEW,
    ExportState.REVIEWED: Stage.REVIEWED,
    ExportState.APPROVED: Stage.APPROVED,
    ExportState.RELEASED: Stage.RELEASED,
}


@pytest.mark.parametrize("state", REACHED)
def test_an_export_moves_where_its_machine_lets_it(world_at: WorldAt, state: ExportState) -> None:
    for then in ExportState:
        world = world_at(REACHED[state])
        with world.domain.read() as connection:
            found = exports.get_export(connection, world.ids["export"])
        assert found.state is state
        if EXPORT.can_move(state, then):
            with world.domain.change(PLATFORM) as change:
                exports.move(change, found, then)
                change.record(Kind.EXPORT_CHECKED, [found.id], {})
        else:
            with refused(DefinitionError, "state.cannot-move"), world.domain.change(PLATFORM) as change:
                exports.move(change, found, then)


def test_the_old_state_decides_and_not_what_was_read_before(world_at: WorldAt) -> None:
    world = world_at(Stage.REVIEWED)
    with world.domain.read() as connection:
        stale = exports.get_export(connection, world.ids["export"])
    approve_export(world)
    with refused(DefinitionError, "export.moved-meanwhile"), world.domain.change(PLATFORM) as change:
        exports.move(change, stale, ExportState.REFUSED)


SOURCE = Source("visits", "health.visits", 0, "2026-11-01", "T-1", 10)
FINDING = Finding("cells.minimum", 1, Verdict.NO_ATTACK_SUCCEEDED, "policy.allowed", {}, {}, {"smallest": 12})
FILES = (File("data.csv", b"a,b\n1,2\n"), File("card.json", b"{}\n"))
EVIDENCE = Evidence("E-1", "d" * 64, "p", "table", "recomputed", "no attack succeeded", (SOURCE,), (FINDING,), FILES)


def test_evidence_is_read_as_it_was_written(tmp_path: Path) -> None:
    digest = write_evidence(tmp_path / "export", EVIDENCE)
    found = read_evidence(tmp_path / "export", digest)
    assert encode(found) == encode(EVIDENCE.json)
    assert {one["name"]: read_file(tmp_path / "export", one) for one in found["files"]} == {
        file.name: file.data for file in FILES
    }
    assert write_evidence(tmp_path / "export", EVIDENCE) == digest


def test_evidence_written_anew_leaves_no_old_file(tmp_path: Path) -> None:
    write_evidence(tmp_path / "export", EVIDENCE)
    write_evidence(tmp_path / "export", Evidence(**{**EVIDENCE.__dict__, "files": ()}))
    assert list((tmp_path / "export" / "product").iterdir()) == []


def change_evidence(folder: Path) -> None:
    path = folder / "evidence.json"
    path.write_bytes(path.read_bytes().replace(b'"smallest":12', b'"smallest":21'))


def remove_evidence(folder: Path) -> None:
    (folder / "evidence.json").unlink()


def change_product(folder: Path) -> None:
    path = next(path for path in sorted((folder / "product").iterdir()) if path.suffix == ".csv")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def remove_product(folder: Path) -> None:
    next(path for path in (folder / "product").iterdir() if path.suffix == ".csv").unlink()


def change_both(folder: Path) -> None:
    """Whoever owns the disk changes the product and makes the evidence fit."""
    change_product(folder)
    path = folder / "evidence.json"
    content = json.loads(path.read_bytes())
    for file in content["files"]:
        file["sha256"] = hashlib.sha256((folder / "product" / file["name"]).read_bytes()).hexdigest()
    path.write_bytes(encode(content))


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


Tamper = Callable[[Path], None]
TAMPERINGS: list[Tamper] = [
    change_evidence,
    remove_evidence,
    change_product,
    remove_product,
    change_both,
    remove_folder,
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_changed_evidence_is_not_read(tmp_path: Path, tamper: Tamper) -> None:
    digest = write_evidence(tmp_path / "export", EVIDENCE)
    tamper(tmp_path / "export")
    with refused(GateRefusedError, "export.evidence-changed"):
        read_evidence(tmp_path / "export", digest)


@pytest.mark.parametrize("tamper", [change_product, remove_product, change_both, remove_folder])
def test_what_was_changed_after_the_review_is_not_released(world_at: WorldAt, tamper: Tamper) -> None:
    world = world_at(Stage.APPROVED)
    tamper(exports.folder_of(world.domain, world.ids["export"]))
    count = len(world.log())
    with refused(GateRefusedError, "export.evidence-changed"):
        release.release(world.domain, world.ids["export"])
    assert len(world.log()) == count
    assert not (world.domain.home / "releases" / world.ids["export"]).exists()


def test_what_was_changed_between_release_and_building_is_not_built(world_at: WorldAt) -> None:
    """A crash right after the transaction that releases: the folder is built later, from bytes held against the same digest."""
    world = world_at(Stage.APPROVED)
    release._fix(world.domain, world.ids["export"])
    change_product(exports.folder_of(world.domain, world.ids["export"]))
    with refused(GateRefusedError, "export.evidence-changed"):
        release.release(world.domain, world.ids["export"])
    assert not (world.domain.home / "releases" / world.ids["export"]).exists()


def rewrite(world: World, statement: str) -> None:
    with world.domain.database.write() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM export_review",
        "DELETE FROM export_review WHERE person = (SELECT min(person) FROM export_review)",
        "UPDATE export_review SET decision = 'refuse' WHERE person = (SELECT min(person) FROM export_review)",
        "UPDATE export SET approved_by = NULL",
        "UPDATE export SET approved_by = (SELECT min(person) FROM export_review)",
        f"UPDATE export_review SET evidence_digest = '{'0' * 64}' WHERE person = (SELECT min(person) FROM export_review)",
    ],
    ids=[
        "no votes",
        "one vote",
        "a vote against",
        "no approval",
        "approved by a reviewer",
        "a vote on other evidence",
    ],
)
def test_a_release_is_held_against_the_votes_once_more(world_at: WorldAt, statement: str) -> None:
    world = world_at(Stage.APPROVED)
    rewrite(world, statement)
    with refused(GateRefusedError, "export.approvals-incomplete"):
        release.release(world.domain, world.ids["export"])


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.IN_REVIEW, Stage.REVIEWED])
def test_nothing_is_released_before_its_approval(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    with refused(DefinitionError, "export.not-approved"):
        release.release(world.domain, world.ids["export"])
    with refused(DefinitionError, "export.not-released"):
        release.fetch(world.domain, world.session("processor"), world.ids["export"], world.domain.home.parent / "out")


@pytest.mark.parametrize("cut", ["before building", "half a folder", "no zip"])
def test_a_release_that_a_crash_cut_short_is_built_again_byte_for_byte(world_at: WorldAt, cut: str) -> None:
    world = world_at(Stage.APPROVED)
    release._fix(world.domain, world.ids["export"])
    target = world.domain.home / "releases" / world.ids["export"]
    if cut == "half a folder":
        half = target.with_name(f".{target.name}.new")
        (half / "data").mkdir(parents=True)
        (half / "data" / "left-over").write_text("from the crash")
    release.release(world.domain, world.ids["export"])
    first = {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    archive = target.with_suffix(".zip").read_bytes()
    shutil.rmtree(target)
    if cut == "no zip":
        target.with_suffix(".zip").unlink()
    release.release(world.domain, world.ids["export"])
    assert {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()} == first
    assert target.with_suffix(".zip").read_bytes() == archive


def test_a_release_names_what_it_is_made_of_and_for_whom(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    target = world.domain.home / "releases" / world.ids["export"]
    manifest = json.loads((target / "manifest.json").read_bytes())
    assert {source["dataset"]: source["as_of"] for source in manifest["sources"]} == {"health.visits": "2026-11-01"}
    assert manifest["scenario"]["id"] == world.ids["scenario"]
    assert manifest["recipient"]["name"] == "medica"
    assert manifest["budget"] == {"rho": "1/100", "delta": "1/10000000"}
    assert [one["as"] for one in manifest["approvals"]] == ["reviewer", "reviewer", "authority"]
    assert manifest["evidence"] == world.ids["digest"]
    assert {file["name"] for file in manifest["files"]} == {"data.csv", "data.parquet", "card.json"}
    told = json.dumps(manifest)
    assert not [login for login in ("reviewer", "expert", "officer") if world.ids[login] in told]


def test_a_release_is_handed_to_its_recipient_once_a_place_and_on_the_log(world_at: WorldAt, tmp_path: Path) -> None:
    world = world_at(Stage.RELEASED)
    session = world.session("processor")
    target = release.fetch(world.domain, session, world.ids["export"], tmp_path / "out")
    source = world.domain.home / "releases" / world.ids["export"]
    assert {path.relative_to(target) for path in target.rglob("*")} == {
        path.relative_to(source) for path in source.rglob("*")
    }
    assert target.with_suffix(".zip").read_bytes() == source.with_suffix(".zip").read_bytes()
    with refused(DefinitionError, "export.target-exists"):
        release.fetch(world.domain, session, world.ids["export"], tmp_path / "out")
    with refused(NotPermittedError, "access.not-found"):
        release.fetch(world.domain, world.session("rival-processor"), world.ids["export"], tmp_path / "stolen")
    assert not (tmp_path / "stolen").exists()


def test_a_question_charged_twice_by_a_crash_is_released_with_both_charges(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    export = world.ids["export"]
    with world.domain.change(PLATFORM) as change:
        ledger.admit(change, claim(world, export, question="a" * 64), ledger.Caps())
    world.ids["digest"] = str(check(world, export).evidence_digest)
    vote(world, "reviewer")
    vote(world, "expert")
    approve_export(world)
    target = release.release(world.domain, export)
    manifest = json.loads((target / "manifest.json").read_bytes())
    assert manifest["budget"] == {"rho": "1/50", "delta": "1/5000000"}


def test_an_answer_given_again_costs_its_release_nothing(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    again = request_export(world)
    with world.domain.read() as connection:
        assert release._budget(connection, world.ids["export"]) == {"rho": "1/100", "delta": "1/10000000"}
        assert release._budget(connection, again) is None


@pytest.mark.parametrize("name", ["data/data.csv", "manifest.json", "manifest.sig", "manifest.tlog-proof"])
def test_a_release_that_was_changed_where_it_lies_is_not_handed_over(
    world_at: WorldAt, tmp_path: Path, name: str
) -> None:
    world = world_at(Stage.RELEASED)
    path = world.domain.home / "releases" / world.ids["export"] / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    count = len(world.log())
    with pytest.raises(GateRefusedError):
        release.fetch(world.domain, world.session("processor"), world.ids["export"], tmp_path / "out")
    assert len(world.log()) == count
    assert not (tmp_path / "out").exists()


def test_a_changed_archive_is_not_handed_over(world_at: WorldAt, tmp_path: Path) -> None:
    world = world_at(Stage.RELEASED)
    archive = world.domain.home / "releases" / f"{world.ids['export']}.zip"
    archive.write_bytes(archive.read_bytes()[:-1])
    with refused(GateRefusedError, "release.not-found"):
        release.fetch(world.domain, world.session("processor"), world.ids["export"], tmp_path / "out")


def test_a_release_built_by_several_at_once_is_whole(world_at: WorldAt) -> None:
    world = world_at(Stage.APPROVED)
    with ThreadPoolExecutor(4) as pool:
        (target,) = set(pool.map(lambda _: release.release(world.domain, world.ids["export"]), range(4)))
    verify_release(target, world.domain.log.signer.verifier, world.domain.release_signer.verifier)
    assert world.kinds().count(Kind.EXPORT_RELEASED) == 1
