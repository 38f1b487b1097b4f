"""Provisioning one million rows against plain Spark copying the same table, in turns in one warm session: wall seconds and ratios."""

from __future__ import annotations

import secrets
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from desensitize.policy import plan
from desensitize.provision import provision
from desensitize.pseudonym import ScenarioKeys
from desensitize.sampling import SampleRate
from sandbox.columns import Column, Grade, Role
from sandbox.engine import jars_folder, spark_session, stop
from sandbox.grants import Zone


ROWS, SUBJECTS, TURNS = 1_000_000, 250_000, 3
COLUMNS = (
    Column("resident_id", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE, closed=False, entity="resident_id"),
    Column("district", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL, closed=False),
    Column("department", "string", Role.PLAIN, Grade.INTERNAL, closed=False),
    Column("days", "bigint", Role.PLAIN, Grade.INTERNAL, closed=False),
    Column("cost", "bigint", Role.SENSITIVE, Grade.INTERNAL, closed=False),
)


def make(folder: Path) -> None:
    random = np.random.default_rng(1)
    subject = random.integers(0, SUBJECTS, ROWS)
    table = {
        "resident_id": pa.array([f"2201901990010{number:05d}" for number in subject]),
        "district": pa.array(np.char.add("2201", np.char.zfill((subject % 8).astype(str), 2))),
        "department": pa.array(np.char.add("d", (random.integers(0, 18, ROWS)).astype(str))),
        "days": pa.array(random.poisson(1, ROWS)),
        "cost": pa.array(random.integers(0, 9999, ROWS)),
    }
    write_deltalake(folder, pa.table(table))


def timed(work: Callable[[], object]) -> float:
    started = monotonic()
    work()
    return monotonic() - started


def main() -> None:
    spark = spark_session(jars_folder())
    keys = ScenarioKeys.derive(secrets.token_bytes(32), tenant="bench", scenario="bench")
    names = [column.name for column in COLUMNS]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make(place / "raw")

        def copy() -> None:
            rows = spark.read.format("delta").load(str(place / "raw"))
            rows.write.format("delta").save(str(place / secrets.token_hex(4)))

        def make_zone(zone: Zone) -> None:
            provision(
                spark,
                raw=place / "raw",
                version=0,
                plan=plan(COLUMNS, names, zone, "resident_id"),
                keys=keys,
                row_filter=None,
                into=place / secrets.token_hex(4),
                sample=SampleRate.training() if zone is Zone.VIEW else None,
            )

        copy()
        taken: dict[str, list[float]] = {"copy": [], "view": [], "input": []}
        for _ in range(TURNS):
            taken["copy"].append(timed(copy))
            taken["view"].append(timed(lambda: make_zone(Zone.VIEW)))
            taken["input"].append(timed(lambda: make_zone(Zone.INPUT)))
        medians = {work: statistics.median(seconds) for work, seconds in taken.items()}
        for work, seconds in medians.items():
            print(f"{work:6} {seconds:6.2f} s   ÷ copy {seconds / medians['copy']:.2f}")
    stop()


if __name__ == "__main__":
    main()
