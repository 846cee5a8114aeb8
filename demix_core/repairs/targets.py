"""What a numeric target would be, judging by its row: boosted trees that never saw a row whose label is in doubt.

The out-of-fold learner that finds wrong labels is fitted to them as well: many large ones pull its predictions by
several times the true values' spread (development tables, a quarter of the labels wrong). Once flagged they can be left
out, and suspect cells with them. No row asked about is fitted to; rows are held out for the interval only.
Cost: one fit on at most FIT_ROWS rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from demix_core.repairs.conditional import INTERVAL, SUSPECT
from demix_core.signals.out_of_fold import Columns
from demix_core.signals.trees import Trees, some_value, trees_of
from demix_core.types import Schema

DOUBT = 0.15
"""P(label wrong) from which a row is not learnt from."""

FIT_ROWS, LEAST_ROWS = 20_000, 200
ITERATIONS = 60
HELD = 0.1
"""Share of the rows that the residuals are measured on."""

NORMAL = 1.4826
"""The standard deviation of a normal over its median absolute deviation."""


@dataclass(frozen=True)
class TargetGuesser:
    """The trees, how cells become numbers for them, the residuals' spread, and the ends of their 80 % interval."""

    columns: Columns
    trees: Trees
    scale: float
    low: float
    high: float

    def guess(self, frame: pd.DataFrame, schema: Schema, wrong: np.ndarray) -> np.ndarray:
        """float64 [n], in target units. frame: texts; wrong: float [n, F]."""
        return self.trees.predict(_cells(self.columns, frame, schema, wrong))[:, 0]


def learn_target(
    frame: pd.DataFrame,
    schema: Schema,
    given: np.ndarray,
    doubt: np.ndarray,
    wrong: np.ndarray,
    asked: np.ndarray,
    seed: int = 0,
) -> TargetGuesser | None:
    """None where too few rows are beyond doubt. frame: texts; given: float [N]; doubt: float [N], P(label wrong);

    wrong: float [N, F], P(cell wrong); asked: positions of the rows whose target will be asked for.
    """
    fine = (doubt < DOUBT) & np.isfinite(given)
    fine[asked] = False
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(fine))[:FIT_ROWS]
    if len(rows) < LEAST_ROWS:
        return None
    columns = Columns.of(frame, schema)
    x = _cells(columns, frame.iloc[rows], schema, wrong[rows])
    cut = int(HELD * len(rows))
    model = HistGradientBoostingRegressor(
        max_iter=ITERATIONS, learning_rate=0.12, early_stopping=False, random_state=seed
    ).fit(some_value(x[cut:]), given[rows[cut:]])
    left = given[rows[:cut]] - model.predict(x[:cut])
    low, high = np.quantile(left, INTERVAL)
    return TargetGuesser(columns, trees_of(model), float(NORMAL * np.median(np.abs(left))), float(low), float(high))


def _cells(columns: Columns, frame: pd.DataFrame, schema: Schema, wrong: np.ndarray) -> np.ndarray:
    return np.where(wrong >= SUSPECT, np.nan, columns.matrix(frame, schema))
