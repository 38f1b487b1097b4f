"""Whether a selftest that held is on the log for this start of this machine and this jail; production asks (law 7)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from jobs.jail.backends import DEFAULT
from jobs.selftest_machine import boot, profile
from jobs.selftest_result import LEAST_PROBES, SelftestResult, read_result
from lineage.canonical import decode
from lineage.errors import GateRefusedError, MissingPartError
from lineage.log import Entry, entries
from lineage.note import Verifier
from lineage.schema import log_subject


HEAD: Final = "shuzha/selftest\n"
"""First line of what is signed: the same key signs other texts, and none of them begins so."""


def held_here(connection: Connection, jail: str = DEFAULT) -> SelftestResult | None:
    """Give the newest result for this start of this machine and this kind of jail; None when there is none."""
    entry = _newest(connection, jail)
    if entry is None:
        return None
    text, _, _ = str(entry.payload["note"]).partition("\n\n")
    return _parsed(f"{text}\n")


def check_held(connection: Connection, jail: str = DEFAULT) -> None:
    """Check that the jail, of the kind that the domain's settings name, was tried since this machine started, and held.

    Raises:
        MissingPartError: it was not, or a probe got out (law 7).
    """
    found = held_here(connection, jail)
    if found is None:
        raise MissingPartError("selftest.none")
    check_result(found)


def check_result(found: SelftestResult) -> None:
    """Check that a result lets production run.

    Raises:
        MissingPartError: a probe got out, or too little was tried to prove anything (law 7).
    """
    if found.open:
        raise MissingPartError("selftest.open", count=len(found.open), first=f"label.probe.{found.open[0]}")
    if not found.holds:
        raise MissingPartError("selftest.too-few", count=len(found.probes), least=LEAST_PROBES)


def can_produce(connection: Connection, jail: str = DEFAULT) -> bool:
    """Whether ``check_held`` would let production start."""
    try:
        check_held(connection, jail)
    except MissingPartError:
        return False
    return True


def open_note(note: str, verifier: Verifier) -> SelftestResult:
    """Read a signed result.

    Raises:
        GateRefusedError: the signature does not hold, or the text is no result.
    """
    text = verifier.open(note)
    if not text.startswith(HEAD):
        raise GateRefusedError("selftest.bad-note")
    return _parsed(text)


def _parsed(text: str) -> SelftestResult:
    try:
        body = decode(text.removeprefix(HEAD).removesuffix("\n").encode())
        return read_result(body)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise GateRefusedError("selftest.bad-note") from error


def subject_of(boot_id: str, jail: str) -> str:
    """Give the subject under which a result is found again."""
    return f"selftest:{boot_id}/{jail}"


def _newest(connection: Connection, jail: str) -> Entry | None:
    about = select(log_subject.c.seq).where(log_subject.c.subject == subject_of(boot(), profile(jail)))
    found = tuple(entries(connection, about))
    return found[-1] if found else None
