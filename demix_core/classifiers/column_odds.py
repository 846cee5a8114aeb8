"""In which columns of a table the wrong cells are, told by the table itself.

The classifier judges a cell as if wrong cells came to all columns alike. In one table they do not: it is one field of a
form, one sensor, one join that goes wrong. So each column's share of the blame, over all rows and by the classifier's
own word, becomes the prior of its cells (label shift: Saerens, Latinne and Decaestecker 2002; one step, smoothed), and
the odds of a row grow as those of its cells do together. Where a wrong row has one wrong cell and the shares are the
true ones, that is Bayes' rule. Cost: O(N·F).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logsumexp, softmax

from demix_core.classifiers.thresholds import logits

SMOOTHING = 3.0
"""Wrong rows that each column is blamed for beforehand: where few rows are wrong, they tell little."""


def column_odds(p: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """float64 [F]: how far the log-odds of each column's cells are from those of a column that is blamed as usual.

    p: float [N], P(the row has a wrong cell); wrong: float [N, F], P(cell wrong).
    """
    blame = softmax(logits(wrong), axis=1).T.astype(np.float64) @ p + SMOOTHING
    return np.asarray(np.log(blame / blame.mean()))


def believe_columns(p: np.ndarray, wrong: np.ndarray, odds: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(p [N], wrong [N, F]), float32, with the columns' odds, float [F] or 0, taken for the prior."""
    alike = logits(wrong)
    moved = alike + odds
    gain = logsumexp(moved, axis=1) - logsumexp(alike, axis=1)
    return expit(logits(p) + gain).astype(np.float32), expit(moved).astype(np.float32)
