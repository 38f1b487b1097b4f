"""The selftest as evidence: run it, sign it, file it on the log, and refuse production without it (D1–D3; laws 1, 5 and 7).

A result holds for one start of one machine and for one jail: whatever is updated, or started anew, is tried anew. The entry keeps the
whole result as a signed note, so that an assessor can check it against the domain's public key without the domain.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from jobs.jail.backends import name_of
from jobs.jail.battery import Surroundings
from jobs.selftest_domain import TrialDomain
from jobs.selftest_held import HEAD, can_produce, open_note, subject_of
from jobs.selftest_result import SelftestResult, read_result
from lineage.audit import Question, find
from lineage.canonical import encode
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Actor, Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.parties import list_organisations, list_persons
from sandbox.roles import Permission
from sandbox.schema import dataset


_ROOT: Final = Path(__file__).resolve().parents[1]
_SECONDS: Final = 1800


@dataclass(frozen=True)
class Filed:
    """A result as it lies on the log.

    Attributes:
        result: what was found.
        seq: its entry's number.
        actor: who ran it.
        note: the signed text.
    """

    result: SelftestResult
    seq: int
    actor: Actor
    note: str


def run_selftest(domain: Domain) -> SelftestResult:
    """Run the battery on this machine, as a process of its own, with canaries in the domain's own folders.

    Raises:
        MissingPartError: a part that the jail needs is missing, or the trial did not come to its end.
    """
    with _canaries(domain) as places:
        return try_jail(domain.storage.name, Surroundings(places, _names(domain)), domain.settings)


def try_jail(storage: str, around: Surroundings, settings: Mapping[str, Any] | None = None) -> SelftestResult:
    """Run the battery on this machine, as a process of its own.

    Args:
        storage: the storage provider of the throw-away domain.
        around: what the hostile job looks for beside its baits.
        settings: of the domain whose jail is tried; by default the usual one.

    Raises:
        MissingPartError: a part that the jail needs is missing, or the trial did not come to its end.
    """
    asked = {
        "storage": storage,
        "places": [*around.places],
        "names": [*around.names],
        "settings": dict(settings or {}),
        "parent": os.getpid(),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.selftest_trial"],
            input=json.dumps(asked).encode(),
            capture_output=True,
            cwd=_ROOT,
            timeout=_SECONDS,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise MissingPartError("selftest.not-carried-out") from error
    if "error" in answer:
        raise MissingPartError(answer["error"], **answer["params"])
    return read_result(answer["result"])


@contextmanager
def _canaries(domain: Domain) -> Iterator[list[str]]:
    """Plant a file in each folder of the domain that holds something worth having; gives what is to be looked for."""
    name = f".canary-{secrets.token_hex(8)}"
    folders = [domain.home / part for part in ("raw", "sealed", "run", "jobs", "exports", "tokens", "keys")]
    planted = [folder / name for folder in folders if folder.is_dir()]
    try:
        for path in planted:
            path.touch(mode=0o600)
            path.write_text("canary", encoding="ascii")
        yield [*map(str, planted), str(domain.home / "domain.toml"), str(domain.home)]
    finally:
        for path in planted:
            path.unlink(missing_ok=True)


def _names(domain: Domain) -> list[str]:
    """Names of the domain that no run may learn from the kernel; short ones would be found anywhere by chance."""
    with domain.read() as connection:
        found = [one.name for one in list_organisations(connection)]
        found += [one.login for one in list_persons(connection)]
        found += connection.execute(select(dataset.c.name)).scalars()
    return [name for name in found if len(name) >= 8]


def check_may_run(session: Session) -> None:
    """Check that a person may run the selftest and file its result.

    Raises:
        NotPermittedError: no role of theirs may.
    """
    session.check(Permission.SELFTEST_RUN)


def file_by_person(domain: Domain, session: Session, result: SelftestResult) -> Filed:
    """Sign a result that a person asked for, and file it.

    Raises:
        NotPermittedError: no role of theirs may, or they may not work any more.
    """
    check_may_run(session)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        return _file(domain, change, result)


def file_result(domain: Domain, result: SelftestResult) -> Filed:
    """Sign a result of this machine and file it, as the platform."""
    with domain.change(PLATFORM) as change:
        return _file(domain, change, result)


def _file(domain: Domain, change: Change, result: SelftestResult) -> Filed:
    """Put a signed result on the log, in the caller's transaction (law 5)."""
    note = domain.release_signer.sign(f"{HEAD}{encode(result.json()).decode()}\n")
    seq = change.record(Kind.SELFTEST_FILED, [subject_of(result.machine["boot"], result.profile)], {"note": note})
    return Filed(result, seq, change.actor, note)


def file_in_trial(trial: TrialDomain, result: SelftestResult) -> None:
    """File the development half in the trial's own domain, as whole as its production half needs it to start."""
    file_result(trial.domain, result)


def last_filed(domain: Domain) -> Filed | None:
    """Give the newest result on the log, of whatever machine, its signature checked; None when there is none.

    Raises:
        GateRefusedError: the note of the entry does not hold.
    """
    with domain.read() as connection:
        page = find(connection, Question(kinds=frozenset({Kind.SELFTEST_FILED})), limit=1, newest_first=True)
    if not page.entries:
        return None
    entry = page.entries[0]
    note = str(entry.payload["note"])
    return Filed(open_note(note, domain.release_signer.verifier), entry.seq, entry.actor, note)


def ensure_held(domain: Domain) -> SelftestResult | None:
    """Run and file a selftest, as the platform, where none that held is on the log; gives the new result, None when one was there."""
    with domain.read() as connection:
        if can_produce(connection, name_of(domain.settings)):
            return None
    result = run_selftest(domain)
    file_result(domain, result)
    return result
