"""``python -m infra.tests``: every test, in two processes side by side: those that need the Spark session, and the rest.

What the first prints is seen as it comes, what the second printed follows at the end. The exit code is 0 when both are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent


def _command(half: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "--half", half, "-o", f"cache_dir=.pytest_cache/{half}"]


def main() -> int:
    """Run both halves and give the worse exit code."""
    with tempfile.TemporaryFile() as said:
        rest = subprocess.Popen(_command("rest"), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            spark = subprocess.run(_command("spark"), cwd=ROOT, check=False).returncode
            code = rest.wait()
        finally:
            rest.kill()
        said.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return spark or code


if __name__ == "__main__":
    sys.exit(main())
