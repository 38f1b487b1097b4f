"""After a restore the gate's memory may be older than what left: nothing is checked or released until the authority has said so (law 4).

What was charged and released after the backup is in no ledger any more, so the same budget could be spent twice and a table be
compared with too little. Whether something left in between only people know: the witnesses' newer checkpoints and the recipients.
"""

from __future__ import annotations

from sqlalchemy import Connection

from lineage.audit import Question, find
from lineage.errors import DefinitionError, GateRefusedError
from lineage.kinds import Kind
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.roles import Permission


SUBJECT = "gate"


def check_resumed(connection: Connection) -> None:
    """Check that the gate's memory is whole, as far as the authority knows.

    Raises:
        GateRefusedError: the domain was restored from a backup and the gate was not resumed since.
    """
    kinds = frozenset({Kind.DOMAIN_RESTORED, Kind.GATE_RESUMED})
    page = find(connection, Question(kinds=kinds), limit=1, newest_first=True)
    if page.entries and page.entries[0].kind is Kind.DOMAIN_RESTORED:
        raise GateRefusedError("gate.restored")


def is_resumed(connection: Connection) -> bool:
    """Whether ``check_resumed`` would let the gate work."""
    try:
        check_resumed(connection)
    except GateRefusedError:
        return False
    return True


def resume(domain: Domain, session: Session, *, reason: str) -> None:
    """Let the gate work again after a restore; the reason says what is known of releases that the backup did not hold.

    Raises:
        NotPermittedError: the person may not decide on exports.
        DefinitionError: no reason is given, or the gate works.
    """
    session.check(Permission.EXPORT_APPROVE)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        if is_resumed(change.connection):
            raise DefinitionError("gate.not-restored")
        change.record(Kind.GATE_RESUMED, [SUBJECT], {"reason": reason})
