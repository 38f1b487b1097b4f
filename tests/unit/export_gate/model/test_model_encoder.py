from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from export_gate.model import ModelDescription
from export_gate.model.encoder import TextColumn, fit_encoder
from export_gate.model.precision import feature_step, power_of_ten_below, round_probabilities
from export_gate.model.rows import ColumnKind, Rows, distinct_subjects, read_rows, split
from lineage.errors import DefinitionError


Describe = Callable[..., ModelDescription]
FOREST = "ensemble.RandomForestClassifier"


def texts(values: list[str], subjects: list[int] | None = None) -> Rows:
    people = np.arange(len(values)) if subjects is None else np.array(subjects)
    return Rows({"c": np.array(values)}, np.zeros(len(values)), people)


def fit_text(rows: Rows) -> TextColumn:
    return fit_encoder(rows, {"c": ColumnKind.TEXT}, minimum=10, scaled=False).texts[0]


def test_rare_categories_become_other() -> None:
    column = fit_text(texts(["a"] * 30 + ["b"] * 20 + [f"r{place}" for place in range(12)]))
    assert column == TextColumn("c", ("a", "b"), has_other=True)


def test_a_small_rest_takes_the_next_smallest_category_with_it() -> None:
    column = fit_text(texts(["a"] * 30 + ["b"] * 20 + ["d"] * 12 + ["rare"] * 3))
    assert column == TextColumn("c", ("a", "b"), has_other=True)


def test_a_category_is_counted_in_people_and_not_in_rows() -> None:
    subjects = [*range(60), *([60, 61, 62] * 10)]
    column = fit_text(texts(["a"] * 40 + ["b"] * 20 + ["rare"] * 30, subjects))
    assert column == TextColumn("c", ("a",), has_other=True)


@pytest.mark.parametrize("values", [["a"] * 50, ["a"] * 50 + ["rare"] * 3, [f"id{place}" for place in range(50)]])
def test_a_column_without_usable_categories_is_refused(values: list[str]) -> None:
    with pytest.raises(DefinitionError, match=r"model\.feature-constant"):
        fit_text(texts(values))


def test_missing_text_is_a_category_and_missing_numbers_become_the_median(
    people: pd.DataFrame, describe: Describe
) -> None:
    rows, kinds = read_rows(people, describe(FOREST))
    encoder = fit_encoder(rows, kinds, minimum=10, scaled=False)
    assert encoder.texts[0].categories == ("", "东区", "南区", "西区")
    matrix = encoder.encode(rows)
    empty = np.isnan(rows.columns["age"])
    assert empty.any()
    assert set(matrix[empty, 0]) == {np.nanmedian(rows.columns["age"])}
    assert not np.isnan(matrix).any()
    assert (matrix[:, 4:].sum(axis=1) == 1).all()


def test_a_category_never_seen_counts_as_other() -> None:
    rows = texts(["a"] * 30 + ["b"] * 30 + ["x"] * 6 + ["y"] * 6)
    encoder = fit_encoder(rows, {"c": ColumnKind.TEXT}, minimum=10, scaled=False)
    assert encoder.encode(texts(["a", "new", "x"])).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_low_digits_do_not_reach_the_model() -> None:
    random = np.random.default_rng(1)
    income = np.round(random.normal(3000, 800, 400), -1)
    people = np.arange(400)
    plain = Rows({"c": income.astype(np.float32)}, np.zeros(400), people)
    spelled = Rows({"c": (income + people / 1000).astype(np.float32)}, np.zeros(400), people)
    for scaled in (False, True):
        first, second = (
            fit_encoder(rows, {"c": ColumnKind.NUMBER}, minimum=10, scaled=scaled) for rows in (plain, spelled)
        )
        assert first == second
        assert np.array_equal(first.encode(plain), second.encode(spelled))


def test_a_median_of_few_people_is_refused(people: pd.DataFrame, describe: Describe) -> None:
    people.loc[people.index[9:], "income"] = np.nan
    rows, kinds = read_rows(people, describe(FOREST))
    with pytest.raises(DefinitionError, match=r"model\.feature-too-few"):
        fit_encoder(rows, kinds, minimum=10, scaled=False)


def test_nobody_is_on_both_sides_of_the_split(people: pd.DataFrame, describe: Describe) -> None:
    several = pd.concat([people, people, people.head(50)])
    rows, _ = read_rows(several, describe(FOREST))
    train, held = split(rows, 5)
    assert not set(train.subjects) & set(held.subjects)
    assert len(train.target) + len(held.target) == len(several)
    assert held.subject_count == 180
    assert set(split(rows, 6)[1].subjects) != set(held.subjects)


def test_the_order_of_the_rows_does_not_matter(people: pd.DataFrame, describe: Describe) -> None:
    first, _ = read_rows(people, describe(FOREST))
    second, _ = read_rows(people.sample(frac=1, random_state=3), describe(FOREST))
    assert np.array_equal(first.subjects, second.subjects)
    for name, column in first.columns.items():
        assert np.array_equal(column, second.columns[name], equal_nan=column.dtype.kind == "f")


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pd.Series([dt.date(2020, 1, 1)] * 600), "model.feature-date"),
        (pd.Series(pd.to_datetime(["2020-01-01"] * 600)), "model.feature-date"),
        (pd.Series(pd.to_timedelta([1] * 600)), "model.feature-date"),
        (pd.Series([b"x"] * 600), "model.feature-kind"),
        (pd.Series([1j] * 600), "model.feature-kind"),
        (pd.Series([[1]] * 600), "model.feature-kind"),
        (pd.Series([1, "a"] * 300), "model.feature-kind"),
        (pd.Series([None] * 600, dtype=object), "model.feature-kind"),
        (pd.Series([np.inf, 1.0] * 300), "model.column-infinite"),
        (pd.Series([1e39, 1.0] * 300), "model.column-infinite"),
    ],
)
def test_a_column_that_cannot_be_learned_from_is_refused(
    people: pd.DataFrame, describe: Describe, column: pd.Series, code: str
) -> None:
    people["age"] = column
    with pytest.raises(DefinitionError) as refusal:
        read_rows(people, describe(FOREST))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([True, None] * 300, dtype=object), ColumnKind.BOOLEAN),
        (pd.Series([True, None] * 300, dtype="boolean"), ColumnKind.BOOLEAN),
        (pd.Series([1, None] * 300, dtype="Int64"), ColumnKind.NUMBER),
        (pd.Series([Decimal("1.5"), None] * 300), ColumnKind.NUMBER),
        (pd.Series(["a", None] * 300, dtype="category"), ColumnKind.TEXT),
        (pd.Series(["a", None] * 300, dtype="string"), ColumnKind.TEXT),
    ],
)
def test_every_way_pandas_writes_a_column_is_read(
    people: pd.DataFrame, describe: Describe, column: pd.Series, kind: ColumnKind
) -> None:
    people["age"] = column
    rows, kinds = read_rows(people, describe(FOREST))
    assert kinds["age"] is kind
    values = rows.columns["age"]
    assert ((values == "") if kind is ColumnKind.TEXT else np.isnan(values)).sum() == 300


def test_rows_that_do_not_fit_the_description_are_refused(people: pd.DataFrame, describe: Describe) -> None:
    cases = {
        "model.column-missing": people.drop(columns="age"),
        "model.too-few-subjects": people.head(99),
        "model.subject-missing": people.assign(person=people["person"].where(people.index > 0)),
        "model.target-not-class": people.assign(ill=people["income"]),
        "model.classes-count": people.assign(ill=people["person"]),
    }
    for code, frame in cases.items():
        with pytest.raises(DefinitionError) as refusal:
            read_rows(frame, describe(FOREST))
        assert refusal.value.code == code
    with pytest.raises(DefinitionError, match=r"model\.target-not-number"):
        read_rows(people, describe("linear_model.Ridge"))


def test_rows_without_a_target_are_left_out(people: pd.DataFrame, describe: Describe) -> None:
    people.loc[people.index[:100], "ill"] = None
    assert len(read_rows(people, describe(FOREST))[0].target) == 500


def test_subjects_are_counted_once_a_group() -> None:
    groups, subjects = np.array([0, 0, 0, 2, 2]), np.array([5, 5, 6, 5, 5])
    assert distinct_subjects(groups, subjects, 4).tolist() == [2, 0, 1, 0]


def test_steps_are_powers_of_ten_that_one_extreme_value_does_not_stretch() -> None:
    assert [power_of_ten_below(value) for value in (0.5, 1.0, 37, 0)] == pytest.approx([0.1, 1, 10, 1])
    values = np.random.default_rng(0).normal(0, 1000, 500)
    assert feature_step(values) == feature_step(np.append(values, 1e12)) == 10


def test_rounded_probabilities_add_up() -> None:
    shares = np.random.default_rng(0).dirichlet([0.3] * 7, 500)
    rounded = round_probabilities(shares)
    assert rounded.sum(axis=1) == pytest.approx(1)
    assert np.abs(rounded - shares).max() < 0.01
    assert (rounded * 100) == pytest.approx(np.rint(rounded * 100))
