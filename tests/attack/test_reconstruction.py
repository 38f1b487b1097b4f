"""Attack: what nobody released, worked out from what was released (B7, B8). Measured cases first, then leak, disguise, innocent twin.

Populations are drawn from fixed seeds, so the truth is known, and a recovery counts only when it is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from export_gate.attacks.equalities import build
from export_gate.attacks.reconstruct import Union, check_reconstruction
from export_gate.attacks.suppressed import Effort, Rule, bounds_of, recover
from export_gate.attacks.told import Interval, Measure, Told
from export_gate.finding import Finding, Verdict
from export_gate.table.check import CellPolicy


ROWS = Measure("count", "*")
COSTS = Measure("sum", "cost")
RULE = Rule(10)


def people(shape: Sequence[int], count: int, seed: int) -> Any:
    """Draw people with one attribute an axis, unevenly spread; ``(count, attributes)``."""
    draw = np.random.default_rng(seed)
    return np.stack([draw.choice(size, count, p=draw.dirichlet(np.full(size, 2.0))) for size in shape], axis=1)


def table(
    rows: Any,
    keys: Sequence[int],
    *,
    where: Mapping[int, int] | None = None,
    least: int = 0,
    base: int = 0,
    cost: Any = None,
    name: str = "",
) -> Told:
    """Tell a table by some keys: cells under ``least`` hidden, counts rounded to multiples of ``base``, sums of ``cost`` added."""
    inside = np.all([rows[:, at] == value for at, value in (where or {}).items()], axis=0) if where else slice(None)
    kept = rows[inside]
    groups, of, sizes = np.unique(kept[:, list(keys)], axis=0, return_inverse=True, return_counts=True)
    told = tuple(None if size < least else rounded(int(size), base) for size in sizes)
    numbers: dict[Measure, tuple[Interval | None, ...]] = {ROWS: told}
    behind: dict[Measure, tuple[int, ...]] = {}
    if cost is not None:
        sums = np.bincount(of.ravel(), weights=cost[inside])
        numbers = {COSTS: tuple(Interval(one, one) for one in sums)}
        behind = {COSTS: tuple(int(one) for one in sizes)}
    only = {f"a{at}": frozenset({value}) for at, value in (where or {}).items()}
    cells = tuple(tuple(int(one) for one in group) for group in groups)
    return Told(name or str((keys, where)), "people", tuple(f"a{at}" for at in keys), only, cells, numbers, behind)


def rounded(value: int, base: int) -> Interval:
    if not base:
        return Interval(value, value)
    middle = base * round(value / base)
    return Interval(max(0, middle - base // 2), middle + base // 2)


def truth(rows: Any, of: Sequence[tuple[str, Any]]) -> int:
    """Count the people of a combination; attributes are named by their column."""
    kept = rows
    for name, value in of:
        kept = kept[kept[:, int(name[1:])] == value]
    return len(kept)


def test_every_cell_that_was_hidden_from_all_tables_is_recovered() -> None:
    rows = people((4, 5, 4), 1000, 13)
    tables = [table(rows, keys, least=10) for size in (1, 2, 3) for keys in combinations(range(3), size)]
    system, cells = build(tables, ROWS), tables[-1]
    hidden = [cell for cell, told in zip(cells.cells, cells.numbers[ROWS], strict=True) if told is None]
    assert len(hidden) == 24
    for cell in hidden:
        of = {f"a{at}": value for at, value in enumerate(cell)}
        assert bounds_of(system, of) == (truth(rows, list(of.items())),) * 2
    found = recover(system, RULE, Effort(verified=200))
    assert {one.of for one in found.recovered} >= {
        tuple((f"a{at}", value) for at, value in enumerate(c)) for c in hidden
    }


def test_a_hidden_cell_follows_from_a_later_table_by_one_key() -> None:
    rows = np.array([[0, 0]] * 3 + [[0, 1]] * 322 + [[1, 0]] * 40 + [[1, 1]] * 200)
    first, later = table(rows, (0, 1), least=10, name="first"), table(rows, (0,), name="later")
    assert recover(build([first], ROWS), RULE, Effort()).recovered == ()
    (one,) = recover(build([first, later], ROWS), RULE, Effort()).recovered
    assert (one.of, one.low, one.high) == ((("a0", 0), ("a1", 0)), 3, 3)


@pytest.fixture(scope="module")
def cube() -> Any:
    """A hundred people in 240 cells."""
    return people((4, 5, 4, 3), 100, 1)


def pinned(rows: Any, tables: Sequence[Told], effort: Effort, sample: int) -> int:
    """Count the atoms of a sample whose value is proved, each time the true one."""
    system = build(tables, ROWS)
    proved = 0
    for atom in np.linspace(0, system.size - 1, sample, dtype=int):
        of = {name: system.values[at][system.atoms[atom, at]] for at, name in enumerate(system.attributes)}
        bounds = bounds_of(system, of, effort)
        assert bounds is not None
        low, high = bounds
        assert low <= truth(rows, list(of.items())) <= high
        proved += low == high
    return proved


def test_all_three_way_margins_pin_a_cube_and_whole_numbers_pin_more(cube: Any) -> None:
    margins = [table(cube, keys) for keys in combinations(range(4), 3)]
    linear, whole = (pinned(cube, margins, Effort(method), 12) for method in ("linear", "integer"))
    assert linear <= whole
    assert whole == 12


def test_margins_rounded_to_fives_pin_nothing(cube: Any) -> None:
    margins = [table(cube, keys, base=5) for keys in combinations(range(4), 3)]
    assert pinned(cube, margins, Effort("linear"), 12) == 0


@dataclass(frozen=True)
class Story:
    """Tables that were released, the one that is asked for, and whether the gate must block it."""

    earlier: Callable[[], Sequence[Told]]
    new: Callable[[], Told]
    verdict: Verdict


def city(rest: int) -> Any:
    """Two districts, three clinics, the last with few people; two sexes at random."""
    sizes = {0: 40, 1: 40, 2: rest}
    rows = [[d, c, (d + n) % 2] for d in (0, 1) for c, size in sizes.items() for n in range(size)]
    return np.array(rows)


def costs(rows: Any) -> Any:
    return (np.arange(len(rows)) * 37 % 900 + 100).astype(float)


FEW, MANY = city(4), city(30)
STORIES = {
    "all, less one clinic, less another": Story(
        lambda: [table(FEW, (0,)), table(FEW, (0,), where={1: 0})],
        lambda: table(FEW, (0,), where={1: 1}),
        Verdict.BLOCK,
    ),
    "the same by sums": Story(
        lambda: [table(FEW, (0,), cost=costs(FEW)), table(FEW, (0,), where={1: 0}, cost=costs(FEW))],
        lambda: table(FEW, (0,), where={1: 1}, cost=costs(FEW)),
        Verdict.BLOCK,
    ),
    "the same by other keys": Story(
        lambda: [table(FEW, (0, 2)), table(FEW, (2, 0), where={1: 0})],
        lambda: table(FEW, (2,), where={1: 1}),
        Verdict.BLOCK,
    ),
    "a rest of many": Story(
        lambda: [table(MANY, (0,)), table(MANY, (0,), where={1: 0})],
        lambda: table(MANY, (0,), where={1: 1}),
        Verdict.NO_ATTACK_SUCCEEDED,
    ),
    "a rest of many, by sums": Story(
        lambda: [table(MANY, (0,), cost=costs(MANY)), table(MANY, (0,), where={1: 0}, cost=costs(MANY))],
        lambda: table(MANY, (0,), where={1: 1}, cost=costs(MANY)),
        Verdict.NO_ATTACK_SUCCEEDED,
    ),
    "margins of many people": Story(
        lambda: [table(people((3, 3, 2), 3000, 5), keys) for keys in ((0, 1), (1, 2))],
        lambda: table(people((3, 3, 2), 3000, 5), (0, 2)),
        Verdict.NO_ATTACK_SUCCEEDED,
    ),
    "the same table again": Story(
        lambda: [table(FEW, (0,)), table(FEW, (0,), where={1: 0})],
        lambda: table(FEW, (0,)),
        Verdict.NO_ATTACK_SUCCEEDED,
    ),
    "what followed before is not held against a newcomer": Story(
        lambda: [table(FEW, (0,), where={1: clinic}) for clinic in (0, 1)] + [table(FEW, (0,))],
        lambda: table(FEW, (2,)),
        Verdict.NO_ATTACK_SUCCEEDED,
    ),
}


def judged(story: Story) -> Finding:
    (found,) = check_reconstruction(Union(story.new(), tuple(story.earlier())), CellPolicy())
    return found


@pytest.mark.parametrize("name", STORIES)
def test_a_union_is_blocked_when_it_proves_a_small_group(name: str) -> None:
    assert judged(STORIES[name]).verdict is STORIES[name].verdict


def test_the_earlier_tables_alone_did_not_tell() -> None:
    story = STORIES["all, less one clinic, less another"]
    assert recover(build(story.earlier(), ROWS), RULE, Effort()).recovered == ()


def test_tables_of_other_rows_are_not_set_against_each_other() -> None:
    story = STORIES["all, less one clinic, less another"]
    other = [Told(t.name, "others", t.keys, t.only, t.cells, t.numbers) for t in story.earlier()]
    assert judged(Story(lambda: other, story.new, Verdict.NO_ATTACK_SUCCEEDED)).verdict is Verdict.NO_ATTACK_SUCCEEDED


def test_numbers_that_cannot_all_be_true_are_looked_at_by_people() -> None:
    earlier = [table(FEW, (0,)), table(city(9), (0,), where={1: 0})]
    wrong = [earlier[0], Told("wrong", "people", ("a0",), {}, ((0,), (1,)), {ROWS: (Interval(1, 1), Interval(2, 2))})]
    assert judged(Story(lambda: wrong, lambda: table(FEW, (1,)), Verdict.REVIEW)).verdict is Verdict.REVIEW


def test_too_many_combinations_are_looked_at_by_people() -> None:
    wide = [table(people((40, 40), 4000, seed), (0, 1), name=str(seed)) for seed in (1, 2)]
    renamed = Told("other", "people", ("b0", "b1"), {}, wide[1].cells, wide[1].numbers)
    assert judged(Story(lambda: [renamed], lambda: wide[0], Verdict.REVIEW)).verdict is Verdict.REVIEW


def test_what_was_not_decided_is_looked_at_by_people() -> None:
    rows = people((16, 16, 16), 9000, 3)
    earlier = [table(rows, (0, 1), base=5), table(rows, (1, 2), base=5)]
    found = judged(Story(lambda: earlier, lambda: table(rows, (0, 2), base=5), Verdict.REVIEW))
    assert "passing" in str(found.evidence["searched"])
    assert found.verdict is Verdict.REVIEW
