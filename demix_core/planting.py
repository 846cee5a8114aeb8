"""`inject`: a table file in, a table file with known errors out, the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from demix_core.corruption import inject_all
from demix_core.errors import InputError
from demix_core.modalities.tabular import infer_schema
from demix_core.settings import LoadSettings
from demix_core.store import write_file
from demix_core.tablefile import TableFile
from demix_core.types import ErrorType, Schema, Task

TEST_SHARE, VALIDATION_SHARE = 0.3, 0.2
"""DESIGN §4: 30 % test first, then 20 % of the rest for validation."""


@dataclass(frozen=True)
class Planted:
    """rows: of OUT; counts: how many of them have each type; files: everything written, OUT first."""

    rows: int
    counts: dict[ErrorType, int]
    files: tuple[Path, ...]


def plant(
    source: Path, out: Path, settings: LoadSettings, protocol: str, alpha: float | None, seed: int, split: bool = False
) -> Planted:
    """Write OUT and <stem>.truth.csv; with split also <stem>.test (clean) and <stem>.validation with its truth.

    Rows may be fewer than in the source: a shortcut's minority is kept small by dropping rows. InputError: alpha
    outside (0, 1), an unknown protocol, or a table that can't be read.
    """
    if alpha is not None and not 0 < alpha < 1:
        raise InputError(f"--alpha is the share of clean rows and must lie between 0 and 1, not {alpha:g}.")
    table = TableFile.read(source)
    schema, _ = infer_schema(table.frame, settings)
    train, validation, test = _parts(table.frame, schema, seed) if split else (table.frame, None, None)
    parts = [part.reset_index(drop=True) for part in (train, validation) if part is not None]
    made = inject_all(parts, schema, protocol, alpha, seed)
    files: list[Path] = []
    for part, path in zip(made, (out, _beside(out, f"validation{out.suffix}")), strict=False):
        truth = path.with_suffix(".truth.csv")
        write_frame(part.frame, path, table)
        write_file(truth, lambda p, part=part: part.truth.to_csv(p, index=False))  # type: ignore[misc]
        files += [path, truth]
    if test is not None:
        files.append(_beside(out, f"test{out.suffix}"))
        write_frame(test, files[-1], table)
    counts = {kind: int(made[0].truth[kind.value].sum()) for kind in ErrorType}
    return Planted(len(made[0].frame), counts, tuple(files))


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.stem}.{what}")


def _parts(frame: pd.DataFrame, schema: Schema, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(train, validation, test), stratified by class where every class has enough rows."""
    rest, test = _split(frame, schema, TEST_SHARE, seed)
    train, validation = _split(rest, schema, VALIDATION_SHARE, seed)
    return train, validation, test


def _split(frame: pd.DataFrame, schema: Schema, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    labels = frame[schema.target]
    stratify = schema.task is Task.CLASSIFICATION and labels.value_counts().min() >= 2
    first, second = train_test_split(frame, test_size=share, random_state=seed, stratify=labels if stratify else None)
    return first, second


def write_frame(frame: pd.DataFrame, path: Path, like: TableFile) -> None:
    """A new file in the source's delimiter and encoding, or parquet where the name says so."""
    if path.suffix.lower() in (".parquet", ".pq"):
        write_file(path, lambda p: frame.to_parquet(p, index=False))
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else like.dialect.delimiter
    write_file(path, lambda p: frame.to_csv(p, index=False, sep=delimiter, encoding="utf-8"))
