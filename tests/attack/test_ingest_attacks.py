"""Hostile and broken sources against the real engine: each is refused with its code, and nothing is left behind.

Beside the attacks stand their innocent twins, which must pass.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lineage.errors import DataFileError, MissingPartError, ShuzhaError
from sandbox.ingest import INTEGER, STRING, ColumnSchema, Format, Imported, OneOf, Source, TableSchema, delta, load
from sandbox.ingest.settling import settled


if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

AS_OF = date(2026, 1, 1)
CANARY = "CANARY张三CANARY"
PAIR = TableSchema((ColumnSchema("a", STRING), ColumnSchema("b", INTEGER)))


def snapshot(folder: Path) -> Mapping[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one imported table and its quarantine."""
    folder = tmp_path_factory.mktemp("store")
    inbox = tmp_path_factory.mktemp("first") / "x.csv"
    inbox.write_text("a,b\nx,1\ny,2\nz,bad\n")
    run(spark, folder, Source(inbox, Format.CSV))
    return folder


def run(spark: SparkSession, store: Path, source: Source, schema: TableSchema = PAIR) -> Imported:
    return load(spark, source, schema, table=store / "table", quarantine=store / "rejected", as_of=AS_OF)


def refused(spark: SparkSession, store: Path, source: Source, schema: TableSchema = PAIR) -> ShuzhaError:
    """Import what must be refused; the store is afterwards byte for byte what it was."""
    before = snapshot(store)
    with pytest.raises(ShuzhaError) as caught:
        run(spark, store, source, schema)
    assert snapshot(store) == before
    assert CANARY not in str(caught.value)
    return caught.value


def table_of(rows: int = 1000) -> Any:
    import pyarrow as pa

    return pa.table({"a": [f"{CANARY}{number}" for number in range(rows)], "b": pa.array(range(rows), pa.int64())})


def parquet(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, use_dictionary=False, compression="none", write_statistics=False)
    return bytes(sink.getvalue())


def with_footer(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    length = int.from_bytes(data[-8:-4], "little")
    footer = change(data[-8 - length : -8])
    return data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def claim(rows: bytes, times: int = -1) -> bytes:
    """Put another row count (a Thrift zigzag number) where the footer says 1000."""
    return with_footer(parquet(table_of()), lambda footer: footer.replace(b"\x16\xd0\x0f", b"\x16" + rows, times))


def nested() -> bytes:
    import pyarrow as pa

    return parquet(pa.table({"a": [[CANARY]], "b": [1]}))


GOOD_PARQUET = parquet(table_of())
LINE = f"{CANARY},1\n".encode()
SOURCES: dict[str, tuple[str, bytes, str]] = {
    "csv: empty": ("csv", b"", "empty-file"),
    "csv: only a header": ("csv", b"a,b\n", "no-rows"),
    "csv: ragged in the last line": ("csv", b"a,b\n" + LINE * 50_000 + CANARY.encode() + b"\n", "ragged"),
    "csv: wrong encoding in the last line": ("csv", b"a,b\n" + LINE * 50_000 + b"\xff,1\n", "encoding"),
    "csv: nul byte in the last line": ("csv", b"a,b\n" + LINE * 50_000 + b"\0,1\n", "nul-byte"),
    "csv: unclosed quote in the last line": ("csv", b"a,b\n" + LINE * 50_000 + b'"x,1\n', "csv-quotes"),
    "csv: no header": ("csv", LINE * 2, "column-missing"),
    "csv: a column nobody declared": ("csv", b"a,b," + CANARY.encode() + b"\nx,1,2\n", "column-unexpected"),
    "csv: no row keeps the rules": ("csv", b"a,b\n" + f"x,{CANARY}\n".encode() * 3, "no-good-row"),
    "json: an array behind good lines": ("json-lines", b'{"a": "x", "b": 1}\n[]\n', "json-not-object"),
    "json: a key nobody declared": ("json-lines", b'{"a": "x", "b": 1}\n{"a": "x", "c": 1}\n', "json-unknown-key"),
    "parquet: empty": ("parquet", b"", "empty-file"),
    "parquet: a text file": ("parquet", b"a,b\n" + LINE, "parquet-damaged"),
    "parquet: cut off": ("parquet", GOOD_PARQUET[:-100], "parquet-damaged"),
    "parquet: cut off in the middle, footer kept": (
        "parquet",
        GOOD_PARQUET[:2000] + GOOD_PARQUET[-600:],
        "parquet-damaged",
    ),
    "parquet: footer longer than the file": (
        "parquet",
        GOOD_PARQUET[:-8] + (1 << 30).to_bytes(4, "little") + b"PAR1",
        "parquet-damaged",
    ),
    "parquet: footer of garbage": (
        "parquet",
        with_footer(GOOD_PARQUET, lambda footer: footer[::-1]),
        "parquet-damaged",
    ),
    "parquet: footer claims other rows than its groups": ("parquet", claim(b"\xce\x0f", 1), "parquet-damaged"),
    "parquet: footer hides a row": ("parquet", claim(b"\xce\x0f"), "parquet-damaged"),
    "parquet: footer invents a row": ("parquet", claim(b"\xd2\x0f"), "parquet-damaged"),
    "parquet: footer invents very many rows": ("parquet", claim(b"\xfe\xff\xff\xff\xff\x0f"), "parquet-damaged"),
    "parquet: damaged pages": (
        "parquet",
        GOOD_PARQUET[:4] + bytes(len(GOOD_PARQUET) // 2) + GOOD_PARQUET[4 + len(GOOD_PARQUET) // 2 :],
        "parquet-damaged",
    ),
    "parquet: encrypted": ("parquet", b"PARE" + bytes(100) + b"PARE", "parquet-encrypted"),
    "parquet: nested column": ("parquet", nested(), "column-nested"),
    "parquet: no rows": ("parquet", parquet(table_of(0)), "no-rows"),
    "delta: no log": ("delta", b"", "no-delta-log"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_source_leaves_nothing_behind(
    spark: SparkSession, store: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    form, data, code = SOURCES[name]
    path = tmp_path / "source"
    path.write_bytes(data)
    error = refused(spark, store, Source(path, Format(form)))
    assert isinstance(error, DataFileError)
    assert error.code == f"import.{code}"
    assert CANARY not in "".join(capfd.readouterr())


def test_an_intact_twin_of_the_damaged_files_passes(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(with_footer(GOOD_PARQUET, bytes))
    (tmp_path / "store").mkdir()
    done = run(spark, tmp_path / "store", Source(path, Format.PARQUET))
    assert (done.rows, done.quarantined, done.source_bytes) == (1000, {}, len(GOOD_PARQUET))
    assert sorted(entry.name for entry in (tmp_path / "store").iterdir()) == ["table"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Another provider's data file, somewhere the platform may read."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "part.parquet").write_bytes(parquet(table_of(3)))
    return folder / "part.parquet"


def delta_table(folder: Path, named: str) -> Source:
    """A Delta table whose log names one data file."""
    (folder / "_delta_log").mkdir(parents=True)
    fields = [
        {"name": name, "type": kind, "nullable": True, "metadata": {}}
        for name, kind in [("a", "string"), ("b", "long")]
    ]
    schema = json.dumps({"type": "struct", "fields": fields})
    form = {"provider": "parquet", "options": {}}
    actions = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": {"id": "m", "format": form, "schemaString": schema, "partitionColumns": [], "configuration": {}}},
        {"add": {"path": named, "partitionValues": {}, "size": 1, "modificationTime": 0, "dataChange": True}},
    ]
    text = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{0:020}.json").write_text(text)
    return Source(folder, Format.DELTA)


FOREIGN: dict[str, Callable[[Path, Path], str]] = {
    "plain path": lambda _, victim: str(victim),
    "file address": lambda _, victim: victim.as_uri(),
    "way up": lambda _, victim: f"../{victim.parent.name}/{victim.name}",
    "way up in disguise": lambda _, victim: f"x/%2e%2e/%2E%2E/{victim.parent.name}/{victim.name}",
    "link to the file": lambda folder, victim: link(folder / "part.parquet", victim),
    "link to the folder": lambda folder, victim: f"{link(folder / 'data', victim.parent)}/{victim.name}",
}


def link(place: Path, target: Path) -> str:
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(target)
    return place.name


@pytest.mark.parametrize("name", FOREIGN)
def test_a_delta_log_cannot_bring_in_another_tables_file(
    spark: SparkSession, store: Path, tmp_path: Path, victim: Path, name: str
) -> None:
    folder = tmp_path / "forged"
    source = delta_table(folder, FOREIGN[name](folder, victim))
    assert refused(spark, store, source).code == "import.delta-foreign-file"


def test_a_delta_table_with_its_own_file_passes_though_reached_by_a_link(
    spark: SparkSession, tmp_path: Path, victim: Path
) -> None:
    source = delta_table(tmp_path / "honest", "part.parquet")
    shutil.copy(victim, tmp_path / "honest" / "part.parquet")
    with (tmp_path / "honest" / "_delta_log" / f"{0:020}.json").open("r+") as log:
        text = log.read().replace('"size": 1,', f'"size": {victim.stat().st_size},')
        log.seek(0)
        log.write(text)
    (tmp_path / "latest").symlink_to(source.path)
    (tmp_path / "store").mkdir()
    done = run(spark, tmp_path / "store", Source(tmp_path / "latest", Format.DELTA))
    assert done.rows == 3


def test_a_delta_log_that_names_a_missing_file_is_refused(spark: SparkSession, store: Path, tmp_path: Path) -> None:
    assert refused(spark, store, delta_table(tmp_path / "cut", "gone.parquet")).code == "import.delta-unreadable"


def test_a_damaged_delta_log_is_refused(spark: SparkSession, store: Path, tmp_path: Path) -> None:
    source = delta_table(tmp_path / "damaged", "part.parquet")
    (source.path / "_delta_log" / f"{0:020}.json").write_text("{not json")
    assert refused(spark, store, source).code == "import.delta-unreadable"


def test_texts_of_a_definition_never_become_sql(spark: SparkSession, tmp_path: Path) -> None:
    """Names and allowed values are the provider's words; a row that breaks a rule may not push out one that keeps it."""
    names = ["`a`", "x') or (1=1", "$1\\"]
    schema = TableSchema(
        (
            ColumnSchema("a", STRING, source_name=names[0], rule=OneOf(("x') or ('1'='1", "\\", "it's"))),
            ColumnSchema("b", INTEGER, source_name=names[1]),
            ColumnSchema("c", STRING, source_name=names[2]),
        ),
        unique_key=("b",),
    )
    path = tmp_path / "x.csv"
    path.write_text(f"{','.join(names)}\nx') or ('1'='1,1,é\n\\,2,\nit's,3,\nplain,3,\nits,4,\n", encoding="utf-8")
    (tmp_path / "store").mkdir()
    done = run(spark, tmp_path / "store", Source(path, Format.CSV), schema)
    assert (done.rows, done.quarantined) == (3, {"a.one-of": 2})
    rows = spark.read.format("delta").load(str(tmp_path / "store" / "rejected")).orderBy("line").collect()
    assert [(row["line"], row["raw"][names[0]], row["raw"][names[1]]) for row in rows] == [
        (5, "plain", "3"),
        (6, "its", "4"),
    ]


def test_an_import_that_is_stopped_between_its_two_tables_leaves_both_as_they_were(
    spark: SparkSession, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\nnew,3\nbad,x\nworse,y\n")
    real, before = delta.overwrite, snapshot(store)

    def stopped(rows: DataFrame, table: Path, expected: int, note: str) -> int:
        version = real(rows, table, expected, note)
        if table.name == "rejected":
            assert snapshot(store) != before
            raise KeyboardInterrupt
        return version

    with monkeypatch.context() as patched:
        patched.setattr(delta, "overwrite", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(spark, store, Source(path, Format.CSV))
    assert snapshot(store) == before
    copy = shutil.copytree(store, tmp_path / "store")
    done = run(spark, copy, Source(path, Format.CSV))
    assert (done.rows, done.quarantined) == (1, {"b.type": 2})


def test_a_commit_of_other_rows_than_were_counted_is_undone(
    spark: SparkSession, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\nnew,3\nnewer,4\n")
    real = delta.overwrite
    monkeypatch.setattr(delta, "overwrite", lambda rows, *others: real(rows.limit(1), *others))
    error = refused(spark, store, Source(path, Format.CSV))
    assert error.code == "import.rows-differ"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of six megabytes; not below pytest's own folder, which another run may be tidying."""
    if os.geteuid() != 0:
        pytest.fail("mounting a small disk needs root")
    folder = Path(tempfile.mkdtemp(prefix="shuzha-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.jail
def test_a_full_disk_leaves_the_version_before(spark: SparkSession, small_disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\nx,1\n")
    run(spark, small_disk, Source(path, Format.CSV))
    noise = random.Random(1)
    for kilobytes, where in [(9000, "while it is copied"), (4500, "while the table is written")]:
        cells = (noise.randbytes(512).hex() for _ in range(kilobytes))
        path.write_text("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
        error = refused(spark, small_disk, Source(path, Format.CSV))
        assert isinstance(error, MissingPartError), where
        assert error.code == "import.disk-full", where
    path.write_text("a,b\nx,1\ny,2\n")
    assert run(spark, small_disk, Source(path, Format.CSV)).rows == 2


def tasks_at_work(spark: SparkSession) -> int:
    threads = spark._jvm.java.lang.Thread.getAllStackTraces().keySet().toArray()
    return sum(thread.getName().startswith("Executor task launch worker") for thread in threads)


LONG = "aggregate(sequence(1, 1500), 0L, (sum, x) -> sum + aggregate(sequence(1, 1500), 0L, (inner, y) -> inner + y))"
"""Seconds of work within one row, where a task does not look whether it has been stopped."""


def half_failing(spark: SparkSession) -> None:
    """Two tasks: one fails at once, the other works on."""
    from pyspark.errors import PySparkException

    with pytest.raises(PySparkException, match="stop here"):
        spark.range(0, 2, 1, 2).selectExpr(f"if(id = 0, raise_error('stop here'), {LONG} + id) as x").collect()
    raise LookupError


def test_a_task_that_still_works_when_its_job_has_failed_is_waited_for(spark: SparkSession) -> None:
    with pytest.raises(LookupError), settled(spark):
        half_failing(spark)
    # A task tells that it has ended a moment before its thread takes its idle name.
    end = time.monotonic() + 0.5
    while tasks_at_work(spark) and time.monotonic() < end:
        pass
    assert tasks_at_work(spark) == 0
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None
