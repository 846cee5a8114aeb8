"""What is usual in a run's table: the numbers that a row's features are read against, kept for rows to come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.signals.base import Signals
from demix_core.signals.placing import NEW, average_rank
from demix_core.types import Schema

SURPRISING = 3.0
"""Nats above the expected from which a cell counts as surprising."""

FAR = 1.0
"""Widths of the bulk beyond it from which a number counts as far out."""

VERY_WRONG = 0.1


@dataclass(frozen=True)
class Usual:
    """Of N rows. y: [N] encoded targets; p: float [N], how well the strong learner's prediction fits the given label.

    margin_below, p_low: shares of rows whose margin is below 0, whose p is below VERY_WRONG; residual: scale of the
    task model's residuals (regression; else 0); heat, far: float [F], shares of surprising and of far cells per
    column; surprising, far_mean: the same over all cells; broken: float [R], shares of rows against each rule.
    """

    y: np.ndarray
    p: np.ndarray
    margin_below: float
    p_low: float
    residual: float
    heat: np.ndarray
    far: np.ndarray
    surprising: float
    far_mean: float
    broken: np.ndarray

    @classmethod
    def of(
        cls, schema: Schema, y: np.ndarray, predictions: np.ndarray, strong: dict[str, np.ndarray], signals: Signals
    ) -> Usual:
        """Of the table's own rows."""
        surprising, far = signals.cell_surprise > SURPRISING, signals.oddities.distance > FAR
        residual = 0.0 if schema.classes else 1.4826 * np.median(np.abs(y - predictions[:, 0])) + 1e-6
        return cls(
            y, strong["p"], float((strong["margin"] < 0).mean()), float((strong["p"] < VERY_WRONG).mean()),
            float(residual), surprising.mean(0), far.mean(0), float(surprising.mean()), float(far.mean()),
            (signals.shortcuts.sides != 0).mean(0),
        )  # fmt: skip

    def class_shares(self, classes: int) -> np.ndarray:
        """float [K]."""
        return np.asarray(np.bincount(self.y, minlength=classes) / len(self.y))

    def rank_of_target(self, y: np.ndarray, where: np.ndarray | None) -> np.ndarray:
        """Rank of each target in (0, 1]; where: None for the table's own rows, else see placing."""
        return pd.Series(y).rank(pct=True).to_numpy() if where is None else average_rank(y, self.y, where)

    def rank_in_class(self, p: np.ndarray, y: np.ndarray, classes: bool, where: np.ndarray | None) -> np.ndarray:
        """Rank of p in (0, 1] among the rows of the same label (regression: among all)."""
        groups = y if classes else np.zeros(len(y))
        if where is None:
            return pd.Series(p).groupby(groups).rank(pct=True).to_numpy()
        table = self.y if classes else np.zeros(len(self.y))
        out = np.ones(len(p))
        for group in np.unique(groups):
            rows, place = groups == group, np.full(len(table), NEW)
            members = table == group
            place[members] = np.arange(members.sum())
            inside = np.where(where == NEW, NEW, place[where])[rows]  # an edited label comes new into its class
            out[rows] = average_rank(p[rows], self.p[members], inside)
        return out
