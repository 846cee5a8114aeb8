"""Functional dependencies: a value of one column tells that of another ('zip' and 'city'), and what breaks this.

A dependency may be broken in a third of the rows, where one process spoilt a column: it is then broken everywhere
alike. A tendency ('June' and 'summer') is broken in some places only: values at which it is do not tell, and if they
are many nothing is called a law.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_DISTINCT = 3_000
FEWEST_ROWS = 3
"""Rows that hold a value, for it to tell another one."""

MOST_COLUMNS = 120
"""Columns that pairs are made of: those with the most values."""

LOOK = 4_000
"""Rows that pairs of columns are first looked at on."""

COVERED, SEVERAL = 0.7, 2
"""The share of the rows whose value must tell the other column's, or is held by SEVERAL rows that agree."""

MOST_BROKEN, SELDOM = 0.35, 0.01
BEYOND, AT_LEAST = 4.0, 0.25
"""A value at which a law is broken this many deviations, and by this share, more often than elsewhere tells nothing."""

MOST_UNTOLD = 0.05
"""Where a law is broken at all, the share of the rows whose frequent value may not tell."""

EVEN = 2.0
"""How unevenly, beside chance (1), a law may be broken over the values that tell."""

SHARPEST = 10_000
"""Of more rows no more evenness is asked: errors are spread over no table as evenly as a million rows could tell."""

LEAST_TOLD = 0.5
"""The share of the doubt about a column that a law must take away."""

FEWEST_TELLS, LEAST_DOUBT = 4, 0.5
"""Broken more than SELDOM: how many values are told, and the share of the rows without the most frequent of them."""

PERMUTED, MOST_DEVIATIONS, MOST_EXCESS = 20, 4.0, 0.5
"""Broken more than SELDOM: beyond these, the wrong values follow from the value that tells, so that they are right."""

MOST_EQUAL = 0.995
"""A value that is more frequent needs no law."""

MANY_TELLS, LEAST_STRANGE = 50, 0.1
"""Broken more than SELDOM, where so many values are told that none is seen to follow: the divergence, in nats, of the
values where the law is broken from those where it is kept.
"""

MOST_BLAME = 2.0
"""Log-odds that one column of a bond is spoilt and not the other, at most: both may be, one by usual values."""

ROUNDS = 10
SMOOTHING = 0.5


@dataclass(frozen=True)
class Codes:
    """One column's cells as codes. codes: int64 [N], −1 missing; values: the texts of the codes, sorted."""

    codes: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, texts: np.ndarray) -> Codes:
        """texts: object [N] of str."""
        codes, values = pd.factorize(pd.Series(texts, dtype=object).where(texts != ""), sort=True)
        return cls(codes.astype(np.int64), np.asarray(values, object))

    def usable(self) -> bool:
        """Whether it has several values that come often enough to tell, or be told, anything."""
        return 2 <= len(self.values) <= min(MOST_DISTINCT, len(self.codes) / FEWEST_ROWS)


@dataclass(frozen=True)
class Dependency:
    """A value of feature `by` tells that of feature `of`. values: sorted texts of the one that do; tells: the texts of
    the other; broken: the share of the rows that hold them and break the law.
    """

    by: int
    of: int
    values: np.ndarray
    tells: np.ndarray
    broken: float


@dataclass(frozen=True)
class Bond:
    """Two features bound by a law in one direction or both.

    blame: log-odds that the cell of `second` is wrong, and not that of `first`, where the law is broken; firsts,
    seconds: sorted texts with what each adds to them, strange values of the second much, of the first little.
    """

    first: int
    second: int
    laws: tuple[Dependency, ...]
    blame: float
    firsts: np.ndarray
    of_firsts: np.ndarray
    seconds: np.ndarray
    of_seconds: np.ndarray

    @property
    def places(self) -> tuple[int, int]:
        """The features that it binds."""
        return self.first, self.second

    def judge(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(kept, broken: bool [n] each, P(it is the second that is wrong): float64 [n]) of texts [n]."""
        kept, broken = np.zeros(len(first), bool), np.zeros(len(first), bool)
        for law in self.laws:
            by, of = (first, second) if law.by == self.first else (second, first)
            told = look_up(law.values, law.tells, by)
            known = (told != "") & (of != "")
            kept |= known & (told == of)
            broken |= known & (told != of)
        odds = self.blame + _number(self.seconds, self.of_seconds, second) - _number(self.firsts, self.of_firsts, first)
        return kept & ~broken, broken, 1 / (1 + np.exp(-odds))

    def meant(self, place: int, other: np.ndarray) -> np.ndarray:
        """object [n]: what feature `place` should hold beside these texts of the other one, '' for unknown."""
        for law in self.laws:
            if law.of == place:
                return look_up(law.values, law.tells, other)
        law = self.laws[0]  # the other way round, where only one value tells it
        tells, at, counts = np.unique(law.tells, return_index=True, return_counts=True)
        return look_up(tells[counts == 1], law.values[at[counts == 1]], other)


def look_up(keys: np.ndarray, values: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """object [n]: the value of each text among the sorted keys, '' where it is none."""
    found = np.full(len(texts), "", object)
    if len(keys):
        at = np.searchsorted(keys, texts).clip(0, len(keys) - 1)
        there = keys[at] == texts
        found[there] = values[at[there]]
    return found


def _number(keys: np.ndarray, values: np.ndarray, texts: np.ndarray) -> np.ndarray:
    at = np.searchsorted(keys, texts).clip(0, max(len(keys) - 1, 0))
    return np.where(keys[at] == texts, values[at], values.max(initial=0.0)) if len(keys) else np.zeros(len(texts))


def find_bonds(texts: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[Bond]:
    """All pairs of features with a law. texts: object [N] of every feature, '' missing.

    Cost: F² counts of LOOK rows, and one of all N rows for each pair that passes.
    """
    columns = [Codes.of(t) for t in texts]
    usable = sorted((j for j, c in enumerate(columns) if c.usable()), key=lambda j: -len(columns[j].values))
    usable = sorted(usable[:MOST_COLUMNS])
    n = len(texts[0]) if texts else 0
    some = np.sort(rng.permutation(n)[:LOOK])
    for place, first in enumerate(usable):
        for second in usable[place + 1 :]:
            laws = [
                law for by, of in ((first, second), (second, first))
                if _law(columns, by, of, some) is not None and (law := _law(columns, by, of)) is not None
            ]  # fmt: skip
            bond = _bond(columns, first, second, laws) if laws else None
            if bond is not None:
                yield bond


def _law(columns: Sequence[Codes], by: int, of: int, rows: np.ndarray | None = None) -> Dependency | None:
    """What `by` tells of `of`, if it is a law; rows: the ones looked at, None for all."""
    x, y = (columns[j].codes if rows is None else columns[j].codes[rows] for j in (by, of))
    known = (x >= 0) & (y >= 0)
    x, y = x[known], y[known]
    size, width = len(columns[by].values), len(columns[of].values)
    if len(x) < len(known) / 2 or np.bincount(y, minlength=1).max() > MOST_EQUAL * len(y):
        return None
    often, told = _most_frequent(x, y, size, width)
    count = np.bincount(x, minlength=size)
    holds = count >= FEWEST_ROWS
    agree = (count >= SEVERAL) & ~holds & (often == count)
    if count[holds | agree].sum() < COVERED * len(x):
        return None
    found = _evenly_broken(x, y, told, holds, agree)
    if found is None:
        return None
    tells, rate = found
    among = np.bincount(y[tells[x]], minlength=width)
    doubt = 1 - among.max() / among.sum()
    if rate > (1 - LEAST_TOLD) * _broken_by_chance(x[tells[x]], y[tells[x]], size, width):
        return None
    if rate > SELDOM:
        astray = tells[x] & (told[x] != y)
        few = len(np.unique(told[tells])) < FEWEST_TELLS or doubt < LEAST_DOUBT
        if few or _follow(x[astray], y[astray], width):
            return None
    at = np.flatnonzero(tells)
    return Dependency(by, of, columns[by].values[at], columns[of].values[told[at]], float(rate))


def _evenly_broken(
    x: np.ndarray, y: np.ndarray, told: np.ndarray, holds: np.ndarray, agree: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """(bool: values that tell, share of their rows that break the law), None if they are few or it is broken unevenly.

    told: int64, the y of each x; holds, agree: bool, frequent values of x and such that two rows agree on.
    """
    count = np.bincount(x, minlength=len(told))
    broken = np.bincount(x[y != told[x]], minlength=len(told))
    for shown in _shown(x, y, told, holds):
        tells, rate = _telling(count, broken, holds, shown)
        if rate > MOST_BROKEN or not tells.any() or count[tells | agree].sum() < COVERED * len(x):
            continue
        if rate > 0 and count[holds & ~tells].sum() > MOST_UNTOLD * count[holds].sum():
            continue
        if _is_even(count[tells], broken[tells], rate * shown[tells]):
            return tells, float(broken[tells].sum() / count[tells].sum())
    return None


def _shown(x: np.ndarray, y: np.ndarray, told: np.ndarray, holds: np.ndarray) -> Iterator[np.ndarray]:
    """float64, in two ways: how many of the wrong values at each x are seen to be wrong.

    All, if errors put any value there but the right one. Fewer where the right one is usual among the wrong ones, if
    errors draw values whatever the right one is; each is counted among the rows where it is not what is told.
    """
    yield np.ones(len(told))
    here = holds[x]
    y, meant = y[here], told[x[here]]
    width = max(y.max(initial=0), told.max(initial=0)) + 1
    wrong, right = np.bincount(y[y != meant], minlength=width), np.bincount(meant, minlength=width)
    drawn = wrong / np.maximum(len(y) - right, 1)
    yield 1 - drawn[told] / max(drawn.sum(), 1e-12)


def _most_frequent(x: np.ndarray, y: np.ndarray, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows of the most frequent y beside each x, that y), int64 [size] each."""
    pairs, counts = np.unique(x * width + y, return_counts=True)
    order = np.argsort(counts, kind="stable")
    often, told = np.zeros(size, np.int64), np.zeros(size, np.int64)
    often[pairs[order] // width] = counts[order]  # the last one written is the largest
    told[pairs[order] // width] = pairs[order] % width
    return often, told


def _telling(count: np.ndarray, broken: np.ndarray, holds: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, float]:
    """(bool: values at which the law is broken no more often than elsewhere, share of wrong values there, seen or not).

    shown: as _shown gives it.
    """
    share = broken / np.maximum(count, 1)
    order = np.flatnonzero(holds)
    order = order[np.argsort(share[order] / np.maximum(shown[order], SMOOTHING), kind="stable")]
    calm = order[count[order].cumsum() <= 0.8 * count[order].sum()]
    rate = broken[calm].sum() / max((count * shown)[calm].sum(), 1)
    tells = holds
    for _ in range(ROUNDS):
        expected = np.minimum(rate * shown, 0.5)
        deviation = np.sqrt(count * np.maximum(expected, 1e-3) * (1 - expected))
        most = count * expected + np.maximum(BEYOND * deviation, AT_LEAST * count * expected) + 0.5
        tells = holds & (broken <= most) & (share < 0.5)
        now = broken[tells].sum() / max((count * shown)[tells].sum(), 1)
        if abs(now - rate) < 1e-6:
            break
        rate = now
    return tells, float(rate)


def _is_even(count: np.ndarray, broken: np.ndarray, rate: np.ndarray) -> bool:
    """Whether a law is broken as often as expected, all [values]: χ² per value, as of SHARPEST rows, at most EVEN."""
    some = rate > 0
    expected = count * rate
    far = (broken - expected)[some] ** 2 / (expected * (1 - rate))[some]
    return bool(far.sum() * min(1.0, SHARPEST / count.sum()) <= EVEN * len(count))


def _broken_by_chance(x: np.ndarray, y: np.ndarray, size: int, width: int) -> float:
    """How often the most frequent y beside each x is missed if x tells nothing: few rows agree by chance as well."""
    often, _ = _most_frequent(x, np.random.default_rng(0).permutation(y), size, width)
    return 1 - float(often.sum()) / len(x)


def _follow(x: np.ndarray, y: np.ndarray, width: int) -> bool:
    """Whether y still depends on x where the law is broken: chance errors do not."""
    rng = np.random.default_rng(0)

    def together(other: np.ndarray) -> float:
        return float((np.unique(x * width + other, return_counts=True)[1].astype(float) ** 2).sum())

    chance = np.array([together(rng.permutation(y)) for _ in range(PERMUTED)])
    beyond = together(y) - chance.mean()
    return bool(beyond > MOST_DEVIATIONS * (chance.std() + 1) and beyond > MOST_EXCESS * chance.mean())


def _bond(columns: Sequence[Codes], first: int, second: int, laws: list[Dependency]) -> Bond | None:
    """With whom to blame: the column whose values look otherwise where a law is broken than where it is kept.

    None for laws of many values that are broken more than seldom, but by usual ones.
    """
    empty = np.zeros(0)
    bond = Bond(first, second, tuple(laws), 0.0, empty.astype(object), empty, empty.astype(object), empty)
    texts = [np.append(columns[j].values, "")[columns[j].codes] for j in (first, second)]
    kept, broken, _ = bond.judge(*texts)
    if not broken.any():
        return bond
    strange = [_strangeness(columns[j], kept, broken) for j in (first, second)]
    (of_firsts, one), (of_seconds, two) = strange
    often = min(law.broken for law in laws) > SELDOM and max(len(law.values) for law in laws) > MANY_TELLS
    if often and max(one, two) < LEAST_STRANGE:
        return None
    blame = float(np.clip(np.log((two + 1e-3) / (one + 1e-3)), -MOST_BLAME, MOST_BLAME))
    return Bond(first, second, tuple(laws), blame, columns[first].values, of_firsts, columns[second].values, of_seconds)


def _strangeness(column: Codes, kept: np.ndarray, broken: np.ndarray) -> tuple[np.ndarray, float]:
    """(log-ratio of each value's frequency in broken rows and in kept ones, their divergence beyond chance in nats)."""
    size = len(column.values)
    some, usual = (np.bincount(column.codes[rows & (column.codes >= 0)], minlength=size) for rows in (broken, kept))
    p = (usual + SMOOTHING) / (usual.sum() + SMOOTHING * size)
    q = (some + SMOOTHING * p * size) / (some.sum() + SMOOTHING * size)
    ratio = np.log(q / p)
    seen = np.count_nonzero(some)
    divergence = float((q * ratio).sum()) - max(seen - 1, 0) / (2 * max(some.sum(), 1))
    return ratio, max(divergence, 0.0)
