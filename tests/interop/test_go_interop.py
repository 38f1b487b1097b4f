"""The log's notes and proofs, checked by an independent implementation (golang.org/x/mod/sumdb).

Needs Go and, the first time, its module from the network; so it runs only where SHUZHA_INTEROP=1 asks for it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lineage import merkle
from lineage.log import Log, stored_nodes
from lineage.proof import prove
from tests.fixtures_lineage import add_entries


pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.environ.get("SHUZHA_INTEROP") != "1", reason="SHUZHA_INTEROP=1 is not set"),
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
]

OLDER, NEWER = 5, 13


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def given(log: Log) -> dict[str, Any]:
    add_entries(log, 0, OLDER)
    older = log.checkpoint_file.read_text()
    add_entries(log, OLDER, NEWER - OLDER)
    with log.database.read() as connection:
        proofs = [prove(connection, seq) for seq in range(NEWER)]
        steps = merkle.consistency(OLDER, NEWER, stored_nodes(connection))
    return {
        "Key": log.signer.verifier.encoded,
        "Older": older,
        "Newer": log.checkpoint_file.read_text(),
        "Consistency": [base64_of(step) for step in steps],
        "Proofs": [
            {"Header": base64_of(proof.header), "Index": proof.index, "Path": [base64_of(step) for step in proof.path]}
            for proof in proofs
        ],
    }


def judge(value: dict[str, Any]) -> tuple[int, str]:
    run = subprocess.run(
        ["go", "run", "."],
        cwd=Path(__file__).parent / "go",
        input=json.dumps(value),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return run.returncode, run.stdout.strip()


def test_another_implementation_accepts_checkpoints_and_proofs(sqlite_log: Log) -> None:
    assert judge(given(sqlite_log)) == (0, f"ok {OLDER} {NEWER} {NEWER}")


@pytest.mark.parametrize("spot", ["Key", "Older", "Newer", "Consistency", "Proofs"])
def test_another_implementation_refuses_what_is_false(sqlite_log: Log, tmp_path: Path, spot: str) -> None:
    value = given(sqlite_log)
    match spot:
        case "Key":
            value["Key"] = value["Key"].replace("test.domain", "best.domain")
        case "Older" | "Newer":
            value[spot] = value[spot].replace("test.domain", "best.domain", 1)
        case "Consistency":
            value[spot][0] = base64_of(bytes(32))
        case _:
            value[spot][3]["Header"] = value[spot][4]["Header"]
    code, said = judge(value)
    assert code == 1
    assert not said.startswith("ok")
