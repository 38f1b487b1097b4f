"""What a number was asked for and where its values come from: by this two numbers are related, or are not."""

from __future__ import annotations

from dataclasses import dataclass


ROWS = "rows"
"""The source of a count: how many there are, of whatever."""


@dataclass(frozen=True)
class Published:
    """An aggregate of a table.

    Attributes:
        name: its column.
        question: what was asked, as 16 hexadecimal digits of a digest: equal questions have equal ones.
        sources: the columns of datasets that its values come from, and ``rows`` where it counts.
    """

    name: str
    question: str
    sources: frozenset[str]

    def __post_init__(self) -> None:
        """Refuse an aggregate that comes from nothing: it would be related to nothing, so never compared (law 7)."""
        if not self.name or not self.sources or len(bytes.fromhex(self.question)) != 8:
            raise ValueError("an aggregate has a name, a question and sources")
