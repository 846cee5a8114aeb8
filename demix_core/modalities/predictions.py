"""A person's own model as a file of what it predicts: read, checked, and laid beside the rows of the table.

A column per class with its probability (two classes: one column is enough), or one column of numbers for regression;
a line per row of the table, in its order, or with a column `row_id` (0 is the first row) for some of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.columns import is_missing, labels, to_numeric
from demix_core.errors import InputError
from demix_core.tablefile import TableFile
from demix_core.types import Schema, Task

ROW_ID = "row_id"
ROUNDING = 0.02
"""Probabilities of a row may miss 1 by this much: they are rounded in files."""

LEAST_SHARE = 0.5
"""Of the training rows must have a prediction: a stand-in that mostly learned labels would stand in for nothing."""


def read_predictions(path: Path, schema: Schema, n_rows: int, name: str = "") -> np.ndarray:
    """float64 [n_rows, K] class probabilities in the order of schema.classes, or [n_rows, 1] in units of the target.

    NaN where the file has no line for a row, or an empty one. name: what the person calls the file.
    InputError: the file can't be read, does not fit the table, or holds no probabilities.
    """
    name = name or path.name
    frame = TableFile.read(path, learnable=False).frame
    rows = _rows(name, frame, n_rows)
    columns = frame.drop(columns=[c for c in frame.columns if c == ROW_ID or _is_index(str(c))])
    given = _probabilities(name, columns, schema) if schema.task is Task.CLASSIFICATION else _numbers(name, columns)
    laid: np.ndarray = np.full((n_rows, given.shape[1]), np.nan)
    laid[rows] = given
    return laid


def covered(answers: np.ndarray, train: np.ndarray, name: str) -> None:
    """InputError unless enough of the training rows (positions into answers) have a prediction."""
    known = int(np.isfinite(answers[train, 0]).sum())
    if known < LEAST_SHARE * len(train):
        raise InputError(
            f"{name} has predictions for {known:,} of the {len(train):,} training rows; give them for at least half, "
            "best for all."
        )


def _is_index(name: str) -> bool:
    """The nameless first column that pandas writes unless told to leave the index out."""
    return name == "column 1" or name.startswith(("Unnamed:", "__index_level_"))


def _rows(name: str, frame: pd.DataFrame, n_rows: int) -> np.ndarray:
    """int64 [n]: the row of the table that each line speaks of."""
    if ROW_ID not in frame.columns:
        if len(frame) != n_rows:
            raise InputError(
                f"{name} has {len(frame):,} lines for the {n_rows:,} rows of the table; give one for each, in order, "
                f"or say which by a column '{ROW_ID}' (0 is the first)."
            )
        return np.arange(n_rows)
    ids = to_numeric(frame[ROW_ID])
    wrong = ~(np.isfinite(ids) & (ids == np.floor(ids)) & (ids >= 0) & (ids < n_rows))
    if wrong.any():
        odd = frame[ROW_ID].iloc[int(wrong.argmax())]
        raise InputError(f"{name} speaks of a row '{odd}'; '{ROW_ID}' must lie between 0 and {n_rows - 1:,}.")
    twice = pd.Series(ids).duplicated().to_numpy()
    if twice.any():
        raise InputError(f"{name} has two lines for row {int(ids[twice][0])}; leave one.")
    return ids.astype(np.int64)


def _numbers(name: str, columns: pd.DataFrame) -> np.ndarray:
    if columns.shape[1] != 1:
        raise InputError(
            f"{name} has {columns.shape[1]} columns besides '{ROW_ID}'; for a number as target give one column."
        )
    return _values(name, columns, columns.columns[0])[:, None]


def _probabilities(name: str, columns: pd.DataFrame, schema: Schema) -> np.ndarray:
    named = dict(zip(labels(pd.Series(list(columns.columns), dtype=object)), columns.columns, strict=True))
    given = {c: _values(name, columns, named[c]) for c in schema.classes if c in named}
    if len(schema.classes) == 2 and len(given) == 1:
        (one,) = given
        given[next(c for c in schema.classes if c != one)] = 1 - given[one]
    lacking = [c for c in schema.classes if c not in given]
    if lacking:
        raise InputError(
            f"{name} has no column '{lacking[0]}'; give a column of probabilities for each class of "
            f"'{schema.target}', named like the class."
        )
    p = np.column_stack([given[c] for c in schema.classes])
    return _normalised(name, p)


def _normalised(name: str, p: np.ndarray) -> np.ndarray:
    sums = p.sum(1)
    empty = np.isnan(p).all(1)
    wrong = ~empty & ~((np.abs(sums - 1) <= ROUNDING) & (p >= -1e-9).all(1))
    if wrong.any():
        at = int(wrong.argmax())
        said = "lacks a value" if np.isnan(sums[at]) else f"adds up to {sums[at]:.3g}"
        raise InputError(
            f"{name} holds no probabilities: its line {at + 1} (below the header) {said}; give those of all "
            "classes, each from 0 to 1 and 1 in all."
        )
    return np.clip(p, 0, 1) / np.where(empty, 1, sums)[:, None]


def _values(name: str, columns: pd.DataFrame, column: str) -> np.ndarray:
    """float64 [n], NaN for an empty cell. InputError: a cell that is no number."""
    values = to_numeric(columns[column])
    wrong = np.isnan(values) & ~is_missing(columns[column])
    if wrong.any():
        raise InputError(f"{name} has '{columns[column].iloc[int(wrong.argmax())]}' in '{column}', which is no number.")
    return values
