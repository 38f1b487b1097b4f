"""How much longer a view takes than a plain copy of the same table, both by the same Spark in one run.

    python benchmarks/bench_provisioning.py [rows] [rounds]

Prints wall and CPU seconds of copying, of provisioning a view and of provisioning an input, and the ratios of the best rounds. CPU
seconds are those of this process and everything it started, so they say more than wall time on a busy machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from desensitize.entities import RESIDENT_CHECKS, RESIDENT_WEIGHTS
from desensitize.policy import plan
from desensitize.provision import provision
from desensitize.pseudonym import ScenarioKeys
from desensitize.sampling import SampleRate
from sandbox.columns import Column, Grade, Role
from sandbox.engine import jars_folder, spark_session
from sandbox.grants import Zone


TARGET = 2.0
COLUMNS = tuple(
    Column(name, kind, role, grade, closed=False)
    for name, kind, role, grade in (
        ("resident_id", "string", Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
        ("name", "string", Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
        ("mobile", "string", Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
        ("birth_date", "date", Role.QUASI_IDENTIFIER, Grade.RESTRICTED),
        ("sex", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL),
        ("district", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL),
        ("ethnicity", "string", Role.QUASI_IDENTIFIER, Grade.RESTRICTED),
        ("education", "string", Role.QUASI_IDENTIFIER, Grade.INTERNAL),
        ("income", "double", Role.SENSITIVE, Grade.MOST_SENSITIVE),
        ("diagnosis", "string", Role.SENSITIVE, Grade.MOST_SENSITIVE),
        ("remark", "string", Role.FREE_TEXT, Grade.RESTRICTED),
        ("cost", "double", Role.PLAIN, Grade.INTERNAL),
        ("visits", "bigint", Role.PLAIN, Grade.INTERNAL),
    )
)


def write_raw(folder: Path, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    from deltalake import write_deltalake

    draw = np.random.default_rng(1)
    district = draw.choice(["220102", "220103", "220104", "220105", "220106", "220112", "220113", "220122"], rows)
    days = draw.integers(-10_950, 14_600, rows).astype("datetime64[D]")
    birth = np.char.replace(days.astype(str), "-", "")
    body = np.char.add(np.char.add(district, birth), np.char.zfill((draw.permutation(rows) % 1000).astype(str), 3))
    digits = np.frombuffer(body.astype("S17").tobytes(), dtype=np.uint8).reshape(rows, 17) - ord("0")
    checks = np.array(list(RESIDENT_CHECKS))[(digits.astype(int) @ np.array(RESIDENT_WEIGHTS)) % 11]
    table = {
        "resident_id": np.char.add(body, checks),
        "name": [f"张{i}" for i in range(rows)],
        "mobile": [f"13{i:09d}" for i in draw.permutation(rows)],
        "birth_date": pa.array(days),
        "sex": draw.choice(["男", "女"], rows),
        "district": district,
        "ethnicity": draw.choice(["汉族"] * 18 + ["满族", "朝鲜族"], rows),
        "education": draw.choice(["小学", "初中", "高中", "大专", "本科"], rows),
        "income": draw.lognormal(8, 1, rows).round(2),
        "diagnosis": draw.choice(["I10", "E11.900", "J45", "C50.911", "K29"], rows),
        "remark": [f"备注{i}" for i in range(rows)],
        "cost": draw.random(rows) * 1000,
        "visits": draw.integers(0, 20, rows),
    }
    write_deltalake(folder, pa.table(table))


def cpu_seconds() -> float:
    """CPU seconds of this process and all that it started, the Java machine and its Python workers among them."""
    ticks, children, used = os.sysconf("SC_CLK_TCK"), {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        used[int(entry.name)] = sum(int(field) for field in fields[11:15]) / ticks
    waiting, total = [os.getpid()], 0.0
    while waiting:
        process = waiting.pop()
        total += used.get(process, 0.0)
        waiting += children.get(process, [])
    return total


def measure(work: Callable[[Path], object], folder: Path) -> tuple[float, float]:
    target = folder / "out"
    wall, cpu = time.perf_counter(), cpu_seconds()
    work(target)
    spent = time.perf_counter() - wall, cpu_seconds() - cpu
    shutil.rmtree(target)
    return spent


def main(rows: int, rounds: int) -> int:
    spark = spark_session(jars_folder(), memory="3g")
    keys = ScenarioKeys.derive(bytes(range(32)), tenant="T-1", scenario="S-1")
    granted = [column.name for column in COLUMNS]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        raw = folder / "raw"
        write_raw(raw, rows)

        def copy(target: Path) -> None:
            spark.read.format("delta").option("versionAsOf", 0).load(str(raw)).write.format("delta").save(str(target))

        def make(zone: Zone) -> Callable[[Path], object]:
            sample = SampleRate.training() if zone is Zone.VIEW else None
            made = plan(COLUMNS, granted, zone, "resident_id")
            return lambda target: provision(
                spark, raw=raw, version=0, plan=made, keys=keys, row_filter=None, into=target, sample=sample
            )

        works = {"copy": copy, "view": make(Zone.VIEW), "input": make(Zone.INPUT)}
        best = {name: (float("inf"), float("inf")) for name in works}
        for turn in range(rounds):
            for name, work in works.items():
                wall, cpu = measure(work, folder)
                best[name] = min(best[name][0], wall), min(best[name][1], cpu)
                print(f"round {turn} {name:5} wall {wall:7.2f} s  cpu {cpu:7.2f} s")
    ratio = {
        name: tuple(spent / base for spent, base in zip(best[name], best["copy"], strict=True))
        for name in ("view", "input")
    }
    for name, (wall, cpu) in ratio.items():
        print(f"{name} of {rows} rows against a copy: wall x{wall:.2f}, cpu x{cpu:.2f}")
    print(f"target for a view: wall x{TARGET:.2f}")
    return 0 if ratio["view"][0] <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in [*sys.argv[1:], "1000000", "3"][:2])))
