"""Roles, what each may do, which organisation may hold them, and which may not meet in one person (D5, D6, J11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from lineage.errors import NotPermittedError


class OrganisationKind(StrEnum):
    """The kinds of organisation of the domain."""

    AUTHORITY = "authority"
    PROVIDER = "provider"
    TENANT = "tenant"
    EXPERT = "expert"
    MAINTAINER = "maintainer"


class Role(StrEnum):
    """What a person is here."""

    AUTHORITY_OFFICER = "authority-officer"
    REGISTRAR = "registrar"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    PROVIDER_OFFICER = "provider-officer"
    TENANT_MANAGER = "tenant-manager"
    PROCESSOR = "processor"
    MAINTAINER = "maintainer"


class Permission(StrEnum):
    """What can be permitted, as resource:action."""

    AGREEMENT_END = "agreement:end"
    AGREEMENT_SIGN = "agreement:sign"
    BACKUP_MAKE = "backup:make"
    BACKUP_SET_KEY = "backup:set-key"
    BUDGET_READ = "budget:read"
    CATALOGUE_READ = "catalogue:read"
    DATASET_GRADE = "dataset:grade"
    DATASET_IMPORT = "dataset:import"
    EXPORT_APPROVE = "export:approve"
    EXPORT_INSPECT = "export:inspect"
    EXPORT_READ = "export:read"
    EXPORT_REQUEST = "export:request"
    EXPORT_REVIEW = "export:review"
    JOB_READ = "job:read"
    JOB_SUBMIT = "job:submit"
    KEY_READ = "key:read"
    KEY_ROTATE = "key:rotate"
    LOG_READ = "log:read"
    ORGANISATION_REGISTER = "organisation:register"
    ORGANISATION_SUSPEND = "organisation:suspend"
    PARTY_READ = "party:read"
    PERSON_FILE = "person:file"
    PERSON_SUSPEND = "person:suspend"
    PROMOTION_DECIDE = "promotion:decide"
    PROMOTION_REQUEST = "promotion:request"
    REQUEST_DECIDE_AS_AUTHORITY = "request:decide-as-authority"
    REQUEST_DECIDE_AS_PROVIDER = "request:decide-as-provider"
    REQUEST_MAKE = "request:make"
    ROLE_CONFIRM = "role:confirm"
    SCENARIO_OPEN = "scenario:open"
    SELFTEST_RUN = "selftest:run"
    TOKEN_CONFIRM = "token:confirm"  # noqa: S105 - the name of a permission
    TOKEN_ISSUE = "token:issue"  # noqa: S105 - the name of a permission
    VIEW_READ = "view:read"


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.AUTHORITY_OFFICER: frozenset(
        {
            Permission.AGREEMENT_END,
            Permission.AGREEMENT_SIGN,
            Permission.BACKUP_SET_KEY,
            Permission.BUDGET_READ,
            Permission.CATALOGUE_READ,
            Permission.EXPORT_APPROVE,
            Permission.EXPORT_INSPECT,
            Permission.EXPORT_READ,
            Permission.JOB_READ,
            Permission.KEY_READ,
            Permission.ORGANISATION_SUSPEND,
            Permission.PARTY_READ,
            Permission.PERSON_SUSPEND,
            Permission.REQUEST_DECIDE_AS_AUTHORITY,
            Permission.ROLE_CONFIRM,
            Permission.SCENARIO_OPEN,
            Permission.SELFTEST_RUN,
            Permission.TOKEN_CONFIRM,
        }
    ),
    Role.REGISTRAR: frozenset(
        {
            Permission.ORGANISATION_REGISTER,
            Permission.PARTY_READ,
            Permission.PERSON_FILE,
            Permission.PERSON_SUSPEND,
            Permission.TOKEN_ISSUE,
        }
    ),
    Role.REVIEWER: frozenset(
        {
            Permission.BUDGET_READ,
            Permission.CATALOGUE_READ,
            Permission.EXPORT_INSPECT,
            Permission.EXPORT_READ,
            Permission.EXPORT_REVIEW,
            Permission.JOB_READ,
            Permission.PROMOTION_DECIDE,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            Permission.BUDGET_READ,
            Permission.CATALOGUE_READ,
            Permission.EXPORT_READ,
            Permission.JOB_READ,
            Permission.KEY_READ,
            Permission.LOG_READ,
            Permission.PARTY_READ,
        }
    ),
    Role.PROVIDER_OFFICER: frozenset(
        {
            Permission.CATALOGUE_READ,
            Permission.DATASET_GRADE,
            Permission.DATASET_IMPORT,
            Permission.REQUEST_DECIDE_AS_PROVIDER,
        }
    ),
    Role.TENANT_MANAGER: frozenset(
        {
            Permission.BUDGET_READ,
            Permission.CATALOGUE_READ,
            Permission.EXPORT_READ,
            Permission.JOB_READ,
            Permission.REQUEST_MAKE,
            Permission.VIEW_READ,
        }
    ),
    Role.PROCESSOR: frozenset(
        {
            Permission.BUDGET_READ,
            Permission.CATALOGUE_READ,
            Permission.EXPORT_READ,
            Permission.EXPORT_REQUEST,
            Permission.JOB_READ,
            Permission.JOB_SUBMIT,
            Permission.PROMOTION_REQUEST,
            Permission.VIEW_READ,
        }
    ),
    Role.MAINTAINER: frozenset(
        {
            Permission.BACKUP_MAKE,
            Permission.CATALOGUE_READ,
            Permission.KEY_READ,
            Permission.KEY_ROTATE,
            Permission.SELFTEST_RUN,
        }
    ),
}
"""Least privilege: what a role's duty in the regulations needs (D5). The maintainer keeps machines and reads no data."""

HOLDERS: Mapping[Role, frozenset[OrganisationKind]] = {
    Role.AUTHORITY_OFFICER: frozenset({OrganisationKind.AUTHORITY}),
    Role.REGISTRAR: frozenset({OrganisationKind.AUTHORITY}),
    Role.REVIEWER: frozenset({OrganisationKind.AUTHORITY, OrganisationKind.EXPERT}),
    Role.AUDITOR: frozenset({OrganisationKind.AUTHORITY, OrganisationKind.EXPERT}),
    Role.PROVIDER_OFFICER: frozenset({OrganisationKind.PROVIDER}),
    Role.TENANT_MANAGER: frozenset({OrganisationKind.TENANT}),
    Role.PROCESSOR: frozenset({OrganisationKind.TENANT}),
    Role.MAINTAINER: frozenset({OrganisationKind.MAINTAINER}),
}

INCOMPATIBLE: frozenset[frozenset[Role]] = frozenset(
    {
        frozenset({Role.AUTHORITY_OFFICER, Role.REVIEWER}),
        frozenset({Role.AUTHORITY_OFFICER, Role.AUDITOR}),
        frozenset({Role.REVIEWER, Role.AUDITOR}),
        frozenset({Role.REGISTRAR, Role.AUTHORITY_OFFICER}),
        frozenset({Role.REGISTRAR, Role.REVIEWER}),
        frozenset({Role.REGISTRAR, Role.AUDITOR}),
    }
)
"""Roles of one decision's successive steps, and the auditor of both: together one person would check themselves (law 6).

Whoever files people decides nothing: GB/T 22239-2019 keeps the administrator of accounts, of permissions and of the audit apart.
"""

NEVER_EMPTY: frozenset[Role] = frozenset({Role.AUTHORITY_OFFICER, Role.REGISTRAR})
"""Roles without which nobody could ever be admitted again: the last active person in one keeps it."""


def check_roles(kind: OrganisationKind, held: Iterable[Role], added: Role) -> None:
    """Check that a person of this kind of organisation may take a role beside those they hold.

    Raises:
        NotPermittedError: the organisation's kind may not hold it (J11), or two roles may not meet (law 6).
    """
    if kind not in HOLDERS[added]:
        raise NotPermittedError("role.wrong-organisation", role=f"label.role.{added}", kind=f"label.kind.{kind}")
    for other in held:
        if frozenset({other, added}) in INCOMPATIBLE:
            raise NotPermittedError("role.incompatible", role=f"label.role.{added}", other=f"label.role.{other}")


def holders_of(permission: Permission) -> tuple[Role, ...]:
    """Give the roles that hold a permission, for a refusal to name who could."""
    return tuple(role for role in Role if permission in PERMISSIONS[role])
