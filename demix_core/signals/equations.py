"""Numbers that follow from other numbers of their row: y = a·x + b, y = x₁ + x₂, y = x₁ · x₂, up to rounding.

Unlike a law of categories, an equation must hold in nearly all rows: what is mostly quantity times unit price may be a
discount elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

LINE, SUM, PRODUCT = "line", "sum", "product"
HOLDS = 0.97
"""The share of the rows in which an equation must hold; of the LOOK rows that are first looked at HOLDS_FIRST.

In 367 public tables as they are, five have one that more than a row in two hundred breaks; with .9 there would be nine.
"""

HOLDS_FIRST, LOOK = 0.93, 300
FEWEST_ROWS = 100
"""In which it says something: 0 + x and 1 · x do not count."""

FEWEST_VALUES = 15
MOST_COLUMNS = 60
FINE = 0.02
"""What rounding leaves open, at most, as a share of the middle half of the numbers that follow."""

FLOAT = 1e-9
USUAL = 0.02
"""The share of the rows above which the most frequent x of a line says nothing."""

DIGITS = 7
"""Of a slope, before it is taken as it is."""


@dataclass(frozen=True)
class Numbers:
    """One column. values: float64 [N], NaN for what is no number; decimals: with which most are written."""

    values: np.ndarray
    decimals: int

    @classmethod
    def of(cls, values: np.ndarray, texts: np.ndarray) -> Numbers:
        """texts: object [N], as written."""
        written = [len(t.partition(".")[2].rstrip("0")) for t in texts[np.isfinite(values)][:LOOK]]
        return cls(values, int(np.quantile(written, 0.95)) if written else 0)

    @property
    def step(self) -> float:
        """What rounding may have changed, half of the last decimal; whole numbers are thought to be exact."""
        return 0.51 * 10.0**-self.decimals if self.decimals else 0.0

    def usable(self) -> bool:
        """Whether it has enough different numbers."""
        known = self.values[np.isfinite(self.values)]
        return len(known) >= FEWEST_ROWS and len(np.unique(known[: 10 * LOOK])) >= FEWEST_VALUES


@dataclass(frozen=True)
class Equation:
    """kind: LINE, SUM or PRODUCT; places: of the features y, x₁ (and x₂); slope, shift: of a line; steps: of rounding,
    one per place; decimals: with which each is written; holds: in which share of the rows.
    """

    kind: str
    places: tuple[int, ...]
    slope: float
    shift: float
    steps: tuple[float, ...]
    decimals: tuple[int, ...]
    holds: float = 1.0

    def judge(self, numbers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(kept, broken: bool [n]) by the numbers of y, x₁ (and x₂), float64 [n] each; of NaN neither."""
        off, most = self._off(numbers)
        known = np.isfinite(off) & np.isfinite(most)
        return known & (np.abs(off) <= most), known & (np.abs(off) > most)

    def _off(self, numbers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(how far y is from what it should be, how far rounding may have brought it)."""
        y, x, *more = numbers
        z = more[0] if more else np.zeros_like(x)
        wanted = self._follows(x, z)
        by_x = np.abs(z) if self.kind == PRODUCT else np.full_like(x, abs(self.slope))
        by_z = np.abs(x) if self.kind == PRODUCT else np.ones_like(x)
        steps = (*self.steps, 0.0)
        return y - wanted, _rounding(y, wanted, steps[0] + by_x * steps[1] + by_z * steps[2])

    def _follows(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        if self.kind == LINE:
            return self.slope * x + self.shift
        return x + z if self.kind == SUM else x * z

    def meant(self, place: int, numbers: Sequence[np.ndarray]) -> list[str]:
        """What feature `place` should hold beside the others, as texts; '' for unknown. numbers: as for judge."""
        which = self.places.index(place)
        y, x, *more = numbers
        z = more[0] if more else np.zeros_like(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            if which == 0:
                found = self._follows(x, z)
            elif self.kind == LINE:
                found = (y - self.shift) / self.slope
            else:
                other = z if which == 1 else x
                found = y - other if self.kind == SUM else y / other
        return [f"{v:.{self.decimals[which]}f}" if np.isfinite(v) else "" for v in found]

    def words(self, names: Sequence[str]) -> str:
        """'total = price × quantity'."""
        y, *xs = (names[j] for j in self.places)
        if self.kind == LINE:
            shift = f" {'+' if self.shift > 0 else '−'} {abs(self.shift):.4g}" if self.shift else ""
            return f"{y} = {xs[0]}{shift}" if self.slope == 1 else f"{y} = {self.slope:.4g} × {xs[0]}{shift}"
        return f"{y} = {(' + ' if self.kind == SUM else ' × ').join(xs)}"


def _rounding(y: np.ndarray, wanted: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """How far y may be from what is wanted: what rounding takes, and what floating point does."""
    return np.asarray(steps + FLOAT * (np.abs(y) + np.abs(wanted) + 1))


def find_equations(columns: Sequence[Numbers | None], rng: np.random.Generator) -> Iterator[Equation]:
    """All equations between columns. columns: of every feature, None for other than numbers.

    Cost: F² lines and F³ sums and products of LOOK rows, and one look at all N rows for each that passes.
    """
    usable = [(j, c) for j, c in enumerate(columns) if c is not None and c.usable()][:MOST_COLUMNS]
    if len(usable) < 2:
        return
    rows = len(usable[0][1].values)
    some = np.sort(rng.permutation(rows)[:LOOK])
    lined: set[tuple[int, int]] = set()
    for (i, a), (j, b) in combinations(usable, 2):
        if _alike(a.values[some], b.values[some]):
            found = [e for e in (_line(i, a, j, b, some), _line(j, b, i, a, some)) if e is not None]
            found = [e for e in (_checked(e, columns) for e in found) if e is not None]
            if found:
                lined.add((i, j))
                yield max(found, key=lambda e: (round(e.holds, 3), -len(e.words([""] * len(columns)))))
    for kind in (SUM, PRODUCT):
        for places in _together(kind, usable, some):
            if not {(min(p), max(p)) for p in combinations(places, 2)} & lined:
                found_one = _checked(_equation(kind, places, columns), columns)
                if found_one is not None:
                    yield found_one


def _equation(kind: str, places: tuple[int, ...], columns: Sequence[Numbers | None]) -> Equation:
    mine = [c for j in places if (c := columns[j]) is not None]
    return Equation(kind, places, 1.0, 0.0, tuple(c.step for c in mine), tuple(c.decimals for c in mine))


def _checked(equation: Equation, columns: Sequence[Numbers | None]) -> Equation | None:
    """With the share of all rows in which it holds, if it is enough; None else."""
    numbers = [c.values for j in equation.places if (c := columns[j]) is not None]
    says = _says_something(equation.kind, numbers[1:])
    kept, broken = (of[says] for of in equation.judge(numbers))
    rows = kept.sum() + broken.sum()
    if rows < FEWEST_ROWS or kept.sum() < HOLDS * rows:
        return None
    y, most = numbers[0][says][kept], equation._off(numbers)[1][says][kept]
    low, high = np.quantile(y, [0.25, 0.75])
    if len(np.unique(y)) < FEWEST_VALUES or np.median(most) > FINE * (high - low):
        return None
    return replace(equation, holds=float(kept.sum() / rows))


def _says_something(kind: str, xs: Sequence[np.ndarray]) -> np.ndarray:
    """bool [n]: rows in which nothing is 0 of a sum, 0 or 1 of a product, or the most frequent x of a line."""
    if kind == LINE:
        values, counts = np.unique(xs[0][np.isfinite(xs[0])], return_counts=True)
        usual = counts.max(initial=0) > USUAL * len(xs[0])
        return np.asarray(xs[0] != values[counts.argmax()]) if usual else np.ones(len(xs[0]), bool)
    trivial = (0.0,) if kind == SUM else (0.0, 1.0)
    return np.logical_and.reduce([~np.isin(x, trivial) for x in xs])


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether most pairs of rows are in the same order, or in the opposite one, in both columns."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < LOOK / 4:
        return False
    one, two = np.diff(a[known]), np.diff(b[known])
    told = (one != 0) & (two != 0)
    same = float((np.sign(one[told]) == np.sign(two[told])).mean()) if told.sum() > LOOK / 8 else 0.5
    return max(same, 1 - same) > HOLDS_FIRST**2


def _line(y_at: int, y: Numbers, x_at: int, x: Numbers, some: np.ndarray) -> Equation | None:
    """y = slope · x + shift through most of these rows."""
    b, a = y.values[some], x.values[some]
    known = np.isfinite(a) & np.isfinite(b)
    b, a = b[known], a[known]
    order = np.argsort(a, kind="stable")
    half = len(a) // 2
    run, rise = a[order][half:] - a[order][: len(a) - half], b[order][half:] - b[order][: len(a) - half]
    if not (run > 0).any():
        return None
    slope = float(np.median(rise[run > 0] / run[run > 0]))
    near = np.argsort(np.abs(b - slope * a - np.median(b - slope * a)), kind="stable")[: int(HOLDS_FIRST * len(a))]
    if slope == 0 or np.ptp(a[near]) == 0:
        return None
    slope, shift = (float(v) for v in np.polyfit(a[near], b[near], 1))
    exact = Equation(LINE, (y_at, x_at), slope, shift, (y.step, x.step), (y.decimals, x.decimals))
    kept = float(exact.judge([b, a])[0].mean())
    for digits in range(1, DIGITS):  # the simplest that holds as well
        simple = float(f"{slope:.{digits}g}")
        rest = float(np.median(b - simple * a))
        for plain in (0.0, *(float(f"{rest:.{d}g}") for d in range(1, digits + 2))):
            tried = replace(exact, slope=simple, shift=plain)
            if (now := float(tried.judge([b, a])[0].mean())) >= max(kept, HOLDS_FIRST):
                return replace(tried, holds=now)
    return replace(exact, holds=kept) if kept >= HOLDS_FIRST else None


def _together(kind: str, usable: Sequence[tuple[int, Numbers]], some: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(y, x₁, x₂) of which most of these rows are a sum, or a product."""
    values = np.stack([c.values[some] for _, c in usable], 1)
    steps = np.array([c.step for _, c in usable])
    for i, j in combinations(range(len(usable)), 2):
        x, z = values[:, i], values[:, j]
        says = _says_something(kind, [x, z]) & np.isfinite(x) & np.isfinite(z)
        if says.sum() < LOOK / 8:
            continue
        x, z, ys = x[says, None], z[says, None], values[says]
        wanted = x + z if kind == SUM else x * z
        by_x, by_z = (np.ones_like(x), np.ones_like(x)) if kind == SUM else (np.abs(z), np.abs(x))
        most = _rounding(ys, wanted, steps + by_x * steps[i] + by_z * steps[j])
        holds = (np.abs(ys - wanted) <= most).sum(0) / np.maximum(np.isfinite(ys).sum(0), LOOK / 8)
        for k in np.flatnonzero(holds >= HOLDS_FIRST):
            if k not in (i, j):
                yield usable[int(k)][0], usable[i][0], usable[j][0]
