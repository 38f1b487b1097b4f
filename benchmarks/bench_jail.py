"""What the jail costs, and what warm jails and encryption save or cost; everything compared is taken in turns in one run.

``python benchmarks/bench_jail.py [cpu] [first] [small] [sealed]`` takes some parts only; without a word it takes all. ``TURNS=5`` takes
each five times instead of three.

- ``cpu``: processor seconds of three jobs, jailed and unjailed, both counted by a control group. The class archive fits only the
  jail's paths, so both go without it.
- ``first``: seconds from handing a run to the jail until the tenant's first line, cold and warm.
- ``small``: processor seconds of one small Delta job (read, group, write a Delta table, a function in Python).
- ``sealed``: seconds of a scan of one and ten million rows through gocryptfs and from a plain folder, the page cache emptied of them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jail_jobs import JARS, JOBS, KINDS, ROOT, make_job, make_table

from jobs.jail import cgroup
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pool import PooledJail, WarmPool
from jobs.jail.pool_warm import WarmKind
from jobs.jail.spec import Ending, Jail, JailSpec, Outcome


TURNS = int(os.environ.get("TURNS", "3"))
UID = 150_000


def spec_of(place: Path, job: str, jars: Path) -> JailSpec:
    """Name one run of a job."""
    told = JOBS[job]
    runtime, limits = KINDS[told.runtime](jars)
    name = f"bench-{secrets.token_hex(12)}"
    mounts = {**runtime.read_only, "/in/visits": place / told.table, "/job": make_job(place, job, "/in/visits")}
    return JailSpec(name, place / name, UID, runtime.run_job, runtime.environment, mounts, limits)


def jailed(jail: Jail, spec: JailSpec) -> tuple[Outcome, float]:
    """Run once; gives the outcome and the seconds until the first line, which the job tells by the clock both share."""
    begun = time.time()
    jail.prepare(spec)
    try:
        outcome = jail.run(spec, lambda: False)
        said = outcome.log.read_text(encoding="utf-8")
        if outcome.ending is not Ending.DONE:
            raise SystemExit(said)
        first = next(line for line in said.splitlines() if line.startswith("first "))
        return outcome, float(first.split()[1]) - begun
    finally:
        jail.cleanup(spec)


def unjailed(place: Path, job: str, jars: Path) -> float:
    """Run the same code without the jail, in a control group that counts alike; gives processor seconds."""
    told = JOBS[job]
    runtime, limits = KINDS[told.runtime](jars)
    folder, out = make_job(place, job, str(place / told.table)), place / secrets.token_hex(4)
    out.mkdir()
    code = f"from pathlib import Path; from jobs.sdk.runner import run; raise SystemExit(run(Path({str(folder)!r}), Path({str(out)!r})))"
    kept = {
        name: value for name, value in runtime.environment.items() if name.startswith("SHUZHA") or "THREADS" in name
    }
    environment = {**os.environ, **kept, "SHUZHA_JARS": str(jars), "PYSPARK_PYTHON": sys.executable}
    environment |= {"SPARK_HOME": str(next((ROOT / ".venv/lib").glob("python3*")) / "site-packages/pyspark")}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}
    group = cgroup.group(f"bench-{secrets.token_hex(12)}")
    group.create(limits)

    def join() -> None:
        for door in group.doors:
            door.write_text(str(os.getpid()), encoding="ascii")

    try:
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True, preexec_fn=join
        )
        return group.cpu_seconds()
    finally:
        group.remove()


def cpu(place: Path, plain: Path) -> None:
    """Print the ratio for three jobs."""
    jail = BubblewrapJail()
    for job in ("python", "spark small", "spark bigger"):
        inside, outside = [], []
        for _ in range(TURNS):
            inside.append(jailed(jail, spec_of(place, job, plain))[0].cpu_seconds)
            outside.append(unjailed(place, job, plain))
        ratio = statistics.median(inside) / statistics.median(outside)
        print(
            f"cpu    {job:14} jailed {_all(inside)}  unjailed {_all(outside)}  ratio {ratio:.2f} (medians), "
            f"{min(inside) / min(outside):.2f} (least)"
        )


@contextmanager
def pool_of(place: Path, runtime: str) -> Iterator[PooledJail]:
    """Keep one warm jail of a runtime."""
    inner = BubblewrapJail()
    base, limits = KINDS[runtime](JARS)

    with PooledJail(inner, WarmPool(inner, [WarmKind(runtime, base, limits)], place / f"warm-{runtime}")) as jail:
        yield jail


def first(place: Path) -> None:
    """Print the seconds until the first line, and what a warm jail holds while it waits."""
    for job in ("python", "spark small"):
        runtime = JOBS[job].runtime
        cold, warm, held, made = [], [], 0, []
        for _ in range(TURNS):
            cold.append(jailed(BubblewrapJail(), spec_of(place, job, JARS))[1])
            begun = time.monotonic()
            with pool_of(place, runtime) as jail:
                if not jail.pool.wait_ready(1, 180):
                    raise SystemExit("no warm jail")
                made.append(time.monotonic() - begun)
                held = max(held, *(_used(one.group) for one in jail.pool.waiting()))
                warm.append(jailed(jail, spec_of(place, job, JARS))[1])
        print(
            f"first  {runtime:14} cold {_all(cold)} s  warm {_all(warm)} s  (made in {_all(made)} s, waits in {held >> 20} MiB)"
        )


def small(place: Path) -> None:
    """Print the processor seconds of a small Delta job: plain start, with the class archive, in a warm jail."""
    plain, archived, warm = [], [], []
    for _ in range(TURNS):
        plain.append(jailed(BubblewrapJail(), spec_of(place, "spark delta", place / "jars"))[0].cpu_seconds)
        archived.append(jailed(BubblewrapJail(), spec_of(place, "spark delta", JARS))[0].cpu_seconds)
        with pool_of(place, "spark") as jail:
            jail.pool.wait_ready(1, 180)
            warm.append(jailed(jail, spec_of(place, "spark delta", JARS))[0].cpu_seconds)
    print(
        f"small  spark delta    plain {_all(plain)} cpu-s  class archive {_all(archived)} cpu-s  warm {_all(warm)} cpu-s"
    )


def sealed(place: Path) -> None:
    """Print what a scan costs through gocryptfs."""
    from sandbox.storage import Gocryptfs

    storage, key = Gocryptfs(), secrets.token_bytes(32)
    for rows in (1_000_000, 10_000_000):
        table = make_table(place, rows)
        closed = place / f"sealed-{rows}"
        storage.create(closed, key)
        with storage.opened(closed, key, place / "mounts") as folder:
            shutil.copytree(table, folder / "t")
        plain, through = [], []
        for _ in range(TURNS):
            # Opened anew each time: the kernel's cache of a mount goes with the mount.
            _forget(table)
            plain.append(_timed(lambda table=table: _scan(table)))  # type: ignore[misc]
            _forget(closed)
            with storage.opened(closed, key, place / "mounts") as folder:
                through.append(_timed(lambda folder=folder: _scan(folder / "t")))  # type: ignore[misc]
        ratio = statistics.median(through) / statistics.median(plain)
        print(f"sealed {rows:>10} rows  plain {_all(plain)} s  gocryptfs {_all(through)} s  ratio {ratio:.2f}")


def _scan(table: Path) -> None:
    """Read every column of every row, in a process of its own as a job would."""
    code = (
        "import sys, duckdb; from deltalake import DeltaTable; d = duckdb.connect(config={'threads': 2});"
        "d.register('t', DeltaTable(sys.argv[1]).to_pyarrow_dataset());"
        "print(d.sql('SELECT COUNT(DISTINCT district), SUM(cost), SUM(id), AVG(score), MAX(note) FROM t').fetchall())"
    )
    subprocess.run([sys.executable, "-c", code, str(table)], check=True, capture_output=True)


def _forget(folder: Path) -> None:
    """Drop a folder's pages from the page cache; clean pages only, so write them first."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _timed(work: Callable[[], None]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _used(group: cgroup.Group) -> int:
    """Bytes a group holds now."""
    name = "memory.current" if group.unified else "memory.usage_in_bytes"
    folder = group.folders["" if group.unified else "memory"]
    return int((folder / name).read_text())


def _all(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{', '.join(f'{value:.2f}' for value in values)}]"


def main() -> None:
    """Take the parts that were named."""
    wanted = sys.argv[1:] or ["cpu", "first", "small", "sealed"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        for told in {told.table: told for told in JOBS.values()}.values():
            make_table(place, told.rows)
        plain = place / "jars"
        plain.mkdir()
        for jar in JARS.glob("*.jar"):
            shutil.copy(jar, plain)
        parts: dict[str, Callable[[], None]] = {
            "cpu": lambda: cpu(place, plain),
            "first": lambda: first(place),
            "small": lambda: small(place),
            "sealed": lambda: sealed(place),
        }
        for part in wanted:
            parts[part]()
            sys.stdout.flush()


if __name__ == "__main__":
    main()
