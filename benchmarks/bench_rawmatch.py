"""How long a product waits for raw match: 300,000 identifiers of each of two kinds against 50 MB, and against a product of usual size.

    python benchmarks/bench_rawmatch.py [identifiers] [megabytes]

Prints seconds of processor time for building the index, the rate of one look through it, the whole search of a product of 20 kB,
the same look by an Aho–Corasick automaton, and the peak of memory before and after that automaton.
"""

from __future__ import annotations

import random
import resource
import sys
import time

from ahocorasick_rs import BytesAhoCorasick

from export_gate.rawmatch.match import match_identifiers
from export_gate.rawmatch.patterns import Identifiers, Patterns
from export_gate.rawmatch.projections import VIEWS
from export_gate.rawmatch.windows import find


TARGET = 100


def identifiers(count: int, draw: random.Random) -> tuple[Identifiers, ...]:
    """Make resident numbers of one county and mobiles."""
    residents = {
        f"{220100 + draw.randrange(20)}19{draw.randrange(40, 99)}{draw.randrange(1, 13):02d}"
        f"{draw.randrange(1, 29):02d}{draw.randrange(1000):03d}X"
        for _ in range(count)
    }
    mobiles = {f"1{draw.choice('35789')}{draw.randrange(10**9):09d}" for _ in range(count)}
    return Identifiers("resident_id", tuple(sorted(residents))), Identifiers("mobile", tuple(sorted(mobiles)))


def lines(size: int, draw: random.Random) -> bytes:
    """Make a table of districts, counts and sums."""
    made = [
        f"{220100 + draw.randrange(20)},{draw.randrange(10**5)},{draw.randrange(10**8) / 100}\n" for _ in range(40_000)
    ]
    block = "".join(made).encode()
    return (block * (size // len(block) + 1))[:size]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    size = (int(sys.argv[2]) if len(sys.argv) > 2 else 50) << 20
    draw = random.Random(1)
    known, text = identifiers(count, draw), lines(size, draw)
    begun = time.process_time()
    patterns = Patterns(known, 7)
    indexes = {view.patterns: patterns.index(view) for view in VIEWS}
    built = time.process_time() - begun
    index = indexes["text"]
    if index is None:
        raise SystemExit("no index")
    begun = time.process_time()
    find(index, text, 10**8)
    rate = len(text) / 2**20 / (time.process_time() - begun)
    begun = time.process_time()
    verdict = match_identifiers({"data.csv": text[:20_000]}, patterns).verdict
    small, own = time.process_time() - begun, _peak()
    begun = time.process_time()
    automaton = BytesAhoCorasick([value.encode() for each in known for value in each.values])
    automatic = time.process_time() - begun
    begun = time.process_time()
    automaton.find_matches_as_indexes(text, overlapping=True)
    other = len(text) / 2**20 / (time.process_time() - begun)
    print(f"{count} identifiers of each kind, all indexes built in {built:.1f} s")
    print(f"one look: {rate:.0f} MB/s (aim {TARGET})")
    print(f"a product of 20 kB, all layers and views: {small:.1f} s, {verdict}")
    print(f"peak of memory {own} MB; with an automaton of the plain spellings {_peak()} MB")
    print(f"the automaton: built in {automatic:.1f} s, {other:.0f} MB/s")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
