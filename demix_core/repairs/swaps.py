"""Cells that changed places: the same two columns in several rows, each cell wrong where it is, right in the other.

Learned from the table itself: its calm rows as they are, with the two cells swapped, and with one or both of them
spoilt in another way; boosted trees tell the three apart by the whole row, and EM over the flagged rows finds how many
of them are swaps at all (Saerens et al. 2002). Where hardly any are, none is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from demix_core.columns import labels, to_numeric
from demix_core.signals.out_of_fold import matrix
from demix_core.types import ColumnKind, Schema

LEAST_ROWS = 5
"""Rows in which the same two columns must have changed places."""

CALM, WEAK = 0.5, 0.1
"""P(cell wrong) from which a row is not learned from, and from which a cell may be part of a swap."""

SWAPPED = 0.5
"""P(swapped) from which a swap is named."""

FIT_ROWS, LEAST_FIT = 1500, 60
ITERATIONS = 30
MOST_LOOKED, MOST_FITTED = 60, 4
"""Pairs of columns that are looked at, by how often both are suspect, and learned, by how often a swap helps."""

LEAST_GAIN = 2.0
"""Nats that a swap must make both cells likelier, by their columns alone, for a row to speak for a pair."""

BINS = 32
ROUNDS = 60
KINDS = 3
"""As it is, swapped, wrong in another way."""


@dataclass(frozen=True)
class Swap:
    """In one row, the places of two features, the first one first in the file, and P(they changed places)."""

    first: int
    second: int
    probability: float
    rows: int
    """rows: in how many rows these two did."""


def find_swaps(
    frame: pd.DataFrame, schema: Schema, wrong: np.ndarray, rows: np.ndarray, seed: int = 0
) -> dict[int, Swap]:
    """{position of the row: swap}, at most one a row, the likeliest. frame: texts; wrong: float [N, F], P(cell wrong);

    rows: positions of the rows flagged for a wrong cell. Numbers change places with numbers, words with words.
    """
    if len(rows) < LEAST_ROWS:
        return {}
    x = np.where(wrong >= CALM, np.nan, matrix(frame, schema))
    calm = np.setdiff1d(np.flatnonzero((wrong < CALM).all(1)), rows)
    rng = np.random.default_rng(seed)
    calm = rng.permutation(calm)[:FIT_ROWS]
    if len(calm) < LEAST_FIT or x.shape[1] < 3:
        return {}
    best: dict[int, Swap] = {}
    columns = [_read(frame[c.name], c.kind) for c in schema.features]
    for first, second in _promising(columns, schema, wrong, rows, calm):
        codes = _codes(columns[first], columns[second])
        others = np.delete(x, [first, second], 1)
        p = _probabilities(codes, others, calm, rows, rng)
        p = np.where(_helps(frame, schema, wrong, first, second)[rows], p, 0)
        found = rows[p >= SWAPPED]
        if len(found) < LEAST_ROWS:
            continue
        for row, sure in zip(found, p[p >= SWAPPED], strict=True):
            if int(row) not in best or sure > best[int(row)].probability:
                best[int(row)] = Swap(first, second, float(sure), len(found))
    return best


def _helps(frame: pd.DataFrame, schema: Schema, wrong: np.ndarray, first: int, second: int) -> np.ndarray:
    """bool [N]: rows where a swap changes something, either cell may be wrong, and no third cell of their kind is.

    Where three columns were mixed up, a swap of two puts one cell right and leaves the other wrong.
    """
    a, b = (frame[schema.features[j].name].to_numpy(object) for j in (first, second))
    others = [j for j in range(len(schema.features)) if j not in (first, second) and _alike(schema, first, j)]
    third = (wrong[:, others] >= CALM).any(1)
    return np.asarray((a != b) & (np.minimum(wrong[:, first], wrong[:, second]) >= WEAK / 2) & ~third)


def _promising(
    columns: Sequence[np.ndarray], schema: Schema, wrong: np.ndarray, rows: np.ndarray, calm: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Pairs of columns of one kind where a swap makes the cells of several rows likelier; the most such rows first.

    columns: of each feature as by _read.
    """
    suspect = wrong[rows] >= WEAK
    together = suspect.T.astype(int) @ suspect.astype(int)
    pairs = [(i, j) for i, j in combinations(range(len(schema.features)), 2) if _alike(schema, i, j)]
    pairs = [p for p in pairs if together[p] >= LEAST_ROWS]
    pairs.sort(key=lambda p: -together[p])
    counted = [
        (_likelier(_codes(columns[p[0]], columns[p[1]]), rows, calm, suspect, p), p) for p in pairs[:MOST_LOOKED]
    ]
    counted.sort(key=lambda c: -c[0])
    yield from (p for count, p in counted[:MOST_FITTED] if count >= LEAST_ROWS)


def _alike(schema: Schema, i: int, j: int) -> bool:
    words = (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
    a, b = schema.features[i].kind, schema.features[j].kind
    return (a is ColumnKind.NUMERIC and b is ColumnKind.NUMERIC) or (a in words and b in words)


def _likelier(codes: np.ndarray, rows: np.ndarray, calm: np.ndarray, suspect: np.ndarray, pair: tuple[int, int]) -> int:
    """Flagged rows whose two suspect cells a swap makes likelier, by how often their columns hold such values."""
    binned = _binned(codes, calm)
    u, v = (c[rows] for c in binned)
    a, b = (c[calm] for c in binned)
    size = int(max(u.max(), v.max(), a.max(), b.max())) + 1
    log_a, log_b = (np.log((np.bincount(c, minlength=size) + 0.5) / (len(c) + 0.5 * size)) for c in (a, b))
    gain = log_a[v] + log_b[u] - log_a[u] - log_b[v]
    return int(((gain >= LEAST_GAIN) & suspect[:, pair[0]] & suspect[:, pair[1]]).sum())


def _read(series: pd.Series, kind: ColumnKind) -> np.ndarray:
    """A column once for all its pairs: float64 [N], or object [N] of label texts."""
    return to_numeric(series) if kind is ColumnKind.NUMERIC else labels(series)


def _codes(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """float [N, 2]: numbers as they are; words by one common code, words of the first column low. NaN: no value."""
    if one.dtype != object:
        return np.stack([one, two], 1)
    counts = pd.Series(two).value_counts().sub(pd.Series(one).value_counts(), fill_value=0).sort_values(kind="stable")
    codes = np.stack([counts.index.get_indexer(pd.Index(texts, dtype=object)) for texts in (one, two)], 1)
    empty = np.stack([one == "", two == ""], 1)
    return np.where(empty, np.nan, codes.astype(np.float64))


def _binned(codes: np.ndarray, calm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same bins for both columns: quantiles of both together where there are many values; the last: missing."""
    known = codes[calm][np.isfinite(codes[calm])]
    edges = np.unique(known)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)))
    placed = np.searchsorted(edges, codes, side="left")
    placed = np.where(np.isfinite(codes), placed, len(edges) + 1)
    return placed[:, 0], placed[:, 1]


def _probabilities(
    codes: np.ndarray, others: np.ndarray, calm: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """float [R]: P(swapped) of the flagged rows."""
    known = codes[calm]
    made = np.concatenate([known, known[:, ::-1], *(_spoilt(known, others[calm], rng) for _ in range(2))])
    rest = np.tile(others[calm], (4, 1))
    kind = np.repeat([0, 1, 2, 2], len(calm))
    model = HistGradientBoostingClassifier(
        max_iter=ITERATIONS, learning_rate=0.15, early_stopping=False, class_weight="balanced", random_state=0
    ).fit(np.column_stack([made, rest]), kind)
    return adapted(model.predict_proba(np.column_stack([codes[rows], others[rows]])))[:, 1]


def _spoilt(known: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The two cells with one or both of them wrong in another way, or one in the other's place and the other lost."""
    n = len(known)
    spread = np.nanstd(known, axis=0) + 1e-9
    far = np.nanmean(known, axis=0) + spread * rng.uniform(2, 10, (n, 2)) * rng.choice([-1.0, 1.0], (n, 2))
    strange = [others[rng.permutation(n), rng.integers(others.shape[1], size=n)] for _ in range(2)]
    ways = np.stack([
        known[rng.permutation(n)], known[rng.permutation(n)][:, ::-1], far, known * 10.0 ** rng.uniform(-3, 3, (n, 2)),
        np.full((n, 2), np.nan), np.stack(strange, 1),
    ])  # fmt: skip
    a, b = known.T
    lost_a, lost_b = ways[rng.integers(len(ways), size=n), np.arange(n)].T
    cases = np.stack([[lost_a, b], [a, lost_b], [lost_a, lost_b], [b, lost_b], [lost_a, a]])
    return np.asarray(cases[rng.integers(len(cases), size=n), :, np.arange(n)])


def adapted(p: np.ndarray) -> np.ndarray:
    """Class probabilities under the shares that the rows themselves speak for. p: float [R, K] under equal shares.

    EM of Saerens, Latinne, Decaestecker (2002).

    >>> adapted(np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])).round(2).tolist()
    [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    share = np.full(p.shape[1], 1 / p.shape[1])
    weighted = p
    for _ in range(ROUNDS):
        weighted = p * share
        weighted = weighted / weighted.sum(1, keepdims=True).clip(1e-12)
        share = weighted.mean(0)
    return weighted
