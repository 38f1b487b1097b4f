"""How many warm jails a domain keeps, of which size: the ``[[warm]]`` tables of its ``domain.toml``.

```toml
[[warm]]                # none at all: a default by the machine's free memory; "warm = []" keeps none
runtime = "spark"       # spark | python
cores = 1               # a run takes a warm jail only if it asks for exactly this
memory = "2g"           # limit of the run; a waiting Spark holds about 600 MiB, a waiting interpreter 90
count = 1
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pool import PooledJail, WarmPool
from jobs.jail.pool_warm import WarmKind
from jobs.jail.runtimes import python_runtime, spark_runtime
from jobs.jail.spec import MEBIBYTE, Jail, Limits
from lineage.errors import DefinitionError


WAITING: Final[Mapping[str, int]] = {"spark": 700 * MEBIBYTE, "python": 120 * MEBIBYTE}
"""Bytes that a warm jail holds while it waits, rounded up; ``benchmarks/bench_jail.py`` measures them."""
_SHARE: Final = 16
"""Waiting jails may hold one part in so many of the free memory by default; a machine with less starts every run cold."""
_DEFAULT: Final = ({"runtime": "spark"}, {"runtime": "python"})
_KNOWN: Final = frozenset({"runtime", "cores", "memory", "count"})
_MEMORY: Final = re.compile(r"([1-9][0-9]{0,5})([mg])")
_MOST: Final = 64


def read_kinds(settings: Mapping[str, Any], jars: Path) -> tuple[WarmKind, ...]:
    """Read what a domain keeps warm; without a word about it, one of each runtime if the memory is there.

    Raises:
        DefinitionError: ``pool.bad-setting``.
        MissingPartError: a runtime that is to be kept warm is not installed.
    """
    tables = settings["warm"] if "warm" in settings else default_tables(free_memory())
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise DefinitionError("pool.bad-setting", name="warm")
    return tuple(_kind(table, jars) for table in tables)


def default_tables(free: int) -> list[dict[str, Any]]:
    """Choose what a machine with so many free bytes keeps warm when nobody said."""
    return [dict(table) for table in _DEFAULT if sum(WAITING.values()) * _SHARE <= free]


def free_memory() -> int:
    """Give the bytes that the kernel could hand out now."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _kind(table: Mapping[str, Any], jars: Path) -> WarmKind:
    if unknown := sorted(set(table) - _KNOWN):
        raise DefinitionError("pool.bad-setting", name=ascii(unknown[0])[:40])
    name = str(table.get("runtime"))
    if name not in WAITING:
        raise DefinitionError("pool.bad-setting", name="runtime")
    cores, memory = _whole(table, "cores"), _memory_bytes(table.get("memory", "2g"))
    runtime = spark_runtime(cores, memory, jars) if name == "spark" else python_runtime(cores, memory)
    return WarmKind(name, runtime, Limits(memory_bytes=memory, cores=cores), _whole(table, "count"))


def _whole(table: Mapping[str, Any], name: str) -> int:
    value = table.get(name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        raise DefinitionError("pool.bad-setting", name=name)
    return value


def _memory_bytes(text: object) -> int:
    match = _MEMORY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DefinitionError("pool.bad-setting", name="memory")
    return int(match[1]) * MEBIBYTE * (1024 if match[2] == "g" else 1)


@contextmanager
def pooled(jail: Jail, settings: Mapping[str, Any], folder: Path, jars: Path) -> Iterator[Jail]:
    """Give the jail with a domain's pool of warm ones round it for the time of a block.

    A jail of another kind than namespaces is given back as it is: only theirs can be entered late.

    Args:
        jail: the jail that the domain's settings name.
        settings: what ``domain.toml`` says.
        folder: a root-only folder of the pool alone; what a dead platform left in it is removed.
        jars: the folder with Delta's jars.
    """
    kinds = read_kinds(settings, jars)
    if not kinds or not isinstance(jail, BubblewrapJail):
        yield jail
        return
    with PooledJail(jail, WarmPool(jail, kinds, folder.resolve())) as warm:
        yield warm
