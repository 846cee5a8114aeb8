"""Do two samples of rows come from the same place? Of many numbers at once, and column by column.

Many numbers: maximum mean discrepancy (Gretton et al. 2012) with a permutation test, so that the p-value holds whatever
the numbers are, as long as the rows of both samples were treated alike. Its witness says which rows speak for a
difference. Columns: Kolmogorov-Smirnov for what has an order, χ² for categories, Holm's correction over all columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, ks_2samp, norm, rankdata

from demix_core.columns import labels, to_datetime, to_numeric, to_text
from demix_core.types import Column, ColumnKind

PERMUTATIONS = 499
WIDTHS = (0.5, 1.0, 2.0)
"""Of the kernels, in median distances; their mean sees coarse and fine differences."""

FEWEST = 5
"""Expected rows of a category below which it is put together with others as rare."""

LEVEL = 0.05


@dataclass(frozen=True)
class TwoSamples:
    """p: that two samples of one source differ this much; distance: MMD², likely: its median and 95 % quantile when
    rows are dealt out at random; first, second: float [n], [m], the witness of each row, more where the second sample
    is denser than the first (the row itself left out).
    """

    p: float
    distance: float
    likely: tuple[float, float]
    first: np.ndarray
    second: np.ndarray


def two_samples(first: np.ndarray, second: np.ndarray, seed: int) -> TwoSamples:
    """first: float [n, F], second: [m, F], finite. Cost: (n + m)² · (F + PERMUTATIONS)."""
    x = _normal_scores(np.concatenate([first, second]))
    n, m = len(first), len(second)
    kernel = _kernel(x)
    sign = np.concatenate([np.full(n, -1 / n), np.full(m, 1 / m)]).astype(np.float32)
    rng = np.random.default_rng(seed)
    dealt = np.stack([sign, *(rng.permutation(sign) for _ in range(PERMUTATIONS))], 1)
    reach = kernel @ dealt
    found = np.einsum("ij,ij->j", dealt, reach).astype(np.float64)
    p = float((found >= found[0]).mean())  # the samples themselves count as one of the deals
    low, high = (float(v) for v in np.quantile(found[1:], (0.5, 0.95)))
    own = np.concatenate([np.full(n, -1 / n), np.full(m, 1 / m)])
    witness = reach[:, 0] - own * np.diagonal(kernel)
    return TwoSamples(p, float(found[0]), (low, high), witness[:n].astype(float), witness[n:].astype(float))


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """float32: each column by the ranks of both samples together, so that wild numbers weigh no more than others."""
    varied = x[:, x.std(0) > 0]
    ranks = rankdata(varied, axis=0) if varied.shape[1] else np.zeros((len(x), 1))
    return norm.ppf(ranks / (len(x) + 1)).astype(np.float32) if varied.shape[1] else ranks.astype(np.float32)


def _kernel(x: np.ndarray) -> np.ndarray:
    """float32 [N, N], the mean of Gaussians of several widths."""
    square = np.square(x).sum(1)
    apart = np.maximum(square[:, None] + square[None] - 2 * (x @ x.T), 0)
    median = float(np.median(apart)) or 1.0
    return np.mean([np.exp(-apart / (2 * width**2 * median)) for width in WIDTHS], 0).astype(np.float32)


@dataclass(frozen=True)
class ColumnChange:
    """How one column differs. size: the largest difference of the two distribution functions, or half the summed
    differences of shares, in [0, 1]; p as it is, holm: corrected for the number of columns; words: from what to what.
    """

    column: str
    kind: str
    size: float
    p: float
    holm: float
    words: str


def column_changes(first: pd.DataFrame, second: pd.DataFrame, columns: Sequence[Column]) -> list[ColumnChange]:
    """All columns, the surest change first. Frames of texts."""
    found = [_change(first[c.name], second[c.name], c) for c in columns]
    corrected = holm([f.p for f in found])
    made = [
        ColumnChange(c.name, str(c.kind.value), f.size, f.p, h, f.words)
        for c, f, h in zip(columns, found, corrected, strict=True)
    ]
    return sorted(made, key=lambda c: (c.holm, -c.size))


@dataclass(frozen=True)
class _Change:
    size: float
    p: float
    words: str


def _change(first: pd.Series, second: pd.Series, column: Column) -> _Change:
    if column.kind is ColumnKind.NUMERIC:
        return _of_numbers(to_numeric(first), to_numeric(second), "median")
    if column.kind is ColumnKind.DATETIME:
        both = to_datetime(pd.concat([first, second], ignore_index=True))
        return _of_numbers(both[: len(first)], both[len(first) :], "")
    if column.kind is ColumnKind.TEXT:
        before, after = (np.array([len(t) for t in to_text(s)], float) for s in (first, second))
        return _of_numbers(before, after, "median length")
    return _of_categories(labels(first), labels(second))


def _of_numbers(a: np.ndarray, b: np.ndarray, middle: str) -> _Change:
    """A missing number counts as one below all others."""
    filled = [np.where(np.isnan(v), -np.inf, v) for v in (a, b)]
    finite = np.concatenate([v[np.isfinite(v)] for v in filled])
    least = finite.min() - 1 if len(finite) else 0.0
    found = ks_2samp(*(np.where(np.isfinite(v), v, least) for v in filled), method="asymp")
    said = []
    if middle and np.isfinite(a).any() and np.isfinite(b).any():
        said.append(f"{middle} {np.nanmedian(a):.6g} → {np.nanmedian(b):.6g}")
    elif np.isfinite(a).any() and np.isfinite(b).any():
        said.append(f"{_day(np.nanmedian(a))} → {_day(np.nanmedian(b))}")
    gaps = np.isnan(a).mean(), np.isnan(b).mean()
    if abs(gaps[0] - gaps[1]) >= 0.005:
        said.append(f"missing {gaps[0]:.1%} → {gaps[1]:.1%}")
    return _Change(float(found.statistic), float(found.pvalue), ", ".join(said))


def _day(seconds: float) -> str:
    return str(pd.Timestamp(seconds, unit="s").date())


def _of_categories(a: np.ndarray, b: np.ndarray) -> _Change:
    names, codes = np.unique(np.concatenate([a, b]).astype(str), return_inverse=True)
    counts = np.stack([np.bincount(c, minlength=len(names)) for c in (codes[: len(a)], codes[len(a) :])])
    shares = counts / counts.sum(1, keepdims=True)
    most = int(np.abs(shares[0] - shares[1]).argmax())
    words = f"'{names[most] or 'missing'}' {shares[0, most]:.1%} → {shares[1, most]:.1%}"
    size = float(np.abs(shares[0] - shares[1]).sum() / 2)
    expected = counts.sum(0) * counts.sum(1).min() / counts.sum()
    rare = expected < FEWEST
    kept = np.concatenate([counts[:, ~rare], counts[:, rare].sum(1, keepdims=True)], 1)
    kept = kept[:, kept.sum(0) > 0]
    p = float(chi2_contingency(kept, correction=False).pvalue) if kept.shape[1] > 1 else 1.0
    return _Change(size, p, words)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    out = np.empty(len(p))
    out[order] = adjusted
    return [float(v) for v in out]
