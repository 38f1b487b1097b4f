"""The ledger of bits: how much each scenario and tenant may have learnt through what nobody can read (laws 3, 4 and 8).

Whatever is opaque to the gate (how a production run ended, a model or a file of the tenant's own making) is counted by its
capacity in bits, charged in the transaction that lets it happen, and never given back: what could have been said may have been said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, func, insert, select

from jobs.schema import bit_charge
from lineage.errors import BudgetError, MissingPartError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session
from sandbox.agreements import list_scenarios
from sandbox.domain import Domain
from sandbox.parties import list_organisations
from sandbox.roles import OrganisationKind, Permission


class Purpose(StrEnum):
    """Through what bits can leave."""

    RUN = "run"
    MODEL = "model"
    FILE = "file"


@dataclass(frozen=True)
class BitCaps:
    """The most bits that may ever be charged; settings ``[bits]`` of the domain, to be decided by its policy."""

    scenario: int = 512
    tenant: int = 1024

    def __post_init__(self) -> None:
        """Refuse caps that are no whole numbers or negative; zero forbids everything opaque."""
        if any(type(cap) is not int or cap < 0 for cap in (self.scenario, self.tenant)):
            raise ValueError("a cap is a whole number of bits")


@dataclass(frozen=True)
class BitClaim:
    """What is to be charged: for what, about which run or export, to whom."""

    purpose: Purpose
    subject: str
    scenario: str
    tenant: str
    bits: int

    def __post_init__(self) -> None:
        """Refuse a claim that costs nothing."""
        if self.bits < 1:
            raise ValueError("a claim costs at least a bit")


@dataclass(frozen=True)
class BitSpending:
    """One limit: ``scenario`` or ``tenant``, its id and name, its cap, and what is charged of it."""

    limit: str
    subject: str
    name: str
    cap: int
    spent: int

    @property
    def left(self) -> int:
        """What is left; never below zero."""
        return max(self.cap - self.spent, 0)


def caps_of(domain: Domain) -> BitCaps:
    """Read the caps from the domain's settings.

    Raises:
        MissingPartError: they are no whole numbers; a cap that cannot be read is not a cap (law 7).
    """
    given = domain.settings.get("bits", {})
    try:
        return BitCaps(**given)
    except (TypeError, ValueError) as error:
        raise MissingPartError("bits.bad-settings") from error


def charge_bits(change: Change, claim: BitClaim, caps: BitCaps) -> bool:
    """Charge a claim in the transaction that lets it happen; False when the same is charged already, which costs nothing more.

    Raises:
        BudgetError: a limit would be passed; says what is left of it.
    """
    same = (bit_charge.c.purpose == claim.purpose.value) & (bit_charge.c.subject == claim.subject)
    if change.connection.execute(select(bit_charge.c.bits).where(same)).scalar() is not None:
        return False
    for limit, cap, spent in (
        ("scenario", caps.scenario, _spent(change.connection, bit_charge.c.scenario == claim.scenario)),
        ("tenant", caps.tenant, _spent(change.connection, bit_charge.c.tenant == claim.tenant)),
    ):
        if spent + claim.bits > cap:
            left = max(cap - spent, 0)
            raise BudgetError("bits.spent", limit=f"label.limit.{limit}", asked=claim.bits, left=left)
    change.connection.execute(
        insert(bit_charge).values(
            purpose=claim.purpose.value,
            subject=claim.subject,
            scenario=claim.scenario,
            tenant=claim.tenant,
            bits=claim.bits,
            at=change.at,
        )
    )
    subjects = [claim.subject, claim.scenario, claim.tenant]
    change.record(Kind.BITS_CHARGED, subjects, {"purpose": claim.purpose.value, "bits": claim.bits})
    return True


def bits_overview(connection: Connection, session: Session, caps: BitCaps) -> list[BitSpending]:
    """Give the limits a person may see with what is charged: a tenant its own and its scenarios', authority staff all (D5)."""
    session.check(Permission.BUDGET_READ)
    found = [
        BitSpending("tenant", tenant, name, caps.tenant, _spent(connection, bit_charge.c.tenant == tenant))
        for tenant, name in _tenants(connection, session).items()
    ]
    return found + [
        BitSpending("scenario", one.id, one.name, caps.scenario, _spent(connection, bit_charge.c.scenario == one.id))
        for one in list_scenarios(connection, session)
    ]


def _tenants(connection: Connection, session: Session) -> Mapping[str, str]:
    """Names of the tenants whose spending a person may see, by id."""
    if session.kind is OrganisationKind.TENANT:
        return {session.organisation: session.organisation_name}
    return {one.id: one.name for one in list_organisations(connection) if one.kind is OrganisationKind.TENANT}


def _spent(connection: Connection, whose: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(bit_charge.c.bits), 0)).where(whose)).scalar_one())
