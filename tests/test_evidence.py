"""Where a value lies in its column, in bars and in words; the nearest rows; what is said in training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core.evidence import BARS, VALUES, Distribution, Training, nearest
from demix_core.types import Column, ColumnKind

NUMBER, WORD = Column("n", ColumnKind.NUMERIC), Column("c", ColumnKind.CATEGORICAL)
CELLS = st.lists(
    st.sampled_from(["1", "2.5", "", "9", "-3", "n/a", "x", "1e3", "2020-01-05", "2021-03-09"]), min_size=1
)


def cells(values: object) -> pd.Series:
    return pd.Series(list(map(str, values)), dtype=object)


def test_a_number_is_placed_among_the_columns_numbers() -> None:
    column = Distribution.of(NUMBER, cells([*range(1, 101), ""]))
    assert column.missing == pytest.approx(1 / 101) and column.shares.sum() == pytest.approx(1)
    assert column.bar("1") == 0 and column.bar("100000") == BARS - 1 and column.bar("") is column.bar("x") is None
    assert column.where("98") == "is higher than 97 % of the column"
    assert column.where("3") == "is lower than 97 % of the column"
    assert column.where("999") == "is higher than 100 % of the column"
    assert column.where("") == "is missing, as in 1.0 % of the rows"
    assert "can't be read" in column.where("forty")
    assert column.reading("999", "50") == (
        "999 is higher than 100 % of the column; the suggested 50 is lower than 50 % of the column."
    )
    assert column.reading("999", "999") == column.reading("999") == "999 is higher than 100 % of the column."


def test_the_bar_of_a_number_is_that_of_its_histogram() -> None:
    numbers = np.random.default_rng(0).normal(0, 1, 500)
    column = Distribution.of(NUMBER, cells(numbers))
    counts = np.bincount([column.bar(str(v)) for v in numbers], minlength=BARS) / 500
    np.testing.assert_allclose(counts, column.shares)


def test_a_value_is_placed_among_the_columns_values() -> None:
    column = Distribution.of(WORD, cells(["a"] * 60 + ["b"] * 20 + [f"v{k}" for k in range(20)]))
    assert column.values[:2] == ("a", "b") and len(column.shares) == VALUES + 1
    assert column.bar("b") == 1 and column.bar("never seen") == VALUES and column.bar("") is None
    assert column.where("a") == "stands in 60 % of the rows" and column.where("zz") == "stands in 0 % of the rows"


def test_times_are_earlier_or_later() -> None:
    days = cells(pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d"))
    column = Distribution.of(Column("d", ColumnKind.DATETIME), days)
    assert column.where("2030-01-01") == "is later than 100 % of the column"
    assert column.where("1999-01-01") == "is earlier than 100 % of the column"


@settings(deadline=None)
@given(CELLS, st.sampled_from(sorted(ColumnKind)))
def test_every_column_can_be_drawn_and_every_cell_told(values: list[str], kind: str) -> None:
    column = Distribution.of(Column("c", ColumnKind(kind)), cells(values))
    assert (column.shares >= 0).all() and (not len(column.shares) or column.shares.sum() <= 1 + 1e-9)
    for value in (*values, "another", "7"):
        at = column.bar(value)
        assert at is None or 0 <= at < len(column.shares)
        assert column.reading(value, "7").endswith(".")


def test_the_nearest_are_those_asked_about_nearest_first() -> None:
    distance = np.array([np.inf, 3.0, 1.0, 2.0, 1.0])
    assert nearest(distance, 3, np.ones(5, bool)).tolist() == [2, 4, 3]
    assert nearest(distance, 9, np.array([True, True, False, True, False])).tolist() == [3, 1]


def test_epochs_above_the_upper_quarter_are_counted() -> None:
    curves = [np.array(v, np.float32) for v in ([3, 3, 1], [0, 0, 0], [1, 1, 1], [2, 3, 2])]
    found = Training(*curves, kept=2)
    assert found.above == 1 and found.to_dict()["own"] == [3, 3, 1] and found.to_dict()["above"] == 1
