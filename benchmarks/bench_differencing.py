"""How long a table waits for the ledger of record sets: 360 new cells against many earlier ones, sealed in a real database.

    python benchmarks/bench_differencing.py [earlier cells] [subjects]

Writes a ledger of tables of 360 cells (12 districts, 10 ages, 3 kinds) with their margins and two numbers a cell, each over a tenth
of the people; one of them is the new table but for one person. Prints the seconds of reading the ledger and of the
whole comparison, the peak of memory, and whether the planted person was found.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, create_engine, insert

import sandbox.schema  # noqa: F401 - the tables that others refer to
from desensitize.gate_key import GateKey, Sealer
from export_gate.records.compare import compare
from export_gate.records.ledger import read_ledger, sealer_of
from export_gate.records.recorded import ROWS, Blobs, Published, Recorded, to_blobs
from export_gate.records.vectors import SUMMED, Number
from export_gate.schema import export, record_set, record_told
from jobs.schema import job
from lineage.schema import log_subject, metadata


SHARE, DRAWN = 0.1, 100
TARGET = 10.0
SHAPE = (12, 10, 3)
CELLS = int(np.prod(SHAPE))
COLUMNS = (
    Published("n", "00" * 8, frozenset({ROWS})),
    Published("cost", "11" * 8, frozenset({"health.visits#cost"})),
)
Places = NDArray[np.int64]


def table(people: NDArray[np.uint32], places: Places, cost: NDArray[np.float64]) -> Recorded:
    """One table and its margins; ``places`` are the cells of its people."""
    numbers: list[Number] = []
    axes = np.unravel_index(places, SHAPE)
    for kept in ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,), ()):
        level = np.zeros(len(people), dtype=np.int64)
        for axis in kept:
            level = level * SHAPE[axis] + axes[axis]
        order = np.argsort(level, kind="stable")
        ends = np.flatnonzero(np.diff(level[order], append=-1)) + 1
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            who = np.sort(order[start:end])
            key = tuple(int(axes[axis][who[0]]) if axis in kept else SUMMED for axis in range(3))
            numbers.append(Number(key, len(kept) < 3, 0, people[who], np.ones(len(who))))
            numbers.append(Number(key, len(kept) < 3, 1, people[who], cost[who]))
    return Recorded("person", COLUMNS, tuple(numbers))


def main(earlier: int, subjects: int) -> int:
    draw = np.random.default_rng(1)
    sealer = sealer_of(GateKey(bytes(range(32))))
    tables = -(-earlier // CELLS)
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'ledger.db'}")
        metadata.create_all(engine, tables=[job, export, record_set, record_told, log_subject])
        started = time.perf_counter()
        with engine.begin() as connection:
            planted, drawn = tables // 2 + 1, {}
            for seq in range(1, tables + 1):
                # A table is drawn once and then written again under other names: what is read and looked up is as much.
                place = -1 if seq == planted else seq % DRAWN
                if place not in drawn:
                    chosen = np.flatnonzero(draw.random(subjects) < SHARE).astype(np.uint32)
                    places, cost = (
                        draw.integers(0, CELLS, len(chosen)),
                        draw.integers(1, 5000, len(chosen)).astype(float),
                    )
                    drawn[place] = to_blobs(table(chosen, places, cost))
                    if seq == planted:
                        new = table(chosen[1:], places[1:], cost[1:])
                write(connection, seq, drawn[place], sealer)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) >> 20
        print(f"wrote {tables * CELLS} cells of {tables} tables, {size} MB, in {time.perf_counter() - started:.1f} s")
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        with engine.connect() as connection:
            started, used = time.perf_counter(), time.process_time()
            ledger = read_ledger(connection, "person", sealer)
            read = time.perf_counter() - started
            result = compare(new, ledger.earlier, 10)
            whole, used = time.perf_counter() - started, time.process_time() - used
        engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    against = {ledger.tables[one.table].export for one in result.differences}
    print(f"{CELLS} new cells against {len(ledger.earlier.heads)} earlier numbers, margins included:")
    print(f"read {read:.2f} s, whole {whole:.2f} s (cpu {used:.2f} s), {result.looks} pairs looked at exactly,")
    print(f"memory {base} MB before, {peak} MB at the peak; the planted person: {sorted(against)}")
    right = result.complete and against == {f"E-{planted}"}
    return 0 if right and whole < TARGET else 1


def write(connection: Connection, seq: int, blobs: Blobs, sealer: Sealer) -> None:
    """Write a told table as the gate does, with the least of an export, a job and the log beside it."""
    name, stamp = f"E-{seq}", "2026-11-22T00:00:00.000Z"
    sealed = {part: sealer.seal(getattr(blobs, part), name, "person", part) for part in ("head", "sets", "totals")}
    told = {
        "job": f"J-{seq}",
        "product": "t",
        "kind": "table",
        "state": "released",
        "requested_by": "P",
        "requested": stamp,
    }
    asked = {
        "scenario": "S",
        "tenant": "T",
        "name": "j",
        "digest": f"{seq:064x}",
        "submitted_by": "P",
        "submitted": stamp,
    }
    connection.execute(insert(job).values(id=f"J-{seq}", **asked))
    connection.execute(insert(export).values(id=name, **told))
    connection.execute(insert(record_set).values(export=name, universe="person", compared=seq - 1, **sealed))
    connection.execute(insert(record_told).values(seq=seq, export=name, universe="person", at=stamp))
    connection.execute(insert(log_subject).values(seq=seq, subject="records:person"))


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in [*sys.argv[1:], "28000", "100000"][:2])))
