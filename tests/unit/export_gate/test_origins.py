"""Where a product's columns come from: nothing that made or chose a number is left out of the graph (L1, E6)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from export_gate.origins import column_sources, feature_sources
from jobs.query import parse_query, parse_rows


COLUMNS = {
    "visits": ("resident_id", "district", "clinic", "cost"),
    "people": ("resident_id", "district", "age"),
}
NODES = {"visits": "V", "people": "P"}
JOINED = "visits v JOIN people p ON v.resident_id = p.resident_id"

ROWS: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, str]]] = {
    "a group": (
        "SELECT district, COUNT(*) AS n FROM visits GROUP BY district",
        {},
        {"district": "V.district", "n": "V.district"},
    ),
    "no group": ("SELECT COUNT(*) AS n FROM visits", {}, {"n": ""}),
    "a number": (
        "SELECT district, SUM(cost) AS c FROM visits GROUP BY district",
        {},
        {"district": "V.district", "c": "V.cost V.district"},
    ),
    "a condition": (
        "SELECT district, COUNT(*) AS n FROM visits WHERE cost > 3 GROUP BY district",
        {},
        {"district": "V.cost V.district", "n": "V.cost V.district"},
    ),
    "an expression": (
        "SELECT SUM(CASE WHEN cost > 3 AND clinic = 'a' THEN 1 ELSE 0 END) AS n FROM visits",
        {},
        {"n": "V.clinic V.cost"},
    ),
    "both sides of a join": (
        f"SELECT COUNT(*) AS n FROM {JOINED}",
        {},
        {"n": "P.resident_id V.resident_id"},
    ),
    "a name that both tables have": (
        f"SELECT p.district AS d, COUNT(*) AS n FROM {JOINED} GROUP BY p.district",
        {},
        {
            "d": "P.district P.resident_id V.resident_id",
            "n": "P.district P.resident_id V.resident_id",
        },
    ),
    "a condition on the second of two equal names": (
        f"SELECT COUNT(*) AS n FROM {JOINED} WHERE p.district = 'x'",
        {},
        {"n": "P.district P.resident_id V.resident_id"},
    ),
    "a table with itself": (
        "SELECT COUNT(*) AS n FROM visits a JOIN visits b ON a.clinic = b.district WHERE b.cost > 1",
        {},
        {"n": "V.clinic V.cost V.district"},
    ),
    "a condition in a step on what the step does not give": (
        "SELECT d, COUNT(*) AS n FROM dear GROUP BY d",
        {"dear": "SELECT district AS d FROM visits WHERE cost > 3"},
        {"d": "V.cost V.district", "n": "V.cost V.district"},
    ),
    "a column that a step computes": (
        "SELECT SUM(both) AS s FROM summed",
        {"summed": f"SELECT p.age + v.cost AS both FROM {JOINED}"},
        {"s": "P.age P.resident_id V.cost V.resident_id"},
    ),
    "a step on a step, under other names": (
        "SELECT b, COUNT(*) AS n FROM second WHERE c IS NOT NULL GROUP BY b",
        {
            "first": "SELECT district AS a, cost * 2 AS twice FROM visits WHERE clinic = 'x'",
            "second": "SELECT a AS b, twice + 1 AS c FROM first",
        },
        {"b": "V.clinic V.cost V.district", "n": "V.clinic V.cost V.district"},
    ),
    "a join of steps": (
        "SELECT d, COUNT(*) AS n FROM s JOIN t ON s.r = t.r GROUP BY d",
        {
            "s": "SELECT district AS d, resident_id AS r FROM visits",
            "t": "SELECT resident_id AS r FROM people WHERE age > 60",
        },
        {
            "d": "P.age P.resident_id V.district V.resident_id",
            "n": "P.age P.resident_id V.district V.resident_id",
        },
    ),
}


def nodes(text: str) -> list[str]:
    return [name.replace(".", "#") for name in text.split()]


@pytest.mark.parametrize("name", ROWS)
def test_a_column_depends_on_all_that_made_and_chose_it(name: str) -> None:
    sql, steps, expected = ROWS[name]
    found = column_sources(parse_query(sql, COLUMNS, steps), NODES)
    assert found == {column: nodes(text) for column, text in expected.items()}


def test_a_model_depends_on_every_column_of_its_rows_and_on_what_chose_them() -> None:
    rows = parse_rows(
        f"SELECT v.resident_id, p.age * 2 AS twice, v.cost > 3 AS target FROM {JOINED} WHERE v.clinic = 'x'",
        COLUMNS,
        {},
    )
    assert feature_sources(rows, NODES) == nodes("P.age P.resident_id V.clinic V.cost V.resident_id")


def test_a_table_without_a_node_is_an_error() -> None:
    with pytest.raises(KeyError):
        column_sources(parse_query("SELECT COUNT(*) AS n FROM visits", COLUMNS, {}), {})
