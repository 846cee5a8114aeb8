"""Negative numbers where none can be: told by how they are spread, and by how far the others keep from zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.classifiers.detect import believe_signs
from demix_core.signals.oddities import OddityReference, find_oddities
from demix_core.signals.placing import NEW
from demix_core.signs import Signs, sign_errors, signs_of
from demix_core.types import Column, ColumnKind, Schema, Task


def areas(n: int = 2_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(9, 150, n).round()


def negated(numbers: np.ndarray, count: int) -> np.ndarray:
    out = numbers.copy()
    out[:count] *= -1
    return out


@pytest.mark.parametrize("count", [5, 20, 150])
def test_numbers_that_lost_their_sign_are_told(count: int) -> None:
    numbers = negated(areas(seed=3), count)
    signs = signs_of(numbers)
    assert signs.lost and sign_errors(numbers, signs.reach)[:count].mean() >= 0.98
    assert not sign_errors(numbers, signs.reach)[count:].any()


def test_others_that_cannot_be_negative_are_told_without_saying_what_they_were() -> None:
    numbers = areas()
    numbers[:10] = -np.linspace(500, 620, 10)
    signs = signs_of(numbers)
    assert signs.reach > 0 and not signs.lost


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(1).normal(2.5, 1, 4_000), np.append(areas(), np.full(40, -999_999.0)),
        negated(areas(), 4), negated(areas(), 300), -areas(), areas(), np.zeros(0), np.full(9, np.nan),
        np.append(np.random.default_rng(1).exponential(5, 2_000), -np.random.default_rng(2).exponential(0.2, 60)),
    ],
)  # fmt: skip
def test_numbers_below_zero_by_nature_and_codes_are_left(numbers: np.ndarray) -> None:
    assert signs_of(numbers) == Signs()


def test_a_code_beside_lost_signs_hides_none() -> None:
    numbers = negated(areas(), 12)
    numbers[100:140] = -99_999
    signs = signs_of(numbers)
    assert signs.lost and not sign_errors(numbers, signs.reach)[100:140].any()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), max_size=60))
def test_any_numbers(values: list[float]) -> None:
    numbers = np.array(values, float)
    assert not (sign_errors(numbers, signs_of(numbers).reach) & ~(numbers < 0)).any()


def test_rows_to_come_are_held_against_the_table_and_times_have_no_sign() -> None:
    cells = negated(areas(), 30).astype(int).astype(str)
    days = pd.Series(
        pd.Timestamp("1960-01-01") + pd.to_timedelta(np.random.default_rng(4).integers(0, 9000, 2_000), "D")
    )
    frame = pd.DataFrame({"area": cells, "born": days.dt.strftime("%Y-%m-%d"), "y": ["a", "b"] * 1_000}, dtype="str")
    columns = (
        Column("area", ColumnKind.NUMERIC),
        Column("born", ColumnKind.DATETIME),
        Column("y", ColumnKind.CATEGORICAL),
    )
    schema = Schema(columns, "y", Task.CLASSIFICATION, ("a", "b"))
    negative = find_oddities(frame, schema).negative > 0
    assert negative[:30, 0].all() and negative.sum() == 30
    new = pd.DataFrame({"area": ["-900", "900"], "born": ["1965-01-01", "1975-01-01"], "y": ["a", "a"]}, dtype="str")
    placed = OddityReference.of(frame, schema).place(new, new, schema, np.full(2, NEW))
    assert (placed.negative > 0).tolist() == [[True, False], [False, False]]


def test_they_are_believed_beside_what_the_classifier_says() -> None:
    p, negative = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]), np.array([[0.0, 0.95], [0.0, 0.0]])
    told = believe_signs(p, negative)
    assert told.tolist() == [[0.1, pytest.approx(0.2 + 0.8 * 0.95), 0.3], [0.1, 0.2, 0.3]] and p[0, 1] == 0.2
