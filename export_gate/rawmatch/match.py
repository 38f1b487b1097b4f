"""Raw match: are identifiers, or tokens, of the tables behind a product in it, in any layer and in any disguise that is known (B1, B2; E2)?

One function from files and identifiers to a finding. Identifiers are counted against decoys made of their own parts: what chance
finds in long lists of numbers it finds of both. The finding names no value; its evidence shows where, and of each only its ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from export_gate.finding import Finding, Verdict
from export_gate.rawmatch.decode import Bounds, Decoding, Layer
from export_gate.rawmatch.patterns import STRONG, Owner, Patterns
from export_gate.rawmatch.projections import VIEWS, fold
from export_gate.rawmatch.windows import find
from lineage.errors import Param


CHECK, VERSION = "rawmatch.identifiers", 1
MOST_COMPARED = 20_000_000
_MOST_SHOWN = 20
_CHANCE = 3
_FEW = 3
_LONG = 11
"""A single number of so many digits that stands alone is no count and no sum by chance."""


@dataclass
class Seen:
    """What was found of one kind: places in its list, real and decoys'; ``alone`` and ``decoys_alone`` stood for themselves."""

    real: set[int] = field(default_factory=set)
    decoys: set[int] = field(default_factory=set)
    alone: set[int] = field(default_factory=set)
    decoys_alone: set[int] = field(default_factory=set)
    where: dict[int, str] = field(default_factory=dict)


@dataclass
class Search:
    """The state of one search: what was found by kind, and how much was looked at."""

    patterns: Patterns
    seen: dict[str, Seen] = field(default_factory=dict)
    compared: int = 0
    looked: int = 0
    complete: bool = True

    def look(self, layer: Layer) -> None:
        """Look at a layer in every way."""
        for view in VIEWS:
            text = view.look(layer.data)
            if self.compared >= MOST_COMPARED:
                self.complete = False
                return
            index = self.patterns.index(view)
            if index is None or not text:
                continue
            self.looked += len(text)
            hits = find(index, text, MOST_COMPARED - self.compared)
            self.complete &= hits.complete
            self.compared += len(hits.owners)
            where = " > ".join([*layer.path, view.name])
            for number, place in zip(hits.owners.tolist(), hits.places.tolist(), strict=True):
                owner = self.patterns.owners[number]
                length = len(self.patterns.value(owner).encode())
                self._keep(owner, where, alone=length >= _LONG and _stands_alone(text, place, length))

    def _keep(self, owner: Owner, where: str, *, alone: bool) -> None:
        seen = self.seen.setdefault(owner.kind, Seen())
        if owner.decoy:
            seen.decoys.add(owner.place)
            if alone:
                seen.decoys_alone.add(owner.place)
            return
        seen.real.add(owner.place)
        seen.where.setdefault(owner.place, where)
        if alone:
            seen.alone.add(owner.place)


def _stands_alone(text: bytes, place: int, length: int) -> bool:
    around = text[max(place - 1, 0) : place] + text[place + length : place + length + 1]
    return not any(chr(byte).isalnum() for byte in around)


def match_identifiers(files: Mapping[str, bytes], patterns: Patterns, bounds: Bounds | None = None) -> Finding:
    """Search files for identifiers.

    Args:
        files: bytes that would leave, or are to be judged, by name.
        patterns: the identifiers, with their decoys.
        bounds: how far layers are followed.
    """
    decoding = Decoding(bounds or Bounds())
    search = Search(patterns)
    for layer in decoding.walk(files):
        search.look(layer)
    return judge(search, decoding)


def judge(search: Search, decoding: Decoding) -> Finding:
    """Say what a finished search means."""
    parameters: dict[str, Param] = {
        "depth": decoding.bounds.depth,
        "most_bytes": decoding.bounds.most_bytes,
        "views": ", ".join(view.name for view in VIEWS),
        "patterns": ", ".join(f"{kind} {size}" for kind, size in sorted(search.patterns.sizes.items())),
    }
    verdicts = {kind: _verdict(search.patterns, kind, seen) for kind, seen in search.seen.items()}
    evidence: dict[str, Param] = {
        "layers": decoding.layers,
        "bytes": decoding.size,
        "bytes_looked_at": search.looked,
        "found": json.dumps(_shown(search), ensure_ascii=False, sort_keys=True),
    }
    if Verdict.BLOCK in verdicts.values():
        files = {where.split(" > ")[0] for kind, seen in search.seen.items() for where in seen.where.values()}
        params: dict[str, Param] = {"files": ", ".join(sorted(files))}
        return Finding(CHECK, VERSION, Verdict.BLOCK, "rawmatch.found", params, parameters, evidence)
    if not (search.complete and decoding.complete):
        # Whatever was not looked at could hold everything (law 7).
        return Finding(CHECK, VERSION, Verdict.CANNOT_CHECK, "rawmatch.too-much", {}, parameters, evidence)
    if Verdict.REVIEW in verdicts.values():
        return Finding(CHECK, VERSION, Verdict.REVIEW, "rawmatch.chance", {}, parameters, evidence)
    return Finding(CHECK, VERSION, Verdict.NO_ATTACK_SUCCEEDED, "rawmatch.passed", {}, parameters, evidence)


def _verdict(patterns: Patterns, kind: str, seen: Seen) -> Verdict:
    """Weigh what was found against what chance finds, for which the decoys speak."""
    if not seen.real:
        return Verdict.NO_ATTACK_SUCCEEDED
    made = len(patterns.decoys[kind])
    scale = Fraction(patterns.sizes[kind], made) if made else Fraction(1)
    strong = "+" in kind or any(len(fold(patterns.values[kind][n].encode())) >= STRONG for n in seen.real)
    if (strong and not seen.decoys) or (seen.alone and not seen.decoys_alone):
        return Verdict.BLOCK
    if len(seen.real) > _CHANCE * len(seen.decoys) * scale + _FEW * scale:
        return Verdict.BLOCK
    # Decoys were met too: what was found is what chance finds. Without them one or two may be chance or not.
    return Verdict.NO_ATTACK_SUCCEEDED if seen.decoys and not strong else Verdict.REVIEW


def _shown(search: Search) -> Sequence[Mapping[str, object]]:
    shown = []
    for kind, seen in sorted(search.seen.items()):
        examples = [
            [_masked(search.patterns.values[kind][place]), where]
            for place, where in list(seen.where.items())[:_MOST_SHOWN]
        ]
        shown.append({"kind": kind, "found": len(seen.real), "decoys": len(seen.decoys), "examples": examples})
    return shown


def _masked(value: str) -> str:
    """Show the ends of a value: enough to find it again for whoever may read the table, and no more for whoever may not."""
    return f"{value[:2]}…{value[-2:]}"


def kinds_of(finding: Finding) -> Iterable[str]:
    """Give the kinds of identifier that a finding's evidence names."""
    return [one["kind"] for one in json.loads(str(finding.evidence["found"]))]
