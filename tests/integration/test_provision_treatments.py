"""Every treatment as Spark computes it, one row a value."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from desensitize.policy import ColumnPlan
from desensitize.population import level_expression
from desensitize.rowfilter import parse_filter
from desensitize.treatments import (
    Constant,
    DateUnit,
    Drop,
    GeneraliseCategory,
    GeneraliseNumber,
    GeneraliseRegion,
    Keep,
    Mask,
    Prefix,
    RoundSignificant,
    TopCode,
    TruncateDate,
    ValueTreatment,
    YearBand,
)
from sandbox.columns import Column, Grade, Role


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

MAJORITY = GeneraliseCategory((("汉族", "汉族"), ("汉", "汉族")), "少数民族")
BORN = date(1987, 6, 5)
TABLE: list[tuple[ValueTreatment, str, list[tuple[Any, Any]]]] = [
    (Keep(), "string", [("a", "a"), (None, None)]),
    (Drop(), "string", [("a", None)]),
    (Drop(), "date", [(BORN, None)]),
    (Constant("x"), "string", [("a", "x"), (None, "x")]),
    (Mask(3, 4), "string", [("13812345678", "138****5678"), ("1381234", "*******"), ("", ""), (None, None)]),
    (Mask(1, 0), "string", [("张三丰", "张**"), ("张", "*")]),
    (GeneraliseNumber(5), "int", [(37, 35), (35, 35), (-1, -5), (0, 0), (None, None)]),
    (GeneraliseNumber(10), "bigint", [(2**62, 2**62 - 4), (-(2**63), None)]),
    (GeneraliseNumber(100), "double", [(1234.5, 1200.0), (-0.5, -100.0)]),
    (GeneraliseNumber(10), "decimal(10,2)", [(Decimal("37.25"), Decimal("30.00"))]),
    (RoundSignificant(2), "double", [(1234.5, 1200.0), (0.01234, 0.012), (-987.0, -990.0), (0.0, 0.0), (None, None)]),
    (RoundSignificant(2), "bigint", [(98765, 99000), (7, 7)]),
    (RoundSignificant(1), "decimal(10,2)", [(Decimal("1234.50"), Decimal("1000.00"))]),
    (TopCode(0, 100), "int", [(250, 100), (-3, 0), (50, 50), (None, None)]),
    (TruncateDate(DateUnit.MONTH), "date", [(BORN, date(1987, 6, 1)), (None, None)]),
    (
        TruncateDate(DateUnit.YEAR),
        "timestamp_ntz",
        [(datetime.fromisoformat("1987-06-05T12:00"), datetime.fromisoformat("1987-01-01"))],
    ),
    (YearBand(1), "date", [(BORN, date(1987, 1, 1)), (None, None)]),
    (YearBand(5), "date", [(BORN, date(1985, 1, 1))]),
    (
        YearBand(10, written=True),
        "string",
        [
            ("1987-06-05", "1980"),
            ("19870605", "1980"),
            ("1987年6月5日", "1980"),
            (" 1987", "1980"),
            ("198706", None),
            ("张", None),
        ],
    ),
    (YearBand(5, written=True), "int", [(19870605, 1985), (1987, 1985), (12, None)]),
    (
        GeneraliseRegion(6),
        "string",
        [("220102001", "220102"), ("南关区", "南关区"), ("人民大街100号", None), ("12", None)],
    ),
    (GeneraliseRegion(4), "string", [("220102", "220100"), ("南关区", None), (None, None)]),
    (GeneraliseRegion(2), "int", [(220102, 220000), (7, None)]),
    (MAJORITY, "string", [("汉族", "汉族"), (" 汉", "汉族"), ("满族", "少数民族"), (None, None)]),
    (Prefix(3), "string", [("E11.900", "E11"), (" I10", "I10"), ("A", "A"), (None, None)]),
]


@pytest.mark.parametrize(("treatment", "kind", "cases"), TABLE, ids=lambda value: getattr(value, "name", None))
def test_a_treatment(spark: SparkSession, treatment: ValueTreatment, kind: str, cases: list[tuple[Any, Any]]) -> None:
    frame = spark.createDataFrame([(value,) for value, _ in cases], f"x {kind}")
    planned = ColumnPlan(Column("x", kind, Role.QUASI_IDENTIFIER, Grade.RESTRICTED, closed=False), (treatment, Drop()))
    found = [row[0] for row in frame.select(level_expression(planned, 0)).collect()]
    assert found == [expected for _, expected in cases]


def test_the_table_reaches_every_treatment() -> None:
    assert {type(treatment) for treatment, _, _ in TABLE} == set(ValueTreatment.__subclasses__())


FILTERS = [
    ("district = 'a'", lambda d, n: d == "a"),
    ("district <> 'a'", lambda d, n: d is not None and d != "a"),
    ("n BETWEEN 2 AND 3 OR district IS NULL", lambda d, n: (n is not None and 2 <= n <= 3) or d is None),
    ("NOT (n > 2)", lambda d, n: n is not None and n <= 2),
    ("n IS NOT NULL AND district IN ('a', 'b')", lambda d, n: n is not None and d in {"a", "b"}),
    ("district LIKE '%b'", lambda d, n: d is not None and d.endswith("b")),
    ("district NOT LIKE 'a_'", lambda d, n: d is not None and not (len(d) == 2 and d[0] == "a")),
    ("n NOT BETWEEN 2 AND 3", lambda d, n: n is not None and not 2 <= n <= 3),
    ("district NOT IN ('a', 'b')", lambda d, n: d is not None and d not in {"a", "b"}),
    ("n >= -1 AND n < 2.5", lambda d, n: n is not None and -1 <= n < 2.5),
    ("district = 'it''s'", lambda d, n: d == "it's"),
    ("TRUE", lambda d, n: True),
]


@pytest.mark.parametrize(("text", "meaning"), FILTERS, ids=[text for text, _ in FILTERS])
def test_a_row_filter_means_what_it_says(spark: SparkSession, text: str, meaning: Any) -> None:
    rows = [(d, n) for d in ("a", "b", "ab", "it's", None) for n in (-2, 1, 2, 3, 4, None)]
    frame = spark.createDataFrame(rows, "district string, n int")
    found = [tuple(row) for row in frame.filter(parse_filter(text, ["district", "n"]).expression()).collect()]
    assert found == [row for row in rows if meaning(*row)]
