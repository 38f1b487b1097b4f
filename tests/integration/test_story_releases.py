"""Act 7: a release is decided by three people, holds without the domain, and by nothing less."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from console.demo.acts_work import gate
from console.main import main
from export_gate.checking import check_export
from export_gate.exports import Export, get_export
from export_gate.exports import request as request_export
from export_gate.release import fetch, release
from export_gate.review import Decision, approve, inspect, visible_reviews, vote
from export_gate.states import ExportState
from lineage.errors import NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox.access import Session
from sandbox.enrolment import propose_role
from sandbox.grants import Zone
from sandbox.roles import Role
from tests.fixtures_story import Played


pytestmark = [pytest.mark.jail, pytest.mark.spark]

RELEASED = ("visits_by_district", "visits_by_department", "readmission_risk", "visits_chart", "visits_report")
HOLDS, REFUSED = 0, 13


@pytest.fixture(autouse=True)
def language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUZHA_LANG", "en")


@pytest.fixture
def elsewhere(played: Played, tmp_path: Path) -> Path:
    """What a recipient carried away: the releases and the public keys, nothing else."""
    for product, folder in played.play.facts["releases"].items():
        shutil.copytree(folder, tmp_path / product)
    shutil.copyfile(played.home / "public" / "domain.pub", tmp_path / "domain.pub")
    return tmp_path


def verifies(elsewhere: Path, name: str) -> int:
    """Verify in a home that holds no domain."""
    arguments = ["release", "verify", str(elsewhere / name), "--key", str(elsewhere / "domain.pub"), "--lang", "en"]
    return main([*arguments, "--home", str(elsewhere / "no-domain-here")])


@pytest.mark.parametrize("product", RELEASED)
def test_a_release_holds_without_the_domain(played: Played, elsewhere: Path, product: str) -> None:
    assert verifies(elsewhere, product) == HOLDS
    assert not (elsewhere / "no-domain-here").exists()


@pytest.mark.parametrize("product", RELEASED)
def test_the_zip_holds_as_the_folder_does(played: Played, elsewhere: Path, product: str) -> None:
    archive = played.play.facts["releases"][product].with_suffix(".zip")
    shutil.copyfile(archive, elsewhere / "copy.zip")
    assert verifies(elsewhere, "copy.zip") == HOLDS
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == sorted(
            path.relative_to(elsewhere / product).as_posix()
            for path in (elsewhere / product).rglob("*")
            if path.is_file()
        )


def test_no_byte_of_a_release_can_change(played: Played, elsewhere: Path) -> None:
    whole = elsewhere / "visits_by_district"
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    assert len(files) >= 6
    for file in files:
        shutil.rmtree(elsewhere / "changed", ignore_errors=True)
        shutil.copytree(whole, elsewhere / "changed")
        data = bytearray((whole / file).read_bytes())
        place = data.index(b"\n") - 1 if file.suffix in {".sig", ".tlog-proof"} else len(data) // 2
        data[place] ^= 1
        (elsewhere / "changed" / file).write_bytes(data)
        assert verifies(elsewhere, "changed") == REFUSED, file


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda at: (at / "data" / "more.csv").write_text("a"), id="a file added"),
        pytest.param(lambda at: (at / "data" / "data.csv").unlink(), id="a file taken away"),
        pytest.param(lambda at: (at / "manifest.tlog-proof").unlink(), id="no proof"),
        pytest.param(lambda at: (at / "manifest.sig").unlink(), id="no signature"),
    ],
)
def test_a_release_is_whole_and_nothing_more(elsewhere: Path, spoil: Callable[[Path], object]) -> None:
    spoil(elsewhere / "visits_by_district")
    assert verifies(elsewhere, "visits_by_district") == REFUSED


def test_signature_and_proof_of_another_release_do_not_serve(elsewhere: Path) -> None:
    for part in ("manifest.sig", "manifest.tlog-proof"):
        shutil.rmtree(elsewhere / "mixed", ignore_errors=True)
        shutil.copytree(elsewhere / "visits_by_district", elsewhere / "mixed")
        shutil.copyfile(elsewhere / "visits_by_department" / part, elsewhere / "mixed" / part)
        assert verifies(elsewhere, "mixed") == REFUSED


def test_the_keys_of_another_domain_do_not_serve(elsewhere: Path) -> None:
    from lineage.note import Signer

    keys = [Signer.generate(name).verifier.encoded for name in ("city.demo/log", "city.demo/release")]
    (elsewhere / "domain.pub").write_text("\n".join(keys) + "\n")
    assert verifies(elsewhere, "visits_by_district") == REFUSED


def test_a_manifest_names_sources_with_dates_and_its_purpose(played: Played, elsewhere: Path) -> None:
    """E4 and E6; and it names nobody: not the persons who decided, not the tables inside."""
    text = (elsewhere / "visits_by_district" / "manifest.json").read_text()
    manifest = json.loads(text)
    assert {(one["dataset"], one["as_of"]) for one in manifest["sources"]} == {
        ("health.visits", "2026-10-01"),
        ("social.residents", "2026-09-30"),
    }
    assert manifest["scenario"]["purpose"]
    assert manifest["recipient"]["name"] == "anxin-medical"
    assert manifest["label"] == "measured"
    assert manifest["budget"]["rho"]
    assert [one["as"] for one in manifest["approvals"]] == ["reviewer", "reviewer", "authority"]
    assert not [session.person for session in played.play.sessions.values() if session.person in text]
    for zone in Zone:
        assert not [table.id for table in played.provisioned(zone).values() if table.id in text]


@pytest.fixture
def in_review(played: Played) -> Export:
    """A checked export of its own; asking for the same statistic again costs nothing."""
    job = played.play.facts["clinic"]
    identity = request_export(played.play.stage, played.session("wang"), job.id, "visits_by_district")
    found = check_export(gate(played.play), identity)
    assert found.state is ExportState.IN_REVIEW
    for login in ("sun", "zhou", "li"):
        inspect(played.play.stage, played.session(login), identity)
    return found


def decide(played: Played, found: Export, who: Session | str, decision: Decision = Decision.APPROVE) -> Export:
    session = played.session(who) if isinstance(who, str) else who
    digest = found.evidence_digest or ""
    return vote(played.play.stage, session, found.id, decision, reason="read", digest=digest)


def agree(played: Played, found: Export, login: str = "li") -> Export:
    digest = found.evidence_digest or ""
    return approve(played.play.stage, played.session(login), found.id, reason="lawful", digest=digest)


def state_of(played: Played, found: Export) -> ExportState:
    with played.play.stage.read() as connection:
        return get_export(connection, found.id).state


def test_the_authority_does_not_come_before_the_reviewers(played: Played, in_review: Export) -> None:
    """E1: not before the first vote, not between the two."""
    with pytest.raises(ShuzhaError):
        agree(played, in_review)
    decide(played, in_review, "sun")
    with pytest.raises(ShuzhaError):
        agree(played, in_review)
    with pytest.raises(ShuzhaError):
        release(played.play.stage, in_review.id)
    assert state_of(played, in_review) is ExportState.IN_REVIEW
    decide(played, in_review, "zhou")
    with pytest.raises(ShuzhaError):
        release(played.play.stage, in_review.id)
    assert agree(played, in_review).state is ExportState.APPROVED
    assert (release(played.play.stage, in_review.id) / "manifest.json").is_file()


def test_one_reviewer_is_not_two(played: Played, in_review: Export) -> None:
    decide(played, in_review, "sun")
    with pytest.raises(ShuzhaError) as caught:
        decide(played, in_review, "sun")
    assert caught.value.code == "review.voted-already"
    assert state_of(played, in_review) is ExportState.IN_REVIEW


def test_reviewers_do_not_see_each_others_vote_before_both_voted(played: Played, in_review: Export) -> None:
    decide(played, in_review, "sun")
    with played.play.stage.read() as connection:
        found = get_export(connection, in_review.id)
        assert visible_reviews(connection, played.session("zhou"), found) == []
        assert len(visible_reviews(connection, played.session("sun"), found)) == 1
    decide(played, in_review, "zhou")
    with played.play.stage.read() as connection:
        assert len(visible_reviews(connection, played.session("zhou"), get_export(connection, in_review.id))) == 2


def test_one_refusal_lets_nothing_out_until_both_have_talked(played: Played, in_review: Export) -> None:
    decide(played, in_review, "sun")
    decide(played, in_review, "zhou", Decision.REFUSE)
    assert state_of(played, in_review) is ExportState.CONSOLIDATION
    with pytest.raises(ShuzhaError):
        release(played.play.stage, in_review.id)
    for reviewer in ("sun", "zhou"):
        decide(played, in_review, reviewer, Decision.REFUSE)
    assert state_of(played, in_review) is ExportState.REFUSED
    with pytest.raises(ShuzhaError):
        agree(played, in_review)


def test_nobody_of_the_tenant_reviews(played: Played, in_review: Export) -> None:
    """Law 6: no such role can be given, and were somebody to hold it, their vote would not count."""
    stage, tenant = played.play.stage, played.play.ids["anxin-medical"]
    for login in ("wang", "zheng"):
        with pytest.raises(NotPermittedError) as caught:
            propose_role(stage, played.session("he"), played.play.ids[login], Role.REVIEWER)
        assert caught.value.code == "role.wrong-organisation"
        with pytest.raises(NotPermittedError) as caught:
            decide(played, in_review, login)
        assert caught.value.code == "permission.missing"
    insider = replace(played.session("sun"), organisation=tenant)
    requester = replace(played.session("sun"), person=played.session("wang").person)
    for session in (insider, requester):
        with pytest.raises(NotPermittedError) as caught:
            decide(played, in_review, session)
        assert caught.value.code == "law.own-matter"


@pytest.mark.parametrize("login", ["zhao", "wu", "li", "feng"])
def test_only_reviewers_review(played: Played, in_review: Export, login: str) -> None:
    with pytest.raises(NotPermittedError):
        decide(played, in_review, login)


@pytest.mark.parametrize("login", ["sun", "wu", "wang", "zhao"])
def test_only_the_authority_approves(played: Played, in_review: Export, login: str) -> None:
    decide(played, in_review, "sun")
    decide(played, in_review, "zhou")
    with pytest.raises(NotPermittedError):
        agree(played, in_review, login)


def test_a_decision_is_about_the_evidence_that_was_seen(played: Played, in_review: Export) -> None:
    seen = replace(in_review, evidence_digest="0" * 64)
    with pytest.raises(ShuzhaError) as caught:
        decide(played, seen, "sun")
    assert caught.value.code == "export.not-what-you-saw"
    decide(played, in_review, "sun")
    decide(played, in_review, "zhou")
    with pytest.raises(ShuzhaError):
        agree(played, seen)


@pytest.mark.parametrize("file", ["evidence.json", "product/data.csv"])
def test_what_was_approved_is_what_leaves(played: Played, in_review: Export, file: str) -> None:
    """A change after the approvals, on the disk, behind everybody's back."""
    for login in ("sun", "zhou"):
        decide(played, in_review, login)
    agree(played, in_review)
    path = played.home / "exports" / in_review.id / file
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(ShuzhaError) as caught:
        release(played.play.stage, in_review.id)
    assert caught.value.code == "export.evidence-changed"
    assert state_of(played, in_review) is ExportState.APPROVED
    assert not (played.home / "releases" / in_review.id).exists()


def test_the_votes_of_the_story_are_on_the_log(played: Played) -> None:
    for product in RELEASED:
        about = [entry for entry in played.log() if played.exports[product].id in entry.subjects]
        voters = {entry.actor.person for entry in about if entry.kind is Kind.EXPORT_REVIEWED}
        assert voters == {played.play.ids["sun"], played.play.ids["zhou"]}
        approvers = [entry.actor.person for entry in about if entry.kind is Kind.EXPORT_APPROVED]
        assert approvers == [played.session("li").person]


def test_only_its_recipient_fetches_a_release(played: Played, tmp_path: Path) -> None:
    """D1, E4; and each fetching is on the log."""
    stage, found = played.play.stage, played.exports["visits_by_district"]
    stranger = replace(played.session("wang"), organisation=played.play.ids["expert-panel"])
    with pytest.raises(NotPermittedError):
        fetch(stage, stranger, found.id, tmp_path / "stranger")
    assert not (tmp_path / "stranger").exists()
    before = len(fetches(played, found))
    fetch(stage, played.session("wang"), found.id, tmp_path / "again")
    assert len(fetches(played, found)) == before + 1


def fetches(played: Played, found: Export) -> list[int]:
    return [e.seq for e in played.log() if e.kind is Kind.RELEASE_FETCHED and found.id in e.subjects]


@pytest.mark.parametrize("product", ["illness_by_district", "overfitted", "raw_rows"])
def test_what_was_kept_in_can_neither_be_approved_nor_fetched(played: Played, tmp_path: Path, product: str) -> None:
    found = played.export_now(product)
    for action in (
        lambda: decide(played, found, "sun"),
        lambda: agree(played, found),
        lambda: release(played.play.stage, found.id),
        lambda: fetch(played.play.stage, played.session("wang"), found.id, tmp_path),
    ):
        with pytest.raises(ShuzhaError):
            action()
