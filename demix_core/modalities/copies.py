"""Rows that are copies of each other: told before anybody trusts what is measured on held-out rows.

In a coarse table many rows are alike without being copies. A row counts only if it is unlikely that any other one has
the same cells by chance: from the shares of its values, as if columns were independent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_text
from demix_core.types import Dataset, Schema

BY_CHANCE = 0.01
"""Rows with the same cells that are expected at most."""


def notes_on_copies(data: Dataset) -> Iterator[str]:
    """A sentence each on copies among the training rows, and on held-out rows that are copies of training rows."""
    train = data.train
    keys, own = row_keys(train, data.schema), unlikely_alike(train, data.schema)
    counts = pd.Series(keys[own]).value_counts()
    again = int((counts - 1).sum())
    if again:
        yield _among(again, train, data.schema, keys, set(counts.index[counts > 1]))
    known = counts.index.to_numpy()
    for name, rows in (("validation", data.validation), ("test", data.test_frame)):
        if rows is not None and (copied := int(np.isin(row_keys(rows, data.schema), known).sum())):
            yield (
                f"{copied:,} of the {len(rows):,} {name} rows are copies of training rows: what is measured on them "
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


def row_keys(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """uint64 [n]: equal for rows with the same cells in all features."""
    texts = pd.DataFrame({c.name: to_text(frame[c.name]) for c in schema.features})
    return np.asarray(pd.util.hash_pandas_object(texts, index=False).to_numpy())


def unlikely_alike(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """bool [n]: rows of which less than BY_CHANCE others with the same cells are expected; a single number that hardly
    any row shares is not enough, for that may be what they have in common.
    """
    once = ~pd.Series(row_keys(frame, schema)).duplicated().to_numpy()  # copies must not vouch for each other
    expected = np.full(len(frame), np.log(max(once.sum(), 1)))
    for column in schema.features:
        codes, _ = pd.factorize(to_text(frame[column.name]))
        expected += np.log(np.bincount(codes[once])[codes] / once.sum())
    return np.asarray(expected < np.log(BY_CHANCE))
