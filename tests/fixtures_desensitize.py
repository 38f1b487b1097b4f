"""A small town to provision from: residents and their visits, generated, and the means to make a RAW table of any rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desensitize.entities import long_resident_id
from desensitize.policy import plan
from desensitize.provision import provision
from desensitize.pseudonym import ScenarioKeys
from desensitize.record import ProvisionRecord
from desensitize.sampling import SampleRate
from sandbox.columns import Column, Grade, Role
from sandbox.grants import Zone


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]

RESIDENTS = (
    Column("resident_id", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE, closed=False),
    Column("name", "string", Role.DIRECT_IDENTIFIER, Grade.RESTRICTED, closed=False),
    Column("birth_date", "date", Role.QUASI_IDENTIFIER, Grade.RESTRICTED, closed=False),
    Column("sex", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
    Column("district", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
    Column("income", "double", Role.SENSITIVE, Grade.MOST_SENSITIVE, closed=False),
    Column("remark", "string", Role.FREE_TEXT, Grade.RESTRICTED, closed=False),
    Column("note", "string", Role.PLAIN, Grade.INTERNAL, closed=False),
)
VISITS = (
    Column("id_no", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE, closed=False),
    Column("district", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
    Column("diagnosis", "string", Role.SENSITIVE, Grade.MOST_SENSITIVE, closed=False),
    Column("cost", "double", Role.PLAIN, Grade.INTERNAL, closed=False),
)
_ARROW = {"string": "string", "date": "date32", "double": "float64", "int": "int32", "bigint": "int64"}


def residents(number: int, seed: int = 1) -> list[Row]:
    """So many people of three districts, one row each."""
    draw = random.Random(seed)
    rows = []
    for i in range(number):
        born = date(draw.randint(1950, 1999), draw.randint(1, 12), draw.randint(1, 28))
        district = draw.choice(["220102", "220104", "220182"])
        rows.append(
            {
                "resident_id": long_resident_id(f"{district}{born:%y%m%d}{i % 1000:03d}"),
                "name": f"张{i}",
                "birth_date": born,
                "sex": draw.choice("男女"),
                "district": district,
                "income": round(draw.lognormvariate(8, 1), 2),
                "remark": f"备注{i}",
                "note": draw.choice(["甲", "乙"]),
            }
        )
    return list({row["resident_id"]: row for row in rows}.values())


@dataclass
class Town:
    """Makes RAW tables, provisions them and reads what came out."""

    spark: SparkSession
    folder: Path
    keys: ScenarioKeys = field(
        default_factory=lambda: ScenarioKeys.derive(bytes(range(32)), tenant="T-1", scenario="S-1")
    )
    _numbers: Iterator[int] = field(default_factory=count)

    def raw(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], at: Path | None = None) -> Path:
        """Write rows as a RAW table, or as its next version."""
        import pyarrow as pa
        from deltalake import write_deltalake

        path = at or self.folder / f"raw-{next(self._numbers)}"
        schema = pa.schema([(column.name, getattr(pa, _ARROW[column.type])()) for column in columns])
        write_deltalake(path, pa.Table.from_pylist([dict(row) for row in rows], schema=schema), mode="overwrite")
        return path

    def provision(
        self, raw: Path, columns: Sequence[Column], zone: Zone, granted: Sequence[str] = (), **more: Any
    ) -> tuple[ProvisionRecord, list[Row]]:
        """Provision a table; gives the record and the rows in the order in which they lie."""
        import pyarrow.parquet as pq

        subject = more.pop("subject", columns[0].name)
        settings = {name: more.pop(name) for name in ("k", "tolerance", "levels") if name in more}
        made = plan(columns, granted or [column.name for column in columns], zone, subject, **settings)
        into = more.pop("into", self.folder / f"out-{next(self._numbers)}")
        arguments: dict[str, Any] = {
            "version": 0,
            "keys": self.keys,
            "row_filter": None,
            "sample": SampleRate.training() if zone is Zone.VIEW and subject else None,
            **more,
        }
        record = provision(self.spark, raw=raw, plan=made, into=into, **arguments)
        self.last = into
        return record, [
            row for path in sorted(into.glob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()
        ]


@pytest.fixture
def town(spark: SparkSession, tmp_path: Path) -> Town:
    """A folder and a session to provision in."""
    return Town(spark, tmp_path)


MakeTown = Callable[[], Town]
