"""Columns that name subjects by other names: as many values as rows, all of one length, without order or meaning (B3).

Against a key that the gate does not know there is nothing to compare with: an encrypted or keyed identifier looks like any other
random string. But a product made of groups has no use for a different random string in each row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from export_gate.finding import Finding, Verdict
from export_gate.rawmatch.columns import read_columns
from lineage.errors import Param


CHECK, VERSION = "rawmatch.pseudonyms", 1
FEWEST_ROWS = 20
SHORTEST = 8
DISTINCT_PERCENT = 90
FIXED_PERCENT = 90
BITS = 24
"""Least entropy of the characters of a value, summed over its places; what merely counts through has some 10 to 17."""


def find_pseudonyms(files: Mapping[str, bytes]) -> Finding:
    """Look at each column of each table among the files; the tables of a product are given as CSV, JSON or JSON lines too."""
    found = [
        name.partition("/")[2] or name
        for data in files.values()
        for name, values in read_columns(data).items()
        if is_pseudonym(values)
    ]
    parameters: dict[str, Param] = {
        "fewest_rows": FEWEST_ROWS,
        "shortest": SHORTEST,
        "distinct_percent": DISTINCT_PERCENT,
        "fixed_percent": FIXED_PERCENT,
        "bits": BITS,
    }
    if found:
        params: dict[str, Param] = {"columns": ", ".join(sorted(set(found)))}
        return Finding(CHECK, VERSION, Verdict.BLOCK, "rawmatch.pseudonym-column", params, parameters, {})
    return Finding(CHECK, VERSION, Verdict.NO_ATTACK_SUCCEEDED, "rawmatch.no-pseudonyms", {}, parameters, {})


def is_pseudonym(values: Sequence[str]) -> bool:
    """Whether a column holds another random name in nearly each row."""
    known = [value.strip() for value in values if value.strip()]
    if len(known) < FEWEST_ROWS or 100 * len(set(known)) < DISTINCT_PERCENT * len(known):
        return False
    length, often = Counter(map(len, known)).most_common(1)[0]
    # A point makes it a measured number; lengths of whole numbers from one range differ by one in a tenth of them.
    if length < SHORTEST or 100 * often < FIXED_PERCENT * len(known) or any("." in value for value in known[:100]):
        return False
    return _entropy([value for value in set(known) if len(value) == length]) >= BITS


def _entropy(values: Sequence[str]) -> float:
    """Sum over places the Shannon entropy of the characters there, in bits, with the correction of Miller and Madow for few values."""
    total = 0.0
    for place in range(len(values[0])):
        counts = Counter(value[place] for value in values)
        total -= sum(n / len(values) * math.log2(n / len(values)) for n in counts.values())
        total += (len(counts) - 1) / (2 * len(values) * math.log(2))
    return total
