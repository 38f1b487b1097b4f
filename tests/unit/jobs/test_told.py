"""What is told of a production run: the grid, the levels, the words, and how many answers there are (law 8)."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import told
from jobs.states import RUN, RunState
from jobs.told import Reserved


MINUTE = 60
limits = st.integers(1, 24 * 60).map(lambda minutes: minutes * MINUTE)


@given(limits)
def test_the_grid_grows_and_ends_after_the_limit(limit: int) -> None:
    steps = told.steps(limit)
    assert list(steps) == sorted(set(steps))
    assert all(step < limit for step in steps[:-1])
    assert steps[-1] == limit + told.SETTLING


@given(limits, st.floats(0, 10**6))
def test_an_end_becomes_known_at_the_first_step_after_it(limit: int, elapsed: float) -> None:
    found = told.due(elapsed, limit)
    assert found >= elapsed
    steps = told.steps(limit)
    if elapsed <= steps[-1]:
        assert found in steps
        assert all(step < elapsed for step in steps if step < found)
    else:
        assert math.log2(found / steps[-1]).is_integer()


@given(limits, st.floats(0, 10**5), st.floats(0, 10**5))
def test_later_ends_are_not_known_earlier(limit: int, one: float, other: float) -> None:
    first, second = sorted((one, other))
    assert told.due(first, limit) <= told.due(second, limit)


@given(st.floats(0, 10**6))
def test_a_stop_is_written_down_soon_and_killing_takes_no_time_that_is_seen(elapsed: float) -> None:
    waited = told.stop_due(elapsed) - elapsed
    assert told.STOP_GRID <= waited <= 2 * told.STOP_GRID


@pytest.mark.parametrize(
    ("minutes", "steps", "bits"),
    [
        (1, (10, 180), 7),
        (2, (10, 60, 240), 7),
        (10, (10, 60, 120, 300, 720), 8),
        (20, (10, 60, 120, 300, 600, 1320), 8),
        (1440, (*told.STEPS, 86_520), 9),
    ],
)
def test_the_capacity_is_the_logarithm_of_the_number_of_answers(
    minutes: int, steps: tuple[int, ...], bits: int
) -> None:
    """Counted here anew, by making every answer: a change of the grid that carries more must change the price."""
    limit, reserved = minutes * MINUTE, Reserved(minutes * MINUTE, 2, 2048)
    assert told.steps(limit) == steps
    answers = {
        (step, state, tuple(told.metered(reserved, step, cpu, memory).values()))
        for step, state, cpu, memory in itertools.product(
            steps,
            (RunState.SUCCEEDED, RunState.FAILED),
            [2 * step / 8 * n for n in (0, 1, 2, 4, 8) for step in steps],
            (1, 512, 1024, 2048),
        )
    }
    outside = {"stopped before anything was told", "lost by the platform"}
    assert len(answers | outside) <= 2**bits
    assert told.capacity(limit) == bits
    assert len(answers | outside) > 2 ** (bits - 1)


@given(st.integers(1, 64), limits, st.floats(0, 10**9), st.floats(0, 10**6))
def test_use_is_rounded_up_to_a_power_of_two_of_the_reserved(cores: int, limit: int, cpu: float, peak: float) -> None:
    reserved, seconds = Reserved(limit, cores, 4096), 60
    found = told.metered(reserved, seconds, cpu, peak)
    assert found["wall_seconds"] == seconds
    for name, used, whole in (("cpu_seconds", cpu, cores * seconds), ("peak_mebibytes", peak, 4096)):
        levels = {-(-whole // 2**level) for level in range(told.LEVELS)}
        assert found[name] in levels
        assert found[name] == min((one for one in levels if one >= used), default=whole)


def test_what_was_stopped_is_billed_as_reserved() -> None:
    assert told.reserved_use(Reserved(600, 2, 512), 60) == {
        "wall_seconds": 60,
        "cpu_seconds": 120,
        "peak_mebibytes": 512,
    }


@pytest.mark.parametrize("values", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_nothing_is_no_reservation(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="reserves"):
        Reserved(*values)


EXACT = {"ending": "memory", "cpu_seconds": 17, "told": {"cpu_seconds": 32}}


@pytest.mark.parametrize("state", RunState)
def test_of_each_state_a_tenant_hears_one_word(state: RunState) -> None:
    heard = told.tell(state, "reason.ended.memory", EXACT, began=True)
    if state is RunState.QUEUED or not RUN.following[state]:
        assert heard.state is state
    else:
        assert (heard.state, heard.reason, heard.outcome) == (RunState.RUNNING, "reason.running", None)
    if state is RunState.FAILED:
        assert heard.reason == "reason.told.failed"
    assert heard.outcome in (None, {"cpu_seconds": 32})


def test_how_it_failed_before_its_code_ran_is_told() -> None:
    heard = told.tell(RunState.FAILED, "promotion.missing", None, began=False)
    assert heard.reason == "promotion.missing"


@pytest.mark.parametrize("state", RunState)
def test_what_was_cancelled_is_cancelled_at_once(state: RunState) -> None:
    heard = told.tell(state, "reason.ended.done", EXACT, began=True, cancel_asked=True)
    assert (heard.state, heard.reason) == (RunState.CANCELLED, "reason.cancelled")
