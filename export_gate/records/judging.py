"""What the ledger of record sets says of a table, as findings: at its check, and once more when it is released (law 4; B6, B26).

A tenant is told which of its own releases stands against a table, so that it can ask differently; of another tenant's it learns no
more than that there is one (D1). Who stands against whom is in the evidence, for those who decide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from desensitize.gate_key import Sealer
from export_gate.finding import Finding, Verdict
from export_gate.records.compare import Comparison, Difference, compare
from export_gate.records.ledger import Ledger, Told, read_ledger
from export_gate.records.recorded import Recorded
from export_gate.records.unions import MOST_TABLES
from export_gate.table.check import CellPolicy, coarse
from lineage.errors import Param


VERSION = 1
CHECK, REPEATED = "records.differencing", "records.same-numbers"
_MOST_EVIDENCE = 50


@dataclass(frozen=True)
class Judged:
    """The findings on one recorded table, and the newest release that they know of."""

    record: Recorded
    findings: tuple[Finding, ...]
    compared: int


def judge(
    connection: Connection, record: Recorded, tenant: str, policy: CellPolicy, sealer: Sealer, after: int = 0
) -> Judged:
    """Compare a table with what was told after a place in the order of releases.

    Raises:
        MissingPartError: the ledger is not whole (law 7).
    """
    ledger = read_ledger(connection, record.universe, sealer, after)
    made = compare(record, ledger.earlier, policy.minimum_count)
    parameters: Mapping[str, Param] = {
        "minimum_count": policy.minimum_count,
        "pairs": "every pair with an earlier number, of any tenant, table and version",
        "margins": "each table's sums over its keys count as its numbers",
        "unions": "sums of cells of one table against each number of another, for the newest tables",
        "unions_most_tables": MOST_TABLES,
        "not_searched": "sums of numbers of three or more separate releases",
    }
    evidence: dict[str, Param] = {
        "universe": record.universe,
        "earlier_tables": len(ledger.tables),
        "earlier_numbers": len(ledger.earlier.heads),
        "looked_at": made.looks,
        "unions_of_tables": made.unions,
    }
    return Judged(record, tuple(_findings(made, ledger, tenant, parameters, evidence, policy)), ledger.upto)


def _findings(
    made: Comparison,
    ledger: Ledger,
    tenant: str,
    parameters: Mapping[str, Param],
    evidence: Mapping[str, Param],
    policy: CellPolicy,
) -> Sequence[Finding]:
    if not made.complete:
        return [Finding(CHECK, VERSION, Verdict.CANNOT_CHECK, "records.too-many-pairs", {}, parameters, evidence)]
    found: list[Finding] = []
    if made.differences:
        found.append(_difference(made.differences, ledger.tables, tenant, parameters, evidence, policy))
    else:
        passed = Verdict.NO_ATTACK_SUCCEEDED
        found.append(Finding(CHECK, VERSION, passed, "records.passed", {}, parameters, evidence))
    if made.repeated:
        params: dict[str, Param] = {"columns": ", ".join(made.repeated)}
        found.append(Finding(REPEATED, VERSION, Verdict.REVIEW, REPEATED, params, {}, {}))
    return found


def _difference(
    differences: Sequence[Difference],
    tables: Sequence[Told],
    tenant: str,
    parameters: Mapping[str, Param],
    evidence: Mapping[str, Param],
    policy: CellPolicy,
) -> Finding:
    cells = len({(one.key, one.column) for one in differences})
    against = list(dict.fromkeys(tables[one.table] for one in differences))
    own = [one.export for one in against if one.tenant == tenant]
    params: dict[str, Param] = {"failing": coarse(cells), "minimum": policy.minimum_count}
    if own:
        params["release"] = own[-1]
    shown = [
        [
            list(one.key),
            one.column,
            tables[one.table].export,
            list(one.earlier_key),
            one.earlier_column,
            one.how,
            one.apart,
        ]
        for one in differences[:_MOST_EVIDENCE]
    ]
    told: dict[str, Param] = {
        "failing": cells,
        "releases": ", ".join(one.export for one in against[:_MOST_EVIDENCE]),
        "differences": json.dumps(shown, ensure_ascii=False),
    }
    reason = "records.difference-own" if own else "records.difference"
    return Finding(CHECK, VERSION, Verdict.BLOCK, reason, params, parameters, {**evidence, **told})
