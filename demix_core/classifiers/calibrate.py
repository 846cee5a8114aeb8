"""From logits to probabilities that mean what they say, learnt on tables that training never saw.

First each half of the classifier and their mean (Platt scaling), then what a table itself says of how many errors it
has, then how far estimates are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from demix_core.classifiers import public_tables
from demix_core.classifiers.column_odds import believe_columns, column_odds
from demix_core.classifiers.corpus import origin_of
from demix_core.classifiers.cutoff import f1_curve, learn_cutoff, meta_features
from demix_core.classifiers.gathered import Corpus
from demix_core.classifiers.network import CUTOFF_TYPE, Dec
from demix_core.classifiers.thresholds import USUAL_SHARE, expected_f1_threshold, own_shift, shifted
from demix_core.types import ErrorType

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of a table's own word, that are tried."""

OWN_SHARE_TYPES = (ErrorType.LABEL,)
"""The types whose likeliest share counts. Not cells, of which many that are hard to tell look like few: cutoff.py."""


def raw_logits(network: Dec, corpus: Corpus, view: int = 0) -> np.ndarray:
    """float32 [R, 3] before calibration."""
    own, twin, _ = _halves(network, corpus, view)
    return _joined(network, own, twin)


def _joined(network: Dec, own: np.ndarray, twin: np.ndarray) -> np.ndarray:
    return own if network.forest is None else own + network.forest.weight.numpy() * twin


@torch.no_grad()
def _halves(network: Dec, corpus: Corpus, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the network's logits, its twin's or zeros), float32 [R, 3] each, and logits of cells, float32 [R, WIDEST]."""
    own, twin, cells = [], [], []
    for at in np.array_split(np.arange(len(corpus)), max(1, len(corpus) // 2048)):
        rows = corpus.rows(view, at, slice(network.shape.tokens))
        embedding, of_cells = network.embed(rows)
        own.append(network.heads(embedding))
        cells.append(of_cells)
        twin.append(torch.zeros_like(own[-1]) if network.forest is None else network.forest(network.describe(rows)))
    return torch.cat(own).numpy(), torch.cat(twin).numpy(), torch.cat(cells).numpy()


def calibrate(network: Dec, held: Corpus) -> None:
    """Platt scaling per type on tables that training never saw; network and twin alone first, then their mean."""
    network.share[:, 1] = 0.0  # until learn_own_share
    network.drop_cutoff()
    views = [_halves(network, held, view) for view in (0, 1)]
    own, twin, _ = (np.concatenate(of) for of in zip(*views, strict=True))
    if network.forest is not None and own.any():  # else it was silenced
        slopes = [[_platt(of, held, k)[0] for k in range(len(ErrorType))] for of in (own, twin)]
        network.forest.weight[:] = torch.tensor(slopes[1]) / torch.tensor(slopes[0])
    logits = _joined(network, own, twin)
    for k in range(len(ErrorType)):
        network.calibration[k] = torch.tensor(_platt(logits, held, k))


def _platt(logits: np.ndarray, held: Corpus, k: int) -> tuple[float, float]:
    """(slope, shift) that make sigmoids of type k's logits [2·R, 3] probabilities."""
    line = LogisticRegression(C=1e6).fit(logits[:, k : k + 1], np.tile(held.truth[:, k], 2))
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def calibrated(network: Dec, corpus: Corpus, view: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """float64 [R, 3] each: what a row says alone; the same once its table has said in which columns it is wrong."""
    own, twin, cells = _halves(network, corpus, view)
    scale, shift = network.calibration[:, 0].numpy(), network.calibration[:, 1].numpy()
    alone = expit((_joined(network, own, twin) * scale + shift).astype(np.float64))
    told, k = alone.copy(), CUTOFF_TYPE
    for t in np.unique(corpus.table):
        here = np.flatnonzero(corpus.table == t)
        wrong = expit(cells[np.ix_(here, corpus.present[here].any(0))])
        told[here, k], _ = believe_columns(alone[here, k], wrong, column_odds(alone[here, k], wrong))
    return alone, told


def adjusted(network: Dec, p: np.ndarray, corpus: Corpus) -> np.ndarray:
    """float64 [R, 3]: p [R, 3] moved by each table's own word."""
    moved = np.empty_like(p)
    for t in np.unique(corpus.table):
        here = corpus.table == t
        moved[here] = shifted(p[here], network.own_shifts(p[here]))
    return moved


def probabilities(network: Dec, corpus: Corpus, view: int = 0) -> np.ndarray:
    """float64 [R, 3] as a diagnosis gives them (spelling has no say)."""
    return adjusted(network, calibrated(network, corpus, view)[1], corpus)


def learn_own_share(network: Dec, tables: Corpus, p: np.ndarray) -> None:
    """Of WEIGHTS, for OWN_SHARE_TYPES, the one of the largest mean F1 over tables, at a diagnosis' threshold; else 0.

    p: float64 [R, 3], of rows alone.
    """
    network.share[:] = torch.tensor([USUAL_SHARE, 0.0])
    for k in [list(ErrorType).index(kind) for kind in OWN_SHARE_TYPES]:
        found = [_mean_f1(p[:, k], tables, k, weight) for weight in WEIGHTS]
        network.share[k, 1] = WEIGHTS[int(np.argmax(found))]


def learn_cell_cutoff(network: Dec, tables: Corpus, plain: Sequence[np.ndarray], of: np.ndarray | None = None) -> None:
    """Learn how many rows with wrong cells to flag, from tables that have some.

    plain: of rows alone, per environment: with the odds of columns hard tables would look like easy ones (F1 of cells
    on development tables .609, so .636); of: the numbers of the tables to learn from, None for all.
    """
    described, curves = [], []
    for t in np.unique(tables.table) if of is None else of:
        here = tables.table == t
        wrong = tables.truth[here, CUTOFF_TYPE] > 0.5
        if wrong.any():
            described += [meta_features(p[here], CUTOFF_TYPE) for p in plain]
            curves += [f1_curve(p[here, CUTOFF_TYPE], wrong) for p in plain]
    network.drop_cutoff()
    if described:
        network.add_cutoff(learn_cutoff(described, curves))


def folds_of(paths: Sequence[Path]) -> np.ndarray:
    """int64 [T] of 0 and 1: all tasks of one public table in one of them."""
    names = [public_tables.table_of(origin_of(path)) for path in paths]
    return np.asarray(np.unique(names, return_inverse=True)[1] % 2)


def cross_fitted(
    network: Dec, tables: Corpus, plain: Sequence[np.ndarray], told: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """float64 [R, 3] as probabilities, but how many cells to flag was learnt from the other fold.

    plain, told: of calibrated, plain per environment; folds: int [T].
    """
    p = np.empty_like(told)
    for fold in np.unique(folds):
        learn_cell_cutoff(network, tables, plain, np.flatnonzero(folds != fold))
        here = folds[tables.table] == fold
        p[here] = adjusted(network, told, tables)[here]
    return p


def _mean_f1(p: np.ndarray, tables: Corpus, k: int, weight: float) -> float:
    """Over the tables that have errors of type k at all. p: float [R], before it is moved."""
    found = []
    for t in np.unique(tables.table):
        here = tables.table == t
        y = tables.truth[here, k] > 0.5
        if y.any():
            moved = shifted(p[here], own_shift(p[here], USUAL_SHARE, weight))
            found.append(f1_score(y, moved >= expected_f1_threshold(moved), zero_division=0))
    return float(np.mean(found))


def measure_trust(network: Dec, held: Corpus, p: np.ndarray) -> None:
    """How far estimates of shares and precision are off on tables that training never saw: 5 % and 95 % quantiles.

    p: float64 [R, 3], as a diagnosis of tables never seen would give them.
    """
    for k in range(len(ErrorType)):
        off: list[list[float]] = [[], []]
        for t in np.unique(held.table):
            s, y = p[held.table == t, k], held.truth[held.table == t, k]
            flagged = s >= expected_f1_threshold(s)
            off[0].append(float(y.mean() - s.mean()))
            off[1].append(float(y[flagged].mean() - s[flagged].mean()))
        network.trust[k] = torch.from_numpy(np.quantile(off, [0.05, 0.95], axis=1).T)
