"""``python3.11 -m infra.setup``: everything a fresh Debian 12 needs; quiet and quick when nothing is to be done."""

from __future__ import annotations

import fcntl
import sys

from infra.setup import class_archive, jars, python_packages, system_parts
from infra.setup.common import TOOLS, SetupError


MISSING_PART = 30


def main() -> int:
    """Run every step in order and give the exit code: 0, or 30 when a needed part cannot be had."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "setup.lock").open("w") as lock:
        # Two setups at once would build one environment together.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            system_parts.provide(system_parts.read_parts())
            system_parts.check_java()
            python_packages.provide()
            jars.provide()
            class_archive.provide()
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return MISSING_PART
    return 0


if __name__ == "__main__":
    sys.exit(main())
