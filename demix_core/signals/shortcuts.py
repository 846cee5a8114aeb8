"""Which simple rules of one or two columns predict the label, and which rows go against them?

A shortcut is 'condition ↔ target'. A condition is a run of neighbouring bins of a number, or a set of categories, in
one column or in two at once; a target is a class, or a range of a number. Strength is the phi coefficient (correlation
of two yes/no variables), maximised over all runs. Lifts are leave-one-out, so that a row does not vouch for itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric
from demix_core.signals.binning import Binned, Cut, bin_column, bin_target, code_lift, target_codes
from demix_core.signals.placing import placed_lift
from demix_core.types import Column, ColumnKind, Schema

COLUMN_BINS = 16
PAIR_BINS = 8
TARGET_BINS = 8
WIDEST_TARGET = 4
"""A range of a numeric target spans at most this many of the TARGET_BINS bins."""

PAIR_COLUMNS = 8
PAIR_GAIN = 1.03
"""A rule over two columns must be stronger than one over either of them by this factor: simple rules first."""

ANCHORS = 6
"""Columns with the strongest rules of their own: pairs are tried with each of them and any other column."""

MOST_CLASSES = 12
KEPT = 8
LEAST_SHARE = 0.01
LEAST_STRENGTH = 0.02
LOOKED_AT = 60
"""Candidates that are put into words, strongest first."""

SAME = 0.95
"""Two rules that the same rows go against, but for this share of agreement, are one."""


@dataclass(frozen=True)
class Shortcut:
    """condition ↔ target, both in words; strength: phi in (0, 1]; columns: those it looks at."""

    columns: tuple[str, ...]
    condition: str
    target: str
    strength: float


@dataclass(frozen=True)
class ShortcutSignals:
    """rules: at most KEPT, strongest first. sides: int8 [N, R]: 0 the row follows the rule, 1 it has the target without
    the condition, −1 the condition without the target; shares: float [R], of rows that meet each condition.

    lifts: float32 [N, L], named by LIFTS; information: float [3], nats that the best column, and the best pair, tell of
    the label, and the label's entropy.
    """

    rules: tuple[Shortcut, ...]
    sides: np.ndarray
    shares: np.ndarray
    lifts: np.ndarray
    information: np.ndarray

    @property
    def against(self) -> np.ndarray:
        """int16 [N]: the strongest rule a row goes against, −1 for none."""
        broken = self.sides != 0
        if not broken.shape[1]:
            return np.full(len(broken), -1, np.int16)
        return np.where(broken.any(1), broken.argmax(1), -1).astype(np.int16)


@dataclass(frozen=True)
class RuleGroup:
    """Whom a rule splits the rows into, in numbers.

    meets: rows that meet the condition; hit: share of them that have the target; elsewhere: that share among the rows
    that do not; exceptions: rows that have the condition without the target, strays: the target without the condition;
    error, stray_error, other_error: the model's mean error on the exceptions, the strays, and all other rows, NaN for
    none (classes: share of rows predicted wrongly; numbers: absolute error in target units).
    """

    meets: int
    hit: float
    elsewhere: float
    exceptions: int
    strays: int
    error: float
    stray_error: float
    other_error: float


def rule_groups(sides: np.ndarray, shares: np.ndarray, errors: np.ndarray) -> tuple[RuleGroup, ...]:
    """One per rule. sides int8 [N, R], shares float [R]: see ShortcutSignals; errors: float [N], of the task model.

    >>> sides = np.array([[0], [0], [-1], [1], [0], [0]], np.int8)  # three rows meet the condition, two are hits
    >>> rule_groups(sides, np.array([0.5]), np.array([0, 0, 1, 1, 0, 1]))[0]
    RuleGroup(meets=3, hit=0.666..., elsewhere=0.333..., exceptions=1, strays=1, error=1.0, stray_error=1.0, other_...)
    """
    return tuple(_group(sides[:, r], float(share), errors) for r, share in enumerate(shares))


def _group(side: np.ndarray, share: float, errors: np.ndarray) -> RuleGroup:
    n, meets = len(side), round(share * len(side))
    exceptions, strays = int((side < 0).sum()), int((side > 0).sum())
    means = [float(errors[group].mean()) if group.any() else math.nan for group in (side < 0, side > 0, side == 0)]
    return RuleGroup(
        meets, 1 - exceptions / max(meets, 1), strays / max(n - meets, 1), exceptions, strays, *means
    )  # fmt: skip


LIFTS = ("lift_top1", "lift_top2", "lift_min", "lift_max", "lift_mean", "lift_pair", "information_worst")


@dataclass(frozen=True)
class _Looked:
    """One usable column: finely and coarsely binned."""

    column: Column
    fine: Binned
    coarse: Binned

    def binned(self, alone: bool) -> Binned:
        """Fine where the column is looked at alone, coarse in a pair."""
        return self.fine if alone else self.coarse


@dataclass(frozen=True)
class _Candidate:
    """A rule before it is put into words. chosen: codes that meet the condition, per column; wanted: target codes."""

    strength: float
    looked: tuple[_Looked, ...]
    chosen: tuple[np.ndarray, ...]
    wanted: np.ndarray
    target: str

    def binned(self) -> list[Binned]:
        """The columns as this candidate looks at them."""
        return [one.binned(len(self.looked) == 1) for one in self.looked]

    def holds(self) -> np.ndarray:
        """bool [N]: rows that meet the condition."""
        return np.logical_and.reduce([np.isin(b.codes, c) for b, c in zip(self.binned(), self.chosen, strict=True)])

    def words(self, frame: pd.DataFrame) -> str:
        """The condition; '' when it says nothing."""
        parts = zip(self.looked, self.binned(), self.chosen, strict=True)
        said = [_words(frame, one.column, b, c) for one, b, c in parts]
        return " and ".join(dict.fromkeys(s for s in said if s))


@dataclass(frozen=True)
class Rule:
    """A rule as a test of codes. places: its columns among those looked at; fine: whether it sees their fine bins;

    chosen: per column the codes that meet the condition; wanted: bool, the target's codes.
    """

    places: tuple[int, ...]
    fine: bool
    chosen: tuple[np.ndarray, ...]
    wanted: np.ndarray


@dataclass(frozen=True)
class ShortcutReference:
    """What find_shortcuts learned.

    names: of the columns looked at; fine, coarse: their cuts; codes: int16 [2, N, L], fine and coarse, of the table;
    target: cut and int64 [N] codes of the label; order: columns by how much they tell of it, told: how much, nats;
    pair: the two columns that tell most together, (0, 0) for none; rules, shortcuts: the same in codes and in words.
    """

    names: tuple[str, ...]
    fine: tuple[Cut, ...]
    coarse: tuple[Cut, ...]
    codes: np.ndarray
    target: Cut
    labels: np.ndarray
    order: np.ndarray
    told: np.ndarray
    pair: tuple[int, ...]
    rules: tuple[Rule, ...]

    def place(self, frame: pd.DataFrame, schema: Schema, table: ShortcutSignals, where: np.ndarray) -> ShortcutSignals:
        """Of rows to come. table: that of the run's rows; where: int64 [m], see placing."""
        y = target_codes(self.target, frame[schema.target], schema)
        fine, coarse = (
            [cut.codes(frame[name]) for cut, name in zip(cuts, self.names, strict=True)]
            for cuts in (self.fine, self.coarse)
        )
        sides = [rule.wanted[y].astype(np.int8) - _holds(rule, fine if rule.fine else coarse) for rule in self.rules]
        stacked = np.stack(sides, 1) if sides else np.zeros((len(frame), 0), np.int8)
        lifts = self._lifts(fine, coarse, y, where)
        return ShortcutSignals(table.rules, stacked, table.shares, lifts.astype(np.float32), table.information)

    def _lifts(self, fine: list[np.ndarray], coarse: list[np.ndarray], y: np.ndarray, where: np.ndarray) -> np.ndarray:
        if not self.names:
            return np.zeros((len(y), len(LIFTS)))
        old, classes = self.codes.astype(np.int64), self.target.size
        found = [placed_lift((old[0, :, j], self.labels), (c, y), classes, where) for j, c in enumerate(fine)]
        a, b = self.pair
        pair = np.zeros(len(y))
        if a != b:
            size = self.coarse[b].size + 1  # one more for a value that nobody has
            both = old[1, :, a] * size + old[1, :, b], coarse[a] * size + coarse[b]
            pair = placed_lift((both[0], self.labels), (both[1], y), classes, where)
        return _gathered(np.stack(found, 1), self.order, self.told, pair)


def _holds(rule: Rule, codes: list[np.ndarray]) -> np.ndarray:
    """int8 [m]: rows that meet the condition."""
    met = [np.isin(codes[place], chosen) for place, chosen in zip(rule.places, rule.chosen, strict=True)]
    return np.asarray(np.logical_and.reduce(met)).astype(np.int8)


def find_shortcuts(frame: pd.DataFrame, schema: Schema) -> ShortcutSignals:
    """All signals of this module for one table. Cost: O(N·(F + pairs)) counts, and all runs of bins of each count."""
    return learn_shortcuts(frame, schema)[0]


def learn_shortcuts(frame: pd.DataFrame, schema: Schema) -> tuple[ShortcutSignals, ShortcutReference]:
    """find_shortcuts, with what it learned for rows to come."""
    target = bin_target(frame[schema.target], schema, TARGET_BINS)
    looked = _look(frame, schema)
    lifts, information, order, told, pair = _lifts(looked, target)
    candidates = _candidates(frame, schema, [looked[j] for j in order], target)
    kept, words, sides, shares = _distinct(frame, candidates, target)
    signals = ShortcutSignals(words, sides, shares, lifts.astype(np.float32), information)
    names = tuple(one.column.name for one in looked)
    both = [[one.fine.codes for one in looked], [one.coarse.codes for one in looked]]
    codes = np.array(both, np.int16).reshape(2, len(looked), len(frame)).transpose(0, 2, 1)
    rules = tuple(
        Rule(tuple(names.index(o.column.name) for o in c.looked), len(c.looked) == 1, c.chosen, c.wanted) for c in kept
    )
    reference = ShortcutReference(
        names, tuple(o.fine.cut for o in looked), tuple(o.coarse.cut for o in looked), codes, target.cut, target.codes,
        order, told, pair, rules,
    )  # fmt: skip
    return signals, reference


def _look(frame: pd.DataFrame, schema: Schema) -> list[_Looked]:
    looked = [
        _Looked(c, bin_column(frame[c.name], c.kind, COLUMN_BINS), bin_column(frame[c.name], c.kind, PAIR_BINS))
        for c in schema.features
        if c.kind is not ColumnKind.TEXT
    ]
    return [one for one in looked if len(np.unique(one.fine.codes)) > 1]


# ---- lifts -------------------------------------------------------------------------------------------------------


def _lifts(
    looked: list[_Looked], target: Binned
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """(float [N, L], information [3], columns by how much they tell of the label, how much, the most telling pair)."""
    y = target.codes
    shares = np.bincount(y, minlength=target.size) / len(y)
    entropy = float(-(shares * np.log(shares + 1e-12)).sum())
    if not looked:
        none = np.array([], int)
        return np.zeros((len(y), len(LIFTS))), np.array([0.0, 0.0, entropy]), none, np.zeros(0), (0, 0)
    both = [code_lift(c.fine.codes, c.fine.size, y, target.size) for c in looked]
    lifts, told = np.stack([lift for lift, _ in both], 1), np.array([information for _, information in both])
    order = np.argsort(-told, kind="stable")
    pair, pair_told, places = _pair_lift(looked, [int(j) for j in order[:PAIR_COLUMNS]], y, target.size)
    return _gathered(lifts, order, told, pair), np.array([told.max(), pair_told, entropy]), order, told, places


def _gathered(lifts: np.ndarray, order: np.ndarray, told: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """float [n, L] in the order of LIFTS. lifts: of every column looked at."""
    second = lifts[:, order[min(1, len(order) - 1)]]
    columns = [
        lifts[:, order[0]], second, lifts.min(1), lifts.max(1), lifts.mean(1), pair, told[lifts.argmin(1)],
    ]  # fmt: skip
    return np.stack(columns, 1)


def _pair_lift(
    looked: list[_Looked], places: list[int], y: np.ndarray, classes: int
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The lift of the pair of columns that tells most of the label, how much, and which they are."""
    best, most, which = np.zeros(len(y)), 0.0, (0, 0)
    for i, j in combinations(places, 2):
        a, b = looked[i].coarse, looked[j].coarse
        lift, information = code_lift(a.codes * b.size + b.codes, a.size * b.size, y, classes)
        if information > most:
            best, most, which = lift, information, (i, j)
    return best, most, which


# ---- rules -------------------------------------------------------------------------------------------------------


def _phi(n: float, condition: np.ndarray, target: float, both: np.ndarray) -> np.ndarray:
    """Phi coefficient of two yes/no variables from their counts."""
    spread = condition * (n - condition) * target * (n - target)
    return np.asarray((n * both - condition * target) / np.sqrt(np.maximum(spread, 1e-12)))


def _targets(frame: pd.DataFrame, schema: Schema, target: Binned) -> Iterator[tuple[str, np.ndarray]]:
    """(words, bool [size]: the target codes) of every class, or of every range of a number."""
    if schema.classes:
        counts = np.bincount(target.codes, minlength=target.size)
        for c in np.argsort(-counts, kind="stable")[:MOST_CLASSES]:
            yield schema.classes[c], np.arange(target.size) == c
        return
    numbers = to_numeric(frame[schema.target])
    ends = [(numbers[target.codes == c].min(), numbers[target.codes == c].max()) for c in range(target.size)]
    for start in range(target.size):
        for stop in range(start + 1, min(start + WIDEST_TARGET, target.size) + 1):
            words = f"{ends[start][0]:.6g} to {ends[stop - 1][1]:.6g}"
            yield words, (np.arange(target.size) >= start) & (np.arange(target.size) < stop)


def _candidates(frame: pd.DataFrame, schema: Schema, looked: list[_Looked], target: Binned) -> list[_Candidate]:
    """The strongest rule of every column, and of every pair with one of the most telling columns; strongest first."""
    targets = list(_targets(frame, schema, target))
    found: list[_Candidate | None] = []
    for one in looked:
        counts = _counts([one.fine], target)
        found += [_best((one,), counts, wanted, words) for words, wanted in targets]
    single = sorted((f for f in found if f is not None), key=lambda f: -f.strength)
    alone = {(f.looked[0].column.name, f.target): f.strength for f in single}
    anchors = list(dict.fromkeys(f.looked[0].column.name for f in single))[:ANCHORS]
    pairs: list[_Candidate] = []
    for both in combinations(sorted(looked, key=lambda c: c.column.name not in anchors), 2):
        if both[0].column.name in anchors:
            counts = _counts([one.coarse for one in both], target)
            tried = (_best(both, counts, wanted, words) for words, wanted in targets)
            pairs += [f for f in tried if f is not None and f.strength > PAIR_GAIN * _alone(f, alone)]
    return sorted([*single, *pairs], key=lambda f: -f.strength)


def _alone(pair: _Candidate, alone: dict[tuple[str, str], float]) -> float:
    """The strength of the better of the pair's columns for the same target."""
    return max(alone.get((one.column.name, pair.target), 0.0) for one in pair.looked)


def _counts(binned: list[Binned], target: Binned) -> np.ndarray:
    """float [size, (size,) targets]: rows by codes of one or two columns and of the target."""
    sizes = [b.size for b in (*binned, target)]
    codes = np.ravel_multi_index([b.codes for b in (*binned, target)], sizes)
    return np.bincount(codes, minlength=int(np.prod(sizes))).reshape(sizes).astype(float)


def _best(looked: tuple[_Looked, ...], counts: np.ndarray, wanted: np.ndarray, words: str) -> _Candidate | None:
    """The run of bins (of each column) with the largest phi with a target; None when none is worth naming."""
    n, total, hits = float(counts.sum()), counts.sum(-1), counts[..., wanted].sum(-1)
    there = float(hits.sum())
    if not 0 < there < n:
        return None
    orders = [_order(one.binned(len(looked) == 1), total, hits, axis) for axis, one in enumerate(looked)]
    runs, size, both = _runs(total[np.ix_(*orders)], hits[np.ix_(*orders)])
    strength = _phi(n, size, there, both)
    strength[(size < LEAST_SHARE * n) | (size > (1 - LEAST_SHARE) * n)] = 0
    at = np.unravel_index(int(strength.argmax()), strength.shape)
    if strength[at] <= LEAST_STRENGTH:
        return None
    chosen = tuple(order[start[i] : stop[i]] for order, (start, stop), i in zip(orders, runs, at, strict=True))
    return _Candidate(float(strength[at]), looked, chosen, wanted, words)


def _order(binned: Binned, total: np.ndarray, hits: np.ndarray, axis: int) -> np.ndarray:
    """Codes that occur, numbers in their order, categories by their share of hits."""
    other = tuple(i for i in range(total.ndim) if i != axis)
    count, hit = total.sum(other), hits.sum(other)
    present = np.flatnonzero(count > 0)
    return present if binned.ordered else present[np.argsort(-hit[present] / count[present], kind="stable")]


def _runs(total: np.ndarray, hits: np.ndarray) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """All runs along each axis, (start, stop), with the rows and the hits inside each combination of them."""
    runs = [tuple(np.triu_indices(length + 1, 1)) for length in total.shape]
    size, both = total, hits
    for axis, (start, stop) in enumerate(runs):
        size, both = (_sums(v, axis, start, stop) for v in (size, both))
    return [(r[0], r[1]) for r in runs], size, both


def _sums(values: np.ndarray, axis: int, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(np.take(values, [0], axis))
    total = np.concatenate([zero, values.cumsum(axis)], axis)
    return np.asarray(np.take(total, stop, axis) - np.take(total, start, axis))


def _words(frame: pd.DataFrame, column: Column, binned: Binned, codes: np.ndarray) -> str:
    """'age from 30 to 39', 'race = Black', 'race among Black, Other'; '' when every value is meant."""
    present = np.unique(binned.codes)
    if len(codes) >= len(present):
        return ""
    if binned.ordered:
        rows = np.isin(binned.codes, codes)
        if column.kind is ColumnKind.NUMERIC:
            numbers = to_numeric(frame[column.name])[rows]
            if np.isfinite(numbers).any():
                return f"{column.name} from {np.nanmin(numbers):.6g} to {np.nanmax(numbers):.6g}"
        named = [binned.values[c] for c in sorted(codes) if binned.values[c]]
        return f"{column.name} from {named[0]} to {named[-1]}" if named else f"{column.name} missing"
    values = [binned.values[c] or "missing" for c in codes]
    left_out = [binned.values[c] or "missing" for c in present if c not in set(codes.tolist())]
    if len(values) == 1:
        return f"{column.name} = {values[0]}"
    if len(left_out) == 1:
        return f"{column.name} ≠ {left_out[0]}"
    if len(values) <= 4:
        return f"{column.name} among {', '.join(values)}"
    return f"{column.name} among {', '.join(values[:3])} and {len(values) - 3} more"


def _distinct(
    frame: pd.DataFrame, candidates: list[_Candidate], target: Binned
) -> tuple[list[_Candidate], tuple[Shortcut, ...], np.ndarray, np.ndarray]:
    """(rules, the same in words, sides [N, R], shares [R]): the strongest ones that differ in whom they accuse."""
    kept: list[_Candidate] = []
    rules: list[Shortcut] = []
    sides: list[np.ndarray] = []
    shares: list[float] = []
    for one in candidates[:LOOKED_AT]:
        words, holds = one.words(frame), one.holds()
        side = one.wanted[target.codes].astype(np.int8) - holds.astype(np.int8)
        if not words or any(_overlap(side != 0, other != 0) >= SAME for other in sides):
            continue
        kept.append(one)
        rules.append(Shortcut(tuple(o.column.name for o in one.looked), words, one.target, one.strength))
        sides.append(side)
        shares.append(float(holds.mean()))
        if len(rules) == KEPT:
            break
    stacked = np.stack(sides, 1) if sides else np.zeros((len(frame), 0), np.int8)
    return kept, tuple(rules), stacked, np.array(shares)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Shared rows over all rows that either accuses."""
    return float((a & b).sum() / max((a | b).sum(), 1))
