"""The evidence page of an export: everything a decision rests on, in one place (E1, E3, SATRE 3.3.09).

What would leave, what every check said and which checks do not apply, what was told of the same subjects before (counts alone), what of
the budget and of the bits is spent, where it comes from, the votes and notes that the reader may see. Reading it is a look: it is on
the log, and only those who decide may (law 6). ``page_html`` writes it for people; ``Page.json`` is the same for programs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, func, select

from export_gate.deadlines import Standing, standing
from export_gate.evidence import read_evidence
from export_gate.exports import Export, folder_of, get_export
from export_gate.ledger import Caps, charges, decimal, epsilon_within
from export_gate.notes import Note, visible_notes
from export_gate.review import inspect, visible_reviews
from export_gate.rounds import Review
from export_gate.schema import export as exports
from export_gate.schema import record_told
from jobs.bits import caps_of
from jobs.runs import Job, get_job
from jobs.schema import bit_charge, job
from lineage.answer import Answer
from lineage.clock import stamp
from lineage.graph import Graph
from sandbox.access import Session
from sandbox.agreements import Scenario, get_scenario
from sandbox.catalogue import get_dataset
from sandbox.domain import Domain
from sandbox.parties import Organisation, get_organisation, names_of


APPLIES: Mapping[str, frozenset[str]] = {
    "cells": frozenset({"table"}),
    "records": frozenset({"table"}),
    "statistic": frozenset({"statistic"}),
    "model": frozenset({"model"}),
    "file": frozenset({"file", "opaque"}),
    "words": frozenset({"report", "chart", "table", "statistic", "file", "opaque"}),
}
"""Families of checks, by the kinds of product they are about; the rest is said to be not applicable, with why."""

_DELTA = Fraction(1, 10**6)
_OWN, _OTHERS = "own", "others"


@dataclass(frozen=True)
class Told:
    """What was told of one universe of subjects before: numbers of products, never what they say."""

    universe: str
    tables: Mapping[str, int]
    statistics: Mapping[str, int]


@dataclass(frozen=True)
class Cost:
    """One limit of a ledger: what this export cost of it, what is spent with it, and the cap; ε reads ρ at δ = 10⁻⁶."""

    ledger: str
    limit: str
    before: str
    here: str
    after: str
    cap: str
    epsilon_before: str
    epsilon_after: str
    share: int


@dataclass(frozen=True)
class Page:
    """Everything on the page, as one reader may see it."""

    domain: str
    at: str
    export: Export
    standing: Standing
    job: Job
    scenario: Scenario
    tenant: Organisation
    requested_by: str
    evidence: Mapping[str, Any]
    files: Mapping[str, bytes]
    findings: tuple[Mapping[str, Any], ...]
    not_applicable: tuple[str, ...]
    told: tuple[Told, ...]
    costs: tuple[Cost, ...]
    lineage: Answer
    votes: tuple[Review, ...]
    notes: tuple[Note, ...]
    names: Mapping[str, str]

    @property
    def json(self) -> Mapping[str, Any]:
        """The page for programs; files by digest, for their bytes are beside the evidence."""
        return {
            "format": 1,
            "domain": self.domain,
            "at": self.at,
            "export": self.export.id,
            "product": self.export.product,
            "kind": self.export.kind,
            "label": self.evidence["label"],
            "state": self.export.state.value,
            "standing": asdict(self.standing),
            "round": self.export.round,
            "verdict": self.evidence["verdict"],
            "evidence": self.export.evidence_digest,
            "job": self.job.digest,
            "scenario": {"id": self.scenario.id, "name": self.scenario.name, "purpose": self.scenario.purpose},
            "tenant": {"name": self.tenant.name, "title": self.tenant.title},
            "sources": self.evidence["sources"],
            "files": [
                {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in self.files.items()
            ],
            "findings": [dict(one) for one in self.findings],
            "not_applicable": list(self.not_applicable),
            "told_before": [asdict(one) for one in self.told],
            "costs": [asdict(one) for one in self.costs],
            "lineage": self.lineage.to_json(),
            "votes": [{"round": one.round, "decision": one.decision.value, "reason": one.reason} for one in self.votes],
            "notes": [asdict(one) for one in self.notes],
        }


def evidence_page(domain: Domain, session: Session, identity: str) -> Page:
    """Gather the page of an export for one reader; the look is on the log.

    Raises:
        NotPermittedError: the person decides on no exports, or on this one not: it is their own matter (law 6).
        DefinitionError: the gate has made nothing, or kept it in.
        GateRefusedError: evidence or a file is not what was recorded.
    """
    files = inspect(domain, session, identity)
    moment = domain.now()
    with domain.read() as connection:
        found = get_export(connection, identity)
        evidence = read_evidence(folder_of(domain, identity), found.evidence_digest or "")
        its_job = get_job(connection, found.job)
        votes = tuple(visible_reviews(connection, session, found))
        notes = tuple(visible_notes(connection, session, found))
        people = {found.requested_by, *(one.person for one in votes), *(one.person for one in notes)}
        return Page(
            domain=domain.name,
            at=stamp(moment),
            export=found,
            standing=standing(found, moment),
            job=its_job,
            scenario=get_scenario(connection, its_job.scenario),
            tenant=get_organisation(connection, its_job.tenant),
            requested_by=found.requested_by,
            evidence=evidence,
            files=files,
            findings=tuple(_shown(one) for one in evidence["findings"]),
            not_applicable=not_applicable(found.kind, evidence["findings"]),
            told=_told(connection, found, its_job, evidence),
            costs=(*_budget(connection, found, its_job, evidence), *_bits(domain, connection, found, its_job)),
            lineage=Graph.read(connection).origins(f"product:{found.id}/{found.product}"),
            votes=votes,
            notes=notes,
            names=names_of(connection, people),
        )


def not_applicable(kind: str, findings: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Give the families of checks that are not about this kind of product; a family that said something is."""
    spoke = {str(one["check"]).partition(".")[0] for one in findings}
    return tuple(family for family, kinds in APPLIES.items() if kind not in kinds and family not in spoke)


def _shown(finding: Mapping[str, Any]) -> Mapping[str, Any]:
    """A finding without its private part, which may quote rows."""
    return {name: value for name, value in finding.items() if name != "evidence"}


def _universes(connection: Connection, evidence: Mapping[str, Any]) -> list[str]:
    kinds = (get_dataset(connection, one["dataset"]).subject_kind for one in evidence["sources"])
    return sorted({kind.value for kind in kinds if kind is not None})


def _told(connection: Connection, found: Export, its_job: Job, evidence: Mapping[str, Any]) -> tuple[Told, ...]:
    return tuple(
        Told(
            universe,
            _split(_tables_told(connection, found, universe), its_job.tenant),
            _split(
                [one.tenant for one in charges(connection, universe) if one.export != found.id],
                its_job.tenant,
            ),
        )
        for universe in _universes(connection, evidence)
    )


def _tables_told(connection: Connection, found: Export, universe: str) -> list[str]:
    query = (
        select(job.c.tenant)
        .join(exports, exports.c.job == job.c.id)
        .join(record_told, record_told.c.export == exports.c.id)
        .where(record_told.c.universe == universe, record_told.c.export != found.id)
    )
    return [str(row.tenant) for row in connection.execute(query)]


def _split(tenants: list[str], own: str) -> Mapping[str, int]:
    """Count the tenant's own and the others' together: which others is not told (D1)."""
    mine = tenants.count(own)
    return {_OWN: mine, _OTHERS: len(tenants) - mine}


def _budget(connection: Connection, found: Export, its_job: Job, evidence: Mapping[str, Any]) -> list[Cost]:
    """Read the ledger of budget: every limit that this export's subjects, tenant and scenario fall under."""
    caps, costs = Caps(), []
    for universe in _universes(connection, evidence):
        made = charges(connection, universe)
        limits = {
            "scenario": (caps.scenario, [one for one in made if one.scenario == its_job.scenario]),
            "tenant": (caps.tenant, [one for one in made if one.tenant == its_job.tenant]),
            "universe": (caps.universe, made),
        }
        for limit, (cap, within) in limits.items():
            after = sum((one.rho for one in within), Fraction(0))
            here = sum((one.rho for one in within if one.export == found.id), Fraction(0))
            costs.append(_rho(limit, after - here, here, cap))
    return costs


def _rho(limit: str, before: Fraction, here: Fraction, cap: Fraction) -> Cost:
    after = before + here
    return Cost(
        ledger="budget",
        limit=limit,
        before=decimal(before),
        here=decimal(here),
        after=decimal(after),
        cap=decimal(cap),
        epsilon_before=decimal(epsilon_within(before, _DELTA), places=2),
        epsilon_after=decimal(epsilon_within(after, _DELTA), places=2),
        share=int(100 * after / cap),
    )


def _bits(domain: Domain, connection: Connection, found: Export, its_job: Job) -> list[Cost]:
    """Read the ledger of bits: what opaque things of the scenario and the tenant may have told."""
    caps, total = caps_of(domain), select(func.coalesce(func.sum(bit_charge.c.bits), 0))
    about = {found.id, found.run} - {None}
    here = int(connection.execute(total.where(bit_charge.c.subject.in_(about))).scalar_one())
    limits = {
        "scenario": (caps.scenario, bit_charge.c.scenario == its_job.scenario),
        "tenant": (caps.tenant, bit_charge.c.tenant == its_job.tenant),
    }
    costs = []
    for limit, (cap, within) in limits.items():
        after = int(connection.execute(total.where(within)).scalar_one())
        share = 100 * after // cap if cap else 100
        costs.append(Cost("bits", limit, str(after - here), str(here), str(after), str(cap), "", "", share))
    return costs
