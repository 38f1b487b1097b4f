"""What ACRO 1.0.2 says of the cases of ``peers.py``; runs in an environment of its own, which is no part of the product."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any


def main() -> None:
    """Read the cases from stdin, answer ACRO's status by name."""
    import os

    os.chdir(tempfile.mkdtemp(prefix="acro-"))
    import pandas as pd
    from acro import ACRO  # type: ignore[import-not-found]  # only in its own environment

    asked: dict[str, Any] = json.load(sys.stdin)
    people = pd.DataFrame(asked["rows"], columns=asked["columns"])
    answers: dict[str, str] = {}
    for name, tables in asked["cases"].items():
        acro = ACRO(suppress=False)
        for table in tables:
            frame = people.query(table["where"]) if table["where"] else people
            if table["aggregate"] == "count":
                acro.crosstab(frame[table["by"]], frame["sex"])
            else:
                acro.pivot_table(frame, index=[table["by"]], values=[table["of"]], aggfunc=table["aggregate"])
        answers[name] = ", ".join(acro.results.get_index(place).status for place in range(len(tables)))
    sys.stdout.write("\nANSWERS " + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
