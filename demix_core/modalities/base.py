"""From a person's files to a Dataset: schema, split, validation and test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_numeric
from demix_core.errors import InputError
from demix_core.modalities.duplicates import notes_on_duplicates
from demix_core.modalities.schema import infer_schema, plain_frame, target_rows
from demix_core.settings import LoadSettings
from demix_core.tablefile import TableFile
from demix_core.types import Dataset, Schema, Task

QUANTILE_BINS = 10


def load(
    train: Path,
    settings: LoadSettings,
    seed: int,
    validation: Path | None = None,
    test: Path | None = None,
    held_out: np.ndarray | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """Reads the table, finds its schema and splits it (or takes validation from its own file); notes on what was odd.

    held_out: int [n], positions to hold out instead of a fresh split, where they leave every class rows to learn from.
    InputError: the file or an option can't be used.
    """
    table = TableFile.read(train)
    schema, notes = infer_schema(table.frame, settings)
    whole = plain_frame(table.frame, schema)
    said = list(notes)
    usable = np.flatnonzero(target_rows(whole, schema))
    if len(usable) < 4:
        raise InputError(f"{train.name} has {len(usable)} rows with a target, too few to learn from; give more rows.")
    if validation is None:
        held = split(whole, schema, usable, settings.validation_share, seed)
        if held_out is not None:
            again = np.intersect1d(held_out, usable)
            same = _leaves_enough(whole, schema, usable, again)
            held = again if same else held
            said += [] if same else ["The rows held out before would leave a class without training rows; split anew."]
        kept, frame = np.setdiff1d(usable, held), whole
    else:
        kept = usable
        frame, held = _other(validation, schema, said)
        if not len(held):
            raise InputError(
                f"{validation.name} has no row with a known label; give validation rows like the training rows."
            )
    test_frame = None
    if test is not None:
        given, rows = _other(test, schema, said)
        test_frame = given.loc[rows]
    data = Dataset(whole, schema, kept, held, frame, test_frame, table.content_hash)
    return data, (*said, *notes_on_duplicates(data))


def split(frame: pd.DataFrame, schema: Schema, usable: np.ndarray, share: float, seed: int) -> np.ndarray:
    """int64, sorted: the rows of usable that are held out. Stratified by class or target quantile; each class keeps
    at least two training rows (one, where it has only one). InputError: share outside 0.05 to 0.5.
    """
    if not 0.05 <= share <= 0.5:
        raise InputError(f"The validation share is {share}; give a number between 0.05 and 0.5.")
    rng = np.random.default_rng(seed)
    groups = _strata(frame[schema.target].iloc[usable], schema)
    held = []
    for group in np.unique(groups):
        members = rng.permutation(usable[groups == group])
        held.append(members[: max(0, min(round(share * len(members)), len(members) - 2))])
    rows = np.sort(np.concatenate(held)).astype(np.int64)
    if not len(rows):
        raise InputError("There are too few rows per class to hold any out; give more rows or a validation file.")
    return rows


def _leaves_enough(frame: pd.DataFrame, schema: Schema, usable: np.ndarray, held: np.ndarray) -> bool:
    """Whether rows remain on both sides, and of each class two to learn from (one, where it has only one)."""
    kept = np.setdiff1d(usable, held)
    if not len(held) or not len(kept):
        return False
    if schema.task is not Task.CLASSIFICATION:
        return True
    target = labels(frame[schema.target])
    there, counts = np.unique(target[usable], return_counts=True)
    left = pd.Series(target[kept]).value_counts().reindex(there, fill_value=0).to_numpy()
    return bool((left >= np.minimum(counts, 2)).all())


def _strata(target: pd.Series, schema: Schema) -> np.ndarray:
    if schema.task is Task.CLASSIFICATION:
        return np.asarray(pd.factorize(labels(target))[0])
    ranks = pd.Series(to_numeric(target)).rank(method="first").to_numpy() - 1
    bins = max(1, min(QUANTILE_BINS, len(ranks) // 10))
    return np.asarray((ranks * bins / len(ranks)).astype(np.int64))


def _other(path: Path, schema: Schema, notes: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    frame = plain_frame(TableFile.read(path).frame, schema)
    needed = [c.name for c in schema.features] + [schema.target]
    lacking = [name for name in needed if name not in frame.columns]
    if lacking:
        raise InputError(f"{path.name} lacks the column '{lacking[0]}' of the training table; add it.")
    good = target_rows(frame, schema)
    if schema.task is Task.CLASSIFICATION:
        good &= np.isin(labels(frame[schema.target]), schema.classes)
    if not good.all():
        notes.append(f"{int((~good).sum())} rows of {path.name} have no target or an unknown label and are left out.")
    return frame, np.flatnonzero(good)
