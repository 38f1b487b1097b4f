"""Verifying a release: for whoever holds one, without a domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from console.door import door


def verify(
    path: Path, key: Annotated[Path, typer.Option()], revoked: Annotated[Path | None, typer.Option()] = None
) -> None:
    """Verify a release folder or zip with the domain's public key file alone; with --revoked also that it was not revoked."""
    from export_gate.revoking import Revocations
    from export_gate.verifying import verify_release
    from lineage.errors import GateRefusedError
    from sandbox.domain import read_public_keys

    here = door()
    try:
        keys = key.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise GateRefusedError("log.bad-key") from error
    log_key, release_key = read_public_keys(keys)
    revocations = None if revoked is None else Revocations.open(_read_list(revoked), release_key)
    verified = verify_release(path, log_key, release_key, revocations)
    manifest = verified.manifest
    told = {
        "holds": True,
        "release": manifest["release"],
        "product": manifest["product"],
        "domain": manifest["domain"],
        "released": manifest["released"],
        "sources": [f"{s['dataset']}@{s['version']} ({s['as_of']})" for s in manifest["sources"]],
        "log_size": verified.log_size,
        # Without a list nothing is said of revocations; with one, of those up to its instant.
        "not_revoked_as_of": None if revocations is None else revocations.at,
    }
    here.say("done.release-holds")
    here.give(told)


def revocations() -> None:
    """Write the signed list of revoked releases into the public folder anew, dated now."""
    from export_gate.revoking import publish
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.EXPORT_APPROVE)
    here.give({"file": str(publish(here.domain))})


def _read_list(path: Path) -> str:
    from lineage.errors import GateRefusedError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GateRefusedError("release.bad-revocations") from error


COMMANDS: Mapping[str, Callable[..., None]] = {"verify": verify, "revocations": revocations}
