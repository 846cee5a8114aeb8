"""Which simple rules of one or two columns predict the label, and which rows go against them?

A shortcut is 'condition ↔ class'. Candidates are optimal cuts of every column for every class, and single cells of
the tables of column pairs; strength is the phi coefficient (correlation of two yes/no variables). Signals per row are
leave-one-out, so that a row does not vouch for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.binning import Binned, bin_column, bin_target
from demix_core.columns import to_numeric
from demix_core.types import ColumnKind, Schema

COLUMN_BINS = 8
TARGET_BINS = 6
SMOOTHING = 5.0
PAIR_COLUMNS = 7
KEPT = 8
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Shortcut:
    """condition ↔ target, both in words; strength: phi in (0, 1]; columns: those it looks at."""

    columns: tuple[str, ...]
    condition: str
    target: str
    strength: float


@dataclass(frozen=True)
class ShortcutSignals:
    """rules: at most KEPT, strongest first. against: int16 [N], the strongest rule a row goes against, −1 for none.

    features: float32 [N, S], named by NAMES.
    """

    rules: tuple[Shortcut, ...]
    against: np.ndarray
    features: np.ndarray


NAMES = (
    "lift_top1", "lift_top2", "lift_min", "lift_max", "lift_mean", "lift_pair", "strength_worst", "strength_best",
    "strength_pair", "violated", "kept", "violated_kind", "violated_first", "rule_first", "condition_share",
)  # fmt: skip


def find_shortcuts(frame: pd.DataFrame, schema: Schema) -> ShortcutSignals:
    """All signals of this module for one table. Cost: O(N·(F + pairs)) table look-ups."""
    target = bin_target(frame[schema.target], schema, TARGET_BINS)
    y = target.codes
    columns = [
        (c, bin_column(frame[c.name], c.kind, COLUMN_BINS)) for c in schema.features if c.kind is not ColumnKind.TEXT
    ]
    columns = [(c, b) for c, b in columns if b.size > 1]
    lifts, information = _single_lifts([b for _, b in columns], y, target.size)
    order = np.argsort(-information, kind="stable")
    pair_lift, pair_information = _pair_lift([columns[j][1] for j in order[:PAIR_COLUMNS]], y, target.size)
    candidates = _candidates(frame, columns, order, target, schema)
    features = _features(lifts, information, order, pair_lift, pair_information)
    rules, holds, classes = candidates
    against, rule_features = _against(rules, holds, y, classes)
    return ShortcutSignals(tuple(rules), against, np.concatenate([features, rule_features], 1).astype(np.float32))


def _lift(codes: np.ndarray, size: int, y: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """log p(y | code) − log p(y), leave-one-out, smoothed, float [N]; and its mean: mutual information, nats."""
    counts = np.zeros((size, classes))
    np.add.at(counts, (codes, y), 1)
    prior = (counts.sum(0) + 0.5) / (len(y) + 0.5 * classes)
    joint, total = counts[codes, y] - 1, counts.sum(1)[codes] - 1
    lift = np.log((joint + SMOOTHING * prior[y]) / (total + SMOOTHING)) - np.log(prior[y])
    return lift, float(lift.mean())


def _single_lifts(binned: list[Binned], y: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    both = [_lift(b.codes, b.size, y, classes) for b in binned]
    if not both:
        return np.zeros((len(y), 1)), np.zeros(1)
    return np.stack([lift for lift, _ in both], 1), np.array([information for _, information in both])


def _pair_lift(binned: list[Binned], y: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """The lift of the pair of columns that tells most of the label."""
    best, most = np.zeros(len(y)), 0.0
    for i, a in enumerate(binned):
        for b in binned[i + 1 :]:
            lift, information = _lift(a.codes * b.size + b.codes, a.size * b.size, y, classes)
            if information > most:
                best, most = lift, information
    return best, most


def _features(
    lifts: np.ndarray, information: np.ndarray, order: np.ndarray, pair_lift: np.ndarray, pair_information: float
) -> np.ndarray:
    second = lifts[:, order[min(1, len(order) - 1)]] if len(order) else lifts[:, 0]
    first = lifts[:, order[0]] if len(order) else lifts[:, 0]
    return np.stack(
        [
            first, second, lifts.min(1), lifts.max(1), lifts.mean(1), pair_lift,
            information[lifts.argmin(1)], np.full(len(lifts), information.max()), np.full(len(lifts), pair_information),
        ],
        1,
    )  # fmt: skip


def _phi(n: float, condition: np.ndarray, target: float, both: np.ndarray) -> np.ndarray:
    """Phi coefficient of two yes/no variables from their counts."""
    spread = condition * (n - condition) * target * (n - target)
    return (n * both - condition * target) / np.sqrt(np.maximum(spread, 1e-12))


def _candidates(frame, columns, order, target: Binned, schema: Schema):  # type: ignore[no-untyped-def]
    """The strongest rules with, for each, the rows where its condition holds (bool [N]) and its class id."""
    found: list[tuple[float, tuple[str, ...], str, np.ndarray, int]] = []
    for column, binned in columns:
        numbers = to_numeric(frame[column.name]) if column.kind is ColumnKind.NUMERIC else None
        for c in range(target.size):
            cut = _best_cut(binned, target.codes == c)
            if cut is not None:
                codes, strength = cut
                holds = np.isin(binned.codes, codes)
                words = _words(column.name, binned, codes, numbers, holds)
                found.append((strength, (column.name,), words, holds, c))
    top = [columns[j] for j in order[:PAIR_COLUMNS]]
    for i, (a, left) in enumerate(top):
        for b, right in top[i + 1 :]:
            found.extend(_pair_cells(frame, a, left, b, right, target))
    found.sort(key=lambda f: -f[0])
    kept = found[:KEPT]
    names = _target_names(frame, target, schema)
    rules = [Shortcut(cols, words, names[c], float(s)) for s, cols, words, _, c in kept]
    return rules, [h for *_, h, _ in kept], [c for *_, c in kept]


def _best_cut(binned: Binned, is_class: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The set of codes whose union has the largest phi with the class: a run of bins, or a prefix by class share."""
    n = len(is_class)
    counts = np.bincount(binned.codes, minlength=binned.size).astype(float)
    hits = np.bincount(binned.codes, weights=is_class, minlength=binned.size)
    present = np.flatnonzero(counts > 0)
    if len(present) < 2 or not 0 < is_class.sum() < n:
        return None
    if not binned.ordered:
        present = present[np.argsort(-hits[present] / counts[present], kind="stable")]
    total, both = np.concatenate([[0], counts[present].cumsum()]), np.concatenate([[0], hits[present].cumsum()])
    start, stop = np.triu_indices(len(present) + 1, 1)
    if not binned.ordered:
        start, stop = start[start == 0], stop[start == 0]
    size = total[stop] - total[start]
    strength = _phi(n, size, is_class.sum(), both[stop] - both[start])
    strength[(size < LEAST_SHARE * n) | (size > (1 - LEAST_SHARE) * n)] = 0
    best = int(strength.argmax())
    return (present[start[best] : stop[best]], float(strength[best])) if strength[best] > 0.02 else None


def _pair_cells(frame, a, left: Binned, b, right: Binned, target: Binned):  # type: ignore[no-untyped-def]
    """For each class the single cell of the pair's table with the largest phi."""
    n, width = len(target.codes), right.size
    codes = left.codes * width + right.codes
    table = np.zeros((left.size * width, target.size))
    np.add.at(table, (codes, target.codes), 1)
    size = table.sum(1)
    for c in range(target.size):
        strength = _phi(n, size, table[:, c].sum(), table[:, c])
        strength[size < LEAST_SHARE * n] = 0
        best = int(strength.argmax())
        if strength[best] > 0.02:
            holds = codes == best
            words = " and ".join(
                _words(column.name, binned, np.array([code]), None, holds)
                for column, binned, code in ((a, left, best // width), (b, right, best % width))
            )
            yield float(strength[best]), (a.name, b.name), words, holds, c


def _words(name: str, binned: Binned, codes: np.ndarray, numbers: np.ndarray | None, holds: np.ndarray) -> str:
    """'age from 30 to 39', 'race = Black', 'race among Black, Other'."""
    if binned.ordered:
        if numbers is not None and np.isfinite(numbers[holds]).any():
            return f"{name} from {np.nanmin(numbers[holds]):.6g} to {np.nanmax(numbers[holds]):.6g}"
        inner = [c for c in codes if binned.values[c]]
        return f"{name} near {binned.values[inner[len(inner) // 2]]}" if inner else f"{name} missing"
    values = [binned.values[c] or "missing" for c in codes]
    if len(values) == 1:
        return f"{name} = {values[0]}"
    if len(values) <= 4:
        return f"{name} among {', '.join(values)}"
    return f"{name} among {', '.join(values[:3])} and {len(values) - 3} more"


def _target_names(frame: pd.DataFrame, target: Binned, schema: Schema) -> list[str]:
    if schema.classes:
        return list(schema.classes)
    numbers = to_numeric(frame[schema.target])
    names = []
    for c in range(target.size):
        inside = numbers[target.codes == c]
        names.append(f"{inside.min():.6g} to {inside.max():.6g}" if len(inside) else "")
    return names


def _against(rules, holds, y: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Which rule each row goes against, and the six features of that."""
    n = len(y)
    against = np.full(n, -1, np.int16)
    out = np.zeros((n, 6))
    for i in range(len(rules) - 1, -1, -1):
        is_class = y == classes[i]
        broken = holds[i] != is_class
        against[broken] = i
        out[broken, 0] = rules[i].strength
        out[~broken, 1] = rules[i].strength
        out[broken, 2] = np.where(is_class[broken], 1.0, -1.0)
        if i == 0:
            out[:, 3], out[:, 4] = broken, rules[0].strength
            out[:, 5] = holds[0].mean()
    return against, out
