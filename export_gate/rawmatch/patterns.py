"""Which bytes betray an identifier: its spellings and transformations, and the decoys that say how often chance does the same (B1, B2).

A decoy is made from parts of several real identifiers and belongs to nobody. Text in which decoys are found as often as identifiers
holds numbers that happen to look alike; without this baseline every long list of numbers would be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from export_gate.rawmatch.projections import VIEWS, View, fold, squeeze
from export_gate.rawmatch.windows import WINDOW, Index, build_groups


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]
    Chosen = NDArray[np.bool_]
    Forms = tuple[Sequence[Bytes], Chosen]

STRONG = 14
"""Identifiers of so many bytes are found by chance in no text of a size that leaves."""
MOST_DECOYS = 100_000
MOST_STRONG_DECOYS = 2_000
"""Short identifiers are what chance finds; for long ones a few decoys show that it does not."""
_PART = 3
_LARGEST_WORD = 2**64
_TOKEN = 32
_SHORTEST_NUMBER, _LONGEST_NUMBER, _EXACT_FLOAT = 8, 19, 15


@dataclass(frozen=True)
class Identifiers:
    """Identifiers of one kind, each once, in the spelling of ``desensitize.entities``.

    Attributes:
        kind: an ``Entity``, or ``token`` for the values that stand in their place.
        values: the identifiers.
    """

    kind: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Owner:
    """Whom a pattern belongs to: a kind and the place in it, a decoy's place counted apart."""

    kind: str
    place: int
    decoy: bool


class Patterns:
    """Patterns of every kind; an index for a view is built when it is first needed.

    ``seed`` chooses the decoys; it is the gate's, so that nobody can plant them (law 9).
    """

    def __init__(self, identifiers: Sequence[Identifiers], seed: int) -> None:
        """Take identifiers and make their decoys."""
        self.sizes = {each.kind: len(each.values) for each in identifiers}
        self.decoys = {each.kind: decoys(each.values, seed) for each in identifiers}
        self.values = {each.kind: each.values for each in identifiers}
        self._indexes: dict[str, Index | None] = {}

    @cached_property
    def owners(self) -> tuple[Owner, ...]:
        """Every owner; its place here is what an index reports."""
        real = [Owner(kind, n, decoy=False) for kind, size in self.sizes.items() for n in range(size)]
        return (*real, *(Owner(kind, n, decoy=True) for kind, made in self.decoys.items() for n in range(len(made))))

    def index(self, view: View) -> Index | None:
        """Give the index of a view's patterns, or None when there are none."""
        if view.patterns not in self._indexes:
            form = FORMS[view.patterns]
            made = [(*form(texts), owners) for texts, owners in self.texts]
            self._indexes[view.patterns] = build_groups(
                (matrix[fits], owners[fits]) for matrices, fits, owners in made for matrix in matrices
            )
        return self._indexes[view.patterns]

    @cached_property
    def texts(self) -> Sequence[tuple[Bytes, Places]]:
        """Every spelling of every identifier and decoy, one matrix ``(patterns, length)`` a length, with their owners."""
        import numpy as np

        by_length: dict[int, tuple[list[bytes], list[int]]] = {}
        for owner, folded in enumerate(self._folded()):
            for text in _spellings(folded):
                texts, owners = by_length.setdefault(len(text), ([], []))
                texts.append(text)
                owners.append(owner)
        return [
            (np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(-1, length), np.array(owners, dtype=np.int64))
            for length, (texts, owners) in sorted(by_length.items())
            if length
        ]

    def _folded(self) -> Iterator[bytes]:
        for each in (self.values, self.decoys):
            for values in each.values():
                # Folded together, which costs a tenth of folding one by one; no identifier holds a line end.
                yield from fold("\n".join(values).encode()).split(b"\n") if values else ()

    def value(self, owner: Owner) -> str:
        """Give the identifier of an owner."""
        return (self.decoys if owner.decoy else self.values)[owner.kind][owner.place]


def decoys(values: Sequence[str], seed: int) -> tuple[str, ...]:
    """Make strings that look like the given ones and are none of them: parts of three characters, each from another value."""
    by_length: dict[int, list[str]] = {}
    for value in values:
        by_length.setdefault(len(value), []).append(value)
    known = set(values)
    made: list[str] = []
    for length, alike in sorted(by_length.items()):
        most = MOST_STRONG_DECOYS if length >= STRONG else MOST_DECOYS
        wanted = min(len(alike), -(-most * len(alike) // len(values)))
        parts = [
            [alike[n][start : start + _PART] for n in _mixed(len(alike), seed + start)[:wanted].tolist()]
            for start in range(0, length, _PART)
        ]
        made += {"".join(one) for one in zip(*parts, strict=True)} - known
    return tuple(sorted(made))


def _mixed(count: int, seed: int) -> NDArray[np.int64]:
    """Give the places 0 … count-1 in an order that the seed decides (finaliser of SplitMix64, Steele et al. 2014)."""
    import numpy as np

    mixed = np.arange(count, dtype=np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % _LARGEST_WORD)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed, kind="stable")


def _spellings(folded: bytes) -> Iterator[bytes]:
    """The spelling itself, without its punctuation, and without the check character that follows from the rest."""
    if _is_resident(folded):
        yield folded[:17]
        # The number of before 1999: no century, no check character.
        yield folded[:6] + folded[8:17]
        return
    yield folded
    if (bare := squeeze(folded)) != folded:
        yield bare


def _is_resident(folded: bytes) -> bool:
    return len(folded) == 18 and folded[:17].isdigit() and (folded[17:].isdigit() or folded[17:] == b"X")


def _as_they_are(texts: Bytes) -> Forms:
    return [texts], _every(texts)


def _differences(texts: Bytes) -> Forms:
    import numpy as np

    return ([np.diff(texts, axis=1)] if texts.shape[1] >= STRONG else []), _every(texts)


def _xors(texts: Bytes) -> Forms:
    return ([texts[:, 1:] ^ texts[:, :-1]] if texts.shape[1] >= STRONG else []), _every(texts)


def _shifted_digits(texts: Bytes) -> Forms:
    import numpy as np

    if texts.shape[1] < STRONG:
        return [], _every(texts)
    values = texts.astype(np.int16)
    made = ((values[:, 1:] - values[:, :-1]) % 10).astype(np.uint8)
    return [made], _all_digits(texts)


def _numbers(texts: Bytes) -> Forms:
    """The identifier as a machine's number: integers and floating point of eight bytes, either end first; a token's own bytes."""
    import numpy as np

    length = texts.shape[1]
    if length == _TOKEN:
        return _halves(texts)
    if not _SHORTEST_NUMBER <= length <= _LONGEST_NUMBER:
        return [], _every(texts)
    powers = np.uint64(10) ** np.arange(length - 1, -1, -1, dtype=np.uint64)
    values = ((texts.astype(np.uint64) - np.uint64(ord("0"))) * powers).sum(axis=1, dtype=np.uint64)
    kinds = ["<u8", ">u8"] + (["<f8", ">f8"] if length <= _EXACT_FLOAT else [])
    return [values.astype(kind).view(np.uint8).reshape(-1, WINDOW) for kind in kinds], _all_digits(texts)


def _halves(texts: Bytes) -> Forms:
    """Read hexadecimal digits, upper case."""
    import numpy as np

    values = np.where(texts <= ord("9"), texts - ord("0"), texts - ord("A") + 10).astype(np.uint8)
    made = values[:, ::2] << 4 | values[:, 1::2]
    return [np.ascontiguousarray(made)], np.asarray((values <= 15).all(axis=1))


def _every(texts: Bytes) -> Chosen:
    import numpy as np

    return np.ones(len(texts), dtype=bool)


def _all_digits(texts: Bytes) -> Chosen:
    import numpy as np

    return np.asarray(((texts >= ord("0")) & (texts <= ord("9"))).all(axis=1))


FORMS: Mapping[str, Callable[[Bytes], Forms]] = {
    "text": _as_they_are,
    "differences": _differences,
    "xors": _xors,
    "shifted digits": _shifted_digits,
    "numbers": _numbers,
}
"""What identifiers, a matrix of their spellings, look like to each kind of view; and which of them have such a look at all."""

if {view.patterns for view in VIEWS} != set(FORMS):
    raise TypeError("every view has its form of pattern, and every form a view")
