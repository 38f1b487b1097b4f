"""The gate's first half: take a requested export, make the product itself, check it, and write the evidence (E1–E3, laws 2, 3, 7).

Order as in the architecture page: what cannot be checked ends first; a statistic is priced and charged before any data is read;
then the worker makes the product in its jail; policy, evidence and the log entry follow in one transaction. A crash before that
transaction leaves a requested export and at most a charge, and the check is simply asked for again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export_gate.artefact import File, card_file, model_files, table_files
from export_gate.attacks.asking import attack_table
from export_gate.evidence import Evidence, Source, write_evidence
from export_gate.exports import Export, find_product, folder_of, get_export, move
from export_gate.file.lane import Handed, take_file
from export_gate.finding import Finding, Verdict, worst
from export_gate.findings import findings_from_json, plain_reasons
from export_gate.gatekeeper import Gatekeeper, WorkerFailedError
from export_gate.lanes import question_of
from export_gate.ledger import Caps, Claim, admit, question_key, store_answer, stored_answer
from export_gate.origins import column_sources, feature_sources
from export_gate.policy import LABELS, check_grade
from export_gate.rawmatch.asking import search_made
from export_gate.records.judging import Judged
from export_gate.records.remembering import NO_SUBJECTS, Asked, judged, keep_all, opened_numbers
from export_gate.records.tries import check_tries
from export_gate.report.lane import Drawn
from export_gate.report.making import Origin, make_drawn
from export_gate.resuming import check_resumed
from export_gate.states import ExportState
from export_gate.statistic import Question
from export_gate.statistic.answer import number_columns
from export_gate.table.check import CellPolicy
from jobs.jail.backends import name_of
from jobs.query import parse_query, parse_rows
from jobs.runs import get_job
from jobs.selftest_held import check_held
from jobs.spec import FileProduct, ModelProduct, Product, StatisticProduct, TableProduct, load_job
from jobs.spec import Job as JobSpec
from jobs.supervisor import frozen_folder
from lineage.canonical import Json
from lineage.clock import stamp
from lineage.errors import BudgetError, DefinitionError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox.agreements import get_scenario
from sandbox.catalogue import columns_of, get_dataset, versions_of
from sandbox.columns import Grade, SubjectKind
from sandbox.domain import Domain
from sandbox.grants import Grant, Provisioned, Zone, live_grant, tables_of, zone_opened


@dataclass(frozen=True)
class Case:
    """Everything the gate knows of an export before it touches data."""

    export: Export
    spec: JobSpec
    product: Product
    folder: Path
    digest: str
    tenant: str
    scenario: str
    purpose: str
    grant: Grant
    zone: Zone
    tables: Mapping[str, Provisioned]
    sources: tuple[Source, ...]
    subjects: Mapping[str, str]
    kinds: Mapping[str, SubjectKind]
    grade: Grade

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Column names by input name."""
        return {name: table.columns for name, table in self.tables.items()}


@dataclass(frozen=True)
class Made:
    """What came out of a lane: files, findings, which source columns each result column comes from, whom an exact table tells of."""

    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    columns: Mapping[str, list[str]]
    records: tuple[Judged, ...] = ()
    origin: Origin | None = None


def check_export(gate: Gatekeeper, identity: str, caps: Caps | None = None) -> Export:
    """Make and check the product of a requested export; gives the export as it is then.

    Raises:
        BudgetError: the budget does not suffice; the export is refused for that reason.
        MissingPartError: a part the check needs is missing; the export waits and may be checked again.
    """
    domain = gate.domain
    case = open_case(domain, identity)
    with domain.read() as connection:
        check_resumed(connection)
        if case.zone is Zone.INPUT:
            # Before anything is charged: the gate's own jail opens full rows, like a production run's (law 7).
            check_held(connection, name_of(domain.settings))
    try:
        made = search_made(gate, case, _make(gate, case, caps or Caps()), _seed(domain, case))
    except BudgetError:
        reason = "file.over-bits" if isinstance(case.product, FileProduct) else "gate.over-budget"
        finding = Finding("budget.limit", 1, Verdict.BLOCK, reason)
        _settle(domain, case, Made((), (finding,), {}))
        raise
    except WorkerFailedError as error:
        # One sentence for whatever went wrong on the data: which error it was would be an answer from the data (law 8).
        hidden = {"code": error.code}
        finding = Finding("gate.description", 1, Verdict.CANNOT_CHECK, "gate.not-carried-out", evidence=hidden)
        made = Made((), (finding,), {})
    except DefinitionError as error:
        # The description could not be carried out: a check that could not run is "cannot check" (law 7).
        finding = Finding("gate.description", 1, Verdict.CANNOT_CHECK, error.code, error.params)
        made = Made((), (finding,), {})
    return _settle(domain, case, made)


def open_case(domain: Domain, identity: str) -> Case:
    """Gather what is known of an export.

    Raises:
        DefinitionError: it was checked already.
        NotPermittedError: the scenario may not work now (A8, A9).
    """
    at = stamp(domain.now())
    with domain.read() as connection:
        export = get_export(connection, identity)
        if export.state is not ExportState.REQUESTED:
            raise DefinitionError("export.checked-already", export=identity)
        job = get_job(connection, export.job)
        spec = load_job(frozen_folder(domain, job))
        product = find_product(spec, export.product)
        grant = live_grant(connection, job.scenario, at)
        zone = Zone.VIEW if isinstance(product, ModelProduct) and product.train_on == "view" else Zone.INPUT
        granted = tables_of(connection, grant, zone)
        absent = sorted(set(spec.inputs.values()) - set(granted))
        if absent:
            raise DefinitionError("job.table-not-granted", tables=", ".join(absent))
        tables = {name: granted[dataset] for name, dataset in spec.inputs.items()}
        datasets = {name: get_dataset(connection, dataset) for name, dataset in spec.inputs.items()}
        sources, grades = [], [Grade.OPEN]
        for name, table in tables.items():
            version = next(one for one in versions_of(connection, table.dataset) if one.version == table.version)
            sources.append(Source(name, datasets[name].name, version.version, version.as_of, table.id, table.rows))
            held = {column.name: column for column in columns_of(connection, table.dataset)}
            # The subject key is a keyed pseudonym here, not what its grade was given for.
            grades += [
                column.grade
                for column in held.values()
                if column.name in table.columns and column.grade and column.name != datasets[name].subject_column
            ]
        scenario = get_scenario(connection, job.scenario)
    return Case(
        export=export,
        spec=spec,
        product=product,
        folder=frozen_folder(domain, job),
        digest=job.digest,
        tenant=job.tenant,
        scenario=job.scenario,
        purpose=scenario.purpose,
        grant=grant,
        zone=zone,
        tables=tables,
        sources=tuple(sources),
        subjects={name: one.subject_column for name, one in datasets.items() if one.subject_column},
        kinds={name: one.subject_kind for name, one in datasets.items() if one.subject_kind},
        grade=max(grades),
    )


@contextmanager
def opened_tables(domain: Domain, case: Case) -> Iterator[dict[str, Path]]:
    """Open the zone a product reads and give the folder of each input."""
    with zone_opened(domain, case.grant, case.zone) as folder:
        yield {name: folder / table.id for name, table in case.tables.items()}


def _make(gate: Gatekeeper, case: Case, caps: Caps) -> Made:
    match case.product:
        case StatisticProduct():
            return _statistic(gate, case, case.product, caps)
        case TableProduct():
            return _table(gate, case, case.product)
        case ModelProduct():
            return _model(gate, case, case.product)
        case FileProduct():
            return _file(gate, case, case.product)
        case one if isinstance(one, Drawn):
            drawn = make_drawn(gate, case.export, one, case.folder, case.scenario)
            return Made(drawn.files, drawn.findings, drawn.columns, origin=drawn.origin)
        case _:
            # Models that a run handed over: no check knows them yet, so they stay in (law 7).
            params = {"product": case.export.product, "kind": f"label.product.{case.export.kind}"}
            finding = Finding("gate.kind", 1, Verdict.CANNOT_CHECK, "gate.kind-not-checked", params)
            return Made((), (finding,), {})


def _statistic(gate: Gatekeeper, case: Case, product: StatisticProduct, caps: Caps) -> Made:
    from export_gate.statistic import Answer, price

    question = question_of(product, case.columns, case.spec.steps, case.subjects)
    cost = price(question)
    read = {name: case.tables[name] for name in question.query.tables}
    key = question_key(question.canonical() + _shape(question), [f"{name}={table.id}" for name, table in read.items()])
    (universe,) = {case.kinds[name] for name in read if name in case.kinds}
    claim = Claim(
        question=key,
        export=case.export.id,
        universe=universe.value,
        datasets=tuple(sorted({table.dataset for table in read.values()})),
        tenant=case.tenant,
        scenario=case.scenario,
        rho=cost.rho,
        delta=cost.delta,
    )
    with gate.domain.read() as connection:
        answer = stored_answer(connection, key)
    if answer is None:
        # Charged and committed before any noise is drawn; a crash after this line leaves a charge, never a free answer (law 3).
        with gate.domain.change(PLATFORM) as change:
            admit(change, claim, caps)
        answer = str(_work(gate, case)["answer"])
        with gate.domain.change(PLATFORM) as change:
            store_answer(change, key, answer)
            change.record(Kind.PRODUCT_MADE, [case.export.id], {"question": key})
            answer = stored_answer(change.connection, key) or answer
    measured = Answer.from_json(answer)
    # The stored answer may have been asked for under other column names; their places are the same.
    columns = answer_columns(question)
    files = (*table_files(columns, measured.rows, len(question.query.keys)), card_file(measured.card))
    params = {"rho": _decimal(cost.rho), "delta": _decimal(cost.delta), "epsilon": _decimal(product.epsilon)}
    finding = Finding("statistic.measured", 1, Verdict.NO_ATTACK_SUCCEEDED, "gate.measured", params, params)
    return Made(files, (finding,), column_sources(question.query, _nodes(case)))


def _shape(question: Question) -> str:
    """The order of keys and numbers, which the canonical text leaves open."""
    keys = [key.expression for key in question.query.keys]
    return "\n".join(["", *keys] + [f"{one.function} {one.argument}" for one in question.query.aggregates])


def answer_columns(question: Question) -> tuple[str, ...]:
    """Name the columns of a statistic's answer: keys, then each number with its error and interval."""
    keys = tuple(key.name for key in question.query.keys)
    numbers = (number_columns(one.name) for one in question.query.aggregates)
    return keys + tuple(name for columns in numbers for name in columns)


def _table(gate: Gatekeeper, case: Case, product: TableProduct) -> Made:
    query = parse_query(product.sql, case.columns, case.spec.steps)
    asked = Asked(query, case.subjects, case.kinds, {one.name: one.dataset for one in case.sources}, case.tenant)
    with gate.domain.read() as connection:
        spent = check_tries(gate.domain, connection, case.scenario)
    if spent is not None:
        return Made((), (spent,), {})
    result = _work(gate, case, tuple(dict.fromkeys(asked.about)))
    table, findings = result.get("table"), findings_from_json(result["findings"])
    columns = column_sources(query, _nodes(case))
    if not table:
        return Made((), findings, columns)
    records = judged(gate.domain, asked, result["records"], CellPolicy())
    findings += tuple(one for each in records for one in each.findings) if records else (NO_SUBJECTS,)
    findings += attack_table(gate.domain, case, query, result, findings)
    return Made(table_files(table["columns"], table["rows"], len(query.keys)), findings, columns, records)


def _model(gate: Gatekeeper, case: Case, product: ModelProduct) -> Made:
    if product.train_on != "view":
        # Training on inputs is the exception that a policy must open with the authority's reason; none does yet (P2, law 7).
        finding = Finding("policy.train-on-input", 1, Verdict.BLOCK, "policy.train-on-input")
        return Made((), (finding,), {})
    rows = parse_rows(product.features, case.columns, case.spec.steps)
    result = _work(gate, case)
    files = model_files(result["onnx"], result["card"]) if result["onnx"] else ()
    sources = feature_sources(rows, _nodes(case))
    return Made(files, findings_from_json(result["findings"]), {product.target: sources})


def _file(gate: Gatekeeper, case: Case, product: FileProduct) -> Made:
    if case.export.run is None:
        raise DefinitionError("export.run-missing")
    export, subjects = case.export, max((source.rows for source in case.sources), default=0)
    whom = (case.tenant, case.scenario, export.requested_by)
    handed = Handed(product, case.spec, case.export.run, export.id, *whom, case.grade, subjects)
    taken = take_file(gate, handed)
    # No columns: what a run's code made anything from nobody knows, so in the graph it comes from all that it could read.
    return Made(taken.files, taken.findings, {})


def _work(gate: Gatekeeper, case: Case, numbered: tuple[str, ...] = ()) -> dict[str, Any]:
    request = {
        "numbered": list(numbered),
        "product": case.export.product,
        "subjects": dict(case.subjects),
        "preview": False,
        "seed": _seed(gate.domain, case),
        "purpose": case.purpose,
    }
    about = {name: case.tables[name] for name in numbered}
    with opened_tables(gate.domain, case) as folders, opened_numbers(gate.domain, case.grant, about) as numbers:
        mounted = {**folders, **numbers}
        return gate.work(request, case.folder, mounted, case.scenario, case.export.requested_by)


def _seed(domain: Domain, case: Case) -> int:
    """Derive a model's seed from the tenant's key and exactly what is asked (law 9).

    Drawn anew at each request it could be drawn again until a check happens to pass, or to train many models on the same rows.
    """
    asked = [case.digest, case.export.product, *sorted(table.id for table in case.tables.values())]
    digest = hmac.digest(domain.keys.tenant_key(case.tenant), "\n".join(["shuzha seed", *asked]).encode(), "sha256")
    return int.from_bytes(digest[:4], "big")


def _settle(domain: Domain, case: Case, made: Made) -> Export:
    """Write evidence and files and move the export, in one transaction with its entries (law 5)."""
    label = made.origin.label if made.origin else LABELS[case.export.kind]
    findings = (*made.findings, check_grade(label, case.grade))
    verdict = worst(findings)
    files = made.files if verdict.lets_out else ()
    evidence = Evidence(
        export=case.export.id,
        job=case.digest,
        product=case.export.product,
        kind=case.export.kind,
        label=label.value,
        verdict=verdict.value,
        sources=made.origin.sources if made.origin else case.sources,
        findings=findings,
        files=files,
    )
    to = ExportState.IN_REVIEW if verdict.lets_out else ExportState.REFUSED
    reasons = plain_reasons(findings)
    with domain.change(PLATFORM) as change:
        if get_export(change.connection, case.export.id).state is not case.export.state:
            raise DefinitionError("export.moved-meanwhile", export=case.export.id)
        # Written where nobody else writes: a second check of the same export must not put its files under the first one's digest.
        digest = write_evidence(folder_of(domain, case.export.id), evidence)
        move(change, case.export, to, verdict=verdict.value, reasons=reasons, evidence_digest=digest)
        kept = keep_all(change, domain, case.export.id, made.records if verdict.lets_out else ())
        entry = {**_entry(case, made, verdict, digest, reasons), **({"records": kept} if kept else {})}
        change.record(Kind.EXPORT_CHECKED, _subjects(case), entry)
        return get_export(change.connection, case.export.id)


def _entry(case: Case, made: Made, verdict: Verdict, digest: str, reasons: list[Json]) -> dict[str, Json]:
    node = f"product:{case.export.id}/{case.export.product}"
    run = [f"run:{case.export.run}"] if case.export.run else []
    return {
        "verdict": verdict.value,
        "evidence": digest,
        "reasons": reasons,
        "lineage": {
            "from": [
                *(made.origin.nodes if made.origin else sorted(_nodes(case).values())),
                f"job:{case.digest}",
                *run,
            ],
            "to": [node],
            "columns": {f"{node}#{column}": sources for column, sources in made.columns.items()},
            "nodes": {node: {"title": case.export.product}, f"job:{case.digest}": {"title": case.spec.name}},
        },
    }


def _subjects(case: Case) -> list[str]:
    return [
        case.export.id,
        case.export.job,
        case.scenario,
        case.tenant,
        *([case.export.run] if case.export.run else []),
    ]


def _nodes(case: Case) -> dict[str, str]:
    return {name: f"table:{table.id}" for name, table in case.tables.items()}


def _decimal(value: Any) -> str:
    return f"{float(value):.9f}".rstrip("0").rstrip(".")
