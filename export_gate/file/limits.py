"""What one file may be: limits of the parsers, of the jail they work in, and by grade (E2, C25).

Every parser checks its own limits before it spends; the jail's are the wall for the case that a parser is wrong (law 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from jobs.jail.spec import Limits
from sandbox.columns import Grade


MOST_READ = 16 * 1024 * 1024
"""Bytes of a file as it lies in the outbox."""
MOST_ROWS = 100_000
MOST_CELLS = 1_000_000
MOST_CELL_CHARACTERS = 200
MOST_LINE_CHARACTERS = 65_536
MOST_PIXELS = 4 * 1024 * 1024
MOST_SIDE = 8192
MOST_FILE_COLUMNS = 1000
"""Columns that a Parquet or Arrow file may have beside the declared ones."""

JAIL_LIMITS = Limits(
    memory_bytes=1024 << 20,
    processes=64,
    seconds=60,
    cores=1,
    outbox_bytes=16 << 20,
    outbox_files=4,
    log_bytes=64 << 10,
)
"""Of the jail in which one file is parsed and nothing else lies."""

MOST_BYTES: Mapping[Grade, int] = {
    Grade.OPEN: 4 * 1024 * 1024,
    Grade.INTERNAL: 64 * 1024,
    Grade.RESTRICTED: 0,
    Grade.MOST_SENSITIVE: 0,
}
"""The most bytes of a canonical file by the highest grade of what its run could read; total over grades."""
