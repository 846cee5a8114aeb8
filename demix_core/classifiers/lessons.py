"""What a person's verdicts on some rows of a table teach of the other ones.

The classifier knows what errors look like on any table. What they look like on this one it can't know before somebody
tells: here it is this column, there is no such shortcut, that value is meant so. Within one table a straight line on
what is known of a row tells the error types apart far better than any classifier that has never seen it (`bench
probe`); so each type's log-odds are corrected by a line that the verdicts teach: logistic regression with the log-odds
so far as offset, and a Gaussian prior on the line, so that few verdicts move little (MAP; Bishop 2006, §4.5).

Cost: some tens of passes over R × D numbers for R verdicts, one over N × D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.classifiers.thresholds import logits, shifted
from demix_core.types import ErrorType

CLIP, LEVELS = 5.0, 25
"""Rows are described by standardised numbers, clipped here, as whole numbers of 1/LEVELS."""

SPREADS = {ErrorType.LABEL: 1.5, ErrorType.FEATURE: 4.0, ErrorType.SPURIOUS: 2.0}
"""Standard deviation of the correction, log-odds, of a row one deviation away in every number, before any verdict."""

SPREAD_OF_ALL = 1.4
"""The same, of the part that is alike for all rows."""

SUREST = 6.0
"""Log-odds so far that are taken at most: the classifier may be mistaken, and a verdict must be able to tell."""

FOLDS, FEWEST = 5, 5
"""Parts of the verdicts that are foretold from the others; verdicts of either kind that are needed for that."""

STEPS = 200
BLOCK = 65_536


@dataclass(frozen=True)
class Line:
    """A correction: start + x·slope, x in standard deviations. slope: float64 [D]."""

    start: float
    slope: np.ndarray

    def of(self, x: np.ndarray) -> np.ndarray:
        """float64 [n] of rows int8 [n, D]."""
        parts = [x[at : at + BLOCK] @ (self.slope / LEVELS) for at in range(0, len(x), BLOCK)]
        return self.start + np.concatenate([np.zeros(0), *parts])


def learn_line(x: np.ndarray, p: np.ndarray, right: np.ndarray, spread: float) -> Line:
    """From R verdicts. x: int8 [R, D], the rows; p: float [R], how likely they were; right: bool [R], the verdicts;
    spread: of SPREADS.

    The one line of the largest posterior: the problem is convex.
    """
    from scipy.optimize import minimize  # .4 s that a page's first sight need not wait for

    at = np.asarray(x, np.float64) / LEVELS
    offset, y = np.clip(logits(p), -SUREST, SUREST), np.asarray(right, np.float64)
    rows = np.column_stack([np.ones(len(at)), at])
    precision = np.full(rows.shape[1], at.shape[1] / spread**2)
    precision[0] = 1 / SPREAD_OF_ALL**2

    def posterior(w: np.ndarray) -> tuple[float, np.ndarray]:
        odds = rows @ w + offset
        loss = np.logaddexp(0, odds).sum() - y @ odds + precision @ w**2 / 2
        return float(loss), rows.T @ (1 / (1 + np.exp(-odds)) - y) + precision * w

    best = minimize(posterior, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return Line(float(best[0]), best[1:])


def learn(x: np.ndarray, p: np.ndarray, verdicts: np.ndarray, spread: float) -> Line | None:
    """What verdicts on some rows of a table teach of one type; None where there are none.

    x: int8 [N, D], of describe; p: float [N]; verdicts: float [N], 1 for a row that is wrong indeed, 0 for one that is
    not, NaN for one that nobody has judged; spread: of SPREADS.
    """
    known = np.flatnonzero(~np.isnan(verdicts))
    return learn_line(x[known], p[known], verdicts[known] > 0, spread) if len(known) else None


def corrected(line: Line | None, x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """float64 [n]: probabilities p [n] of rows x int8 [n, D] once the line is heard; p itself without one.

    Rows that were judged are moved as the others are: their verdicts stand elsewhere.
    """
    return np.asarray(p if line is None else shifted(p, line.of(x)), np.float64)


def foretold(
    x: np.ndarray, p: np.ndarray, verdicts: np.ndarray, spread: float, seed: int = 0
) -> tuple[float, float] | None:
    """How well verdicts are foretold, before and by the other ones: of all pairs of a right and a wrong row, the share
    in which the right one was the likelier (area under the ROC curve).

    As for learn; None for fewer than FEWEST verdicts of either kind.
    """
    known = np.flatnonzero(~np.isnan(verdicts))
    right = verdicts[known] > 0
    if min(right.sum(), (~right).sum()) < FEWEST:
        return None
    fold = np.empty(len(known), int)
    for kind in (True, False):  # as many right ones in every part
        mine = np.flatnonzero(right == kind)
        fold[np.random.default_rng(seed).permutation(mine)] = np.arange(len(mine)) % FOLDS
    odds = logits(p[known])
    after = odds.copy()
    for k in range(FOLDS):
        others = known[fold != k]
        line = learn_line(x[others], p[others], verdicts[others] > 0, spread)
        after[fold == k] += line.of(x[known[fold == k]])
    return _area(odds, right), _area(after, right)


def _area(scores: np.ndarray, right: np.ndarray) -> float:
    above = pd.Series(scores).rank().to_numpy()[right].sum() - right.sum() * (right.sum() + 1) / 2
    return float(above / (right.sum() * (~right).sum()))
