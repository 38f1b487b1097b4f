"""Every state machine: total, nothing out of reach, nothing without an end, and the page that shows them is theirs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

import infra.states
import jobs.states
from infra.states import MACHINES
from lineage.errors import DefinitionError
from sandbox import states
from sandbox.messages import Language, text
from sandbox.states import Machine, Owner, PersonState
from tests.factories import refused


machines = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.subject)


@machines
def test_every_state_can_be_reached(machine: Machine[StrEnum]) -> None:
    reached = {next(iter(machine.states))}
    while True:
        more = reached.union(*(machine.following[state] for state in reached))
        if more == reached:
            break
        reached = more
    assert reached == set(machine.states)


@machines
def test_every_state_leads_to_an_end(machine: Machine[StrEnum]) -> None:
    final = {state for state in machine.states if not machine.following[state]}
    if machine is states.PERSON:
        # A person's file never closes: whoever is suspended may be vetted anew.
        assert not final
        return
    ends = set(final)
    while True:
        more = ends | {state for state in machine.states if machine.following[state] & ends}
        if more == ends:
            break
        ends = more
    assert ends == set(machine.states)


@machines
def test_check_and_can_are_twins_over_every_pair(machine: Machine[StrEnum]) -> None:
    for now in machine.states:
        for then in machine.states:
            if machine.can_move(now, then):
                machine.check_move(now, then)
            else:
                with refused(DefinitionError, "state.cannot-move"):
                    machine.check_move(now, then)


@machines
def test_every_state_has_a_name_in_both_languages(machine: Machine[StrEnum]) -> None:
    for language in Language:
        for state in machine.states:
            assert text(f"label.{machine.subject}.{state}", language)


def test_every_machine_of_the_product_is_on_the_page() -> None:
    import export_gate.states

    modules = (states, jobs.states, export_gate.states)
    known = {value.subject for module in modules for value in vars(module).values() if isinstance(value, Machine)}
    assert known == {machine.subject for machine in MACHINES}


def test_the_page_is_what_the_tables_say() -> None:
    assert infra.states.PAGE.read_text(encoding="utf-8") == infra.states.page(), "run python -m infra.states"


class Two(StrEnum):
    HERE = "here"
    THERE = "there"


WHOLE_OWNERS = {Two.HERE: Owner.PLATFORM, Two.THERE: Owner.NOBODY}
WHOLE_MOVES = {Two.HERE: frozenset({Two.THERE}), Two.THERE: frozenset[Two]()}


def test_a_whole_machine_is_accepted() -> None:
    assert Machine("thing", Two, WHOLE_OWNERS, WHOLE_MOVES).can_move(Two.HERE, Two.THERE)


@pytest.mark.parametrize(
    ("owners", "moves"),
    [
        ({Two.HERE: Owner.PLATFORM}, WHOLE_MOVES),
        (WHOLE_OWNERS, {Two.HERE: frozenset({Two.THERE})}),
        (dict.fromkeys(Two, Owner.PLATFORM), WHOLE_MOVES),
        (dict.fromkeys(Two, Owner.NOBODY), WHOLE_MOVES),
    ],
    ids=["no owner", "no row", "an owned end", "a way on that nobody goes"],
)
def test_a_table_with_a_hole_is_refused(owners: Any, moves: Any) -> None:
    with pytest.raises(ValueError, match="thing"):
        Machine("thing", Two, owners, moves)


def test_nobody_works_without_every_step_before() -> None:
    assert [state for state in PersonState if states.PERSON.can_move(state, PersonState.ACTIVE)] == [
        PersonState.TRAINED
    ]
