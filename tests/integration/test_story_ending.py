"""Act 9: a suspension stops at once, and an end is an end: for runs, persons, keys and copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

import pytest

from console.demo.acts_work import supervise
from console.demo.story import summary
from export_gate.exports import request as request_export
from export_gate.release import fetch
from jobs.jail import cgroup
from jobs.promotion import request as request_promotion
from jobs.runs import Stage, get_run, queue
from jobs.states import RunState
from jobs.submitting import submit
from lineage.clock import stamp
from lineage.errors import MissingPartError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from lineage.verify import verify
from sandbox.access import authenticate
from sandbox.agreements import open_scenario
from sandbox.ending import end_agreement
from sandbox.grants import Zone, ensure_key, live_grant, zone_opened
from sandbox.parties import get_organisation, restore, suspend
from sandbox.states import GrantState, OrganisationState
from sandbox.viewing import first_rows
from tests.fixtures_story import Played


pytestmark = [pytest.mark.jail, pytest.mark.spark]

SECONDS_TO_STOP = 15
TENANT, LOGIN = "tongda-mobility", "chen"


def test_the_suspension_cancelled_the_run_and_is_its_reason(played: Played) -> None:
    run = played.play.facts["suspended"]
    with played.play.stage.read() as connection:
        now = get_run(connection, run.id)
    assert (now.state, now.reason) == (RunState.CANCELLED, "reason.tenant-suspended")
    assert now.cancel_asked is None
    assert now.outcome is not None
    assert now.outcome["ending"] == "cancelled"


def test_the_run_stopped_within_seconds(played: Played) -> None:
    """A8: by the times that the log itself holds."""
    run, tenant = played.play.facts["suspended"].id, played.play.ids[TENANT]
    (suspended,) = [e for e in played.log() if e.kind is Kind.ORGANISATION_SUSPENDED and tenant in e.subjects]
    (ended,) = [e for e in played.log() if e.kind is Kind.RUN_ENDED and run in e.subjects]
    assert suspended.seq < ended.seq
    took = datetime.fromisoformat(ended.time) - datetime.fromisoformat(suspended.time)
    assert took.total_seconds() < SECONDS_TO_STOP


def test_no_process_of_the_run_lives(played: Played) -> None:
    """By its control group, which no process can leave."""
    assert cgroup.group(played.play.facts["suspended"].id).members() == set()
    assert list((played.home / "run" / "work").iterdir()) == []


ACTS: dict[str, Callable[[Played, str, str, Path], object]] = {
    "queue a run": lambda p, who, job, at: queue(p.play.stage, p.session(who), job, 0, Stage.DEVELOPMENT),
    "submit": lambda p, who, job, at: submit(p.play.stage, p.session(who), p.home / "demo" / "jobs" / "clinic"),
    "ask for promotion": lambda p, who, job, at: request_promotion(p.play.stage, p.session(who), job),
    "ask for an export": lambda p, who, job, at: request_export(
        p.play.stage, p.session(who), job, "visits_by_department"
    ),
    "look at a view": lambda p, who, job, at: first_rows(
        p.play.stage, p.session(who), p.play.ids["medical"], "health.visits", 1
    ),
    "fetch a release": lambda p, who, job, at: fetch(
        p.play.stage, p.session(who), p.exports["visits_by_district"].id, at / "inbox"
    ),
}


@dataclass
class Suspended:
    """A tenant under suspension, with a run that was queued before."""

    played: Played
    run: str


@pytest.fixture
def suspended(played: Played) -> Iterator[Suspended]:
    """The other tenant of the story, suspended for the time of a test."""
    stage, officer, tenant = played.play.stage, played.session("li"), played.play.ids["anxin-medical"]
    run = queue(stage, played.session("wang"), played.play.facts["clinic"].id, 0, Stage.DEVELOPMENT)
    suspend(stage, officer, tenant, "looked into")
    yield Suspended(played, run)
    restore(stage, officer, tenant, "looked into")


@pytest.mark.parametrize("act", list(ACTS))
def test_a_suspended_tenants_person_is_refused(suspended: Suspended, act: str, tmp_path: Path) -> None:
    """A8: with a session opened before, for everything; nothing that they ask for leaves a trace in the tables."""
    played = suspended.played
    with pytest.raises(NotPermittedError) as caught:
        ACTS[act](played, "wang", played.play.facts["clinic"].id, tmp_path)
    assert caught.value.code in {"organisation.not-active", "work.tenant-suspended"}
    assert list(tmp_path.iterdir()) == []


def test_a_suspended_tenants_persons_cannot_log_in_and_their_queue_stands(suspended: Suspended) -> None:
    played = suspended.played
    for login in ("wang", "zheng"):
        with pytest.raises(NotPermittedError) as caught:
            authenticate(played.play.stage, (played.home / "tokens" / f"{login}.token").read_text())
        assert caught.value.code == "organisation.not-active"
    supervise(played.play)
    with played.play.stage.read() as connection:
        found = get_run(connection, suspended.run)
    assert found.state is RunState.FAILED
    assert found.reason == "work.tenant-suspended"


def test_everybody_of_the_ended_tenant_is_refused(played: Played) -> None:
    for login in ("chen", "feng"):
        with pytest.raises(NotPermittedError):
            authenticate(played.play.stage, (played.home / "tokens" / f"{login}.token").read_text())
    with played.play.stage.read() as connection:
        assert get_organisation(connection, TENANT).state is OrganisationState.ENDED
        with pytest.raises(NotPermittedError):
            live_grant(connection, played.play.ids["mobility"], stamp(played.play.stage.now()))
    job = played.play.facts["suspended"].job
    for act in (
        lambda: queue(played.play.stage, played.session("chen"), job, 0, Stage.DEVELOPMENT),
        lambda: first_rows(
            played.play.stage, played.session("chen"), played.play.ids["mobility"], "social.payments", 1
        ),
    ):
        with pytest.raises(NotPermittedError):
            act()


def test_an_ended_agreement_and_tenant_do_not_come_back(played: Played) -> None:
    stage, officer = played.play.stage, played.session("li")
    agreement = played.play.ids["mobility.agreement"]
    with pytest.raises(ShuzhaError):
        restore(stage, officer, played.play.ids[TENANT], "again")
    with pytest.raises(ShuzhaError):
        open_scenario(stage, officer, agreement_id=agreement, name="again", purpose="again")
    with pytest.raises(ShuzhaError):
        end_agreement(stage, officer, agreement, "again")
    with suppress(ShuzhaError):
        ensure_key(stage, played.grant("mobility"))
    assert not stage.keys.has_grant(played.play.ids["mobility.grant"])
    assert played.grant("mobility").state is GrantState.ENDED


def test_the_keys_and_the_sealed_folder_are_gone(played: Played) -> None:
    """D11."""
    gone = {played.play.ids["mobility.grant"], played.play.ids[TENANT]}
    paths = [path for name in ("keys", "ends") for path in (played.home / name).rglob("*")]
    left = {path.stem.removeprefix("end-") for path in paths}
    assert not gone & left
    assert {played.play.ids["medical.grant"], played.play.ids["anxin-medical"], "root"} <= left
    assert not (played.home / "sealed" / played.play.ids["mobility.grant"]).exists()
    assert (played.home / "sealed" / played.play.ids["medical.grant"]).is_dir()
    assert played.play.facts["after_end"] in {"key.missing", "access.not-found"}
    for zone in Zone:
        with (
            pytest.raises(MissingPartError),
            zone_opened(played.play.stage, played.grant("mobility"), zone),
        ):
            pass


@pytest.fixture
def backup(played: Played, tmp_path: Path) -> Path:
    """The copy of the view's sealed folder that was made before the end, as any backup would hold it."""
    copy = tmp_path / "backup"
    shutil.copytree(played.home / "demo" / "copy-before-the-end", copy)
    return copy


def test_a_backup_was_whole(played: Played, backup: Path, tmp_path: Path) -> None:
    """The control of the next test: nothing but the key is missing."""
    with played.play.stage.storage.opened(backup, played.lost_keys[Zone.VIEW], tmp_path / "mounts") as folder:
        assert list(folder.glob("*/_delta_log/*.json"))


def test_no_key_that_is_left_opens_a_backup(played: Played, backup: Path, tmp_path: Path) -> None:
    """Law 10: not the root, not another tenant's, not one derived from them for the ended grant's own names."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    keys, medical = played.play.stage.keys, played.grant("medical")
    above = {path.read_bytes()[:32] for path in (played.home / "keys").rglob("*") if path.is_file()}
    above.add(keys.tenant_key(medical.tenant))
    infos = [f"shuzha zone {zone}".encode() for zone in Zone]
    derived = {HKDF(hashes.SHA256(), 32, None, info).derive(key) for key, info in product(above, infos)}
    derived |= {keys.zone_key(medical.tenant, medical.id, zone) for zone in Zone}
    derived.add(played.lost_keys[Zone.INPUT])
    tried = above | derived
    assert len(tried) > 12
    assert played.lost_keys[Zone.VIEW] not in tried
    for key in tried:
        with (
            pytest.raises(MissingPartError),
            played.play.stage.storage.opened(backup, key, tmp_path / "mounts"),
        ):
            pass
    with pytest.raises(MissingPartError):
        keys.tenant_key(played.play.ids[TENANT])


def test_the_destruction_is_on_the_log_and_the_log_still_holds(played: Played) -> None:
    tenant, grant = played.play.ids[TENANT], played.play.ids["mobility.grant"]
    (destroyed,) = [e for e in played.log() if e.kind is Kind.KEY_DESTROYED]
    assert {tenant, grant} <= set(destroyed.subjects)
    assert set(destroyed.payload["keys"]) == {f"grant:{grant}", f"tenant:{tenant}"}
    assert destroyed.payload["folders_gone"] == [grant]
    assert destroyed.actor.person == played.session("li").person
    before = [e for e in played.log() if e.kind is Kind.AGREEMENT_ENDED]
    assert before[0].seq < destroyed.seq
    log = played.play.stage.log
    with played.play.stage.read() as connection:
        found = verify(connection, log.signer.verifier, [log.checkpoint_file.read_text()])
    assert found.holds, found.problems
    assert found.size > played.play.facts["verified"].size


def test_what_the_log_said_of_the_ended_tenant_can_still_be_read(played: Played) -> None:
    """Its data are gone, the account of what was done with them is not (L3)."""
    about = [entry for entry in played.log() if played.play.ids["mobility.grant"] in entry.subjects]
    assert {Kind.GRANT_STARTED, Kind.TABLE_PROVISIONED, Kind.GRANT_ENDED, Kind.KEY_DESTROYED} <= {e.kind for e in about}
    assert all(entry.payload_kept for entry in about)


def test_the_other_tenant_works_on(played: Played) -> None:
    head = first_rows(played.play.stage, played.session("wang"), played.play.ids["medical"], "health.visits", 2)
    assert len(head.rows) == 2
    assert [path.name for path in (played.home / "sealed").iterdir()] == [played.play.ids["medical.grant"]]


def test_the_story_leaves_a_domain_to_explore(played: Played) -> None:
    """What ``shuzha demo --json`` ends with is true of the folder that it names."""
    told = summary(played.play)
    assert told["home"] == str(played.home)
    for person in told["persons"]:
        token = Path(person["token_file"])
        assert token.stat().st_mode & 0o777 == 0o600
        if person["organisation"] != TENANT:
            assert authenticate(played.play.stage, token.read_text()).login == person["name"]
    released = {one["product"] for one in told["exports"] if one["release"] is not None}
    drawn = {"visits_chart", "visits_report"}
    assert released == {"visits_by_district", "visits_by_department", "readmission_risk", *drawn}
    assert all(Path(one["release"]).is_dir() for one in told["exports"] if one["release"])
    assert told["log"]["size"] == len(played.log())
