"""Parts of a table that a person can name: rows of one type, label, value, or cluster; where the model does worst.

Training rows come in groups, validation rows in slices; a column is cut alike for both, as the training rows have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, labels, to_datetime, to_numeric
from demix_core.evaluation.slices import QUARTERS, interval
from demix_core.types import Column, ColumnKind, ErrorType, Schema

MOST_VALUES = 6
"""Values of a column that stand for themselves, the most frequent of the training rows; the others go together."""

MOST_CONFUSIONS = 6
CLUSTERS = 8
WORST = 8
LEAST_SHARE, LEAST_ROWS = 0.01, 5
"""A slice below this share and this number of rows is not called one of the worst."""

DIVIDED = (ColumnKind.NUMERIC, ColumnKind.DATETIME, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
"""Kinds of columns that can be cut into parts."""


@dataclass(frozen=True)
class Part:
    """Some of N rows. name: in words; members: int64 positions, ascending, at least one."""

    name: str
    members: np.ndarray


def divided(schema: Schema) -> tuple[Column, ...]:
    """The columns that can be cut into parts, in the order of the file, without the target."""
    return tuple(c for c in schema.features if c.kind in DIVIDED)


def by_value(column: Column, train: pd.Series, rows: pd.Series) -> list[Part]:
    """Quarters of a number or a time, or the most frequent values, as the training rows have them; then the missing.

    train, rows: raw cells; the parts are of `rows`, each of which is in exactly one.
    """
    if column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
        return _quarters(column, train, rows)
    texts, known = labels(rows), labels(train)
    counts = pd.Series(known[known != ""], dtype=object).value_counts()
    kept = [str(v) for v in sorted(counts.index, key=lambda v: (-counts[v], v))[:MOST_VALUES]]
    masks: list[tuple[str, np.ndarray]] = [(f"{column.name} = {value}", texts == value) for value in kept]
    missing = np.array([text == "" for text in texts], bool)
    rest = ~missing & ~np.isin(texts, kept)
    return _parts([*masks, (f"{column.name}: other values", rest), (f"{column.name} missing", missing)])


def _quarters(column: Column, train: pd.Series, rows: pd.Series) -> list[Part]:
    words: Callable[[float], str] = "{:.6g}".format
    if column.kind is ColumnKind.DATETIME:
        form = datetime_format(train)
        known, numbers = to_datetime(train, form), to_datetime(rows, form)
        words = _day
    else:
        known, numbers = to_numeric(train), to_numeric(rows)
    finite = known[np.isfinite(known)]
    ends = [-np.inf, *(np.unique(np.quantile(finite, QUARTERS)) if len(finite) else []), np.inf]
    masks = [
        (interval(column.name, low, high, words), (numbers > low) & (numbers <= high)) for low, high in pairwise(ends)
    ]
    return _parts([*masks, (f"{column.name} missing", ~np.isfinite(numbers))])


def _day(seconds: float) -> str:
    return str(np.datetime64(round(seconds), "s").astype("datetime64[m]")).replace("T00:00", "").replace("T", " ")


def _parts(masks: Sequence[tuple[str, np.ndarray]]) -> list[Part]:
    return [Part(name, np.flatnonzero(mask)) for name, mask in masks if mask.any()]


def by_type(diagnosis: pd.DataFrame) -> list[Part]:
    """One part per error type that a row alone has, one for several at once, one for clean rows."""
    flags = diagnosis[[kind.value for kind in ErrorType]].to_numpy(bool)
    alone = flags.sum(1) == 1
    kinds = [(f"flagged {kind.value.replace('_', ' ')}", alone & flags[:, k]) for k, kind in enumerate(ErrorType)]
    return _parts([*kinds, ("flagged for several", flags.sum(1) > 1), ("looks clean", flags.sum(1) == 0)])


def by_label(schema: Schema, train: pd.Series, rows: pd.Series) -> list[Part]:
    """One part per class; quarters of a number."""
    if not schema.classes:
        return by_value(Column(schema.target, ColumnKind.NUMERIC), train, rows)
    texts = labels(rows)
    return _parts([(f"{schema.target} = {name}", texts == name) for name in schema.classes])


def by_correctness(schema: Schema, predicted: np.ndarray, y: np.ndarray, loss: np.ndarray) -> list[Part]:
    """Right and wrong, then the commonest confusions (which overlap with 'wrong'); numbers: quarters of the error.

    predicted: [M, K] probabilities, or [M, 1]; y: [M]; loss: [M].
    """
    if not schema.classes:
        ends = np.quantile(loss, QUARTERS)
        words = ("smallest errors", "small errors", "large errors", "largest errors")
        at = np.searchsorted(ends, loss)
        return _parts([(f"the model's {name}", at == k) for k, name in enumerate(words)])
    said = predicted.argmax(1)
    parts = _parts([("the model is right", said == y), ("the model is wrong", said != y)])
    wrong = pd.Series(list(zip(y[said != y].tolist(), said[said != y].tolist(), strict=True)), dtype=object)
    for given, taken in wrong.value_counts().index[:MOST_CONFUSIONS]:
        name = f"is {schema.classes[given]}, the model says {schema.classes[taken]}"
        parts += _parts([(name, (y == given) & (said == taken))])
    return parts


def worst(parts: Sequence[Part], loss: np.ndarray) -> list[int]:
    """Positions of the parts with the highest mean loss, worst first, at most WORST; loss: [M].

    Judged by the mean less one standard error, so that chance does not bring small parts forward; parts that hold all
    rows, or the same rows as a worse one, are left out.
    """
    least = max(LEAST_ROWS, LEAST_SHARE * len(loss))
    size = np.array([len(p.members) for p in parts])
    surely = np.array([loss[p.members].mean() - loss[p.members].std() / np.sqrt(len(p.members)) for p in parts])
    found: list[int] = []
    for i in np.argsort(-surely, kind="stable"):
        seen = any(np.array_equal(parts[i].members, parts[j].members) for j in found)
        if least <= size[i] < len(loss) and not seen:
            found.append(int(i))
    return found[:WORST]


def clusters(embedding: np.ndarray, seed: int) -> np.ndarray:
    """int64 [N]: at most CLUSTERS groups of rows that the error classifier sees alike, the largest first.

    embedding: float32 [N, E]. k-means on mini-batches.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(CLUSTERS, len(np.unique(embedding, axis=0)))
    found = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096).fit_predict(embedding)
    used, codes, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(used), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(used))
    return np.asarray(rank[codes])


def what_is_special(members: np.ndarray, ways: Sequence[Sequence[Part]], n: int) -> str:
    """What sets the members apart from all n rows, with their shares: 'y = yes 97%, job = student 21%'.

    ways: the same n rows cut in several ways. The two ways with the largest p·log(p / q) count, where p is the share of
    a part among the members and q that among all rows.
    """
    inside = np.zeros(n, bool)
    inside[members] = True
    found = []
    for parts in ways:
        shares = [(float(inside[p.members].sum()) / len(members), len(p.members) / n, p.name) for p in parts]
        found.append(max((_surprise(here, everywhere), here, name) for here, everywhere, name in shares))
    return ", ".join(f"{name} {here:.0%}" for _, here, name in sorted(found)[::-1][:2])


def _surprise(here: float, everywhere: float) -> float:
    return here * float(np.log(here / everywhere)) if here > 0 else 0.0
