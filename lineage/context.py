"""Which entries an answer rests on: not only those that made something, but the decisions behind them (L1).

Entries name ids and say nothing about how the ids relate. Their order does: an id is born in the first entry that names it, and an
entry is about the youngest ids it names. ``export.requested [E-2, R-1]`` tells of E-2 and points back to R-1; whoever asks about R-1 is
not told of every later export, whoever asks about E-2 is led to R-1, from there to its job, its grant, the request and its approvals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineage.log import Entry


_PARTIES = frozenset({"domain", "organisation", "person", "role", "token", "access"})
"""Ids born here are who acts, not what was decided on; every entry names some, so following them would reach everything."""

_DECIDES_ON = {"promotion": "job"}
"""Younger than what it decides on, and yet part of its story: whatever a job made rests on the job's promotion."""


class Context:
    """Index from ids to the entries about them, over entries in log order; ``deriving`` gives the targets an entry derives."""

    def __init__(self, entries: Sequence[Entry], deriving: Mapping[int, frozenset[str]]) -> None:
        self._entries = {entry.seq: entry for entry in entries}
        self._deriving = deriving
        self._born: dict[str, int] = {}
        for entry in entries:
            for subject in entry.subjects:
                self._born.setdefault(subject, entry.seq)
        self._about: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            for identity in self._told(entry):
                self._about[identity].append(entry.seq)

    def decisions(self, made_by: Iterable[int], nodes: Iterable[str], *, back: bool) -> tuple[Entry, ...]:
        """Give the entries that made the path, those about its nodes and, with ``back``, about all they point back to."""
        path = frozenset(nodes)
        found = set(made_by)
        wanted = {identity for node in path for identity in _names_of(node)} & self._born.keys()
        if back:
            wanted |= {identity for seq in found for identity in self._named(self._entries[seq])}
        self._follow(wanted, path, found, back=back)
        return tuple(self._entries[seq] for seq in sorted(found))

    def _follow(self, wanted: set[str], path: frozenset[str], found: set[int], *, back: bool) -> None:
        done: set[str] = set()
        while wanted:
            identity = wanted.pop()
            done.add(identity)
            for seq in self._about.get(identity, ()):
                # What an entry derived off the path is another story, told by the same ids.
                if seq in self._deriving and self._deriving[seq].isdisjoint(path):
                    continue
                found.add(seq)
                if back:
                    wanted |= self._behind(self._entries[seq], identity) - done

    def _behind(self, entry: Entry, identity: str) -> set[str]:
        """Give the ids that an entry about ``identity`` points back to, and the decision itself where it is one on it."""
        deciding = {_family(entry)} & _DECIDES_ON.keys()
        older = {other for other in self._named(entry) if self._born[other] <= self._born[identity]}
        return older | {other for other in self._named(entry) if self._family(other) in deciding}

    def _named(self, entry: Entry) -> set[str]:
        return {
            name for name in (*entry.subjects, *_texts(entry.payload)) if name in self._born and not self._party(name)
        }

    def _told(self, entry: Entry) -> set[str]:
        """Give the ids an entry is about: the youngest it names, and those of its own family (``export.reviewed [E-1, …]``)."""
        named = self._named(entry)
        youngest = max((self._born[name] for name in named), default=-1)
        families = {_family(entry), _DECIDES_ON.get(_family(entry))}
        return {name for name in named if self._born[name] == youngest or self._family(name) in families}

    def _party(self, identity: str) -> bool:
        return self._family(identity) in _PARTIES

    def _family(self, identity: str) -> str:
        return _family(self._entries[self._born[identity]])


def _family(entry: Entry) -> str:
    return entry.kind.value.partition(".")[0]


def _names_of(node: str) -> set[str]:
    """Give the ids under which entries may name a node: ``product:E-1/risk`` is E-1's, ``dataset:health.visits@3`` health.visits's."""
    rest = node.partition(":")[2]
    return {node, rest, rest.partition("@")[0], rest.partition("/")[0]}


def _texts(payload: Mapping[str, Any]) -> Iterable[str]:
    for value in payload.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))
