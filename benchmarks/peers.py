"""The gate beside ACRO 1.0.2 on one population: who catches what, and what is stopped without need.

``python benchmarks/peers.py`` makes ACRO's environment under ``.tools/peers`` by uv (it is no dependency of the product), asks both, prints
a table and writes it into ``docs/gate.md`` between its marks.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "gate.md"
BEGIN, END = "<!-- peers: written by benchmarks/peers.py -->", "<!-- peers: end -->"
PLACE = ROOT / ".tools" / "peers" / "acro"
COLUMNS = ("person", "district", "sex", "ill", "income")


@dataclass(frozen=True)
class Table:
    """One table in ACRO's words and in the gate's: an aggregate of a column by another, of some of the people."""

    aggregate: str
    of: str = "income"
    by: str = "district"
    where: str = "district in ['A', 'B', 'C']"

    @property
    def sql(self) -> str:
        """The same as a query."""
        where = self.where.replace("==", "=").replace("!=", "<>").replace("[", "(").replace("]", ")")
        if self.aggregate == "count":
            return f"SELECT {self.by}, sex, COUNT(*) AS x FROM people WHERE {where} GROUP BY {self.by}, sex"  # noqa: S608 - constants above
        function = {"mean": "AVG", "sum": "SUM", "max": "MAX", "min": "MIN"}[self.aggregate]
        return f"SELECT {self.by}, {function}({self.of}) AS x FROM people WHERE {where} GROUP BY {self.by}"  # noqa: S608 - constants above


LEAKS: Mapping[str, tuple[Table, ...]] = {
    "the largest income of each district": (Table("max"),),
    "the smallest income of each district": (Table("min"),),
    "mean of 0/1 where a whole district is ill": (Table("mean", of="ill", where="district in ['A', 'Z']"),),
    "one person is nearly the whole total": (Table("sum", where="district in ['A', 'E']"),),
    "the same, and a negative value in another district": (Table("sum", where="district in ['A', 'E', 'N']"),),
    "a cell of three people": (Table("count", where="district in ['A', 'T']"),),
    "two tables that differ by one person": (
        Table("sum"),
        Table("sum", where="district in ['A', 'B', 'C'] and person != 'p007'"),
    ),
}
TWINS: Mapping[str, tuple[Table, ...]] = {
    "mean income by district": (Table("mean"),),
    "total income by district": (Table("sum"),),
    "share of the ill by district": (Table("mean", of="ill"),),
    "people by district and sex": (Table("count"),),
    "total income by district and by sex": (Table("sum"), Table("sum", by="sex")),
}


def people() -> list[tuple[Any, ...]]:
    """Draw people from a seed: A to C ordinary, Z all ill, E with one very rich, N with one small debt, T of three."""
    draw = random.Random(20261122)
    rows: list[tuple[Any, ...]] = [
        (f"p{n:03}", "ABC"[n % 3], draw.choice("FM"), int(draw.random() < 0.4), draw.randrange(2000, 9000))
        for n in range(600)
    ]
    for district, size in {"Z": 60, "E": 60, "N": 60, "T": 3}.items():
        for n in range(size):
            income = (
                9_000_000
                if (district, n) == ("E", 0)
                else -1
                if (district, n) == ("N", 0)
                else draw.randrange(2000, 9000)
            )
            ill = 1 if district == "Z" else n % 2
            rows.append((f"{district.lower()}{n:02}", district, "FM"[n % 2], ill, income))
    return rows


def ask_gate(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Ask the gate's own checks: of cells, and of tables together by whom their numbers depend on."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE people (person TEXT, district TEXT, sex TEXT, ill INTEGER, income BIGINT)")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute('CREATE TABLE "people numbers" (token TEXT, number UINTEGER)')
        numbered = [(row[0], number) for number, row in enumerate(rows)]
        connection.executemany('INSERT INTO "people numbers" VALUES (?, ?)', numbered)
        return {name: _gate(connection, tables) for name, tables in {**LEAKS, **TWINS}.items()}


def _gate(connection: Any, tables: Sequence[Table]) -> str:
    """Judge tables one after another, each beside those before it, as the gate does at a release."""
    from export_gate.finding import worst
    from export_gate.records.compare import compare
    from export_gate.records.remembering import Asked, recorded
    from export_gate.records.vectors import to_wire
    from export_gate.table import CellPolicy, judge_table
    from jobs.query import parse_query
    from sandbox.columns import SubjectKind
    from tests.attack.test_differencing_across_releases import remembered

    verdicts: list[str] = []
    told: list[Any] = []
    for table in tables:
        query = parse_query(table.sql, {"people": list(COLUMNS)}, {})
        made = judge_table(connection, query, {"people": "person"}, CellPolicy(), {"people": "people numbers"})
        verdicts.append(worst(made.findings).value)
        if not worst(made.findings).lets_out:
            continue
        asked = Asked(query, {"people": "person"}, {"people": SubjectKind.PERSON}, {"people": "p.people"}, "T")
        parts = [
            {"vectors": to_wire(vectors), "counts": [one.counts for one in facts.columns]}
            for vectors, facts in zip(made.records, made.recomputed, strict=True)
        ]
        (record,) = recorded(asked, parts)
        if told and compare(record, remembered(*told), CellPolicy().minimum_count).differences:
            verdicts[-1] = "block"
        told.append(record)
    return ", ".join(verdicts)


def ask_acro(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Ask ACRO in its own environment, which is made when it is not there."""
    if not (PLACE / "bin" / "python").exists():
        uv = str(ROOT / ".tools" / "uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--python", "3.11", str(PLACE)], check=True)
        subprocess.run([uv, "pip", "install", "--python", str(PLACE / "bin" / "python"), "acro==1.0.2"], check=True)
    cases = {name: [vars(table) for table in tables] for name, tables in {**LEAKS, **TWINS}.items()}
    asked = json.dumps({"columns": COLUMNS, "rows": rows, "cases": cases})
    command = [str(PLACE / "bin" / "python"), str(ROOT / "benchmarks" / "peers_acro.py")]
    told = subprocess.run(command, input=asked, capture_output=True, text=True, check=True, timeout=600).stdout
    (line,) = [one for one in told.splitlines() if one.startswith("ANSWERS ")]
    answers: dict[str, str] = json.loads(line.removeprefix("ANSWERS "))
    return answers


def table(gate: Mapping[str, str], acro: Mapping[str, str]) -> str:
    """Write both answers side by side; two tables in a row have two answers."""
    lines = ["| table | planted | the gate | ACRO 1.0.2 |", "|---|---|---|---|"]
    for kind, cases in (("leak", LEAKS), ("innocent", TWINS)):
        lines += [f"| {name} | {kind} | {gate[name]} | {acro[name]} |" for name in cases]
    return "\n".join(lines)


def main() -> int:
    """Ask both, print, write; exit code 1 when the gate misses a leak or stops a twin."""
    rows = people()
    gate = ask_gate(rows)
    text = table(gate, ask_acro(rows))
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE} has lost its marks")
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
    missed = [name for name in LEAKS if "block" not in gate[name]]
    stopped = [name for name in TWINS if "block" in gate[name] or "cannot check" in gate[name]]
    return 1 if missed or stopped else 0


if __name__ == "__main__":
    raise SystemExit(main())
