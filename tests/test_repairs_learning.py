"""What the repairs learn of a table: numbers and categories of cells, and numbers that are the target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor

from demix_core.records import load_record, save_record
from demix_core.repairs.base import LEARNED_PARTS, REPAIRS, Learned
from demix_core.repairs.conditional import guess_cells, learn_guesser
from demix_core.repairs.targets import DOUBT, LEAST_ROWS, TargetGuesser, learn_target
from demix_core.signals.out_of_fold import learn_out_of_fold
from demix_core.signals.trees import blend, trees_of
from demix_core.types import Column, ColumnKind, Schema, Task
from tests.test_repairs import evidence

ASKED = 60
R = np.random.default_rng(1)
CELLS = np.where(R.random((80, 2)) < 0.2, np.nan, R.random((80, 2)))
PARTS = [
    trees_of(HistGradientBoostingRegressor(max_iter=n, max_leaf_nodes=leaves).fit(CELLS, np.nansum(CELLS, 1)))
    for n, leaves in ((5, 4), (8, 31))
]
CONSTANT = blend([PARTS[0]], [0.0], 7.0)


def numbers(**columns: np.ndarray) -> tuple[pd.DataFrame, Schema]:
    """A table of numbers, the last column the target."""
    frame = pd.DataFrame({name: [f"{v:.3f}" if np.isfinite(v) else "" for v in c] for name, c in columns.items()})
    kinds = tuple(Column(name, ColumnKind.NUMERIC) for name in columns)
    return frame, Schema(kinds, list(columns)[-1], Task.REGRESSION, ())


def errors(guessed: dict[tuple[int, int], object], place: int, true: np.ndarray) -> np.ndarray:
    """Of the first rows' guesses."""
    made = np.array([float(guessed[i, place].text) for i in range(ASKED)])  # type: ignore[attr-defined]
    return np.abs(made - true[:ASKED])


# ---- cells --------------------------------------------------------------------------------------------------------


def test_cells_are_guessed_from_what_is_left_where_errors_come_together() -> None:
    """The twin, which alone is exact elsewhere, is suspect in all asked rows; what is left must be made use of."""
    r = np.random.default_rng(3)
    price = r.uniform(0, 100, 900)
    rough = price + r.normal(0, 10, 900)
    frame, schema = numbers(price=price, twin=price * 2, rough=rough, y=r.normal(0, 1, 900))
    asked = np.zeros((900, 3), bool)
    asked[:ASKED, :2] = True
    frame.loc[: ASKED - 1, ["price", "twin"]] = "500"
    off = errors(guess_cells(frame, schema, asked.astype(float), asked), 0, price).mean()
    assert off < 1.6 * np.abs(rough - price)[:ASKED].mean()
    assert off < 0.5 * np.abs(np.median(price) - price)[:ASKED].mean()


def test_rows_that_look_wrong_teach_nothing() -> None:
    """Errors come together: where one cell is, the other is as well, and trees would learn to foretell the mistake."""
    r = np.random.default_rng(4)
    loss, hours = np.where(r.random(900) < 0.03, 1900.0, 0.0), r.uniform(20, 60, 900)
    true = loss.copy()
    loss[: 2 * ASKED], hours[: 2 * ASKED] = 2117, 500
    frame, schema = numbers(loss=loss, hours=hours, y=r.normal(0, 1, 900))
    asked = np.zeros((900, 2), bool)
    asked[:ASKED, 0] = True
    doubt = np.where(np.arange(900) < 2 * ASKED, 0.4, 0.05)
    assert errors(guess_cells(frame, schema, asked * 1.0, asked), 0, true).mean() > 1000
    assert errors(guess_cells(frame, schema, asked * 1.0, asked, doubt=doubt), 0, true).mean() < 100
    assert guess_cells(frame, schema, asked * 1.0, asked, doubt=np.ones(900)), "no other rows: all teach"


@pytest.mark.parametrize("seed", range(3))
def test_where_the_other_cells_say_nothing_the_median_is_guessed(seed: int) -> None:
    r = np.random.default_rng(seed)
    alone = r.lognormal(3, 1, 500)
    frame, schema = numbers(alone=alone, a=r.normal(0, 1, 500), b=r.normal(0, 1, 500), y=r.normal(0, 1, 500))
    asked = np.zeros((500, 3), bool)
    asked[:ASKED, 0] = True
    off = errors(guess_cells(frame, schema, asked.astype(float), asked), 0, alone).mean()
    assert off <= 1.05 * np.abs(np.median(alone) - alone)[:ASKED].mean()


def test_a_column_that_the_rows_learnt_from_leave_empty_stops_nothing() -> None:
    """scikit-learn can't bin a column without a single value; the only rows that have one are asked about."""
    r = np.random.default_rng(0)
    price, rare = r.uniform(0, 100, 400), np.full(400, np.nan)
    rare[:ASKED] = 1.0
    frame, schema = numbers(price=price, size=price * 3, rare=rare, y=price)
    asked = np.zeros((400, 3), bool)
    asked[:ASKED, 0] = True
    assert errors(guess_cells(frame, schema, asked.astype(float), asked), 0, price).mean() < 5
    assert learn_target(frame, schema, price, np.zeros(400), asked * 1.0, np.arange(ASKED)) is not None


# ---- trees --------------------------------------------------------------------------------------------------------


@given(u=st.floats(0, 1), v=st.floats(0, 1), middle=st.floats(-5, 5))
def test_blended_trees_are_the_blend_of_what_they_predict(u: float, v: float, middle: float) -> None:
    off = [p.predict(CELLS)[:, 0] - middle for p in PARTS]
    assert np.allclose(blend(PARTS, (u, v), middle).predict(CELLS)[:, 0], middle + u * off[0] + v * off[1], atol=1e-9)


# ---- targets ------------------------------------------------------------------------------------------------------


def wrong_targets(seed: int = 0) -> tuple[pd.DataFrame, Schema, np.ndarray, np.ndarray, np.ndarray]:
    """(table, schema, given and true targets, rows): a quarter of the targets far too high."""
    r = np.random.default_rng(seed)
    a, b = r.uniform(0, 1, 1200), r.uniform(0, 1, 1200)
    true = 10 * a + 5 * (b > 0.5) + r.normal(0, 0.3, 1200)
    given_values, rows = true.copy(), np.arange(300)
    given_values[rows] += r.uniform(100, 300, 300)
    frame, schema = numbers(a=a, b=b, y=given_values)
    return frame, schema, given_values, true, rows


def test_targets_are_guessed_as_if_nothing_had_been_wrong() -> None:
    frame, schema, given_values, true, rows = wrong_targets()
    guesser = learn_target(frame, schema, given_values, np.zeros(1200), np.zeros((1200, 2)), rows)
    assert guesser is not None
    off = np.abs(guesser.guess(frame.iloc[rows], schema, np.zeros((300, 2))) - true[rows]).mean()
    found, _ = learn_out_of_fold(frame, schema, 0)
    assert off < 0.5 and off < 0.1 * np.abs(found.strong[rows, 0] - true[rows]).mean()
    assert 0.2 < guesser.scale < 0.5 and guesser.low < 0 < guesser.high


def test_a_doubted_target_teaches_nothing() -> None:
    """Neither that of the rows asked about nor one that may be wrong: other values there change no guess."""
    frame, schema, given_values, _, rows = wrong_targets()
    doubt = np.zeros(1200)
    doubt[300:400] = DOUBT
    other = given_values.copy()
    other[:400] = np.random.default_rng(5).normal(0, 1e6, 400)
    wrong = np.zeros((1200, 2))
    one, two = (learn_target(frame, schema, g, doubt, wrong, rows) for g in (given_values, other))
    assert one is not None and two is not None
    assert np.array_equal(one.guess(frame, schema, wrong), two.guess(frame, schema, wrong))


def test_suspect_cells_do_not_speak_for_a_target() -> None:
    frame, schema, given_values, _, rows = wrong_targets()
    wrong = np.zeros((1200, 2))
    wrong[rows, 0] = 1.0
    guesser = learn_target(frame, schema, given_values, np.zeros(1200), wrong, rows)
    spoilt = frame.assign(a=["99999" if i in set(rows) else t for i, t in enumerate(frame["a"])])
    assert guesser is not None
    assert np.array_equal(guesser.guess(frame, schema, wrong), guesser.guess(spoilt, schema, wrong))


def test_too_few_certain_rows_teach_no_targets() -> None:
    frame, schema, given_values, _, rows = wrong_targets()
    doubt = np.where(np.arange(1200) < 300 + LEAST_ROWS - 1, 0.0, 1.0)
    assert learn_target(frame, schema, given_values, doubt, np.zeros((1200, 2)), rows) is None


def test_relabel_asks_what_was_learned_and_the_out_of_fold_learner_where_nothing_was(tmp_path: Path) -> None:
    known = evidence(task=Task.REGRESSION)
    guesser = learn_guesser(known.frame, known.schema, known.wrong, known.wrong > 1)
    plain = replace(known, learned=Learned(guesser, ()))
    ((proposal,),) = REPAIRS["relabel"].propose(plain, np.array([0]))
    assert proposal.new == known.target_text(float(known.out_of_fold[0, 0]))  # type: ignore[union-attr]
    fixed = TargetGuesser(guesser.columns, CONSTANT, 1.0, -2.0, 3.0)
    save_record(Learned(guesser, (), fixed), tmp_path / "learned.npz")
    kept = load_record(tmp_path / "learned.npz", Learned, LEARNED_PARTS)
    ((proposal,),) = REPAIRS["relabel"].propose(replace(known, learned=kept), np.array([0]))
    assert proposal.new == "7.0" and "(80 %: 5.0 to 10.0)" in proposal.reason  # type: ignore[union-attr]
    assert not list(REPAIRS["relabel"].propose(replace(known, learned=kept), np.array([], int)))
