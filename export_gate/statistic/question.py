"""A statistic's question: what is asked, of whom, how much one subject may weigh, and how much privacy it may cost (E3, E5)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from export_gate.statistic.measures import Measure, assign, plain_name
from jobs.query import Aggregate, Function, Key, Query
from lineage.errors import DefinitionError


KeyValue = str | int | None
"""One part of a group's key; values that are neither whole numbers nor missing are compared and shown as text."""

DEFAULT_DELTA = Fraction(1, 10**6)
EPSILON_RANGE = (Fraction(1, 1000), Fraction(20))
DELTA_RANGE = (Fraction(1, 10**10), Fraction(1, 1000))
MOST_GROUPS_PER_SUBJECT = 10_000
MOST_ROWS_PER_GROUP = 1_000_000
MOST_KEYS = 1_000_000
SUFFIXES = ("_stderr", "_low", "_high")


@dataclass(frozen=True)
class Question:
    """A question that can be priced before any data is read.

    Attributes:
        query: keys, aggregates and the rows they run over.
        subject: the column of the rows that says whose row it is; rows without one are not counted.
        groups_per_subject: in how many groups a typical subject may weigh fully.
        rows_per_group: with how many rows in each.
        epsilon: privacy loss of the whole answer, together with ``delta``.
        bounds: lowest and highest value of each summed column (by its text or by the aggregate's name), counted in its unit.
        units: power of ten that the column is measured in (-2: cents of a yuan; 3: thousands); 0 when absent.
        delta: chance that the bound of ``epsilon`` does not hold.
        keys: the public groups; None when the groups themselves are secret and only large ones may be named.

    Raises:
        DefinitionError: ``statistic.*``, when the question could not be answered for every possible content of the tables.
    """

    query: Query
    subject: str
    groups_per_subject: int
    rows_per_group: int
    epsilon: Fraction
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    delta: Fraction = DEFAULT_DELTA
    keys: tuple[tuple[KeyValue, ...], ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be measured, and fix the one group of a question without keys."""
        if not self.subject:
            raise DefinitionError("statistic.subject-missing")
        _within("epsilon", self.epsilon, *EPSILON_RANGE)
        _within("delta", self.delta, *DELTA_RANGE)
        _within("groups_per_subject", self.groups_per_subject, 1, MOST_GROUPS_PER_SUBJECT)
        _within("rows_per_group", self.rows_per_group, 1, MOST_ROWS_PER_GROUP)
        if not self.query.keys and self.keys is None:
            object.__setattr__(self, "keys", ((),))
        _check_keys(self.keys, len(self.query.keys))
        _check_columns([key.name for key in self.query.keys], [aggregate.name for aggregate in self.query.aggregates])
        for name in ("bounds", "units"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        for aggregate in self.query.aggregates:
            assign(aggregate, self.subject, self.bounds, self.units)
        _check_named(self.query, (*self.bounds, *self.units))

    @functools.cached_property
    def measures(self) -> tuple[tuple[Measure, ...], ...]:
        """What is measured for each aggregate, in the order of the query; an average needs two measures."""
        return tuple(assign(a, self.subject, self.bounds, self.units) for a in self.query.aggregates)

    def canonical(self) -> str:
        """Give the text by which the same question asked again is known; layout and letter case of names do not count."""
        return json.dumps(
            {
                "query": self.query.canonical,
                "subject": self.subject.casefold(),
                "measures": [[measure.name for measure in measures] for measures in self.measures],
                "groups_per_subject": self.groups_per_subject,
                "rows_per_group": self.rows_per_group,
                "epsilon": str(self.epsilon),
                "delta": str(self.delta),
                "keys": None if self.keys is None else sorted(json.dumps(key) for key in self.keys),
            },
            ensure_ascii=False,
            sort_keys=True,
        )

    def to_json(self) -> str:
        """Write the question for the process that will measure it; where columns come from is settled before and left out."""
        query = self.query
        return json.dumps(
            {
                "query": {
                    "keys": [[key.name, key.expression] for key in query.keys],
                    "aggregates": [[a.name, a.function.value, a.argument] for a in query.aggregates],
                    "source": query.source,
                    "tables": list(query.tables),
                    "canonical": query.canonical,
                },
                "subject": self.subject,
                "groups_per_subject": self.groups_per_subject,
                "rows_per_group": self.rows_per_group,
                "epsilon": str(self.epsilon),
                "bounds": {name: list(pair) for name, pair in self.bounds.items()},
                "units": dict(self.units),
                "delta": str(self.delta),
                "keys": None if self.keys is None else [list(key) for key in self.keys],
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Question:
        """Read what :meth:`to_json` wrote; everything is checked again."""
        raw: dict[str, Any] = json.loads(text)
        query = raw["query"]
        return cls(
            query=Query(
                keys=tuple(Key(*key) for key in query["keys"]),
                aggregates=tuple(Aggregate(name, Function(f), argument) for name, f, argument in query["aggregates"]),
                source=query["source"],
                tables=tuple(query["tables"]),
                canonical=query["canonical"],
            ),
            subject=raw["subject"],
            groups_per_subject=raw["groups_per_subject"],
            rows_per_group=raw["rows_per_group"],
            epsilon=Fraction(raw["epsilon"]),
            bounds={name: (low, high) for name, (low, high) in raw["bounds"].items()},
            units=raw["units"],
            delta=Fraction(raw["delta"]),
            keys=None if raw["keys"] is None else tuple(tuple(key) for key in raw["keys"]),
        )


def _within(name: str, value: object, low: Fraction | int, high: Fraction | int) -> None:
    """Refuse a number outside what is sensible and computable; a float is no exact number and is refused too."""
    if isinstance(value, bool) or not isinstance(value, int | Fraction) or not low <= value <= high:
        raise DefinitionError("statistic.out-of-range", name=name, low=str(low), high=str(high))


def _check_keys(keys: tuple[tuple[KeyValue, ...], ...] | None, width: int) -> None:
    if keys is None:
        return
    if not 0 < len(keys) <= MOST_KEYS:
        raise DefinitionError("statistic.key-number", most=MOST_KEYS)
    if any(len(key) != width for key in keys):
        raise DefinitionError("statistic.key-width", width=width)
    texts = {tuple(None if part is None else str(part) for part in key) for key in keys}
    if len(texts) != len(keys):
        raise DefinitionError("statistic.key-twice")


def _check_columns(keys: Sequence[str], aggregates: Sequence[str]) -> None:
    """Refuse an answer in which two columns would have one name; every number has three companions."""
    if not aggregates:
        raise DefinitionError("statistic.nothing-asked")
    columns = [*keys, *(name + suffix for name in aggregates for suffix in ("", *SUFFIXES))]
    seen: set[str] = set()
    for column in columns:
        if column.casefold() in seen:
            raise DefinitionError("statistic.column-twice", column=column)
        seen.add(column.casefold())


def _check_named(query: Query, names: Sequence[str]) -> None:
    """Refuse a bound or unit that belongs to no sum: it is a misspelt name, and the column that was meant goes without."""
    sums = [a for a in query.aggregates if a.function in {Function.SUM, Function.AVG}]
    known = {plain_name(a.name) for a in sums} | {plain_name(a.argument or "") for a in sums}
    for name in names:
        if plain_name(name) not in known:
            raise DefinitionError("statistic.bound-unknown", column=name)
