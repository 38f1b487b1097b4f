"""Schemas, rules and names that cannot be wrong, and their form in definition files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lineage.errors import DataFileError, DefinitionError
from sandbox.ingest import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    ROW_SUBJECT,
    STRING,
    TIMESTAMP,
    ColumnSchema,
    ColumnType,
    CreditCode,
    DateRange,
    DecimalRange,
    Format,
    IntegerRange,
    Kind,
    MaxLength,
    Mobile,
    OneOf,
    ResidentId,
    Source,
    TableSchema,
    decimal,
    infer_schema,
)
from sandbox.ingest.expressions import breaks, condition, literal, value
from sandbox.ingest.names import plain_names, suggest_renames
from sandbox.ingest.rules import RULES, Rule
from sandbox.ingest.schema import _RULE_KINDS


A = ColumnSchema("a", STRING)
SOURCE = Source(Path("people.csv"), Format.CSV)

WRONG = {
    "name with a dash": (lambda: ColumnSchema("marital-status", STRING), "name-not-plain"),
    "name with a capital": (lambda: ColumnSchema("Age", STRING), "name-not-plain"),
    "chinese name": (lambda: ColumnSchema("年龄", STRING), "name-not-plain"),
    "name with a digit first": (lambda: ColumnSchema("1st", STRING), "name-not-plain"),
    "name that ends a statement": (lambda: ColumnSchema("a; drop", STRING), "name-not-plain"),
    "name with a line end": (lambda: ColumnSchema("a\n", STRING), "name-not-plain"),
    "rule of another type": (lambda: ColumnSchema("a", INTEGER, rule=Mobile()), "rule-misfit"),
    "no column": (lambda: TableSchema(()), "no-column"),
    "name twice": (lambda: TableSchema((A, A)), "name-twice"),
    "source name twice": (lambda: TableSchema((A, ColumnSchema("b", STRING, source_name="a"))), "name-twice"),
    "subject key that is no column": (lambda: TableSchema((A,), "b"), "key-unknown"),
    "unique key that is no column": (lambda: TableSchema((A,), unique_key=("b",)), "key-unknown"),
    "two subject keys": (lambda: TableSchema((A,), "a", make_subject=True), "two-subjects"),
    "made subject that is there": (
        lambda: TableSchema((ColumnSchema(ROW_SUBJECT, INTEGER),), make_subject=True),
        "two-subjects",
    ),
    "decimal without digits": (lambda: ColumnType(Kind.DECIMAL), "type-unknown"),
    "decimal too long": (lambda: decimal(39, 0), "type-unknown"),
    "decimal of nothing": (lambda: decimal(0, 0), "type-unknown"),
    "scale over precision": (lambda: decimal(2, 3), "type-unknown"),
    "string with digits": (lambda: ColumnType(Kind.STRING, 3, 1), "type-unknown"),
    "open range": (IntegerRange, "rule-range"),
    "turned range": (lambda: IntegerRange(2, 1), "rule-range"),
    "endless range": (lambda: DecimalRange(Decimal("-Infinity"), Decimal(1)), "rule-range"),
    "range of no number": (lambda: DecimalRange(Decimal("NaN")), "rule-range"),
    "range in words": (lambda: IntegerRange("0 or 1=1"), "rule-range"),  # type: ignore[arg-type]
    "range of truth": (lambda: IntegerRange(True), "rule-range"),
    "range of floats": (lambda: DecimalRange(0.1), "rule-range"),  # type: ignore[arg-type]
    "moment for a day": (lambda: DateRange(datetime(2020, 1, 1, tzinfo=UTC)), "rule-range"),
    "day in words": (lambda: DateRange("2020-01-01", not_future=True), "rule-range"),  # type: ignore[arg-type]
    "future in words": (lambda: DateRange(date(2020, 1, 1), not_future="no"), "rule-range"),  # type: ignore[arg-type]
    "list of numbers": (lambda: OneOf((1,)), "rule-one-of"),  # type: ignore[arg-type]
    "text for a list": (lambda: OneOf("ab"), "rule-one-of"),  # type: ignore[arg-type]
    "length in words": (lambda: MaxLength("5"), "rule-max-length"),  # type: ignore[arg-type]
    "open days": (DateRange, "rule-range"),
    "turned days": (lambda: DateRange(date(2020, 1, 2), date(2020, 1, 1), not_future=True), "rule-range"),
    "empty list": (lambda: OneOf(()), "rule-one-of"),
    "empty text": (lambda: OneOf(("",)), "rule-one-of"),
    "text twice": (lambda: OneOf(("x", "x")), "rule-one-of"),
    "length of nothing": (lambda: MaxLength(0), "rule-max-length"),
}


@pytest.mark.parametrize(("make", "code"), WRONG.values(), ids=WRONG)
def test_wrong_values_cannot_be_made(make: Any, code: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.code == f"import.{code}"


def test_every_rule_has_kinds_a_word_a_condition_and_every_kind_a_parse() -> None:
    rules = set(Rule.__args__)
    assert set(_RULE_KINDS) == rules == set(RULES.values())
    samples: list[Rule] = [*EVERY_RULE.values()]
    assert {type(rule) for rule in samples} == rules
    for rule in samples:
        assert condition(rule, "t0", date(2026, 1, 1))
    for kind in Kind:
        column = ColumnSchema("a", decimal(4, 2) if kind is Kind.DECIMAL else ColumnType(kind))
        assert "u0" in value(column, 0)


EVERY_RULE: dict[str, Rule] = {
    "resident-id": ResidentId(),
    "credit-code": CreditCode(),
    "mobile": Mobile(),
    "integer-range": IntegerRange(0, 120),
    "decimal-range": DecimalRange(Decimal("0.00"), Decimal("1E+3")),
    "date-range": DateRange(date(1900, 1, 1), not_future=True),
    "one-of": OneOf(("男", "女")),
    "max-length": MaxLength(200),
}


def test_types_read_back_as_written() -> None:
    for kind in (STRING, INTEGER, DOUBLE, BOOLEAN, DATE, TIMESTAMP, decimal(38, 0), decimal(10, 2)):
        assert ColumnType.parse(str(kind)) == kind
    for text in ("text", "decimal", "decimal(10)", "integer(3,2)", "decimal(99,1)", "string\n"):
        with pytest.raises(DefinitionError, match=r"import\.type-unknown"):
            ColumnType.parse(text)


def test_names_of_the_census_file_are_suggested() -> None:
    header = ["sex", "age", "marital-status", "native-country", "salary-class"]
    with pytest.raises(DataFileError) as caught:
        plain_names(header, {}, SOURCE)
    assert caught.value.code == "import.names-not-plain"
    assert caught.value.params["renames"] == (
        "marital-status → marital_status, native-country → native_country, salary-class → salary_class"
    )
    assert plain_names(header, suggest_renames(header), SOURCE)[2] == "marital_status"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["姓名", "身份证号", "怪列"], {"姓名": "name", "身份证号": "resident_id", "怪列": "column_3"}),
        (["Name", "name"], {"Name": "column_1"}),
        (["A-B", "a b"], {"A-B": "a_b", "a b": "column_2"}),
        (["2nd Visit"], {"2nd Visit": "_2nd_visit"}),
        (["--"], {"--": "column_1"}),
    ],
)
def test_suggested_names_are_plain_and_distinct(header: list[str], expected: dict[str, str]) -> None:
    assert suggest_renames(header) == expected


@pytest.mark.parametrize(
    "cell", ["110101199001011237", "13812345678", "42", "3.5", "2020-01-02", "2020年1月2日", "a@b.cn", "朝阳路100000号"]
)
def test_a_first_line_of_data_is_not_repeated_in_the_message(cell: str) -> None:
    with pytest.raises(DataFileError) as caught:
        plain_names(["张三", cell], {}, SOURCE)
    assert (caught.value.code, caught.value.params) == ("import.header-is-data", {"file": "people.csv"})


def test_a_rename_for_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"import\.rename-unknown"):
        plain_names(["a"], {"b": "c"}, SOURCE)


def test_literals_cannot_end_themselves() -> None:
    assert literal("a'b") == r"'a\'b'"
    assert literal("a\\") == r"'a\\'"


def test_rules_are_named_by_column_in_column_order() -> None:
    schema = TableSchema(
        (ColumnSchema("id", STRING, rule=ResidentId()), ColumnSchema("age", INTEGER, required=True)), subject_key="id"
    )
    names = [name for name, _ in breaks(schema, date(2026, 1, 1))]
    assert names == ["id.required", "id.resident-id", "age.required", "age.type"]


INFERRED = {
    "integer": (["1", "-5", ""], INTEGER, None),
    "code with a leading nought": (["010101", "110101"], STRING, None),
    "number too long for 64 bits": (["12345678901234567890"], STRING, None),
    "double": (["1", "2.5", "1e3"], DOUBLE, None),
    "boolean": (["true", "FALSE"], BOOLEAN, None),
    "boolean in chinese": (["是", "否"], BOOLEAN, None),
    "date": (["2020-01-02", "2020/1/3"], DATE, None),
    "date in chinese": (["2020年1月2日"], DATE, None),
    "timestamp": (["2020-01-02 03:04:05"], TIMESTAMP, None),
    "resident id": (["11010119900307109X", "11010119900307109x"], STRING, ResidentId()),
    "mobile": (["13812345678"], STRING, Mobile()),
    "credit code": (["91350100M000100Y43"], STRING, CreditCode()),
    "nothing": (["", " "], STRING, None),
    "mixed": (["1", "x"], STRING, None),
}


@pytest.mark.parametrize(("cells", "kind", "rule"), INFERRED.values(), ids=INFERRED)
def test_types_are_suggested(tmp_path: Path, cells: list[str], kind: ColumnType, rule: Rule | None) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "".join(f"{cell},.\n" for cell in cells), encoding="utf-8")
    column = infer_schema(None, Source(path, Format.CSV)).columns[0]
    assert (column.type, column.rule) == (kind, rule)


def test_json_lines_are_suggested_in_the_order_keys_appear(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"b": 1}\n{"a": "x", "b": 2}\n', encoding="utf-8")
    schema = infer_schema(None, Source(path, Format.JSON_LINES))
    assert [(column.name, column.type) for column in schema.columns] == [("b", INTEGER), ("a", STRING)]


@pytest.mark.parametrize(("form", "data"), [("csv", "a,b\n"), ("json-lines", "\n")])
def test_nothing_to_look_at(tmp_path: Path, form: str, data: str) -> None:
    path = tmp_path / "x"
    path.write_text(data, encoding="utf-8")
    with pytest.raises(DataFileError):
        infer_schema(None, Source(path, Format(form)))
