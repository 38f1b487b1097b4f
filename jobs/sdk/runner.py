"""Start a job inside the jail: read what to run, import its entry, call ``main(job)``.

``/job/run.json`` is written by the platform::

    {"runtime": "spark", "entry": "main.py", "stage": "development",
     "tables": {"visits": "/in/visits"}, "steps": [["adult_visits", "SELECT ..."]]}

``steps`` may be absent. Exit codes: 0 done, 1 the job's own code failed, 2 it asked for something that cannot be.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from . import errors
from .job import OUTBOX, Job
from .tables import LocalTables, SparkTables, Tables


FOLDER: Final = Path("/job")
_ENGINES: Final[dict[str, type[Tables]]] = {"spark": SparkTables, "python": LocalTables}
FAILED, WRONG = 1, 2


def load_main(folder: Path, entry: str) -> Callable[[Job], Any]:
    """Import the entry file under its own name, so that Spark's workers find it again, and give its ``main``.

    Raises:
        JobError: it has none.
    """
    path = folder / entry
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise errors.no_main(entry)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(folder))
    specification.loader.exec_module(module)
    main = getattr(module, "main", None)
    if not callable(main):
        raise errors.no_main(entry)
    return main  # type: ignore[no-any-return]


def run(folder: Path = FOLDER, outbox: Path = OUTBOX) -> int:
    """Run the job of a folder; gives the exit code."""
    plan = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    steps = [(name, query) for name, query in plan.get("steps", [])]
    try:
        main = load_main(folder, plan["entry"])
        tables = _ENGINES[plan["runtime"]](plan["tables"], steps)
        try:
            main(Job(tables, plan["stage"], outbox))
        finally:
            tables.close()
    except errors.JobError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    except Exception:  # noqa: BLE001 -- the process boundary: whatever the job raised becomes its exit code and its log
        traceback.print_exc()
        return FAILED
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
