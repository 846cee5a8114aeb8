"""Conditions on cells against a loop, and the uncertainty against its definition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.sift import Condition, benefit, uncertainty

CELLS = st.sampled_from(["", "?", "1", "2.5", "-3", "1e3", "a", "b ", "nan"])


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@given(st.lists(CELLS, max_size=20), st.sets(CELLS))
def test_values_are_the_cells_as_they_stand(cells: list[str], values: set[str]) -> None:
    found = Condition("c", tuple(values)).holds(pd.DataFrame({"c": cells}, dtype=object))
    assert found.tolist() == [not values or cell in values for cell in cells]


@given(st.lists(CELLS, max_size=20), st.none() | st.floats(-5, 5), st.none() | st.floats(-5, 2000))
def test_a_range_holds_the_numbers_between_its_ends(cells: list[str], low: float | None, high: float | None) -> None:
    condition = Condition("c", (), low, high)
    expected = [
        condition.empty or ((low is None or number(t) >= low) and (high is None or number(t) <= high)
                            and not math.isnan(number(t)))
        for t in cells
    ]  # fmt: skip
    assert condition.holds(pd.DataFrame({"c": cells}, dtype=object)).tolist() == expected


def test_native_numbers_and_missing_cells() -> None:
    frame = pd.DataFrame({"n": [1.0, np.nan, 3.0], "t": ["x", None, "y"]})
    assert Condition("n", low=2).holds(frame).tolist() == [False, False, True]
    assert Condition("t", ("",)).holds(frame).tolist() == [False, True, False]
    with pytest.raises(KeyError):
        Condition("gone", ("x",)).holds(frame)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_uncertainty_is_the_entropy_of_the_verdict(probabilities: list[float]) -> None:
    def slow(p: float) -> float:
        return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)

    found = uncertainty(np.array(probabilities))
    assert found == pytest.approx([slow(p) for p in probabilities], abs=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


def test_uncertainty_is_what_a_true_verdict_teaches() -> None:
    """Mutual information of belief and verdict, added up over both outcomes."""
    for p in (0.1, 0.3, 0.5, 0.87):
        learnt = p * math.log2(1 / p) + (1 - p) * math.log2(1 / (1 - p))
        assert uncertainty(np.array([p]))[0] == pytest.approx(learnt)


def test_benefit_puts_wrong_numbers_first_and_classes_by_gain() -> None:
    relabels = np.array([False, True, True, False])
    sure, gain = np.array([0.9, 0.3, 0.6, 0.2]), np.array([0.1, np.nan, -0.2, 0.4])
    assert np.argsort(-benefit(relabels, sure, gain, numbers=True)).tolist() == [2, 1, 0, 3]
    assert np.argsort(-benefit(relabels, sure, gain, numbers=False)).tolist() == [3, 0, 2, 1], "unknown gain comes last"
