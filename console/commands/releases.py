"""Verifying a release: for whoever holds one, without a domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from console.door import door


def verify(path: Path, key: Annotated[Path, typer.Option()]) -> None:
    """Verify a release folder or zip with the domain's public key file alone."""
    from export_gate.verifying import verify_release
    from lineage.errors import GateRefusedError
    from sandbox.domain import read_public_keys

    here = door()
    try:
        keys = key.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise GateRefusedError("log.bad-key") from error
    log_key, release_key = read_public_keys(keys)
    verified = verify_release(path, log_key, release_key)
    manifest = verified.manifest
    told = {
        "holds": True,
        "release": manifest["release"],
        "product": manifest["product"],
        "domain": manifest["domain"],
        "released": manifest["released"],
        "sources": [f"{s['dataset']}@{s['version']} ({s['as_of']})" for s in manifest["sources"]],
        "log_size": verified.log_size,
    }
    here.say("done.release-holds")
    here.give(told)


COMMANDS: Mapping[str, Callable[..., None]] = {"verify": verify}
