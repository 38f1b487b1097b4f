"""The lineage graph: derived from the log alone, so it can be thrown away and built again, whole or as of any size (L1, L2)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sqlalchemy import Connection, select

from lineage.answer import Answer, Direction, Edge, Reached
from lineage.context import Context
from lineage.derivation import ALL, Derivation
from lineage.errors import DefinitionError
from lineage.log import Entry, entries
from lineage.problem import Problem
from lineage.schema import log_entry


@dataclass(frozen=True)
class Graph:
    """Nodes and edges that the first ``size`` entries tell of. It has no cycle: an edge that would close one is a problem instead."""

    size: int
    nodes: Mapping[str, Reached]
    edges: tuple[Edge, ...]
    problems: tuple[Problem, ...]
    told: tuple[Entry, ...]

    @classmethod
    def read(cls, connection: Connection, size: int | None = None) -> Graph:
        """Build the graph of the whole log, or as of its first ``size`` entries."""
        chosen = None if size is None else select(log_entry.c.seq).where(log_entry.c.seq < size)
        return cls.build(entries(connection, chosen))

    @classmethod
    def build(cls, told: Iterable[Entry]) -> Graph:
        """Build the graph of entries in log order."""
        builder = _Builder()
        kept = tuple(told)
        for entry in kept:
            builder.add(entry)
        size = kept[-1].seq + 1 if kept else 0
        return cls(size, builder.nodes, tuple(builder.edges), tuple(builder.problems), kept)

    def origins(self, question: str) -> Answer:
        """Give everything a node (or ``node#column``) was made from, with the decisions it rests on.

        Raises:
            DefinitionError: the log knows no such node.
        """
        return self._answer(question, Direction.ORIGINS)

    def destinations(self, question: str) -> Answer:
        """Give everything a node or a column reached. ``health.visits#cost`` asks for all versions of the dataset.

        Where an entry gives no column map the whole of its target counts as reached: rather too much than too little.

        Raises:
            DefinitionError: the log knows no such node.
        """
        return self._answer(question, Direction.DESTINATIONS)

    def find(self, name: str) -> tuple[str, ...]:
        """Give the nodes that a name means: an id, an id without its kind, or a dataset without its version.

        Raises:
            DefinitionError: the log knows no such node.
        """
        if name in self.nodes:
            return (name,)
        found = tuple(sorted(node for node in self.nodes if name in _short_names(node)))
        if not found:
            raise DefinitionError("lineage.unknown-node", node=name)
        return found

    def _answer(self, question: str, direction: Direction) -> Answer:
        name, _, column = question.partition("#")
        start = {(node, column or None) for node in self.find(name)}
        back = direction is Direction.ORIGINS
        depths, columns, used = self._walk(start, back=back)
        reached = [
            replace(self.nodes[node], depth=depth, columns=tuple(sorted(columns[node])))
            for node, depth in depths.items()
        ]
        beyond = self._incoming if back else self._outgoing
        return Answer(
            question=question,
            direction=direction,
            size=self.size,
            nodes=tuple(sorted(reached, key=lambda item: (item.depth, item.seq, item.node))),
            edges=tuple(sorted(used, key=lambda edge: (edge.seq, edge.source, edge.target))),
            ends=tuple(sorted(node for node in depths if not beyond.get(node))),
            entries=self._context.decisions({edge.seq for edge in used}, depths, back=back),
            problems=self.problems,
        )

    def _walk(
        self, start: set[tuple[str, str | None]], *, back: bool
    ) -> tuple[dict[str, int], dict[str, set[str]], set[Edge]]:
        """Walk breadth first over (node, column); a column of None means that columns are not asked for."""
        depths = dict.fromkeys(sorted(node for node, _ in start), 0)
        columns: dict[str, set[str]] = defaultdict(set)
        used: set[Edge] = set()
        seen, queue = set(start), deque(sorted(start, key=str))
        while queue:
            node, column = queue.popleft()
            columns[node] |= {column} if column is not None else set()
            for edge in (self._incoming if back else self._outgoing).get(node, ()):
                beyond = edge.source if back else edge.target
                for passed in _carry(edge, column, back=back):
                    used.add(edge)
                    depths.setdefault(beyond, depths[node] + 1)
                    if (beyond, passed) not in seen:
                        seen.add((beyond, passed))
                        queue.append((beyond, passed))
        return depths, columns, used

    @cached_property
    def _incoming(self) -> Mapping[str, Sequence[Edge]]:
        return _grouped((edge.target, edge) for edge in self.edges)

    @cached_property
    def _outgoing(self) -> Mapping[str, Sequence[Edge]]:
        return _grouped((edge.source, edge) for edge in self.edges)

    @cached_property
    def _context(self) -> Context:
        deriving: dict[int, set[str]] = defaultdict(set)
        for edge in self.edges:
            deriving[edge.seq].add(edge.target)
        return Context(self.told, {seq: frozenset(targets) for seq, targets in deriving.items()})


class _Builder:
    """Nodes, edges and problems of the entries added so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, Reached] = {}
        self.edges: list[Edge] = []
        self.problems: list[Problem] = []
        self._next: dict[str, set[str]] = defaultdict(set)
        self._made: set[str] = set()

    def add(self, entry: Entry) -> None:
        if not entry.payload_kept:
            self.problems.append(Problem("lineage.payload-gone", {"seq": entry.seq}))
        try:
            derivation = Derivation.read(entry.payload)
        except ValueError:
            self.problems.append(Problem("lineage.bad-form", {"seq": entry.seq}))
            return
        if derivation is None:
            return
        self._add_nodes(entry, derivation)
        for target in derivation.targets:
            for source in derivation.sources:
                self._add_edge(entry, derivation, source, target)

    def _add_nodes(self, entry: Entry, derivation: Derivation) -> None:
        for node in (*derivation.sources, *derivation.targets, *derivation.nodes):
            self.nodes.setdefault(node, Reached(node, 0, entry.seq, entry.time, (), {}))
        for node in derivation.targets:
            if node not in self._made:
                self._made.add(node)
                self.nodes[node] = replace(self.nodes[node], seq=entry.seq, time=entry.time)
        for node, facts in derivation.nodes.items():
            known = self.nodes[node].facts
            # What was said first stays: a later entry adds facts and never moves a source's date.
            for name in sorted(facts.keys() & known.keys()):
                if facts[name] != known[name]:
                    self.problems.append(
                        Problem("lineage.fact-changed", {"seq": entry.seq, "node": node, "fact": name})
                    )
            self.nodes[node] = replace(self.nodes[node], facts={**facts, **known})

    def _add_edge(self, entry: Entry, derivation: Derivation, source: str, target: str) -> None:
        if source == target or self._reaches(target, source):
            self.problems.append(Problem("lineage.cycle", {"seq": entry.seq, "source": source, "target": target}))
            return
        self._next[source].add(target)
        passage = derivation.passage(source, target)
        self.edges.append(Edge(source, target, entry.seq, entry.kind, entry.time, entry.actor, passage))

    def _reaches(self, start: str, goal: str) -> bool:
        """Tell whether an earlier edge leads from ``start`` to ``goal``; a node just made leads nowhere yet, so this is rarely long."""
        seen, stack = {start}, [start]
        while stack:
            for node in self._next.get(stack.pop(), ()):
                if node == goal:
                    return True
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
        return False


def _carry(edge: Edge, column: str | None, *, back: bool) -> set[str | None]:
    """Give the columns at the other end of an edge that a column passes to; names are compared as SQL does, without case."""
    if column is None:
        return {None}
    if edge.passage is None:
        return {ALL}
    pairs = ((there, here) for here, there in edge.passage) if back else iter(edge.passage)
    return {there for here, there in pairs if ALL in {here, column} or here.casefold() == column.casefold()}


def _short_names(node: str) -> set[str]:
    kind, _, rest = node.partition(":")
    name, _, version = rest.rpartition("@")
    return {rest, name, f"{kind}:{name}"} if name and version.isdigit() else {rest}


def _grouped(pairs: Iterable[tuple[str, Edge]]) -> Mapping[str, Sequence[Edge]]:
    groups: dict[str, list[Edge]] = defaultdict(list)
    for key, edge in pairs:
        groups[key].append(edge)
    return groups
