"""From probabilities to flags without the truth: how many errors a table has, by its own word and by the person's, and
the threshold of the largest expected F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIKELY = 0.5
"""From here on something is likelier than not."""


def expected_f1_threshold(p: np.ndarray) -> float:
    """The threshold t that maximises E[TP] / ((E[TP + FP] + E[TP + FN]) / 2) under calibrated probabilities p [N].

    Flagging the k most likely rows gives expected F1 = 2·Σ_{i≤k} p_i / (k + Σ p) (Dembczyński et al. 2011, plug-in).
    Equal to tuning on training runs (DESIGN §7). Returns a value in (0, 1].
    """
    if not len(p):
        return 1.0
    ordered = np.sort(np.asarray(p, np.float64))[::-1]
    flagged = np.arange(1, len(ordered) + 1)
    expected = 2 * ordered.cumsum() / (flagged + ordered.sum())
    return float(max(ordered[expected.argmax()], 1e-9))


def threshold(p: np.ndarray) -> float:
    """The threshold of a type with calibrated probabilities p [N], in (0, 1]: that of the largest expected F1.

    LIKELY, which no row reaches then, where none of the rows that it would flag is the likelier case: F1 asks for one
    flag at least, however clean a table looks.
    """
    chosen = expected_f1_threshold(p)
    none_is_wrong = float(np.prod(1 - np.asarray(p, np.float64)[p >= chosen]))
    return chosen if none_is_wrong <= LIKELY else max(chosen, LIKELY)


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1] that can't be counted without the truth, with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trust:
    """What can be said of one error type without the truth.

    wrong: share of rows that have it; right: share of the flagged rows that have it (0 without flagged rows).
    """

    wrong: Estimate
    right: Estimate


def trust(p: np.ndarray, threshold: float, errors: np.ndarray) -> Trust:
    """Estimates from calibrated probabilities p [N] of one type: their mean over all rows, and over those flagged.

    errors float [2, 2]: the 5 % and 95 % quantiles of (truth − estimate) on kept-out tables, for the share that is
    wrong and the share of flags that are right.
    """
    flagged = p[p >= threshold]
    right = float(flagged.mean()) if len(flagged) else 0.0
    return Trust(_estimate(float(p.mean()), errors[0]), _estimate(right, errors[1]))


def _estimate(value: float, errors: np.ndarray) -> Estimate:
    low, high = (float(np.clip(value + e, 0, 1)) for e in errors)
    return Estimate(value, low, high)


USUAL_SHARE = 0.1
"""The share of rows with one type of error that probabilities are calibrated for: about that of the training tables."""

NEAREST = 1e-7
STEPS, CLOSE = 300, 1e-7
LEAST_SHARE, MOST_SHARE = 1e-4, 0.99


def own_share(p: np.ndarray, usual: float) -> float:
    """The share of wrong rows under which probabilities p [N] of one type are likeliest, in (0, 1).

    p is calibrated for tables with a share of `usual`: its odds are likelihood ratios times those. EM for the share
    alone (Saerens, Latinne and Decaestecker 2002); the likelihood is concave in it.
    """
    odds, share = logits(np.asarray(p, np.float64)), float(np.clip(np.mean(p), LEAST_SHARE, MOST_SHARE))
    for _ in range(STEPS):
        now = float(np.mean(1 / (1 + np.exp(-(odds + log_odds(share) - log_odds(usual))))))
        now = min(max(now, LEAST_SHARE), MOST_SHARE)
        if abs(now - share) < CLOSE:
            break
        share = now
    return share


def own_shift(p: np.ndarray, usual: float, weight: float) -> float:
    """How far the log-odds of p [N] are moved towards own_share: weight 0 not at all, 1 all the way.

    All the way is too far: rows that are hard to tell look like few errors, or like many.
    """
    return weight * (log_odds(own_share(p, usual)) - log_odds(usual)) if weight and len(p) else 0.0


def log_odds(share: float) -> float:
    """ln(share / (1 − share)); share in (0, 1)."""
    return float(np.log(share / (1 - share)))


def shift_to_share(p: np.ndarray, share: float) -> np.ndarray:
    """Move all log-odds of p [N, 3] by one constant so that the expected share of rows with any error is `share`."""
    return shifted(p, share_shift(p, share))


def shifted(p: np.ndarray, shift: float | np.ndarray) -> np.ndarray:
    """p [N, 3] with all log-odds moved by `shift`, or those of each type by its own, float [3]; or p [N] by [N]."""
    return 1 / (1 + np.exp(-(logits(p) + shift))) if np.any(shift) else p


def logits(p: np.ndarray) -> np.ndarray:
    """As many log-odds as probabilities, which come as near as NEAREST to 0 and 1."""
    return np.asarray(np.log(np.clip(p, NEAREST, 1 - NEAREST) / np.clip(1 - p, NEAREST, 1 - NEAREST)))


def share_shift(p: np.ndarray, share: float) -> float:
    """The constant of shift_to_share; 0 where none does it."""
    from scipy.optimize import brentq  # .4 s that a page's first sight need not wait for

    odds = logits(p)

    def excess(shift: float) -> float:
        clean = np.prod(1 / (1 + np.exp(odds + shift)), axis=1)
        return float(1 - clean.mean()) - share

    if excess(-30) > 0 or excess(30) < 0:
        return 0.0
    return float(brentq(excess, -30, 30))
