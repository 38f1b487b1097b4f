"""How long a new table waits to be solved together with earlier ones of the same rows: cubes of 240, 2,400 and 24,000 cells.

    python benchmarks/bench_reconstruction.py

For each cube every table by all keys but one is told, with cells of fewer than ten people hidden, and the last of them is new.
Prints how it was searched, what there is and was cleared and left open, seconds of the processor and of the clock, and the peak of memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from export_gate.attacks.reconstruct import Union, check_reconstruction
from export_gate.attacks.told import Interval, Measure, Told
from export_gate.table.check import CellPolicy


TARGET = 10.0
CUBES: Sequence[tuple[tuple[int, ...], int]] = (
    ((4, 5, 4, 3), 600),
    ((5, 6, 5, 4, 4), 6_000),
    ((10, 10, 10, 6, 4), 60_000),
)


def tables(shape: Sequence[int], people: int) -> list[Told]:
    """Draw people and tell every table by all keys but one."""
    draw = np.random.default_rng(20261122)
    rows = np.stack([draw.choice(size, people, p=draw.dirichlet(np.full(size, 2.0))) for size in shape], axis=1)
    told = []
    for keys in combinations(range(len(shape)), len(shape) - 1):
        groups, sizes = np.unique(rows[:, list(keys)], axis=0, return_counts=True)
        cells = tuple(tuple(int(one) for one in group) for group in groups)
        numbers = tuple(Interval(int(one), int(one)) if one >= 10 else None for one in sizes)
        told.append(
            Told(str(keys), "people", tuple(f"a{at}" for at in keys), {}, cells, {Measure("count", "*"): numbers})
        )
    return told


def main() -> int:
    """Measure each cube; the exit code is 1 when one takes longer than the target."""
    slow = False
    for shape, people in CUBES:
        *earlier, new = tables(shape, people)
        started, worked = time.perf_counter(), time.process_time()
        (found,) = check_reconstruction(Union(new, tuple(earlier)), CellPolicy())
        seconds = time.perf_counter() - started
        work = time.process_time() - worked
        slow |= work > TARGET
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        searched = json.loads(str(found.evidence["searched"]))["*"]
        print(
            f"{int(np.prod(shape)):6d} cells  {found.verdict:20s} {searched:28s} {work:5.1f} s work {seconds:5.1f} s  {peak} MB"
        )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
