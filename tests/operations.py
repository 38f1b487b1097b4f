"""Every operation that a person can carry out: who may, on what, and the entries it leaves. Laws 1–6 are tried on this table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from export_gate import exports, notes, release, review, revoking
from export_gate.review import Decision
from jobs import promotion, runs, selftest, submitting
from lineage.kinds import Kind
from sandbox import agreements, backup, catalogue, ending, enrolment, parties, requests, rotation
from sandbox.access import Session
from sandbox.columns import Grade
from sandbox.columns import Role as ColumnRole
from sandbox.roles import PERMISSIONS, OrganisationKind, Permission, Role
from sandbox.states import PersonState
from tests.backups import with_tables
from tests.factories import RECOVERY_KEY, TABLE, TERMS, Stage, World, item, write_job
from tests.selftests import made_up


DECIDING = frozenset({Permission.REQUEST_DECIDE_AS_PROVIDER, Permission.REQUEST_DECIDE_AS_AUTHORITY})


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: module and function, with what is special about it.
        stage: where the world must stand.
        login: somebody who may.
        permission: what it needs.
        act: does it.
        kinds: the entries it leaves, in order.
        target: the key in ``World.ids`` of what it is about, where that belongs to somebody; None where it makes something new.
        owner: the kind of organisation that the target belongs to and others of that kind do not see.
    """

    name: str
    stage: Stage
    login: str
    permission: Permission
    act: Callable[[World, Session], object]
    kinds: tuple[Kind, ...]
    target: str | None = None
    owner: OrganisationKind | None = None

    @property
    def permissions(self) -> frozenset[Permission]:
        """Each permission that opens it: on a request either side decides."""
        return DECIDING if self.permission in DECIDING else frozenset({self.permission})

    def open_to(self, role: Role) -> bool:
        """Whether a role holds one of them."""
        return bool(self.permissions & PERMISSIONS[role])


def _submit(w: World, s: Session) -> object:
    folder = w.domain.home.parent / f"submitted-by-{s.login}"
    shutil.rmtree(folder, ignore_errors=True)
    return submitting.submit(w.domain, s, write_job(folder, w.ids["scenario"]))


def _vote(decision: Decision) -> Callable[[World, Session], object]:
    return lambda w, s: review.vote(w.domain, s, w.ids["export"], decision, reason="seen", digest=w.ids["digest"])


def _decide(*, approve: bool) -> Callable[[World, Session], object]:
    return lambda w, s: promotion.decide(w.domain, s, w.ids["promotion"], approve=approve, reason="read")


def _back_up(w: World, s: Session) -> object:
    beside = w.domain.home.parent / f"backup-by-{s.login}"
    beside.mkdir(exist_ok=True)
    return backup.create(with_tables(w).domain, s, beside / "copy", keys=beside / "keys")


def _fetch(w: World, s: Session) -> object:
    return release.fetch(w.domain, s, w.ids["export"], w.domain.home.parent / f"for-{s.login}")


TENANT, PROVIDER = OrganisationKind.TENANT, OrganisationKind.PROVIDER

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "parties.register tenant",
        Stage.PARTIES,
        "clerk",
        Permission.ORGANISATION_REGISTER,
        lambda w, s: parties.register(w.domain, s, name="new", title="New", kind=TENANT),
        (Kind.ORGANISATION_REGISTERED, Kind.KEY_CREATED),
    ),
    Operation(
        "parties.register provider",
        Stage.PARTIES,
        "clerk",
        Permission.ORGANISATION_REGISTER,
        lambda w, s: parties.register(w.domain, s, name="new", title="New", kind=PROVIDER),
        (Kind.ORGANISATION_REGISTERED,),
    ),
    Operation(
        "parties.file_person",
        Stage.PARTIES,
        "clerk",
        Permission.PERSON_FILE,
        lambda w, s: parties.file_person(w.domain, s, login="new", name="N", organisation_id=w.ids["medica"]),
        (Kind.PERSON_FILED,),
    ),
    Operation(
        "parties.advance_person on",
        Stage.PARTIES,
        "clerk",
        Permission.PERSON_FILE,
        lambda w, s: parties.advance_person(w.domain, s, w.ids["idle"], PersonState.VETTED),
        (Kind.PERSON_ADVANCED,),
        "idle",
    ),
    Operation(
        "parties.advance_person suspended",
        Stage.PARTIES,
        "clerk",
        Permission.PERSON_SUSPEND,
        lambda w, s: parties.advance_person(w.domain, s, w.ids["colleague"], PersonState.SUSPENDED),
        (Kind.PERSON_ADVANCED, Kind.TOKEN_REVOKED),
        "colleague",
    ),
    Operation(
        "enrolment.propose_role",
        Stage.PARTIES,
        "clerk",
        Permission.PERSON_FILE,
        lambda w, s: enrolment.propose_role(w.domain, s, w.ids["colleague"], Role.TENANT_MANAGER),
        (Kind.ROLE_PROPOSED,),
        "colleague",
    ),
    Operation(
        "enrolment.confirm_role",
        Stage.PARTIES,
        "officer",
        Permission.ROLE_CONFIRM,
        lambda w, s: enrolment.confirm_role(w.domain, s, w.ids["idle"], Role.PROCESSOR),
        (Kind.ROLE_GIVEN,),
        "idle",
    ),
    Operation(
        "parties.take_role",
        Stage.PARTIES,
        "officer",
        Permission.PERSON_SUSPEND,
        lambda w, s: parties.take_role(w.domain, s, w.ids["colleague"], Role.PROCESSOR),
        (Kind.ROLE_TAKEN,),
        "colleague",
    ),
    Operation(
        "enrolment.offer_token",
        Stage.PARTIES,
        "clerk",
        Permission.TOKEN_ISSUE,
        lambda w, s: enrolment.offer_token(w.domain, s, w.ids["colleague"]),
        (Kind.TOKEN_OFFERED,),
        "colleague",
    ),
    Operation(
        "enrolment.confirm_token",
        Stage.PARTIES,
        "officer",
        Permission.TOKEN_CONFIRM,
        lambda w, s: enrolment.confirm_token(w.domain, s, w.ids["idle"]),
        (Kind.TOKEN_REVOKED, Kind.TOKEN_ISSUED),
        "idle",
    ),
    Operation(
        "parties.suspend",
        Stage.PARTIES,
        "officer",
        Permission.ORGANISATION_SUSPEND,
        lambda w, s: parties.suspend(w.domain, s, w.ids["rival"], "risk found"),
        (Kind.ORGANISATION_SUSPENDED,),
        "rival",
    ),
    Operation(
        "parties.restore",
        Stage.PARTIES,
        "officer",
        Permission.ORGANISATION_SUSPEND,
        lambda w, s: parties.restore(w.domain, s, w.ids["dormant"], "mended"),
        (Kind.ORGANISATION_RESTORED,),
        "dormant",
    ),
    Operation(
        "catalogue.declare",
        Stage.PARTIES,
        "doctor",
        Permission.DATASET_IMPORT,
        lambda w, s: catalogue.declare(
            w.domain,
            s,
            name=f"{s.organisation_name}.beds",
            title="Beds",
            columns=[("clinic", "string")],
            schema={},
            subject=None,
        ),
        (Kind.DATASET_DECLARED,),
    ),
    Operation(
        "catalogue.store_suggestions",
        Stage.CATALOGUE,
        "doctor",
        Permission.DATASET_GRADE,
        lambda w, s: catalogue.store_suggestions(w.domain, s, w.ids["health.visits"], {"cost": {"grade": 2}}),
        (Kind.DATASET_CLASSIFIED,),
        "health.visits",
        PROVIDER,
    ),
    Operation(
        "catalogue.grade",
        Stage.CATALOGUE,
        "doctor",
        Permission.DATASET_GRADE,
        lambda w, s: catalogue.grade(
            w.domain, s, w.ids["health.visits"], {"cost": (ColumnRole.SENSITIVE, Grade.RESTRICTED, "")}
        ),
        (Kind.DATASET_GRADED,),
        "health.visits",
        PROVIDER,
    ),
    Operation(
        "catalogue.close",
        Stage.CATALOGUE,
        "doctor",
        Permission.DATASET_GRADE,
        lambda w, s: catalogue.close(w.domain, s, w.ids["health.visits"], "cost", "by law"),
        (Kind.DATASET_CLOSED,),
        "health.visits",
        PROVIDER,
    ),
    Operation(
        "agreements.sign_agreement",
        Stage.PARTIES,
        "officer",
        Permission.AGREEMENT_SIGN,
        lambda w, s: agreements.sign_agreement(
            w.domain, s, tenant=w.ids["medica"], terms=TERMS, until=w.hands() + timedelta(days=9)
        ),
        (Kind.AGREEMENT_SIGNED,),
        "medica",
    ),
    Operation(
        "agreements.open_scenario",
        Stage.SCENARIO,
        "officer",
        Permission.SCENARIO_OPEN,
        lambda w, s: agreements.open_scenario(w.domain, s, agreement_id=w.ids["agreement"], name="new", purpose="more"),
        (Kind.SCENARIO_OPENED,),
        "agreement",
    ),
    Operation(
        "requests.make",
        Stage.SCENARIO,
        "manager",
        Permission.REQUEST_MAKE,
        lambda w, s: requests.make(
            w.domain,
            s,
            scenario_id=w.ids["scenario"],
            items=[item("health.visits", "clinic")],
            persons=["processor"],
            purpose="more",
            until=w.hands() + timedelta(days=9),
        ),
        (Kind.REQUEST_MADE,),
        "scenario",
        TENANT,
    ),
    Operation(
        "requests.narrow as provider",
        Stage.REQUESTED,
        "doctor",
        Permission.REQUEST_DECIDE_AS_PROVIDER,
        lambda w, s: requests.narrow(w.domain, s, w.ids["request"], item("health.visits", "clinic")),
        (Kind.REQUEST_NARROWED,),
        "request",
    ),
    Operation(
        "requests.narrow as authority",
        Stage.PROVIDER_APPROVED,
        "officer",
        Permission.REQUEST_DECIDE_AS_AUTHORITY,
        lambda w, s: requests.narrow(w.domain, s, w.ids["request"], item("health.visits", "clinic")),
        (Kind.REQUEST_NARROWED,),
        "request",
    ),
    Operation(
        "requests.approve as provider",
        Stage.REQUESTED,
        "doctor",
        Permission.REQUEST_DECIDE_AS_PROVIDER,
        lambda w, s: requests.approve(w.domain, s, w.ids["request"]),
        (Kind.REQUEST_PROVIDER_APPROVED,),
        "request",
    ),
    Operation(
        "requests.approve as authority",
        Stage.PROVIDER_APPROVED,
        "officer",
        Permission.REQUEST_DECIDE_AS_AUTHORITY,
        lambda w, s: requests.approve(w.domain, s, w.ids["request"]),
        (Kind.REQUEST_APPROVED, Kind.GRANT_STARTED),
        "request",
    ),
    Operation(
        "requests.refuse as provider",
        Stage.REQUESTED,
        "doctor",
        Permission.REQUEST_DECIDE_AS_PROVIDER,
        lambda w, s: requests.refuse(w.domain, s, w.ids["request"], "too much"),
        (Kind.REQUEST_REFUSED,),
        "request",
    ),
    Operation(
        "requests.refuse as authority",
        Stage.PROVIDER_APPROVED,
        "officer",
        Permission.REQUEST_DECIDE_AS_AUTHORITY,
        lambda w, s: requests.refuse(w.domain, s, w.ids["request"], "too much"),
        (Kind.REQUEST_REFUSED,),
        "request",
    ),
    Operation(
        "backup.set_recovery_key",
        Stage.PARTIES,
        "officer",
        Permission.BACKUP_SET_KEY,
        lambda w, s: backup.set_recovery_key(w.domain, s, RECOVERY_KEY),
        (Kind.RECOVERY_KEY_SET,),
    ),
    Operation(
        "backup.create",
        Stage.PROVISIONED,
        "keeper",
        Permission.BACKUP_MAKE,
        _back_up,
        (Kind.KEY_COPIES_PLACED, Kind.BACKUP_MADE),
    ),
    Operation(
        "rotation.rotate_root",
        Stage.PROVISIONED,
        "keeper",
        Permission.KEY_ROTATE,
        lambda w, s: rotation.rotate_root(w.domain, s),
        (Kind.KEY_ROTATED,),
    ),
    Operation(
        "rotation.rotate_tenant",
        Stage.PROVISIONED,
        "keeper",
        Permission.KEY_ROTATE,
        lambda w, s: rotation.rotate_tenant(w.domain, s, w.ids["medica"]),
        (Kind.KEY_ROTATED,),
        "medica",
    ),
    Operation(
        "ending.end_agreement",
        Stage.PROVISIONED,
        "officer",
        Permission.AGREEMENT_END,
        lambda w, s: ending.end_agreement(w.domain, s, w.ids["agreement"], "over"),
        (Kind.AGREEMENT_ENDED, Kind.GRANT_ENDED, Kind.KEY_DESTROYED),
        "agreement",
    ),
    Operation(
        "submitting.submit",
        Stage.PROVISIONED,
        "processor",
        Permission.JOB_SUBMIT,
        _submit,
        (Kind.JOB_SUBMITTED,),
        "scenario",
        TENANT,
    ),
    Operation(
        "runs.queue",
        Stage.SUBMITTED,
        "processor",
        Permission.JOB_SUBMIT,
        lambda w, s: runs.queue(w.domain, s, w.ids["job"], 0, runs.Stage.DEVELOPMENT),
        (Kind.RUN_QUEUED,),
        "job",
        TENANT,
    ),
    Operation(
        "runs.queue production",
        Stage.PROMOTED,
        "processor",
        Permission.JOB_SUBMIT,
        lambda w, s: runs.queue(w.domain, s, w.ids["job"], 0, runs.Stage.PRODUCTION),
        (Kind.BITS_CHARGED, Kind.RUN_QUEUED),
        "job",
        TENANT,
    ),
    Operation(
        "runs.ask_cancel",
        Stage.PROMOTION_REQUESTED,
        "processor",
        Permission.JOB_SUBMIT,
        lambda w, s: runs.ask_cancel(w.domain, s, w.ids["run"]),
        (Kind.RUN_CANCEL_ASKED, Kind.RUN_ENDED),
        "run",
        TENANT,
    ),
    Operation(
        "promotion.request",
        Stage.SUBMITTED,
        "processor",
        Permission.PROMOTION_REQUEST,
        lambda w, s: promotion.request(w.domain, s, w.ids["job"]),
        (Kind.PROMOTION_REQUESTED,),
        "job",
        TENANT,
    ),
    Operation(
        "promotion.decide approve",
        Stage.PROMOTION_REQUESTED,
        "reviewer",
        Permission.PROMOTION_DECIDE,
        _decide(approve=True),
        (Kind.PROMOTION_APPROVED,),
        "promotion",
    ),
    Operation(
        "promotion.decide refuse",
        Stage.PROMOTION_REQUESTED,
        "reviewer",
        Permission.PROMOTION_DECIDE,
        _decide(approve=False),
        (Kind.PROMOTION_REFUSED,),
        "promotion",
    ),
    Operation(
        "exports.request",
        Stage.PROMOTED,
        "processor",
        Permission.EXPORT_REQUEST,
        lambda w, s: exports.request(w.domain, s, w.ids["job"], TABLE),
        (Kind.EXPORT_REQUESTED,),
        "job",
        TENANT,
    ),
    Operation(
        "review.inspect",
        Stage.IN_REVIEW,
        "reviewer",
        Permission.EXPORT_INSPECT,
        lambda w, s: review.inspect(w.domain, s, w.ids["export"]),
        (Kind.EXPORT_INSPECTED,),
        "export",
    ),
    Operation(
        "review.vote approve",
        Stage.IN_REVIEW,
        "reviewer",
        Permission.EXPORT_REVIEW,
        _vote(Decision.APPROVE),
        (Kind.EXPORT_REVIEWED,),
        "export",
    ),
    Operation(
        "review.vote refuse",
        Stage.IN_REVIEW,
        "expert",
        Permission.EXPORT_REVIEW,
        _vote(Decision.REFUSE),
        (Kind.EXPORT_REVIEWED,),
        "export",
    ),
    Operation(
        "review.approve",
        Stage.REVIEWED,
        "officer",
        Permission.EXPORT_APPROVE,
        lambda w, s: review.approve(w.domain, s, w.ids["export"], reason="lawful", digest=w.ids["digest"]),
        (Kind.EXPORT_APPROVED,),
        "export",
    ),
    Operation(
        "review.refuse",
        Stage.REVIEWED,
        "officer",
        Permission.EXPORT_APPROVE,
        lambda w, s: review.refuse(w.domain, s, w.ids["export"], reason="harmful"),
        (Kind.EXPORT_REFUSED,),
        "export",
    ),
    Operation(
        "notes.comment",
        Stage.IN_REVIEW,
        "reviewer",
        Permission.EXPORT_INSPECT,
        lambda w, s: notes.comment(w.domain, s, w.ids["export"], "look twice", private=True),
        (Kind.EXPORT_COMMENTED,),
        "export",
    ),
    Operation(
        "notes.return_with_question",
        Stage.IN_REVIEW,
        "reviewer",
        Permission.EXPORT_INSPECT,
        lambda w, s: notes.return_with_question(w.domain, s, w.ids["export"], "what for?"),
        (Kind.EXPORT_RETURNED,),
        "export",
    ),
    Operation(
        "notes.withdraw",
        Stage.IN_REVIEW,
        "processor",
        Permission.EXPORT_REQUEST,
        lambda w, s: notes.withdraw(w.domain, s, w.ids["export"], reason="not needed"),
        (Kind.EXPORT_WITHDRAWN,),
        "export",
        TENANT,
    ),
    Operation(
        "revoking.revoke",
        Stage.RELEASED,
        "officer",
        Permission.EXPORT_APPROVE,
        lambda w, s: revoking.revoke(w.domain, s, w.ids["export"], reason="misused"),
        (Kind.RELEASE_REVOKED,),
        "export",
    ),
    Operation(
        "selftest.file_by_person",
        Stage.PARTIES,
        "keeper",
        Permission.SELFTEST_RUN,
        lambda w, s: selftest.file_by_person(w.domain, s, made_up()),
        (Kind.SELFTEST_FILED,),
    ),
    Operation(
        "release.fetch",
        Stage.RELEASED,
        "processor",
        Permission.EXPORT_READ,
        _fetch,
        (Kind.RELEASE_FETCHED,),
        "export",
        TENANT,
    ),
)
