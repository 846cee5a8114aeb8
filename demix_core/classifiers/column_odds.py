"""In which columns of a table the wrong cells are, told by the table itself.

The classifier judges a cell as if wrong cells came to all columns alike. In one table they do not: it is one field of a
form, one sensor, one join that goes wrong. So the share of the blame that each column bears in rows that are likelier
wrong than not, against its share in rows that look clean, moves the prior of its cells (label shift: Saerens, Latinne
and Decaestecker 2002; one step, smoothed), and the odds of a row grow as those of its cells do together. Where a wrong
row has one wrong cell and the shares are the true ones, that is Bayes' rule. Cost: O(N·F).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logsumexp, softmax

from demix_core.classifiers.thresholds import logits

SMOOTHING = 20.0
"""Wrong rows that bear witness beforehand, and blame as clean ones do: where few are wrong, they tell little."""

SURE = 0.5
"""P(the row has a wrong cell) from which a row is a witness; of all others together the noise would be louder."""


def column_odds(p: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """float64 [F]: how far the log-odds of each column's cells are moved.

    p: float [N], P(the row has a wrong cell); wrong: float [N, F], P(cell wrong).
    """
    share, p = softmax(logits(wrong), axis=1).T.astype(np.float64), np.asarray(p, np.float64)
    clean = share @ (1 - p) + 1 / len(share)
    clean /= clean.sum()
    blame = share @ np.where(p > SURE, p, 0.0) + SMOOTHING * clean
    return np.asarray(np.log(blame / blame.sum()) - np.log(clean))


def believe_columns(p: np.ndarray, wrong: np.ndarray, odds: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(p [N], wrong [N, F]), float32, with the columns' odds, float [F] or 0, taken for the prior."""
    alike = logits(wrong)
    moved = alike + odds
    gain = logsumexp(moved, axis=1) - logsumexp(alike, axis=1)
    return expit(logits(p) + gain).astype(np.float32), expit(moved).astype(np.float32)
