"""What a cell would be, judging by the other cells of its row: boosted trees per column, asked only where it matters.

Trained on rows without suspect cells (where a row's errors come together, its other cells are wrong as well); suspect
cells count as missing, and the label is left out, so that a repair tells a later model nothing of the label.
Cost: one fit on at most FIT_ROWS rows per column with suspect cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from demix_core.columns import labels, to_numeric
from demix_core.repairs.patterns import decimals_of
from demix_core.signals.out_of_fold import matrix
from demix_core.types import Column, ColumnKind, Schema

SUSPECT = 0.5
FIT_ROWS, LEAST_ROWS = 6000, 40
ITERATIONS = 40
MOST_CATEGORIES = 30
"""Categories that are predicted, the most frequent ones."""

ALTERNATIVES = 3
LEAST_PROBABILITY = 0.02
HELD = 0.2
"""Share of the rows that the interval is measured on."""

INTERVAL = (0.1, 0.9)
FEW_VALUES = 40
"""A number with at most this many values takes one of them."""


@dataclass(frozen=True)
class Guess:
    """The likeliest text, how likely it is (categories; NaN for numbers), others with their probabilities, and for
    numbers an 80 % interval ('' for categories)."""

    text: str
    probability: float = np.nan
    others: tuple[tuple[str, float], ...] = ()
    low: str = ""
    high: str = ""


def guess_cells(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    asked: np.ndarray,
    far: np.ndarray | None = None,
    seed: int = 0,
) -> dict[tuple[int, int], Guess]:
    """{(position of the row, place of the feature): guess} of the asked cells, bool [N, F]. frame: texts.

    far: bool [N, F], cells so far from the bulk that nothing is learned from them, nor are they ever suggested.
    """
    x = matrix(frame, schema)
    bad = wrong >= SUSPECT
    calm = ~bad.any(1) & ~asked.any(1)
    hidden = np.where(bad | asked, np.nan, x)
    found: dict[tuple[int, int], Guess] = {}
    rng = np.random.default_rng(seed)
    for place in np.flatnonzero(asked.any(0)):
        column = schema.features[place]
        rows = np.flatnonzero(asked[:, place])
        series = frame[column.name]
        fine = ~bad[:, place] & ~asked[:, place] & (labels(series) != "")
        fine &= True if far is None else ~far[:, place]
        fit = np.flatnonzero(fine & calm) if (fine & calm).sum() >= LEAST_ROWS else np.flatnonzero(fine)
        if len(fit) < LEAST_ROWS or hidden.shape[1] < 2:
            continue
        fit = rng.permutation(fit)[:FIT_ROWS]
        others = np.delete(hidden, place, 1)
        made = _numbers if column.kind is ColumnKind.NUMERIC else _categories
        if column.kind in (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
            found |= {(int(i), int(place)): g for i, g in made(series, column, others, fit, rows, seed)}
    return found


def _numbers(
    series: pd.Series, column: Column, x: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int
) -> Iterator[tuple[int, Guess]]:
    y = to_numeric(series)
    fit = fit[np.isfinite(y[fit])]
    if len(fit) < LEAST_ROWS:
        return
    held, learned = np.split(fit, [int(HELD * len(fit))])
    model = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=ITERATIONS, learning_rate=0.15, early_stopping=False, random_state=seed
    ).fit(x[learned], y[learned])
    low, high = np.quantile(y[held] - model.predict(x[held]), INTERVAL)
    decimals, known = decimals_of(series, rows), np.unique(y[fit])
    least, most = known[[0, -1]]

    def text(value: float) -> str:
        value = float(np.clip(value, least, most))
        if len(known) <= FEW_VALUES:
            value = float(known[np.abs(known - value).argmin()])
        return f"{value:.{decimals}f}"

    for i, value in zip(rows, model.predict(x[rows]), strict=True):
        yield int(i), Guess(text(value), low=text(value + low), high=text(value + high))


def _categories(
    series: pd.Series, column: Column, x: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int
) -> Iterator[tuple[int, Guess]]:
    texts = labels(series)
    kept = pd.Series(texts[fit]).value_counts().index[:MOST_CATEGORIES]
    fit = fit[np.isin(texts[fit], kept)]
    if len(kept) < 2:
        return
    rounds = max(10, ITERATIONS // max(1, len(kept) // 3))
    model = HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=0.15, early_stopping=False, random_state=seed
    ).fit(x[fit], texts[fit])
    for i, p in zip(rows, model.predict_proba(x[rows]), strict=True):
        order = [k for k in np.argsort(-p)[: ALTERNATIVES + 1] if p[k] >= LEAST_PROBABILITY]
        ranked = [(str(model.classes_[k]), float(p[k])) for k in order if str(model.classes_[k]) != texts[i]]
        if ranked:
            yield int(i), Guess(*ranked[0], tuple(ranked[1:]))
