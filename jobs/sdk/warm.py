"""Get ready before anybody knows for whom: import the libraries, start Spark, say so, and wait for one word.

Runs in a jail that holds no tenant's things yet. The word ``go`` comes when the job's folder, its tables and its outbox have been
mounted; the end of the pipe without it means that nobody will come. From then on this is ``runner`` and nothing else.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

from . import runner, spark_session


READY: Final = b"\x06warm\n"
"""What is written when all is ready; the platform throws it and everything before it away."""
GO: Final = b"go\n"
_PRELOADED: Final = ("pyarrow", "duckdb", "deltalake", "pandas")


def main(kind: str) -> int:
    """Warm up, wait, run; gives the job's exit code, or 0 when nobody came."""
    if kind == "spark":
        spark_session.warm_up()
    elif kind == "python":
        for name in _PRELOADED:
            importlib.import_module(name)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, READY)
    if not _called():
        return 0
    sys.argv = [runner.__file__]
    importlib.invalidate_caches()
    return runner.run()


def _called() -> bool:
    """Wait for the word, then let go of the pipe: the job finds the null device as its stdin, like in any jail."""
    word = b""
    while len(word) < len(GO) and (more := os.read(0, len(GO) - len(word))):
        word += more
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)
    return word == GO


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
