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

from demix_core.columns import datetime_format, to_datetime, to_numeric, to_text
from demix_core.errors import Cancelled
from demix_core.signals.binning import Cut, bin_target, target_codes
from demix_core.signals.trees import Trees, trees_of
from demix_core.types import ColumnKind, Progress, Schema, ShouldStop, Task, never_stop, no_progress
from demix_core.workers import one_thread

FOLDS = 3
ITERATIONS = 60
SHALLOW_DEPTHS = (1, 2, 4)
UNSEEN_CLASS = 1e-4
"""Probability of a class that a fold has no row of."""


@dataclass(frozen=True)
class OutOfFold:
    """strong: float32 [N, K] class probabilities; regression: [N, 2] prediction and residual scale, target units.

    shallow: float32 [N, 3] probability of the given (binned) label by trees of depth 1, 2 and 4.
    """

    strong: np.ndarray
    shallow: np.ndarray


@dataclass(frozen=True)
class Fold:
    """One fitted model, and which classes its outputs are; rows: int64, the training rows that it never saw."""

    trees: Trees
    classes: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Folds:
    """What out_of_fold learned. Rows that a fold held out ask that fold, rows to come ask all and take the mean.

    columns: how cells become numbers; target: of labels; strong, and shallow by depth, a model per fold each;
    rows: N; scale: of the residuals (regression; else 0).
    """

    columns: Columns
    target: Cut
    strong: tuple[Fold, ...]
    shallow: tuple[tuple[Fold, ...], ...]
    rows: int
    scale: float

    def place(self, frame: pd.DataFrame, schema: Schema, where: np.ndarray) -> OutOfFold:
        """Of rows to come; where: int64 [m], see placing."""
        x, y = self.columns.matrix(frame, schema), target_codes(self.target, frame[schema.target], schema)
        if schema.task is Task.CLASSIFICATION:
            strong = self._asked(self.strong, x, self.target.size, where, sums_to_one=True)
        else:
            strong = np.stack([self._asked(self.strong, x, 1, where)[:, 0], np.full(len(x), self.scale)], 1)
        filled, at = _filled(x), np.arange(len(x))
        shallow = [self._asked(folds, filled, self.target.size, where)[at, y] for folds in self.shallow]
        return OutOfFold(strong.astype(np.float32), np.stack(shallow, 1).astype(np.float32))

    def _asked(
        self, folds: tuple[Fold, ...], x: np.ndarray, size: int, where: np.ndarray, sums_to_one: bool = False
    ) -> np.ndarray:
        held = np.full(self.rows + 1, -1)  # the last one answers for NEW
        for number, fold in enumerate(folds):
            held[fold.rows] = number
        total = np.zeros((len(x), size))
        for number, fold in enumerate(folds):
            p = np.full((len(x), size), UNSEEN_CLASS)
            p[:, fold.classes] = fold.trees.predict(x)
            if sums_to_one:
                p /= p.sum(1, keepdims=True)
            share = np.where(held[where] < 0, 1 / len(folds), held[where] == number)
            total += share[:, None] * p
        return total


def out_of_fold(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> OutOfFold:
    """Fit on all folds but one, predict that one, FOLDS times."""
    return learn_out_of_fold(frame, schema, seed, progress, should_stop)[0]


@one_thread()
def learn_out_of_fold(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[OutOfFold, Folds]:
    """out_of_fold, with what it learned for rows to come."""
    columns = Columns.of(frame, schema)
    x = columns.matrix(frame, schema)
    y = bin_target(frame[schema.target], schema)
    if schema.task is Task.CLASSIFICATION:
        strong, folds = _probabilities(x, y.codes, y.size, seed, progress, should_stop)
    else:
        strong, folds = _predictions(x, to_numeric(frame[schema.target]), seed, progress, should_stop)
    trees = [DecisionTreeClassifier(max_depth=d, min_samples_leaf=10, random_state=seed) for d in SHALLOW_DEPTHS]
    fits = [_cross_fit(t, _filled(x), y.codes, y.size, seed) for t in trees]
    shallow = [p[np.arange(len(x)), y.codes] for p, _ in fits]
    found = OutOfFold(strong.astype(np.float32), np.stack(shallow, 1).astype(np.float32))
    scale = 0.0 if schema.classes else float(strong[0, 1])
    return found, Folds(columns, y.cut, folds, tuple(f for _, f in fits), len(x), scale)


def _filled(x: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(x, nan=-1.0e9), -1e30, 1e30).astype(np.float32)  # 1e308 is no float32


@dataclass(frozen=True)
class Columns:
    """How cells become numbers for trees. names: per feature its categories, the most frequent first; forms: of times.

    A category that was not there is one rarer than all.
    """

    names: tuple[tuple[str, ...], ...]
    forms: tuple[str | None, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema) -> Columns:
        """As the rows of this frame have it."""
        names, forms = [], []
        for column in schema.features:
            series = frame[column.name]
            found: tuple[str, ...] = ()
            if column.kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
                texts, counts = np.unique(to_text(series).astype(str), return_counts=True)
                found = tuple(str(t) for t in texts[(-counts).argsort(kind="stable")])
            names.append(found)
            forms.append(datetime_format(series) if column.kind is ColumnKind.DATETIME else None)
        return cls(tuple(names), tuple(forms))

    def matrix(self, frame: pd.DataFrame, schema: Schema) -> np.ndarray:
        """float64 [n, F]: numbers as they are (NaN missing), categories by rank of their frequency, texts by length."""
        columns = []
        for column, names, form in zip(schema.features, self.names, self.forms, strict=True):
            series = frame[column.name]
            if column.kind is ColumnKind.NUMERIC:
                columns.append(to_numeric(series))
            elif column.kind is ColumnKind.DATETIME:
                columns.append(to_datetime(series, form))
            elif column.kind is ColumnKind.TEXT:
                columns.append(np.array([len(t) for t in to_text(series)], np.float64))
            else:
                found = pd.Index(names, dtype=object).get_indexer(pd.Index(to_text(series), dtype=object))
                columns.append(np.where(found < 0, len(names), found).astype(np.float64))
        return np.stack(columns, 1)


def matrix(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """float64 [N, F]: the cells of a frame as numbers for trees, see Columns."""
    return Columns.of(frame, schema).matrix(frame, schema)


def _folds(y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    stratify = np.bincount(y).min() >= FOLDS
    splitter = (StratifiedKFold if stratify else KFold)(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(y, y))


def _cross_fit(
    model: BaseEstimator, x: np.ndarray, y: np.ndarray, size: int, seed: int
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    out, folds = np.full((len(y), size), UNSEEN_CLASS), []
    for fit, held in _folds(y, seed):
        fitted = clone(model).fit(x[fit], y[fit])
        out[np.ix_(held, fitted.classes_)] = fitted.predict_proba(x[held])
        folds.append(Fold(trees_of(fitted), fitted.classes_, held))
    return out, tuple(folds)


def _probabilities(
    x: np.ndarray, y: np.ndarray, size: int, seed: int, progress: Progress, should_stop: ShouldStop
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    iterations = max(20, ITERATIONS if size <= 2 else int(1.5 * ITERATIONS / size))
    model = HistGradientBoostingClassifier(
        max_iter=iterations, learning_rate=0.12, early_stopping=False, random_state=seed
    )
    out, folds = np.full((len(y), size), UNSEEN_CLASS), []
    for i, (fit, held) in enumerate(_folds(y, seed)):
        _go_on(i, progress, should_stop)
        fitted = clone(model).fit(x[fit], y[fit])
        out[np.ix_(held, fitted.classes_)] = fitted.predict_proba(x[held])
        folds.append(Fold(trees_of(fitted), fitted.classes_, held))
    return out / out.sum(1, keepdims=True), tuple(folds)


def _predictions(
    x: np.ndarray, y: np.ndarray, seed: int, progress: Progress, should_stop: ShouldStop
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    model = HistGradientBoostingRegressor(
        max_iter=ITERATIONS, learning_rate=0.12, early_stopping=False, random_state=seed
    )
    out, folds = np.zeros(len(y)), []
    for i, (fit, held) in enumerate(KFold(FOLDS, shuffle=True, random_state=seed).split(y)):
        _go_on(i, progress, should_stop)
        fitted = clone(model).fit(x[fit], y[fit])
        out[held] = fitted.predict(x[held])
        folds.append(Fold(trees_of(fitted), np.zeros(1, np.int64), held))
    scale = 1.4826 * np.median(np.abs(y - out)) + 1e-9 * (np.abs(y).mean() + 1)
    return np.stack([out, np.full(len(y), scale)], 1), tuple(folds)


def _go_on(fold: int, progress: Progress, should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("Stopped while predicting labels out of fold.")
    progress(fold / FOLDS, f"Out-of-fold predictions, part {fold + 1} of {FOLDS}")
