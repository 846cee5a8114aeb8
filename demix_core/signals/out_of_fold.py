"""What a strong learner that never saw a row says of its label: out-of-fold boosted trees over the raw columns.

The single best signal for wrong labels (DESIGN §7; OpenDataVal's Data-OOB). Shallow trees, out of fold as well,
say how far one or two columns alone explain the label: the mark of a shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from demix_core.columns import to_datetime, to_numeric, to_text
from demix_core.errors import Cancelled
from demix_core.signals.binning import bin_target
from demix_core.types import ColumnKind, Progress, Schema, ShouldStop, Task, never_stop, no_progress

FOLDS = 3
ITERATIONS = 60
SHALLOW_DEPTHS = (1, 2, 4)


@dataclass(frozen=True)
class OutOfFold:
    """strong: float32 [N, K] class probabilities; regression: [N, 2] prediction and residual scale, target units.

    shallow: float32 [N, 3] probability of the given (binned) label by trees of depth 1, 2 and 4.
    """

    strong: np.ndarray
    shallow: np.ndarray


def out_of_fold(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> OutOfFold:
    """Fit on all folds but one, predict that one, FOLDS times."""
    x = matrix(frame, schema)
    y = bin_target(frame[schema.target], schema)
    if schema.task is Task.CLASSIFICATION:
        strong = _probabilities(x, y.codes, y.size, seed, progress, should_stop)
    else:
        strong = _predictions(x, to_numeric(frame[schema.target]), seed, progress, should_stop)
    trees = [DecisionTreeClassifier(max_depth=d, min_samples_leaf=10, random_state=seed) for d in SHALLOW_DEPTHS]
    filled = np.clip(np.nan_to_num(x, nan=-1.0e9), -1e30, 1e30).astype(np.float32)  # 1e308 is no float32
    shallow = [_cross_fit(t, filled, y.codes, y.size, seed)[np.arange(len(x)), y.codes] for t in trees]
    return OutOfFold(strong.astype(np.float32), np.stack(shallow, 1).astype(np.float32))


def matrix(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """float64 [N, F]: numbers as they are (NaN missing), categories by rank of their frequency, texts by length."""
    columns = []
    for column in schema.features:
        series = frame[column.name]
        if column.kind is ColumnKind.NUMERIC:
            columns.append(to_numeric(series))
        elif column.kind is ColumnKind.DATETIME:
            columns.append(to_datetime(series))
        elif column.kind is ColumnKind.TEXT:
            columns.append(np.array([len(t) for t in to_text(series)], np.float64))
        else:
            _, inverse, counts = np.unique(to_text(series).astype(str), return_inverse=True, return_counts=True)
            columns.append((-counts).argsort(kind="stable").argsort()[inverse].astype(np.float64))
    return np.stack(columns, 1)


def _folds(y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    stratify = np.bincount(y).min() >= FOLDS
    splitter = (StratifiedKFold if stratify else KFold)(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(y, y))


def _cross_fit(model: BaseEstimator, x: np.ndarray, y: np.ndarray, size: int, seed: int) -> np.ndarray:
    out = np.full((len(y), size), 1e-4)
    for fit, held in _folds(y, seed):
        fitted = clone(model).fit(x[fit], y[fit])
        out[np.ix_(held, fitted.classes_)] = fitted.predict_proba(x[held])
    return out


def _probabilities(
    x: np.ndarray, y: np.ndarray, size: int, seed: int, progress: Progress, should_stop: ShouldStop
) -> np.ndarray:
    iterations = max(20, ITERATIONS if size <= 2 else int(1.5 * ITERATIONS / size))
    model = HistGradientBoostingClassifier(
        max_iter=iterations, learning_rate=0.12, early_stopping=False, random_state=seed
    )
    out = np.full((len(y), size), 1e-4)
    for i, (fit, held) in enumerate(_folds(y, seed)):
        _go_on(i, progress, should_stop)
        fitted = clone(model).fit(x[fit], y[fit])
        out[np.ix_(held, fitted.classes_)] = fitted.predict_proba(x[held])
    return out / out.sum(1, keepdims=True)


def _predictions(x: np.ndarray, y: np.ndarray, seed: int, progress: Progress, should_stop: ShouldStop) -> np.ndarray:
    model = HistGradientBoostingRegressor(
        max_iter=ITERATIONS, learning_rate=0.12, early_stopping=False, random_state=seed
    )
    out = np.zeros(len(y))
    for i, (fit, held) in enumerate(KFold(FOLDS, shuffle=True, random_state=seed).split(y)):
        _go_on(i, progress, should_stop)
        out[held] = clone(model).fit(x[fit], y[fit]).predict(x[held])
    residual = np.abs(y - out)
    return np.stack([out, np.full(len(y), 1.4826 * np.median(residual) + 1e-9 * (np.abs(y).mean() + 1))], 1)


def _go_on(fold: int, progress: Progress, should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("Stopped while predicting labels out of fold.")
    progress(fold / FOLDS, f"Out-of-fold predictions, part {fold + 1} of {FOLDS}")
