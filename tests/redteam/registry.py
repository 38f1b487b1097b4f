"""The red team's corpus: one row a kind of attack, with its leaks, the same leaks in disguise, and innocent twins of the same shape.

Each row names tests of ``tests/attack``: a leak or a disguise counts as caught when its test passes, and an innocent twin as a false alarm
when its test fails. A check that refuses everything protects nothing, so a row without a twin is not accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What a test stands for in a triplet."""

    LEAK = "leak"
    DISGUISE = "disguise"
    INNOCENT = "innocent"


@dataclass(frozen=True)
class Chosen:
    """Tests of one function, by a pattern over the name in brackets; ``but`` leaves some out."""

    module: str
    function: str
    only: str = ""
    but: str = r"(?!)"

    def holds(self, module: str, name: str) -> bool:
        """Whether a test, as pytest names it, belongs here."""
        function, _, row = name.partition("[")
        if (module, function) != (self.module, self.function):
            return False
        row = row.removesuffix("]")
        return re.search(self.only, row) is not None and re.search(self.but, row) is None


@dataclass(frozen=True)
class Triplet:
    """One row: the attack's number and name, and the tests of each part; a row that lacks a part cannot be made."""

    id: str
    title: str
    leaks: tuple[Chosen, ...]
    disguises: tuple[Chosen, ...]
    innocents: tuple[Chosen, ...]

    def __post_init__(self) -> None:
        """Refuse a row without leak, disguise or innocent twin."""
        if not (self.leaks and self.disguises and self.innocents):
            raise ValueError(f"{self.id} is no triplet")

    @property
    def parts(self) -> Mapping[Part, tuple[Chosen, ...]]:
        """The tests by part."""
        return {Part.LEAK: self.leaks, Part.DISGUISE: self.disguises, Part.INNOCENT: self.innocents}

    def part_of(self, module: str, name: str) -> Part | None:
        """Give the part that a test plays here."""
        return next((part for part, some in self.parts.items() if any(one.holds(module, name) for one in some)), None)


_RAW, _CELLS, _TOLD = "test_raw_match", "test_cells_triplets", "test_differencing_across_releases"
_FILES, _MODELS, _STATISTIC = "test_file_containers", "test_model_attacks", "test_statistic_attacks"
_DRAWN = "test_charts_and_reports"
_RAW_TWINS = (Chosen(_RAW, "test_an_innocent_twin_passes"), Chosen(_RAW, "test_aggregates_of_a_real_table_pass"))
_HASHED = r"^(token|sha|sm3|end of sha|md5|salted|keyed|format-preserving)"
_DISGUISED = "disguised|hidden|made to cancel|multiplied|lent|scaled|parts|through a step|moving"
_PLAIN = r"^(clear|mobile|mail|name with date of birth)$"


def _cells(id_: str, title: str, subject: str) -> Triplet:
    refused, passes = "test_leak_is_refused", "test_innocent_twin_passes"
    return Triplet(
        id_,
        title,
        (Chosen(_CELLS, refused, subject, _DISGUISED),),
        (Chosen(_CELLS, refused, f"{subject}.*({_DISGUISED})"),),
        (Chosen(_CELLS, passes, subject),),
    )


def _drawn(place: str, title: str, function: str) -> Triplet:
    leak, disguise, innocent = (Chosen(_DRAWN, function, f"-{part}$") for part in Part)
    return Triplet(f"B22 ({place})", title, (leak,), (disguise,), (innocent,))


def _files(id_: str, title: str) -> Triplet:
    hidden = "test_what_is_hidden_stays_in"
    return Triplet(
        f"{id_} (file)",
        title,
        (Chosen(_FILES, hidden, f"^leak-{id_} "),),
        (Chosen(_FILES, hidden, f"^disguise-{id_} "),),
        (Chosen(_FILES, "test_the_innocent_twin_goes_to_the_reviewers", f"^{id_} "),),
    )


TRIPLETS: tuple[Triplet, ...] = (
    Triplet(
        "B1",
        "identifiers in clear",
        (Chosen(_RAW, "test_a_leak_is_blocked", _PLAIN),),
        (Chosen(_RAW, "test_a_leak_is_blocked", r"joined|in a pickle|check character|before 1999|separated|floating"),),
        _RAW_TWINS,
    ),
    Triplet(
        "B2",
        "identifiers in a reversible encoding",
        (Chosen(_RAW, "test_a_leak_is_blocked", r"^(base64|hex|gzip|full width)$"),),
        (
            Chosen(
                _RAW,
                "test_a_leak_is_blocked",
                but=rf"{_PLAIN}|{_HASHED}|^(base64|hex|gzip|full width)$|joined|in a pickle|check char|1999|separated|floating",
            ),
        ),
        _RAW_TWINS,
    ),
    Triplet(
        "B3",
        "hashed or encrypted identifiers",
        (Chosen(_RAW, "test_a_leak_is_blocked", r"^(sha256|token)$"),),
        (Chosen(_RAW, "test_a_leak_is_blocked", _HASHED, r"^(sha256|token)$"),),
        _RAW_TWINS,
    ),
    _files("B1", "an identifier in a cell of a file"),
    _files("B2", "text that nobody sees in a file"),
    _files("B3", "tokens of the inputs in a file"),
    Triplet(
        "B4",
        "rows in the shape of a table",
        (Chosen(_CELLS, "test_leak_is_refused", "^disguise: a cell a person"),),
        (Chosen(_CELLS, "test_leak_is_refused", "^disguise: ", "a cell a person"),),
        (Chosen(_CELLS, "test_innocent_twin_passes", "^disguise: twin"),),
    ),
    _cells("B5 endpoints", "a value of one person as an extreme", "^endpoint:"),
    _cells("B5 class", "everybody in a cell has it", "^class:"),
    _cells("B5 implied", "a small cell implied by its complement", "^implied:"),
    _cells("B5 dominance", "one person is nearly the whole total", "^dominance:"),
    _cells("B5 rows", "many rows, few persons", "^rows for persons:"),
    _cells("B6 in a table", "all, minus all but one", "^difference:"),
    _cells("B6 overlap", "two cells about nearly the same people", "^overlap:"),
    Triplet(
        "B6, B26",
        "two releases, versions or tenants told apart",
        (Chosen(_TOLD, "test_two_releases_together_tell_of_nobody", but="disguised"),),
        (
            Chosen(_TOLD, "test_two_releases_together_tell_of_nobody", "disguised"),
            Chosen(_TOLD, "test_the_order_of_releases_does_not_matter"),
        ),
        (Chosen(_TOLD, "test_an_innocent_twin_passes"),),
    ),
    Triplet(
        "B10",
        "a regression as a lookup",
        (Chosen(_MODELS, "test_a_regression_used_as_a_lookup_is_blocked", "^dummy of"),),
        (Chosen(_MODELS, "test_a_regression_used_as_a_lookup_is_blocked", "^disguise"),),
        (Chosen(_MODELS, "test_an_honest_regression_passes"),),
    ),
    Triplet(
        "B11",
        "a message in the low digits",
        (Chosen(_CELLS, "test_the_low_digits_carry_nothing", "^(low digits|mean)$"),),
        (Chosen(_CELLS, "test_the_low_digits_carry_nothing", "^(fraction|jitter)$"),),
        (Chosen(_CELLS, "test_a_plain_sum_stays_exact"),),
    ),
    _files("B11", "digits beyond the declared ones"),
    Triplet(
        "B12",
        "training rows in a model's bytes",
        (Chosen(_MODELS, "test_training_rows_in_the_bytes_are_found", "^as_(raw|doubles)"),),
        (Chosen(_MODELS, "test_training_rows_in_the_bytes_are_found", but="^as_(raw|doubles)"),),
        (Chosen(_MODELS, "test_numbers_of_the_same_shape_are_no_false_alarm"),),
    ),
    Triplet(
        "B13",
        "a rare category in a model",
        (Chosen(_MODELS, "test_a_category_of_few_people_never_leaves", "^three people"),),
        (Chosen(_MODELS, "test_a_category_of_few_people_never_leaves", "^disguise"),),
        (Chosen(_MODELS, "test_a_category_of_many_people_leaves"),),
    ),
    Triplet(
        "B17",
        "a tree that remembers persons",
        (Chosen(_MODELS, "test_a_tree_that_remembers_persons_is_blocked", but="^disguise"),),
        (Chosen(_MODELS, "test_a_tree_that_remembers_persons_is_blocked", "^disguise"),),
        (Chosen(_MODELS, "test_a_tree_with_enough_people_in_every_leaf_passes"),),
    ),
    _files("B20", "data in a Parquet or Arrow file beside its cells"),
    _drawn("chart", "data in a chart's description", "test_a_description_carries_nothing_of_its_own"),
    _drawn("drawing", "data in a drawing beside its ink", "test_a_drawing_is_ink_alone"),
    _drawn("report", "data in the words of a report", "test_a_text_is_told_for_what_it_holds"),
    _files("B23", "data in or behind a picture"),
    Triplet(
        "B24",
        "averaging the noise away",
        (Chosen(_STATISTIC, "test_the_same_question_a_hundred_times_is_one_question"),),
        (Chosen(_STATISTIC, "test_the_same_question_is_known_in_every_disguise"),),
        (Chosen(_STATISTIC, "test_another_question_is_another_question"),),
    ),
)


def modules() -> tuple[str, ...]:
    """Give the names of the test modules that rows name."""
    return tuple(sorted({one.module for row in TRIPLETS for some in row.parts.values() for one in some}))


def count(tests: Iterable[tuple[str, str]]) -> dict[tuple[str, Part], int]:
    """Count tests, each as module and name, by row and part."""
    found = list(tests)
    return {
        (row.id, part): sum(row.part_of(module, name) is part for module, name in found)
        for row in TRIPLETS
        for part in Part
    }
