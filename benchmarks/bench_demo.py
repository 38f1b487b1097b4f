"""How long `shuzha demo` takes after set-up, and where the seconds go. ``--scale N`` sets the number of residents."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path
from time import monotonic


ROOT = Path(__file__).resolve().parents[1]
SHUZHA = ROOT / ".venv" / "bin" / "shuzha"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50_000)
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as folder:
        started = monotonic()
        command = [SHUZHA, "demo", "--home", Path(folder) / "home", "--scale", str(scale), "--json"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        wall = monotonic() - started
    if done.returncode != 0:
        raise SystemExit(done.stdout[-500:] + done.stderr[-500:])
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"shuzha demo --scale {scale}")
    for step, value in seconds.items():
        print(f"  {step:12} {value:7.1f} s")
    print(
        f"  {'process':12} {wall:7.1f} s wall, {usage.ru_utime + usage.ru_stime:.1f} cpu-s (its own children, jails included)"
    )


if __name__ == "__main__":
    main()
