"""What a jail must isolate by grade and stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from jobs.jail.spec import Capability
from jobs.jail_policy import (
    NEEDED,
    WHOLE,
    OwnKernel,
    Part,
    can_isolate,
    check_isolation,
    highest_grade,
    lacking,
    needed,
    own_kernel_of,
)
from jobs.runs import Stage
from lineage.errors import MissingPartError
from sandbox.columns import Grade
from sandbox.grants import Provisioned, Zone


FULL = Capability(network=True, files=True, uid=True, limits=True, kernel=False)


def table(record: Mapping[str, Any]) -> Provisioned:
    return Provisioned("P-1", "G-1", Zone.INPUT, "health.visits", 1, ("cost",), 1, record)


def test_the_table_is_total_and_never_less_than_whole() -> None:
    assert set(NEEDED) == {(grade, stage) for grade in Grade for stage in Stage}
    assert all(parts >= WHOLE for parts in NEEDED.values())


@pytest.mark.parametrize("grade", list(Grade))
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("production", [None, *Grade])
@pytest.mark.parametrize("development", [None, *Grade])
def test_a_kernel_of_its_own_is_needed_exactly_from_the_grade_that_is_set(
    grade: Grade, stage: Stage, production: Grade | None, development: Grade | None
) -> None:
    own = OwnKernel(None if production is None else int(production), None if development is None else int(development))
    bound = production if stage is Stage.PRODUCTION else development
    wanted = bound is not None and grade >= bound
    assert (Part.KERNEL in needed(grade, stage, own)) is wanted
    assert can_isolate(FULL, grade, stage, own) is not wanted
    assert can_isolate(replace(FULL, kernel=True), grade, stage, own)


@pytest.mark.parametrize("part", ["network", "files", "uid", "limits"])
@pytest.mark.parametrize("grade", list(Grade))
@pytest.mark.parametrize("stage", list(Stage))
def test_no_grade_does_without_a_wall(part: str, grade: Grade, stage: Stage) -> None:
    weak = replace(FULL, kernel=True, missing=("user namespaces",))
    object.__setattr__(weak, part, False)
    with pytest.raises(MissingPartError) as caught:
        check_isolation(weak, grade, stage, OwnKernel())
    assert caught.value.code == "jail.too-weak"
    assert (caught.value.params["lacking"], caught.value.params["missing"]) == (part, "user namespaces")


def test_what_is_lacking_is_named_in_order() -> None:
    nothing = Capability(network=False, files=False, uid=False, limits=False, kernel=False)
    assert lacking(nothing, Part) == tuple(Part)


def test_the_settings_add_to_it() -> None:
    assert own_kernel_of({}) == OwnKernel()
    assert own_kernel_of({"own_kernel": {"production": 4, "development": 3}}) == OwnKernel(4, 3)


@pytest.mark.parametrize(
    "given",
    ["4", 4, [4], {"production": "4"}, {"production": 5}, {"production": 0}, {"production": True}, {"prodcution": 4}],
)
def test_a_misspelt_demand_is_an_error(given: object) -> None:
    with pytest.raises(MissingPartError) as caught:
        own_kernel_of({"own_kernel": given})
    assert caught.value.code == "jail.bad-policy"


def test_the_highest_grade_counts_and_silence_counts_as_the_highest() -> None:
    assert highest_grade([]) is Grade.OPEN
    assert highest_grade([table({"grade": 2}), table({"grade": 3})]) is Grade.RESTRICTED
    assert highest_grade([table({"grade": 1}), table({})]) is Grade.MOST_SENSITIVE
