"""The ledger of privacy budget: ρ and δ by subject universe, dataset, tenant and scenario, as exact rationals (laws 3 and 4, E5).

A guarantee holds only if everything ever told about the same subjects is added up, whoever asked; so the universe of subjects is
the first limit, and the others only share it out. For zero-concentrated differential privacy, "the sum stays below the cap" is a
valid filter for adaptively chosen questions (Whitehouse et al., arXiv 2203.05481).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection, insert, select, update

from export_gate.schema import charge
from lineage.errors import BudgetError
from lineage.kinds import Kind
from lineage.log import Change


@dataclass(frozen=True)
class Caps:
    """The most ρ that may ever be spent; read by people in the policy."""

    universe: Fraction = Fraction(1, 2)
    dataset: Fraction = Fraction(1, 4)
    tenant: Fraction = Fraction(1, 4)
    scenario: Fraction = Fraction(1, 10)
    delta: Fraction = Fraction(1, 10_000)

    def __post_init__(self) -> None:
        """Refuse caps that are not positive."""
        if min(self.universe, self.dataset, self.tenant, self.scenario, self.delta) <= 0:
            raise ValueError("every cap is positive")


@dataclass(frozen=True)
class Claim:
    """What is to be charged, and to whom."""

    question: str
    export: str
    universe: str
    datasets: tuple[str, ...]
    tenant: str
    scenario: str
    rho: Fraction
    delta: Fraction

    def __post_init__(self) -> None:
        """Refuse a claim that costs nothing or names nobody."""
        if self.rho <= 0 or self.delta < 0 or not self.universe or not self.datasets:
            raise ValueError("a claim has a positive ρ, a δ, a universe and datasets")


@dataclass(frozen=True)
class Spending:
    """One limit: what it is called, its cap, and what is spent of it."""

    limit: str
    name: str
    cap: Fraction
    spent: Fraction

    @property
    def left(self) -> Fraction:
        """What is left; never below zero."""
        return max(self.cap - self.spent, Fraction(0))


@dataclass(frozen=True)
class Charged:
    """A charge as read."""

    question: str
    export: str
    universe: str
    datasets: tuple[str, ...]
    tenant: str
    scenario: str
    rho: Fraction
    delta: Fraction
    at: str


def question_key(canonical: str, tables: Sequence[str]) -> str:
    """Name a question: the same canonical text over the same provisioned tables is the same question."""
    return hashlib.sha256("\n".join([canonical, *sorted(tables)]).encode()).hexdigest()


def stored_answer(connection: Connection, question: str) -> str | None:
    """Give the answer that was already measured for a question, or None."""
    return connection.execute(select(charge.c.answer).where(charge.c.question == question)).scalar()


def admit(change: Change, claim: Claim, caps: Caps) -> bool:
    """Charge a claim, all limits or none; False when the same question is charged already, which costs nothing more.

    Must be called in the transaction that commits before any noise is drawn. A crash afterwards leaves the charge, and the
    question may be measured again: nobody saw the first draw.

    Raises:
        BudgetError: a limit would be passed; names it, what is left, and the largest ε that fits.
    """
    known = select(charge.c.question).where(charge.c.question == claim.question)
    if change.connection.execute(known).scalar() is not None:
        return False
    for spending in spendings(change.connection, claim, caps):
        if spending.spent + claim.rho > spending.cap:
            raise _over(spending, claim)
    spent_delta = sum((one.delta for one in charges(change.connection, claim.universe)), Fraction(0))
    if spent_delta + claim.delta > caps.delta:
        raise BudgetError("budget.delta-spent")
    change.connection.execute(
        insert(charge).values(
            question=claim.question,
            export=claim.export,
            universe=claim.universe,
            datasets=list(claim.datasets),
            tenant=claim.tenant,
            scenario=claim.scenario,
            rho=str(claim.rho),
            delta=str(claim.delta),
            at=change.at,
        )
    )
    subjects = [claim.export, claim.scenario, claim.tenant]
    payload = {"question": claim.question, "rho": str(claim.rho), "delta": str(claim.delta), "universe": claim.universe}
    change.record(Kind.BUDGET_CHARGED, subjects, payload | {"datasets": list(claim.datasets)})
    return True


def _over(spending: Spending, claim: Claim) -> BudgetError:
    """Say which limit is passed; what is left only of the asker's own limits: the others would tell what other tenants do (D1)."""
    limit, asked = f"label.limit.{spending.limit}", decimal(claim.rho)
    if spending.limit not in {"tenant", "scenario"}:
        return BudgetError("budget.spent-by-all", limit="label.limit.universe", asked=asked)
    epsilon = decimal(epsilon_within(spending.left, claim.delta), places=2)
    return BudgetError("budget.spent", limit=limit, asked=asked, left=decimal(spending.left), epsilon=epsilon)


def store_answer(change: Change, question: str, answer: str) -> None:
    """Keep a measured answer with its charge; the first one stays, so that asking again cannot draw a second time."""
    unset = (charge.c.question == question) & charge.c.answer.is_(None)
    change.connection.execute(update(charge).where(unset).values(answer=answer))


def spendings(connection: Connection, claim: Claim, caps: Caps) -> list[Spending]:
    """Give every limit that a claim falls under, with what is spent of each; the asker's own first, for only those are told."""
    made = charges(connection, claim.universe)
    limits = [
        Spending(
            "scenario", claim.scenario, caps.scenario, _sum(one for one in made if one.scenario == claim.scenario)
        ),
        Spending("tenant", claim.tenant, caps.tenant, _sum(one for one in made if one.tenant == claim.tenant)),
    ]
    for dataset in claim.datasets:
        spent = _sum(one for one in made if dataset in one.datasets)
        limits.append(Spending("dataset", dataset, caps.dataset, spent))
    return [*limits, Spending("universe", claim.universe, caps.universe, _sum(made))]


def charges(connection: Connection, universe: str) -> list[Charged]:
    """Read the charges on a universe of subjects, oldest first."""
    query = select(charge).where(charge.c.universe == universe).order_by(charge.c.at, charge.c.question)
    return [
        Charged(
            question=row.question,
            export=row.export,
            universe=row.universe,
            datasets=tuple(row.datasets),
            tenant=row.tenant,
            scenario=row.scenario,
            rho=Fraction(row.rho),
            delta=Fraction(row.delta),
            at=row.at,
        )
        for row in connection.execute(query)
    ]


def epsilon_within(rho: Fraction, delta: Fraction) -> Fraction:
    """Read ρ as ε at δ by ε = ρ + 2√(ρ·ln(1/δ)) (Bun and Steinke 2016, Proposition 1.3); an upper bound of the true ε."""
    if rho <= 0:
        return Fraction(0)
    chance = float(delta) if delta > 0 else 1e-6
    return rho + Fraction(2 * math.sqrt(float(rho) * math.log(1 / chance)))


def decimal(value: Fraction, places: int = 6) -> str:
    """Write a rational as a decimal that is never larger than it."""
    scaled = math.floor(value * 10**places)
    return f"{scaled // 10**places}.{scaled % 10**places:0{places}d}"


def _sum(made: Iterable[Charged]) -> Fraction:
    return sum((one.rho for one in made), Fraction(0))
