"""`inject`: a table file in, a table file with known errors out, the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from demix_core.corruption import Corrupted, inject_all
from demix_core.errors import InputError
from demix_core.modalities.tabular import infer_schema, plain_frame, written_frame
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


@dataclass(frozen=True)
class Parts:
    """A table split as in the paper, errors planted into train and validation by one plan; test stays clean.

    clean: the rows of train.frame, in its order, without the errors.
    """

    train: Corrupted
    validation: Corrupted
    test: pd.DataFrame
    clean: pd.DataFrame


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
    frame = plain_frame(table.frame, schema).reset_index(drop=True)
    if not split:
        made = inject_all([frame], schema, protocol, alpha, seed)[0]
        return _planted(made, _write(made, out, table, schema))
    parts = split_and_plant(frame, schema, protocol, alpha, seed)
    files = _write(parts.train, out, table, schema)
    files += _write(parts.validation, _beside(out, f"validation{out.suffix}"), table, schema)
    files.append(_beside(out, f"test{out.suffix}"))
    write_frame(written_frame(parts.test, schema), files[-1], table)
    return _planted(parts.train, files)


def split_and_plant(frame: pd.DataFrame, schema: Schema, protocol: str, alpha: float | None, seed: int) -> Parts:
    """Test aside, then validation, stratified by class where every class has enough rows; then the errors."""
    rest, test = _split(frame, schema, TEST_SHARE, seed)
    train, validation = _split(rest, schema, VALIDATION_SHARE, seed)
    parts = [part.reset_index(drop=True) for part in (train, validation)]
    dirty, held = inject_all(parts, schema, protocol, alpha, seed)
    clean = parts[0].iloc[dirty.kept].reset_index(drop=True)
    return Parts(dirty, held, test.reset_index(drop=True), clean)


def _split(frame: pd.DataFrame, schema: Schema, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    labels = frame[schema.target]
    stratify = schema.task is Task.CLASSIFICATION and labels.value_counts().min() >= 2
    first, second = train_test_split(frame, test_size=share, random_state=seed, stratify=labels if stratify else None)
    return first, second


def _planted(made: Corrupted, files: list[Path]) -> Planted:
    counts = {kind: int(made.truth[kind.value].sum()) for kind in ErrorType}
    return Planted(len(made.frame), counts, tuple(files))


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.stem}.{what}")


def _write(made: Corrupted, path: Path, like: TableFile, schema: Schema) -> list[Path]:
    truth = path.with_suffix(".truth.csv")
    write_frame(written_frame(made.frame, schema), path, like)
    write_file(truth, lambda p: made.truth.to_csv(p, index=False))
    return [path, truth]


def write_frame(frame: pd.DataFrame, path: Path, like: TableFile) -> None:
    """A new file in the source's delimiter and encoding, or parquet where the name says so."""
    if path.suffix.lower() in (".parquet", ".pq"):
        write_file(path, lambda p: frame.to_parquet(p, index=False))
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else like.dialect.delimiter
    write_file(path, lambda p: frame.to_csv(p, index=False, sep=delimiter, encoding="utf-8"))
