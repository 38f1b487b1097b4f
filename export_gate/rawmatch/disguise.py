"""Rows in disguise: records of subjects that were renamed, shuffled, sampled, converted or jittered and handed over as results (B4).

Columns are matched by the shape of their distribution, whatever unit or sign it has, and values become ranks, which no growing
function changes. Then each row's nearest record is looked for, once among the subjects that the job saw and once among as many that it
never saw: results about groups, and made-up rows of the same kind, lie as near to the one as to the other (Giomi et al., A Unified
Framework for Quantifying Privacy Risk in Synthetic Data, 2023, on the need of a control group). Where everybody was seen, the same
rows with their columns shuffled stand for the others; they differ from honest rows too, so that alone asks for people's judgement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export_gate.finding import Finding, Verdict
from lineage.errors import Param


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

CHECK, VERSION = "rawmatch.rows", 1
FEWEST_ROWS = 30
FEWEST_VALUES = 10
ALIKE_PERCENT = 97
NEAR_PERCENT = 5
BLOCK_PERCENT = 40
REVIEW_PERCENT = 20
_QUANTILES = 101
_MOST_ROWS = 50_000

Table = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Match:
    """How near a product's rows lie to records: matched columns, and the per cent of rows nearer than 95 in 100 of the baseline's."""

    columns: tuple[tuple[str, str], ...]
    near_percent: int
    held_out: bool


def find_rows(product: Table, seen: Table, held_out: Table | None = None) -> Finding:
    """Compare the numbers of a product with the records that its job saw.

    Args:
        product: its numeric columns, all of one length.
        seen: numeric columns of the table behind it, a row a record.
        held_out: the same columns of subjects that the job never saw, where there are any.
    """
    parameters: dict[str, Param] = {
        "fewest_rows": FEWEST_ROWS,
        "alike_percent": ALIKE_PERCENT,
        "near_percent": NEAR_PERCENT,
        "block_percent": BLOCK_PERCENT,
    }
    found = measure(product, seen, held_out)
    if found is None:
        return Finding(CHECK, VERSION, Verdict.NO_ATTACK_SUCCEEDED, "rawmatch.no-rows", {}, parameters, {})
    evidence: dict[str, Param] = {
        "columns": ", ".join(f"{one} = {two}" for one, two in found.columns),
        "near": found.near_percent,
        "baseline": "subjects never seen" if found.held_out else "the same rows, columns shuffled",
    }
    if found.near_percent >= BLOCK_PERCENT and found.held_out:
        return Finding(CHECK, VERSION, Verdict.BLOCK, "rawmatch.rows-found", {}, parameters, evidence)
    if found.near_percent >= REVIEW_PERCENT:
        return Finding(CHECK, VERSION, Verdict.REVIEW, "rawmatch.rows-like", {}, parameters, evidence)
    return Finding(CHECK, VERSION, Verdict.NO_ATTACK_SUCCEEDED, "rawmatch.no-rows", {}, parameters, evidence)


def measure(product: Table, seen: Table, held_out: Table | None = None) -> Match | None:
    """Match columns and measure distances; None when there are too few rows or no two columns are alike."""
    import numpy as np
    from scipy.spatial import cKDTree

    made, real = _arrays(product), _arrays(seen)
    pairs = _paired(made, real)
    if len(pairs) < 2 or min(map(len, made.values())) < FEWEST_ROWS:
        return None
    columns = [_ranks(made[one], real[two], sign) for one, two, sign in pairs]
    rows = np.column_stack([one for one, _ in columns])
    records = np.column_stack([two for _, two in columns])
    if held_out is not None:
        others = _arrays(held_out)
        strange = np.column_stack([_places(others[two], real[two]) for _, two, _ in pairs])
        size = min(len(strange), len(records))
        near = cKDTree(_thinned(records, size)).query(rows)[0]
        far = cKDTree(_thinned(strange, size)).query(rows)[0]
        # Of rows that know nothing of the subjects half lie nearer to the ones, half to the others.
        share = max(0.0, 2 * float(np.mean(near < far)) - 1)
    else:
        tree = cKDTree(records)
        shuffled = np.column_stack([np.roll(rows[:, n], 1 + n * (len(rows) // 7 + 1)) for n in range(rows.shape[1])])
        bound = np.quantile(tree.query(shuffled)[0], NEAR_PERCENT / 100)
        share = float(np.mean(tree.query(rows)[0] < bound))
    return Match(tuple((one, two) for one, two, _ in pairs), round(100 * share), held_out is not None)


def _arrays(table: Table) -> dict[str, Values]:
    import numpy as np

    return {name: np.asarray(values[:_MOST_ROWS], dtype=np.float64) for name, values in table.items()}


def _paired(made: Mapping[str, Values], real: Mapping[str, Values]) -> list[tuple[str, str, int]]:
    """Pair columns by the shape of their distributions, the most alike first; the sign says whether one runs backwards."""
    scored = []
    for one, values in made.items():
        for two, others in real.items():
            if min(len(set(values.tolist())), len(set(others.tolist()))) >= FEWEST_VALUES:
                forward, backward = _alike(values, others), _alike(-values, others)
                scored.append((max(forward, backward), one, two, 1 if forward >= backward else -1))
    pairs: list[tuple[str, str, int]] = []
    for score, one, two, sign in sorted(scored, reverse=True):
        free = all(one != pair[0] and two != pair[1] for pair in pairs)
        if score >= ALIKE_PERCENT / 100 and free:
            pairs.append((one, two, sign))
    return pairs


def _alike(values: Values, others: Values) -> float:
    """Correlation of the quantiles of two distributions: 1 for any change of unit."""
    import numpy as np

    places = np.linspace(0, 1, _QUANTILES)
    return float(np.corrcoef(np.quantile(values, places), np.quantile(others, places))[0, 1])


def _ranks(values: Values, others: Values, sign: int) -> tuple[Values, Values]:
    """Give both columns as places between 0 and 1 in their own order, ties in the middle."""
    return _places(sign * values, sign * values), _places(others, others)


def _places(values: Values, among: Values) -> Values:
    import numpy as np

    ordered = np.sort(among)
    low, high = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((low + high) / (2 * len(ordered)))


def _thinned(rows: Values, size: int) -> Values:
    """Take evenly spaced rows, in the order in which provisioning laid them, which says nothing."""
    import numpy as np

    return np.asarray(rows[np.linspace(0, len(rows) - 1, size).astype(int)])
