"""Revoking a release: no further fetch, the recipient is told, and a signed list tells whoever holds a copy (E1, E4, L5).

What left cannot be called back, and neither ledger gives anything back: it was told (law 4). The list is one signed text for the public
folder: the domain, the instant, and a line a revoked manifest. It names digests only, so it tells nobody what others were given.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from export_gate.exports import Export, get_export, move
from export_gate.notes import NoteKind, add_note
from export_gate.release import subject_of
from export_gate.review import check_not_own, record_subjects
from export_gate.schema import export
from export_gate.states import ExportState
from lineage.clock import parse_stamp, stamp
from lineage.errors import DefinitionError, GateRefusedError
from lineage.kinds import Kind
from lineage.note import Verifier
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.roles import Permission


FILE = "revoked.txt"
"""The list's name in the domain's public folder."""

_HEAD = "shuzha revocations"


@dataclass(frozen=True)
class Revocations:
    """A list that the release key signed: manifests (sha-256) with the instant each was revoked, as of ``at``."""

    domain: str
    at: str
    manifests: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what is no digest or no instant."""
        for stamped in (self.at, *self.manifests.values()):
            parse_stamp(stamped)
        if not self.domain or any(len(one) != 64 or set(one) - set("0123456789abcdef") for one in self.manifests):
            raise ValueError("a list of revocations names its domain and digests")

    @property
    def text(self) -> str:
        """The text that is signed; nothing else the release key signs begins like it."""
        lines = [f"{digest} {at}" for digest, at in sorted(self.manifests.items())]
        return "\n".join([_HEAD, self.domain, self.at, *lines]) + "\n"

    @classmethod
    def open(cls, signed: str, key: Verifier) -> Revocations:
        """Read a signed list.

        Raises:
            GateRefusedError: the signature does not hold, or it is no such list.
        """
        head, *rest = key.open(signed).splitlines()
        try:
            name, at, *lines = rest
            found = cls(name, at, {line[:64]: line[65:] for line in lines})
        except ValueError as error:
            raise GateRefusedError("release.bad-revocations") from error
        if head != _HEAD or found.text != key.open(signed):
            raise GateRefusedError("release.bad-revocations")
        return found

    def check(self, manifest: bytes, domain: str) -> None:
        """Check that a manifest of a domain is not revoked.

        Raises:
            GateRefusedError: it is, or the list is another domain's.
        """
        if domain != self.domain:
            raise GateRefusedError("release.revocations-of-another", domain=self.domain)
        at = self.manifests.get(hashlib.sha256(manifest).hexdigest())
        if at is not None:
            raise GateRefusedError("release.revoked", at=at)


def revoke(domain: Domain, session: Session, identity: str, *, reason: str) -> Export:
    """Revoke a release as the authority, and publish the list anew. Gives the export as it is then.

    Raises:
        NotPermittedError: the person may not, or it is their own matter (law 6).
        DefinitionError: no reason, or it is not released.
    """
    session.check(Permission.EXPORT_APPROVE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_not_own(change.connection, session, found)
        add_note(change, found, session, NoteKind.REVOCATION, reason, private=False)
        move(change, found, ExportState.REVOKED)
        if found.manifest is None:
            raise DefinitionError("export.not-released", export=identity)
        subjects = [*record_subjects(change, found), subject_of(found.manifest.encode())]
        change.record(Kind.RELEASE_REVOKED, subjects, {"reason": reason})
    publish(domain)
    with domain.read() as connection:
        return get_export(connection, identity)


def publish(domain: Domain) -> Path:
    """Write the signed list into the public folder, whole or not at all; safe to repeat after a crash. Gives its path."""
    with domain.read() as connection:
        found = Revocations(domain.name, stamp(domain.now()), revoked(connection))
    path = domain.home / "public" / FILE
    fresh = path.with_name(f".{FILE}.{os.getpid()}")
    fresh.write_text(domain.release_signer.sign(found.text), encoding="utf-8")
    fresh.replace(path)
    return path


def revoked(connection: Connection) -> dict[str, str]:
    """Read the revoked manifests' digests with the instant of each."""
    rows = connection.execute(
        select(export.c.manifest, export.c.moved).where(export.c.state == ExportState.REVOKED.value)
    )
    return {hashlib.sha256(row.manifest.encode()).hexdigest(): row.moved for row in rows}
