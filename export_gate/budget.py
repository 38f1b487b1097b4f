"""Reading the budget: each limit with what is spent and left of it, for those whose it is (D5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection

from export_gate.ledger import Caps, Charged, Spending, charges, decimal, epsilon_within
from sandbox.access import Session
from sandbox.agreements import list_scenarios
from sandbox.catalogue import get_dataset
from sandbox.columns import SubjectKind
from sandbox.parties import get_organisation
from sandbox.roles import OrganisationKind, Permission


@dataclass(frozen=True)
class Line:
    """One limit on one universe of subjects, in figures that people read: ρ, and ε at δ = 10⁻⁶."""

    limit: str
    name: str
    universe: str
    spent: str
    cap: str
    left: str
    epsilon_left: str


def overview(connection: Connection, session: Session, caps: Caps | None = None) -> list[Line]:
    """Give the limits a person may see: a tenant its own and its scenarios', authority staff all of them.

    A tenant does not see the universe's or a dataset's spending: it would tell what other tenants do (D1).
    """
    session.check(Permission.BUDGET_READ)
    found: list[Line] = []
    for kind in SubjectKind:
        made = charges(connection, kind.value)
        spendings = _own(connection, session, made, caps or Caps())
        if session.kind is not OrganisationKind.TENANT:
            spendings = _all(connection, kind, made, caps or Caps())
        found += [_line(one, kind) for one in spendings if one.spent or one.limit in {"universe", "tenant"}]
    return found


def _own(connection: Connection, session: Session, made: list[Charged], caps: Caps) -> Iterator[Spending]:
    mine = [one for one in made if one.tenant == session.organisation]
    yield Spending("tenant", session.organisation_name, caps.tenant, _sum(mine))
    for scenario in list_scenarios(connection, session):
        yield Spending("scenario", scenario.name, caps.scenario, _sum([o for o in mine if o.scenario == scenario.id]))


def _all(connection: Connection, kind: SubjectKind, made: list[Charged], caps: Caps) -> Iterator[Spending]:
    yield Spending("universe", kind.value, caps.universe, _sum(made))
    for tenant in sorted({one.tenant for one in made}):
        name = get_organisation(connection, tenant).name
        yield Spending("tenant", name, caps.tenant, _sum([one for one in made if one.tenant == tenant]))
    for dataset in sorted({name for one in made for name in one.datasets}):
        spent = _sum([one for one in made if dataset in one.datasets])
        yield Spending("dataset", get_dataset(connection, dataset).name, caps.dataset, spent)


def _line(one: Spending, kind: SubjectKind) -> Line:
    epsilon = epsilon_within(one.left, Fraction(1, 10**6))
    return Line(
        limit=one.limit,
        name=one.name,
        universe=kind.value,
        spent=decimal(one.spent),
        cap=decimal(one.cap),
        left=decimal(one.left),
        epsilon_left=decimal(epsilon, places=2),
    )


def _sum(made: list[Charged]) -> Fraction:
    return sum((one.rho for one in made), Fraction(0))
