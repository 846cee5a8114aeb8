"""Cells, shortcuts and out-of-fold predictions find what was planted where the answer is known."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from demix_core.errors import Cancelled
from demix_core.signals.base import Signals, compute
from demix_core.signals.binning import Binned, bin_column, code_lift
from demix_core.signals.cells import fit_cells
from demix_core.signals.oddities import find_oddities
from demix_core.signals.out_of_fold import out_of_fold
from demix_core.signals.shortcuts import (
    LEAST_SHARE,
    LEAST_STRENGTH,
    _best,
    _Looked,
    _phi,
    find_shortcuts,
    rule_groups,
)
from demix_core.types import Column, ColumnKind, Schema, Task

N = 900


def table(regression: bool = False) -> tuple[pd.DataFrame, Schema]:
    """b follows a; the label follows a and c."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    colour = np.where(rng.random(N) < 0.3, "red", "blue")
    y = a + (colour == "red") + 0.3 * rng.normal(size=N)
    frame = pd.DataFrame({"a": a.round(3), "b": (3 * a + 0.1 * rng.normal(size=N)).round(2), "c": colour})
    frame["y"] = y.round(3) if regression else np.where(y > 0.5, "yes", "no")
    kinds = [Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.NUMERIC), Column("c", ColumnKind.CATEGORICAL)]
    task = Task.REGRESSION if regression else Task.CLASSIFICATION
    target = Column("y", ColumnKind.NUMERIC if regression else ColumnKind.CATEGORICAL)
    return frame, Schema((*kinds, target), "y", task, () if regression else ("no", "yes"))


def test_wrong_cell_is_the_most_surprising_and_gets_a_near_value() -> None:
    frame, schema = table()
    wrong = np.arange(0, N, 30)
    right = frame.loc[wrong, "b"].to_numpy()
    frame.loc[wrong, "b"] = -right + np.where(right > 0, -2, 2)
    cells = fit_cells(frame, schema, seed=0)
    far = np.abs(right) > 1.5
    # a and b are each other's witness, so either may be blamed; c must not be
    assert (cells.surprise[wrong[far]].argmax(1) != 2).mean() > 0.95
    assert np.median(cells.surprise[wrong[far], 1]) > 2 > np.median(cells.surprise[:, 1])
    suggested = cells.suggestion[wrong[far], 1].astype(float)
    assert np.median(np.abs(suggested - right[far])) < 1.5


def test_cells_are_seeded_and_cancellable() -> None:
    frame, schema = table()
    one, two = fit_cells(frame, schema, seed=3), fit_cells(frame, schema, seed=3)
    np.testing.assert_array_equal(one.surprise, two.surprise)
    with pytest.raises(Cancelled):
        fit_cells(frame, schema, seed=3, should_stop=lambda: True)


def test_out_of_fold_beats_the_prior_and_never_saw_its_row() -> None:
    frame, schema = table()
    oof = out_of_fold(frame, schema, seed=0)
    y = (frame["y"] == "yes").to_numpy()
    assert oof.strong.sum(1) == pytest.approx(1, abs=1e-5)
    assert (oof.strong.argmax(1) == y).mean() > 0.85
    flipped = frame.copy()
    flipped.loc[7, "y"] = "no" if frame.loc[7, "y"] == "yes" else "yes"
    before, after = oof.strong[7, int(y[7])], out_of_fold(flipped, schema, seed=0).strong[7, int(y[7])]
    assert abs(before - after) < 0.25


def test_regression_out_of_fold_is_in_target_units() -> None:
    frame, schema = table(regression=True)
    oof = out_of_fold(frame, schema, seed=0)
    y = frame["y"].to_numpy()
    assert np.corrcoef(oof.strong[:, 0], y)[0, 1] > 0.9
    assert 0.1 < oof.strong[0, 1] < 1.0


def test_lift_is_leave_one_out() -> None:
    codes, y = np.array([0, 1, 1, 1]), np.array([1, 0, 0, 0])
    lift, _ = code_lift(codes, 2, y, 2)
    assert lift[0] == pytest.approx(0.0)  # alone in its bin: nothing but the prior speaks


def test_phi_is_the_correlation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(200) < 0.3, rng.random(200) < 0.5
    b |= a
    phi = _phi(200, np.array([a.sum()]), b.sum(), np.array([(a & b).sum()]))
    assert phi[0] == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_planted_shortcut_is_named_and_its_minority_goes_against_it() -> None:
    rng = np.random.default_rng(2)
    frame, schema = table()
    frame["c"] = np.where((frame["y"] == "yes") != (rng.random(N) < 0.05), "red", "blue")
    found = find_shortcuts(frame, schema)
    assert found.rules[0].columns == ("c",) and found.rules[0].strength > 0.85
    assert "red" in found.rules[0].condition or "blue" in found.rules[0].condition
    minority = (frame["c"] == "red") != (frame["y"] == "yes")
    assert (found.against[minority.to_numpy()] == 0).all()
    assert np.isfinite(found.lifts).all()


@given(seed=st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_best_rule_is_the_best_of_all_runs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (4, 3, 2)).astype(float)
    looked = tuple(
        _Looked(
            Column(name, ColumnKind.NUMERIC), *[Binned(np.arange(size), size, ("",) * size, True, np.zeros(size))] * 2
        )
        for name, size in (("a", 4), ("b", 3))
    )
    found = _best(looked, counts, np.array([False, True]), "y")
    n, best = counts.sum(), LEAST_STRENGTH
    for a, b in product(combinations(range(5), 2), combinations(range(4), 2)):
        inside = counts[a[0] : a[1], b[0] : b[1]]
        if LEAST_SHARE * n <= inside.sum() <= (1 - LEAST_SHARE) * n:
            best = max(
                best, float(_phi(n, np.array(inside.sum()), counts[..., 1].sum(), np.array(inside[..., 1].sum())))
            )
    assert (found.strength if found else LEAST_STRENGTH) == pytest.approx(best)


def test_rule_over_two_columns_is_found_and_a_needless_column_is_not_named() -> None:
    rng = np.random.default_rng(3)
    frame, schema = table()
    inside = (frame["a"] > 0) & (frame["c"] == "red")
    frame["y"] = np.where(inside != (rng.random(N) < 0.05), "yes", "no")
    rule = find_shortcuts(frame, schema).rules[0]
    assert set(rule.columns) >= {"c"} and len(rule.columns) == 2 and rule.strength > 0.8
    assert "c = red" in rule.condition or "c ≠ blue" in rule.condition


def test_bulk_is_not_moved_by_a_quarter_of_wrong_values() -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=1000)
    wrong = np.concatenate([clean[:750], np.full(250, 6.0)])
    series = pd.Series(wrong.round(3))
    odd = find_oddities(
        pd.DataFrame({"a": series, "y": "q"}),
        Schema((Column("a", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("q",)),
    )
    assert (odd.distance[750:, 0] > 1.5).all() and (odd.distance[:750, 0] > 1.5).mean() < 0.02
    assert odd.crowd[750:, 0].min() > 4 > odd.crowd[:750, 0].max()
    binned = bin_column(series, ColumnKind.NUMERIC)
    assert set(binned.codes[750:]) & set(binned.codes[:750]) == set(), "a value of many rows has a bin of its own"


@given(values=st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_bins_keep_the_order_of_the_numbers(values: list[float | None]) -> None:
    series = pd.Series(["" if v is None else repr(v) for v in values], dtype="str")
    binned = bin_column(series, ColumnKind.NUMERIC)
    assert len(binned.codes) == len(values) and binned.codes.max() < binned.size == len(binned.values) == len(
        binned.far
    )
    known = [(v, c) for v, c in zip(values, binned.codes, strict=True) if v is not None]
    for (v, c), (w, d) in product(known, known):
        assert c <= d if v < w else c == d if v == w else True
    assert all(binned.codes[i] == binned.size - 1 for i, v in enumerate(values) if v is None and known)


def test_oddly_written_cells_stand_out() -> None:
    frame = pd.DataFrame({"a": ["1.5", "2.5"] * 50, "b": ["Sales", "Craft"] * 50, "y": ["p", "q"] * 50})
    frame.loc[3, "a"], frame.loc[5, "b"], frame.loc[7, "b"] = "1.2345", "SALES", "Sales "
    kinds = (Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.CATEGORICAL), Column("y", ColumnKind.CATEGORICAL))
    form = find_oddities(frame, Schema(kinds, "y", Task.CLASSIFICATION, ("p", "q"))).form
    assert form[3, 0] > 4 and form[5, 1] > 4 and form[7, 1] > 4 and np.median(form) < 0.1


@pytest.mark.parametrize("regression", [False, True])
def test_signals_survive_the_disk(tmp_path: Path, regression: bool) -> None:
    frame, schema = table(regression)
    signals = compute(frame, schema, seed=0)
    signals.save(tmp_path)
    back = Signals.load(tmp_path)
    np.testing.assert_array_equal(back.oof, signals.oof)
    np.testing.assert_array_equal(back.cell_suggestion, signals.cell_suggestion.astype(str))
    assert back.shortcut == signals.shortcut


@given(sides=hnp.arrays(np.int8, st.integers(1, 40), elements=st.integers(-1, 1)), seed=st.integers(0, 9))
def test_rule_groups_are_what_counting_says(sides: np.ndarray, seed: int) -> None:
    r = np.random.default_rng(seed)
    condition = np.where(sides == 0, r.random(len(sides)) < 0.5, sides < 0)  # who follows has both, or neither
    target, errors = condition ^ (sides != 0), r.random(len(sides))
    (found,) = rule_groups(sides[:, None], np.array([condition.mean()]), errors)
    assert (found.meets, found.exceptions, found.strays) == (
        condition.sum(), (condition & ~target).sum(), (target & ~condition).sum(),
    )  # fmt: skip
    if condition.any():
        assert found.hit == pytest.approx(target[condition].mean())
    if not condition.all():
        assert found.elsewhere == pytest.approx(target[~condition].mean())
    for side, mean in ((-1, found.error), (1, found.stray_error), (0, found.other_error)):
        assert mean == pytest.approx(errors[sides == side].mean() if (sides == side).any() else np.nan, nan_ok=True)
