"""The answer to a lineage question: what was reached, over which edges, on whose decisions. Frozen, and the same for console and file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lineage.canonical import Json
from lineage.derivation import Facts, Passage
from lineage.kinds import Kind
from lineage.log import Actor, Entry
from lineage.problem import Problem


class Direction(StrEnum):
    """Upstream, or downstream."""

    ORIGINS = "origins"
    DESTINATIONS = "destinations"


@dataclass(frozen=True)
class Edge:
    """``target`` was made from ``source``, as entry ``seq`` says; ``passage`` is None when columns are not known."""

    source: str
    target: str
    seq: int
    kind: Kind
    time: str
    actor: Actor
    passage: Passage | None

    def to_json(self) -> dict[str, Json]:
        """Give the edge as JSON."""
        return {
            "from": self.source,
            "to": self.target,
            "seq": self.seq,
            "kind": self.kind.value,
            "time": self.time,
            "person": self.actor.person,
            "organisation": self.actor.organisation,
            "columns": None if self.passage is None else [list(pair) for pair in sorted(self.passage)],
        }


@dataclass(frozen=True)
class Reached:
    """A node of the answer: its distance in edges, the entry that made it, and the columns by which it was reached.

    ``columns`` is empty when the question was about a whole node; ``*`` stands for every column.
    """

    node: str
    depth: int
    seq: int
    time: str
    columns: tuple[str, ...]
    facts: Facts

    def to_json(self) -> dict[str, Json]:
        """Give the node as JSON."""
        return {
            "node": self.node,
            "depth": self.depth,
            "seq": self.seq,
            "time": self.time,
            "columns": list(self.columns),
            "facts": dict(self.facts),
        }


@dataclass(frozen=True)
class Answer:
    """Answer to one question, as of the first ``size`` entries of the log.

    ``ends`` are the nodes where the walk could go no further: sources of an origin question, last known places of a destination
    question. ``entries`` are the entries on the way and the decisions they rest on (L1). ``problems`` are what the log says about
    lineage that could not be used; an answer with problems may be incomplete.
    """

    question: str
    direction: Direction
    size: int
    nodes: tuple[Reached, ...]
    edges: tuple[Edge, ...]
    ends: tuple[str, ...]
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def sources(self) -> tuple[Reached, ...]:
        """The ends, with what is known of them: the data sources and their dates that a product must name (E6)."""
        return tuple(reached for reached in self.nodes if reached.node in self.ends)

    @property
    def persons(self) -> Mapping[Actor, tuple[int, ...]]:
        """Who acted on the way, with the numbers of their entries: responsibility can be assigned (L1)."""
        acted: dict[Actor, tuple[int, ...]] = {}
        for entry in self.entries:
            acted[entry.actor] = (*acted.get(entry.actor, ()), entry.seq)
        return acted

    def to_json(self) -> dict[str, Json]:
        """Give the whole answer as JSON without floats; entries without their payloads, which the audit shows to whom may see them."""
        persons: list[Json] = [
            {"person": actor.person, "organisation": actor.organisation, "entries": list(seqs)}
            for actor, seqs in self.persons.items()
        ]
        return {
            "question": self.question,
            "direction": self.direction.value,
            "size": self.size,
            "nodes": [reached.to_json() for reached in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
            "ends": list(self.ends),
            "persons": persons,
            "entries": [header_json(entry) for entry in self.entries],
            "problems": [{"code": problem.code, "params": dict(problem.params)} for problem in self.problems],
        }

    def rows(self) -> list[dict[str, str]]:
        """Give the nodes as rows of text for printing, nearest first."""
        return [
            {
                "depth": str(reached.depth),
                "node": reached.node,
                "title": str(reached.facts.get("title", "")),
                "version": str(reached.facts.get("version", "")),
                "date": str(reached.facts.get("date", "")),
                "columns": ", ".join(reached.columns),
                "entry": str(reached.seq),
                "time": reached.time,
            }
            for reached in self.nodes
        ]

    def entry_rows(self) -> list[dict[str, str]]:
        """Give the entries as rows of text for printing, oldest first."""
        return [
            {
                "entry": str(entry.seq),
                "time": entry.time,
                "kind": entry.kind.value,
                "person": entry.actor.person,
                "organisation": entry.actor.organisation,
                "subjects": ", ".join(entry.subjects),
            }
            for entry in self.entries
        ]


def header_json(entry: Entry) -> dict[str, Json]:
    """Give an entry without its payload as JSON."""
    return {
        "seq": entry.seq,
        "kind": entry.kind.value,
        "time": entry.time,
        "person": entry.actor.person,
        "organisation": entry.actor.organisation,
        "subjects": list(entry.subjects),
    }
