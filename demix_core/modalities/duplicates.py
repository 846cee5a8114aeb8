"""Duplicate rows, and leakage of training rows into held-out ones: told before anybody trusts what is measured there.

In a coarse table many rows are alike without being copies. A row counts only if it is unlikely that any other one has
the same cells by chance: from the shares of its values, as if columns were independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_text
from demix_core.types import Dataset, Schema

BY_CHANCE = 0.01
"""Rows with the same cells that are expected at most."""


def notes_on_duplicates(data: Dataset) -> Iterator[str]:
    """A sentence each on copies among the training rows, and on held-out rows that are copies of training rows."""
    train = data.train
    held = {"validation": data.validation} | ({"test": data.test_frame} if data.test_frame is not None else {})
    codes = coded([train, *held.values()], data.schema)
    every = np.split(row_keys(codes), np.cumsum([len(train), *(len(rows) for rows in held.values())])[:-1])
    keys, own = every[0], unlikely_alike(codes[: len(train)])
    counts = pd.Series(keys[own]).value_counts()
    again = int((counts - 1).sum())
    if again:
        yield _among(again, train, data.schema, keys, set(counts.index[counts > 1]))
    for name, there in zip(held, every[1:], strict=True):
        copied = int(np.isin(there, counts.index.to_numpy()).sum())
        if copied:
            yield (
                f"{copied:,} of the {len(there):,} {name} rows are copies of training rows: what is measured on them "
                "looks better than it is."
            )


def _among(again: int, train: pd.DataFrame, schema: Schema, keys: np.ndarray, repeated: set[int]) -> str:
    copies = f"{again:,} training rows are copies of others, cell for cell"
    rows = pd.DataFrame({"key": keys, "said": labels(train[schema.target]), "row": train.index})
    rows = rows[rows["key"].isin(repeated)]
    split = rows[rows.groupby("key")["said"].transform("nunique") > 1]
    if split.empty:
        return f"{copies}."
    first = split[split["key"] == split["key"].iloc[0]].drop_duplicates("said")["row"].iloc[:2].tolist()
    return (
        f"{copies}; {len(split):,} rows contradict their copies about '{schema.target}', such as rows {first[0]:,} and "
        f"{first[1]:,}."
    )


def coded(frames: Sequence[pd.DataFrame], schema: Schema) -> np.ndarray:
    """int64 [n, F]: the features' cells of all frames below each other, equal texts of a column by equal numbers."""
    texts = (np.concatenate([to_text(frame[c.name]) for frame in frames]) for c in schema.features)
    return np.stack([pd.factorize(column)[0] for column in texts], 1)


def row_keys(codes: np.ndarray) -> np.ndarray:
    """uint64 [n]: equal for rows with the same cells."""
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(codes), index=False).to_numpy())


def unlikely_alike(codes: np.ndarray) -> np.ndarray:
    """bool [n]: rows of which less than BY_CHANCE others with the same cells are expected; a single number that hardly
    any row shares is not enough, for that may be what they have in common.
    """
    once = ~pd.Series(row_keys(codes)).duplicated().to_numpy()  # copies must not vouch for each other
    expected = np.full(len(codes), np.log(max(once.sum(), 1)))
    for column in codes.T:
        expected += np.log(np.bincount(column[once])[column] / once.sum())
    return np.asarray(expected < np.log(BY_CHANCE))
