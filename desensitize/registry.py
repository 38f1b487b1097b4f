"""Subject numbers: one number a subject in every table, version and tenant: the gate remembers whom it told of (law 4).

Inputs hold tokens that differ from scenario to scenario, on purpose. When an input is provisioned, trusted code also marks its
subjects under the gate's key, gives each mark its number in the registry of its universe (persons, companies), and keeps the pairs
(token, number) beside the grant's zones, sealed. Only the gate's worker is ever given them; no run is (D1).

Numbers are dense, which keeps sets of them small. The registry is a list of sealed parts, each the marks of the subjects that were
new; the log counts the parts, so that none can be taken away unseen. A row without a subject key has no number. A key that was
mistyped is a subject of its own, here as in the tables themselves; when the provider mends it, one subject goes and another comes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select

from desensitize.entities import Entity, canonical_array
from desensitize.gate_key import GateKey, Sealer, ensure_gate_key
from desensitize.pseudonym import ScenarioKeys, known_tokens, marks
from desensitize.schema import subject_part
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox.columns import SubjectKind
from sandbox.domain import Domain
from sandbox.grants import Grant


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint32]

_ZONE = "numbers"
_MARK = 16
_MOST_IN_PART = 4_000_000
_MOST = 2**32
_LOCAL = frozenset({Entity.LOCAL_NUMBER, Entity.OTHER})
"""Numbers that mean something at one provider only: the same number at another provider is another person."""


@dataclass(frozen=True)
class Universe:
    """Whose numbers: the kind of subject, what its key is, and who gave the key where it means nothing elsewhere."""

    kind: SubjectKind
    entity: Entity
    provider: str

    @property
    def scope(self) -> tuple[str, ...]:
        """What a mark is made for."""
        return (self.kind.value, self.entity.value, *([self.provider] if self.entity in _LOCAL else []))


def number_subjects(
    domain: Domain, universe: Universe, spellings: pa.Array, keys: ScenarioKeys
) -> tuple[pa.Array, Numbers]:
    """Give the subjects of a table their numbers; what is new enters the registry, in one transaction with its entry (law 5).

    Args:
        domain: the domain.
        universe: whose keys they are.
        spellings: the subject keys as they stand in the table, each at least once; NULL and blank mean nobody.
        keys: the scenario's keys.

    Returns:
        The tokens (text) and the numbers of the subjects, in the same order, each subject once.

    Raises:
        MissingPartError: the registry or the gate's key is damaged or incomplete (law 7).
    """
    canonical = canonical_array(spellings.unique(), universe.entity).unique().drop_null()
    gate = ensure_gate_key(domain)
    marked = marks(canonical, gate.derive("subjects"), *universe.scope)
    with domain.change(PLATFORM) as change:
        # Serialised by the one writer of the domain: two grants provisioned at once cannot give one subject two numbers.
        numbers = _enter(change, universe.kind.value, marked, _sealer(gate))
    return known_tokens(canonical, universe.entity, keys), numbers


def _enter(change: Change, universe: str, marked: pa.Array, sealer: Sealer) -> Numbers:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known = registered(change.connection, universe, sealer)
    found = pc.index_in(marked, known)
    fresh = marked.filter(found.is_null())
    if len(known) + len(fresh) > _MOST:
        raise MissingPartError("records.registry-full", most=_MOST)
    for start in range(0, len(fresh), _MOST_IN_PART):
        _append(change, universe, len(known) + start, fresh.slice(start, _MOST_IN_PART), sealer)
    every = pa.concat_arrays([known, fresh])
    numbers: Numbers = pc.index_in(marked, every).to_numpy().astype(np.uint32)
    return numbers


def _append(change: Change, universe: str, first: int, part: pa.Array, sealer: Sealer) -> None:
    sealed = sealer.seal(b"".join(part.to_pylist()), universe, first, len(part))
    change.connection.execute(
        insert(subject_part).values(universe=universe, first=first, count=len(part), sealed=sealed)
    )
    # Not how many: the log is read by more people than may know how many subjects there are.
    payload = {"universe": universe, "part": hashlib.sha256(sealed).hexdigest()}
    change.record(Kind.SUBJECTS_NUMBERED, [log_subject_of(universe)], payload)


def registered(connection: Connection, universe: str, sealer: Sealer) -> pa.Array:
    """Read the marks of a universe; the number of a subject is the place of its mark.

    Raises:
        MissingPartError: a part is missing, damaged or changed.
    """
    import pyarrow as pa

    columns = (subject_part.c.first, subject_part.c.count.label("subjects"), subject_part.c.sealed)
    query = select(*columns).where(subject_part.c.universe == universe).order_by(subject_part.c.first)
    parts, following = [pa.array([], pa.binary())], 0
    for row in connection.execute(query):
        if row.first != following:
            raise MissingPartError("records.registry-incomplete", universe=f"label.subject-kind.{universe}")
        data = sealer.open(row.sealed, universe, row.first, row.subjects)
        parts.append(_marks_of(data, row.subjects))
        following += row.subjects
    if len(parts) - 1 != logged(connection, log_subject_of(universe)):
        raise MissingPartError("records.registry-incomplete", universe=f"label.subject-kind.{universe}")
    return pa.concat_arrays(parts)


def logged(connection: Connection, subject: str) -> int:
    """Count the log's entries about a subject: what they say was written must still be there (law 7)."""
    from sqlalchemy import func

    from lineage.schema import log_subject

    query = select(func.count()).select_from(log_subject).where(log_subject.c.subject == subject)
    return int(connection.execute(query).scalar_one())


def log_subject_of(universe: str) -> str:
    """Give the id under which the log names the registry of a universe."""
    return f"subjects:{universe}"


def _marks_of(data: bytes, count: int) -> pa.Array:
    import pyarrow as pa

    whole = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_MARK), count, [None, pa.py_buffer(data)])
    return whole.cast(pa.binary())


def _sealer(gate: GateKey) -> Sealer:
    return gate.sealer("registry")


@contextmanager
def numbers_opened(domain: Domain, found: Grant) -> Iterator[Path]:
    """Open the sealed folder that holds a grant's numbers, a folder for each of its inputs under the table's id.

    It lies beside the grant's zones under a key of its own and ends with the grant (law 10): numbers without the tokens that they
    belong to are of no use to anybody, and the registry knows its subjects by their marks.

    Raises:
        MissingPartError: there is none, a key is destroyed or the storage provider fails (law 7).
    """
    sealed = domain.sealed(found.id, _ZONE)
    if not sealed.exists():
        raise MissingPartError("records.not-numbered")
    key = domain.keys.zone_key(found.tenant, found.id, _ZONE)
    with domain.storage.opened(sealed, key, domain.mounts) as folder:
        yield folder


def make_numbers_folder(domain: Domain, found: Grant) -> None:
    """Make the sealed folder of a grant's numbers where there is none; beside its place, so that no half-made one is ever there."""
    sealed = domain.sealed(found.id, _ZONE)
    sealed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (sealed.parent / ".numbers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sealed.exists():
            return
        fresh = sealed.with_name(f".{_ZONE}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        domain.storage.create(fresh, domain.keys.zone_key(found.tenant, found.id, _ZONE))
        fresh.rename(sealed)
