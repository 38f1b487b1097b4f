"""``python -m infra.tests``: every test, in parts side by side: those of the Spark session, those of real jails, and the rest.

What the first row of parts prints is seen as it comes, what the second printed follows at the end. The exit code is 0 when all are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import IO


ROOT = Path(__file__).resolve().parent.parent
ROWS = (("spark", "jail"), ("rest",))
"""Two rows of about the same length, for two cores; the parts of a row come one after the other."""


def _run(part: str, output: IO[bytes] | None) -> int:
    command = [sys.executable, "-m", "pytest", "--part", part, "-o", f"cache_dir=.pytest_cache/{part}"]
    return subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode


def _run_row(row: Sequence[str], output: IO[bytes] | None, codes: list[int]) -> None:
    for part in row:
        print(f"== tests: {part}", flush=True)
        codes.append(_run(part, output))


def main() -> int:
    """Run both rows; 0 when every part passed, else 1."""
    codes: list[int] = []
    with tempfile.TemporaryFile() as said:
        second = Thread(target=_run_row, args=(ROWS[1], said, codes))
        second.start()
        _run_row(ROWS[0], None, codes)
        second.join()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return 0 if codes == [0] * sum(map(len, ROWS)) else 1


if __name__ == "__main__":
    sys.exit(main())
