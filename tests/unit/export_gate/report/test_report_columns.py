"""The graph follows exactly the columns that a chart or report shows (L1, E6)."""

from __future__ import annotations

from export_gate.chart.numbers import Numbers
from export_gate.report.columns import shown_columns
from jobs.spec import ChartProduct, ReportProduct


NUMBERS = {"v": Numbers(("district", "visits", "visits_stderr", "visits_low", "visits_high", "cost"), ())}
SPEC = '{"layer": [{"encoding": {"x": {"field": "district"}}}, {"encoding": {"y": {"field": "visits_low"}, "y2": {"field": "visits"}}}]}'
CHART = ChartProduct("m", "v", SPEC)


def test_a_chart_shows_what_it_names_and_errors_belong_to_their_number() -> None:
    shown = shown_columns(CHART, [CHART], NUMBERS, {"v": "product:1/v"})
    assert shown == {"district": ["product:1/v#district"], "visits": ["product:1/v#visits"]}


def test_a_report_shows_cells_with_their_keys_tables_and_charts() -> None:
    nodes = {"v": "product:1/v", "m": "product:2/m"}
    cell = ReportProduct("r", '{{ v.cell("visits_low", district="north") }}')
    assert set(shown_columns(cell, [CHART], NUMBERS, nodes)) == {"v.district", "v.visits"}
    table = ReportProduct("r", "{{ v.table() }}\n\n{{ m.chart() }}")
    shown = shown_columns(table, [CHART], NUMBERS, nodes)
    assert set(shown) == {"v.district", "v.visits", "v.cost", "m.district", "m.visits"}
    assert shown["m.visits"] == ["product:2/m#visits"]
