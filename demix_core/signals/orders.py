"""Pairs of columns of which one is never the larger: start ≤ end, lowest ≤ highest, net ≤ gross.

The field calls them order constraints, the simplest of its denial constraints.

That most rows keep an order may be a tendency. A law has an edge: many rows lie just inside it and next to none just
outside, wherever the others that break it may be; where rows only tend to keep an order they thin out across it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from demix_core.datetimes import written

HOLDS = 0.95
"""The share of the rows in which an order must hold; of the LOOK rows that are first looked at HOLDS_FIRST."""

HOLDS_FIRST, LOOK = 0.9, 400
FEWEST_ROWS = 100
FEWEST_VALUES = 8
MOST_COLUMNS = 60
BY_CHANCE = 0.2
"""The share of the rows in which it would be broken at least if the columns were independent: else it says nothing."""

EDGE, NEAR = 0.1, 20
"""Of the rows that break a law at most this share lies no further outside than as many rows, or NEAR, lie inside."""

OFTEN, FAR = 0.01, 0.5
"""Where more than this share of the rows break a law, they lie at least this far outside, in the median, of how far
rows in the wrong order would, were the columns independent: wrong cells are wrong by as much. Two readings that differ
a little, either way, have no order (Ames: few cellars are larger than the floor above, and those are).
"""

STEPS = np.linspace(0, 1, 101)
"""Quantiles that stand for a whole column."""

TIGHT, TELLS = 0.7, 0.5
"""The middle half of the differences must be narrower than this share of that of either column, as of two readings of
one quantity (home runs are fewer than games, but no law says so); where it is below TELLS, one number tells the other.
"""

SECOND = ("second", 1.0)
SPANS = (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0))


@dataclass(frozen=True)
class Writing:
    """How a column is read and written. decimals: with which most numbers are; times: whether it holds times instead;
    form: one of DATETIME_FORMATS that reads them, '' for native ones; layout: the same as for strftime, '' for unknown;
    padded: see datetimes.
    """

    decimals: int = 0
    times: bool = False
    form: str = ""
    layout: str = ""
    padded: bool = True

    def text(self, value: float) -> str:
        """As a cell of the column; '' where the layout is unknown."""
        if not self.times:
            return f"{value:.{self.decimals}f}"
        return written(value, self.layout, self.padded) if self.layout else ""


@dataclass(frozen=True)
class Scale:
    """One column that has an order. values: float64 [N], seconds for times, NaN for what is neither."""

    values: np.ndarray
    writing: Writing


@dataclass(frozen=True)
class Order:
    """places: of the features, the smaller one first; slack: median difference where it holds; tells: whether one is
    told by the other; writings: of both; by_chance: log of the share of the rows in which it would hold if both were
    independent; holds: in which it does.
    """

    places: tuple[int, ...]
    slack: float
    tells: bool
    writings: tuple[Writing, ...]
    by_chance: float
    holds: float = 1.0

    @staticmethod
    def judge(numbers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(kept, broken: bool [n]) by the numbers of both, float64 [n] each; of NaN neither."""
        low, high = numbers
        return low <= high, low > high

    def meant(self, place: int, numbers: Sequence[np.ndarray]) -> list[str]:
        """What feature `place` should hold beside the other one, as texts; '' for unknown. numbers: as for judge."""
        which = self.places.index(place)
        other = numbers[1 - which]
        if not self.tells:
            return [""] * len(other)
        likely, write = other + (self.slack if which else -self.slack), self.writings[which].text
        return [write(v) if np.isfinite(v) else "" for v in likely]

    def words(self, names: Sequence[str]) -> str:
        """'start ≤ end'."""
        low, high = (names[j] for j in self.places)
        return f"{low} ≤ {high}"

    def usually(self) -> str:
        """', usually 3 days apart'; '' where that tells nothing."""
        return f", usually {self._apart()} apart" if self.tells and self.slack > 0 else ""

    def _apart(self) -> str:
        if not self.writings[0].times:
            return f"{self.slack:.4g}"
        unit, seconds = next(((u, s) for u, s in SPANS if self.slack >= s), SECOND)
        count = self.slack / seconds
        return f"{count:.3g} {unit}{'' if count == 1 else 's'}"


def find_orders(
    columns: Sequence[Scale | None], known: Container[tuple[int, int]], rng: np.random.Generator
) -> Iterator[Order]:
    """All orders between columns. columns: of every feature, None for what has none; known: pairs that need no other
    law, for an equation binds them.

    Cost: F² looks at LOOK rows, and one at all N rows for each pair that passes.
    """
    usable = [(j, c) for j, c in enumerate(columns) if c is not None and _usable(c.values)][:MOST_COLUMNS]
    if len(usable) < 2:
        return
    rows = len(usable[0][1].values)
    some = rng.permutation(rows)[:LOOK]
    for (i, low), (j, high) in permutations(usable, 2):
        if (i, j) in known or low.writing.times != high.writing.times:
            continue
        if _mostly(low.values[some], high.values[some], HOLDS_FIRST, BY_CHANCE / 2):
            found = _order((i, j), low, high)
            if found is not None:
                yield found


def _usable(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return len(known) >= FEWEST_ROWS and len(np.unique(known[: 10 * LOOK])) >= FEWEST_VALUES


def _mostly(low: np.ndarray, high: np.ndarray, holds: float, by_chance: float) -> bool:
    """Whether low ≤ high in so many rows, high ≤ low in fewer, and would be broken in some, were they independent."""
    both = np.isfinite(low) & np.isfinite(high)
    a, b = low[both], high[both]
    if len(a) < FEWEST_ROWS or (a <= b).mean() < holds or (b <= a).mean() >= holds:
        return False
    return _broken_by_chance(a, b) >= by_chance


def _broken_by_chance(low: np.ndarray, high: np.ndarray) -> float:
    """The share of all pairs of one's number and another row's of the other that are in the wrong order."""
    return float(np.searchsorted(np.sort(high), low, side="left").mean() / len(high))


def _order(places: tuple[int, int], low: Scale, high: Scale) -> Order | None:
    """The law, if it is one."""
    if not _mostly(low.values, high.values, HOLDS, BY_CHANCE):
        return None
    both = np.isfinite(low.values) & np.isfinite(high.values)
    a, b = low.values[both], high.values[both]
    kept, narrower = (b - a)[a <= b], min(_middle(a), _middle(b))
    if not _has_edge(b - a) or not _breaks_are_far(a, b) or _middle(kept) >= TIGHT * narrower:
        return None
    return Order(
        places, float(np.median(kept)), _middle(kept) < TELLS * narrower, (low.writing, high.writing),
        by_chance=float(np.log1p(-_broken_by_chance(a, b))), holds=len(kept) / len(a),
    )  # fmt: skip


def _has_edge(slack: np.ndarray) -> bool:
    """Whether rows end at 0 rather than thin out across it."""
    outside, inside = -slack[slack < 0], np.sort(slack[slack > 0])
    as_many = max(len(outside), NEAR)
    if len(inside) < as_many:
        return False
    return bool((outside <= inside[as_many - 1]).sum() <= EDGE * len(outside))


def _breaks_are_far(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether the rows that break it, if they are many, lie as far outside as wrong cells would bring them."""
    outside = low > high
    if outside.mean() <= OFTEN:
        return True
    by_chance = np.subtract.outer(np.quantile(low, STEPS), np.quantile(high, STEPS))
    return bool(np.median((low - high)[outside]) >= FAR * np.median(by_chance[by_chance > 0]))


def _middle(values: np.ndarray) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)
