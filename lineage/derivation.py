"""What an entry says was made from what: the ``lineage`` part of a payload, written and read in one place (L1).

A node is text, ``kind:id``: ``source:<sha256>`` · ``dataset:health.visits@3`` · ``table:<id>`` · ``job:<digest>`` · ``run:<id>`` ·
``product:<export>/<name>`` · ``release:<id>``. A column is ``<node>#<column>``; ``#*`` means every column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lineage.canonical import Json


ALL = "*"
"""Stands for every column of a node."""

_NODE = re.compile(r"[a-z]+:[^#\x00-\x1f\x7f]{1,300}")

Facts = Mapping[str, Json]
Passage = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Derivation:
    """Every target was made from every source.

    ``columns`` maps a column of a target to the columns of sources that it was computed from. A target with no column in the map, and
    a source that the map does not mention for it, are taken to pass everything on: leave the map out unless it is complete.
    ``nodes`` holds facts: ``title``, ``date`` (when the data was taken, E6), ``version``.

    Raises:
        ValueError: an id is no node, or a column belongs to no source or target named here.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nodes: Mapping[str, Facts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("a derivation names what was made")
        for node in (*self.sources, *self.targets, *self.nodes):
            if not _NODE.fullmatch(node):
                raise ValueError(f"{node!r} is no node")
        _check_columns(self.columns, set(self.targets))
        for drawn in self.columns.values():
            _check_columns(drawn, set(self.sources))

    @property
    def payload(self) -> dict[str, Json]:
        """The part to put into an entry's payload."""
        columns = {target: list(drawn) for target, drawn in self.columns.items()}
        nodes = {node: dict(facts) for node, facts in self.nodes.items()}
        return {
            "lineage": {"from": list(self.sources), "to": list(self.targets), "columns": columns, "nodes": nodes},
        }

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Derivation | None:
        """Read the part back; None when the entry derives nothing. Facts may also stand beside ``lineage``, under ``nodes``.

        Raises:
            ValueError: the part does not have this form.
        """
        if "lineage" not in payload:
            return None
        try:
            part = payload["lineage"]
            facts = {**payload.get("nodes", {}), **part.get("nodes", {})}
            return cls(
                sources=_texts(part.get("from", ())),
                targets=_texts(part.get("to", ())),
                columns={column: _texts(drawn) for column, drawn in part.get("columns", {}).items()},
                nodes={node: dict(known) for node, known in facts.items()},
            )
        except (TypeError, AttributeError) as error:
            raise ValueError("the lineage of the entry has another form") from error

    def passage(self, source: str, target: str) -> Passage | None:
        """Give the (source column, target column) pairs of one edge, or None when everything must be taken to pass."""
        pairs = frozenset(
            (drawn.partition("#")[2], column.partition("#")[2])
            for column, listed in self.columns.items()
            if column.partition("#")[0] == target
            for drawn in listed
            if drawn.partition("#")[0] == source
        )
        return pairs or None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list of ids")
    return tuple(value)


def _check_columns(columns: Iterable[str], nodes: set[str]) -> None:
    for column in columns:
        node, separator, name = column.partition("#")
        if node not in nodes or not separator or not name:
            raise ValueError(f"{column!r} is no column of a node of this derivation")
