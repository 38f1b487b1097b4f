"""Imports through the real engine: what lands in the table, what is kept back and why, and what each form of source gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lineage.errors import DataFileError
from sandbox.ingest import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    ColumnSchema,
    ColumnType,
    CreditCode,
    DateRange,
    DecimalRange,
    Format,
    Imported,
    IntegerRange,
    MaxLength,
    Mobile,
    OneOf,
    ResidentId,
    Source,
    TableSchema,
    decimal,
    infer_schema,
    load,
)
from sandbox.ingest.checksums import (
    CREDIT_ALPHABET,
    credit_code_check,
    is_credit_code,
    is_resident_id,
    resident_id_check,
)
from sandbox.ingest.expressions import cell_text, condition, value
from sandbox.ingest.rules import Rule


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

AS_OF = date(2026, 1, 1)
PEOPLE = TableSchema(
    (
        ColumnSchema("resident_id", STRING, rule=ResidentId(), source_name="身份证号"),
        ColumnSchema("name", STRING, required=True, rule=MaxLength(4), source_name="姓名"),
        ColumnSchema("sex", STRING, rule=OneOf(("男", "女", 'it\'s \\ "odd"')), source_name="性别"),
        ColumnSchema("age", INTEGER, rule=IntegerRange(0, 120), source_name="年龄"),
        ColumnSchema("income", decimal(8, 2), rule=DecimalRange(Decimal(0)), source_name="收入"),
        ColumnSchema("seen_on", DATE, rule=DateRange(date(2000, 1, 1), not_future=True), source_name="就诊日期"),
        ColumnSchema("mobile", STRING, rule=Mobile(), source_name="手机"),
        ColumnSchema("company", STRING, rule=CreditCode(), source_name="单位"),
        ColumnSchema("insured", BOOLEAN, source_name="参保"),
    ),
    subject_key="resident_id",
    unique_key=("resident_id",),
)
HEADER = ",".join(column.source_name for column in PEOPLE.columns)
CODE = "91350100M000100Y43"


def person(number: int, **changed: str) -> str:
    """A line of the people file that keeps every rule, but for what is changed."""
    body = f"110105{1940 + number:04}0101001"
    cells = {
        "id": body + resident_id_check(body), "name": "张三", "sex": "男", "age": "40", "income": "10.50",
        "day": "2024-05-06", "mobile": "13812345678", "company": CODE, "insured": "是",
    }  # fmt: skip
    return ",".join((cells | changed).values())


LINES = [
    person(0),
    person(1, name="", age="200"),
    person(2, id="110105194001010013"),
    person(3, name="欧阳诸葛亮", sex="X"),
    person(4, sex='"it\'s \\ ""odd"""'),
    person(5, sex="M"),
    person(6, age="4.0"),
    person(7, age="121"),
    person(8, income="1.005"),
    person(9, income="-0.01"),
    person(10, day="2024-02-30"),
    person(11, day="2026-01-02"),
    person(12, mobile="12812345678"),
    person(13, company=CODE[:-1] + "4"),
    person(14, insured="perhaps"),
    person(15, id=""),
    person(16, name=" 李四 ", age="", income="", day="", mobile="", company="  ", insured="否"),
    person(17),
    person(17, name="王五"),
    person(17, age="x"),
]
BROKEN = {
    3: "name.required", 4: "resident_id.resident-id", 5: "name.max-length", 7: "sex.one-of", 8: "age.type", 9: "age.range",
    10: "income.type", 11: "income.range", 12: "seen_on.type", 13: "seen_on.date-range", 14: "mobile.mobile",
    15: "company.credit-code", 16: "insured.type", 17: "resident_id.required", 19: "resident_id.unique",
    20: "resident_id.unique", 21: "age.type",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose path has everything that a careless reader of paths takes for its own."""
    folder = tmp_path_factory.mktemp("store") / "[数 据]{a,b}*?"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def people(spark: SparkSession, home: Path) -> Imported:
    path = home.parent / "people.csv"
    path.write_text("\n".join([HEADER, *LINES]) + "\n", encoding="gb18030")
    source = Source(path, Format.CSV, encoding="gb18030")
    return load(spark, source, PEOPLE, table=home / "people", quarantine=home / "rejected", as_of=AS_OF)


def rows_of(folder: Path, version: int | None = None) -> list[dict[str, Any]]:
    """Read a Delta table without Spark, as the gate's engine does."""
    from deltalake import DeltaTable

    rows: list[dict[str, Any]] = DeltaTable(str(folder), version=version).to_pyarrow_table().to_pylist()
    return rows


def test_every_row_is_accepted_or_kept_back_with_its_reason(people: Imported) -> None:
    counted: dict[str, int] = {}
    for rule in BROKEN.values():
        counted[rule] = counted.get(rule, 0) + 1
    assert people.quarantined == counted
    assert people.rows + people.rows_quarantined == len(LINES)


def test_kept_back_rows_have_their_line_their_cells_and_all_their_reasons(people: Imported, home: Path) -> None:
    rejected = {row["line"]: row for row in rows_of(home / "rejected", 1)}
    assert {line: row["rule"] for line, row in rejected.items()} == BROKEN
    assert rejected[3]["broken"] == ["name.required", "age.range"]
    assert rejected[5]["broken"] == ["name.max-length", "sex.one-of"]
    assert rejected[21]["broken"] == ["age.type"]
    raw = dict(rejected[10]["raw"])
    assert (raw["收入"], raw["姓名"], len(raw)) == ("1.005", "张三", len(PEOPLE.columns))


def test_accepted_rows_have_their_types_and_values(people: Imported, home: Path) -> None:
    rows = {row["resident_id"]: row for row in rows_of(home / "people", people.version)}
    assert len(rows) == people.rows == 3
    first = rows[person(0).split(",")[0]]
    assert first == {
        "resident_id": person(0).split(",")[0], "name": "张三", "sex": "男", "age": 40, "income": Decimal("10.50"),
        "seen_on": date(2024, 5, 6), "mobile": "13812345678", "company": CODE, "insured": True,
    }  # fmt: skip
    assert rows[person(4).split(",")[0]]["sex"] == 'it\'s \\ "odd"'
    sparse = rows[person(16).split(",")[0]]
    assert [sparse[name] for name in ("name", "age", "income", "seen_on", "mobile", "company", "insured")] == [
        " 李四 ", None, None, None, None, None, False,
    ]  # fmt: skip


def test_the_report_says_what_bytes_and_how_complete(people: Imported, home: Path) -> None:
    data = (home.parent / "people.csv").read_bytes()
    assert (people.source_bytes, people.source_sha256) == (len(data), hashlib.sha256(data).hexdigest())
    quality = {column.name: (column.nulls, column.distinct) for column in people.quality}
    assert list(quality) == [column.name for column in PEOPLE.columns]
    assert quality["resident_id"] == (0, 3)
    assert quality["age"] == (1, 1)


def test_the_table_guards_its_keys_and_keeps_values_out_of_its_log(people: Imported, home: Path) -> None:
    log = home / "people" / "_delta_log"
    actions = [json.loads(line) for entry in sorted(log.glob("*.json")) for line in entry.read_text().splitlines()]
    stored = json.loads(next(action["metaData"]["schemaString"] for action in actions if "metaData" in action))
    assert [field["name"] for field in stored["fields"] if not field["nullable"]] == ["resident_id", "name"]
    stats = [json.loads(action["add"]["stats"]) for action in actions if "add" in action]
    assert stats
    assert not any(field in entry for entry in stats for field in ("minValues", "maxValues"))
    note = next(
        action["commitInfo"]["userMetadata"] for action in actions if "userMetadata" in action.get("commitInfo", {})
    )
    assert json.loads(note) == {"source_sha256": people.source_sha256, "as_of": "2026-01-01"}
    assert not list(home.glob(".*"))


def test_a_second_import_is_a_new_version_and_the_old_one_stays(
    spark: SparkSession, people: Imported, home: Path
) -> None:
    path = home.parent / "later.csv"
    path.write_text("\n".join([HEADER, person(30), person(31)]), encoding="utf-8")
    places = {"table": home / "people", "quarantine": home / "rejected"}
    later = load(spark, Source(path, Format.CSV), PEOPLE, **places, as_of=AS_OF)
    assert (later.version, later.rows, later.quarantined) == (people.version + 1, 2, {})
    assert len(rows_of(home / "people", later.version)) == 2
    assert len(rows_of(home / "people", people.version)) == people.rows
    assert rows_of(home / "rejected") == []
    changed = TableSchema((*PEOPLE.columns[:-1], ColumnSchema("insured", STRING, source_name="参保")), "resident_id")
    for other, column in [
        (changed, "insured"),
        (TableSchema(PEOPLE.columns[:-1], "resident_id"), "insured"),
        (TableSchema(PEOPLE.columns), "resident_id"),
        (TableSchema((PEOPLE.columns[1], PEOPLE.columns[0], *PEOPLE.columns[2:]), "resident_id"), "name"),
        (TableSchema(PEOPLE.columns, "resident_id", unique_key=("age",)), "age"),
    ]:
        with pytest.raises(DataFileError) as caught:
            load(spark, Source(path, Format.CSV), other, **places, as_of=AS_OF)
        assert (caught.value.code, caught.value.params["column"]) == ("import.schema-changed", column)


def test_json_lines_without_a_subject_get_one_a_row(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "beds.jsonl"
    path.write_text('{"ward": "A", "beds": 12}\n{"ward": "B", "beds": "many"}\n{"ward": "B"}\n', encoding="utf-8")
    schema = TableSchema((ColumnSchema("ward", STRING), ColumnSchema("beds", INTEGER)), make_subject=True)
    done = load(
        spark, Source(path, Format.JSON_LINES), schema, table=tmp_path / "t", quarantine=tmp_path / "q", as_of=AS_OF
    )
    assert (done.rows, done.quarantined) == (2, {"beds.type": 1})
    assert rows_of(tmp_path / "t") == [
        {"ward": "A", "beds": 12, "row_subject": 1},
        {"ward": "B", "beds": None, "row_subject": 3},
    ]


EVENTS = TableSchema(
    (
        ColumnSchema("id", INTEGER, required=True),
        ColumnSchema("at", TIMESTAMP, source_name="At Time"),
        ColumnSchema("cost", decimal(10, 2)),
        ColumnSchema("share", DOUBLE),
        ColumnSchema("day", DATE),
        ColumnSchema("ok", BOOLEAN),
    ),
    make_subject=True,
)


def events(spark: SparkSession) -> Any:
    return spark.sql(
        "select id, timestamp'2024-05-06 07:08:09.123456' as `At Time`, cast(id * 1.5 as decimal(12,3)) as cost, "
        "cast(id / 3 as double) as share, date'2024-05-06' as day, id = 1 as ok from range(0, 5)"
    ).selectExpr("nullif(id, 4) as id", "* except (id)")


def write_parquet(spark: SparkSession, folder: Path) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(events(spark).toArrow(), folder / "events.parquet")
    return folder / "events.parquet"


def write_delta(spark: SparkSession, folder: Path) -> Path:
    """A table of the kind others make: several versions, deletion vectors, column mapping."""
    path = folder / "events %20"
    options = {"delta.enableDeletionVectors": "true", "delta.columnMapping.mode": "name"}
    events(spark).coalesce(1).write.format("delta").options(**options).save(str(path))
    events(spark).selectExpr("id + 100 as id", "* except (id)").write.format("delta").mode("append").save(str(path))
    from delta.tables import DeltaTable

    DeltaTable.forPath(spark, str(path)).delete("id >= 100 or (id is null and share > 3)")
    return path


@pytest.mark.parametrize(
    ("form", "make"), [("parquet", write_parquet), ("delta", write_delta)], ids=["parquet", "delta"]
)
def test_typed_sources_are_held_to_the_same_schema(
    spark: SparkSession, tmp_path: Path, form: str, make: Callable[[SparkSession, Path], Path]
) -> None:
    source = Source(make(spark, tmp_path), Format(form))
    suggested = infer_schema(spark, source, {"At Time": "at"})
    assert [column.name for column in suggested.columns] == [column.name for column in EVENTS.columns]
    done = load(spark, source, EVENTS, table=tmp_path / "t", quarantine=tmp_path / "q", as_of=AS_OF)
    assert done.rows == 4
    assert set(done.quarantined) <= {"id.required"}
    rows = sorted(rows_of(tmp_path / "t"), key=lambda row: row["id"])
    assert len({row["row_subject"] for row in rows}) == 4
    moment = datetime(2024, 5, 5, 23, 8, 9, 123456, tzinfo=UTC)
    assert (rows[1]["at"], rows[1]["cost"], rows[1]["share"], rows[1]["ok"]) == (moment, Decimal("1.50"), 1 / 3, True)
    assert done.source_bytes > 0


PARSED: Mapping[str, tuple[ColumnType, Mapping[str, Any]]] = {
    "integer": (
        INTEGER,
        {" 7 ": 7, "+7": 7, "-7": -7, "007": 7, "7.0": None, "1e3": None, "9223372036854775808": None, "７": None, "": None,
         "9223372036854775807": 9223372036854775807, "7\n": None, "\u30007": 7, "0x7": None, "7L": None},
    ),
    "decimal": (
        decimal(4, 2),
        {"12.34": Decimal("12.34"), "12.340": Decimal("12.34"), "0012.3": Decimal("12.30"), "12.345": None, "123.4": None,
         "-.5": Decimal("-0.50"), "1e1": None, ".": None, "-": None, "5.": Decimal("5.00")},
    ),
    "double": (
        DOUBLE,
        {"1.5": 1.5, "1e3": 1000.0, ".5": 0.5, "1d": None, "1f": None, "NaN": None, "Infinity": None, "1e999": None,
         "0x1p3": None, "-0": -0.0},
    ),
    "boolean": (
        BOOLEAN,
        {"true": True, "T": True, "是": True, "1": True, "否": False, "no": False, "0": False, "2": None, "真": None},
    ),
    "date": (
        DATE,
        {"2024-02-29": date(2024, 2, 29), "2024-2-9": date(2024, 2, 9), "2024/02/09": date(2024, 2, 9),
         "2024.2.9": date(2024, 2, 9), "20240209": date(2024, 2, 9), "2024年2月9日": date(2024, 2, 9), "2023-02-29": None,
         "2024": None, "2024-02": None, "24-02-09": None, "2024/02.09": None, "2024-02-09T00:00:00": None, "0000-01-01": None,
         "09/02/2024": None, "2024-13-01": None, "20241301": None, "2024年13月1日": None},
    ),
    "timestamp": (
        TIMESTAMP,
        {"2024-05-06 07:08:09": "2024-05-06 07:08:09", "2024-05-06T07:08": "2024-05-06 07:08:00",
         "2024-05-06": "2024-05-06 00:00:00", "2024-05-06T00:00:00Z": "2024-05-06 08:00:00",
         "2024-05-06T00:00:00.5+08:00": "2024-05-06 00:00:00.5", "2024-05-06 25:00:00": None, "07:08": None,
         "2024-05-06 07:08:09 Asia/Tokyo": None, "now": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARSED)
def test_cells_parse_exactly_or_not_at_all(spark: SparkSession, name: str) -> None:
    kind, expected = PARSED[name]
    frame = spark.createDataFrame([(text,) for text in expected], "c0 string")
    shown = "cast(t0 as string)" if kind is TIMESTAMP else "t0"
    texts = frame.selectExpr("c0", f"{cell_text(0)} as u0")
    parsed = texts.selectExpr("c0", f"{value(ColumnSchema('a', kind), 0)} as t0").selectExpr("c0", f"{shown} as t0")
    assert {row["c0"]: row["t0"] for row in parsed.collect()} == expected


def identity_numbers() -> list[str]:
    good = [f"{110105 + n}{1900 + n % 130:04}{1 + n % 12:02}{1 + n % 31:02}{n % 1000:03}" for n in range(0, 4000, 7)]
    whole = [body + resident_id_check(body) for body in good]
    return [
        *whole,
        *(text[:-1] + "0123456789X"[n % 11] for n, text in enumerate(whole)),
        "",
        "X" * 18,
        "１" * 18,
        whole[0] + "\n",
    ]


def credit_codes() -> list[str]:
    bodies = [
        "91" + f"{110105 + n}" + "".join(CREDIT_ALPHABET[n * k % 31] for k in range(3, 12)) for n in range(0, 4000, 7)
    ]
    whole = [body + credit_code_check(body) for body in bodies]
    return [
        *whole,
        *(text[:-1] + CREDIT_ALPHABET[n % 31] for n, text in enumerate(whole)),
        "",
        "I" * 18,
        whole[0] + "\n",
    ]


@pytest.mark.parametrize(
    ("rule", "texts", "reference"),
    [
        (ResidentId(), identity_numbers(), lambda text: is_resident_id(text, AS_OF)),
        (CreditCode(), credit_codes(), is_credit_code),
    ],
    ids=["identity number", "credit code"],
)
def test_the_engine_and_the_reference_agree(
    spark: SparkSession, rule: Rule, texts: list[str], reference: Callable[[str], bool]
) -> None:
    frame = spark.createDataFrame([(text,) for text in texts], "t0 string")
    kept = [
        row["kept"] for row in frame.selectExpr(f"coalesce({condition(rule, 't0', AS_OF)}, false) as kept").collect()
    ]
    assert kept == [reference(text) for text in texts]
    assert 100 < sum(kept) < len(texts) - 100


def test_ranges_and_days_include_their_ends(spark: SparkSession) -> None:
    frame = spark.sql(
        "select cast(id as decimal(5,1)) as t0, date_add(date'2025-12-30', cast(id as int)) as t1 from range(0, 5)"
    )
    number = condition(DecimalRange(Decimal("1E+0"), Decimal("3.0")), "t0", AS_OF)
    day = condition(DateRange(date(2025, 12, 31), date(2030, 1, 1), not_future=True), "t1", AS_OF)
    rows = frame.selectExpr(f"{number} as number", f"{day} as day").collect()
    assert [row["number"] for row in rows] == [False, True, True, True, False]
    assert [row["day"] for row in rows] == [False, True, True, False, False]
