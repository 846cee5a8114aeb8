"""`bench raha`: what Raha and Baran find and mend on the tables of `bench real`, by their own package and protocol.

Mahdavi et al., "Raha" (SIGMOD 2019) and "Baran" (VLDB 2020): Raha is told which cells of 20 rows are wrong, chosen by
itself, and names wrong cells; Baran is told the true cells of 20 rows more and mends what Raha named, or, without
Raha, all wrong cells. All rows count, those 20 too; defaults of the package, no corpus of revisions; mean of ten runs
(theirs as well). DeMix is told nothing, so the figures stand side by side but are not a race.
The package `raha` is needed by this benchmark alone; what it writes, it writes to a folder that is deleted.
"""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from demix_core.benchmark._tables import ASSETS
from demix_core.benchmark.real import TARGETS
from demix_core.errors import InputError

RUNS = 10
LABELLED = 20
"""Rows that each of the two is told the truth of."""

FIGURES = ("precision", "recall", "F1")


def run(*, quick: bool = False, seed: int = 0) -> dict[str, Any]:
    """Three tables, ten runs each (quick: hospital, one run). InputError: the package is not there."""
    package = _package()
    names = list(TARGETS)[: 1 if quick else None]
    lines = [line for name in names for line in _runs_on(package, name, 1 if quick else RUNS, seed)]
    return report(pd.DataFrame(lines)) | {"seed": seed, "labelled rows": LABELLED}


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """Means and deviations over runs, a line per table and system."""
    grouped = runs.groupby(["table", "system"], sort=False)[list(FIGURES)]
    mean, spread = grouped.mean().round(3), grouped.std().fillna(0.0).round(3).add_suffix(" sd")
    table = pd.concat([mean, spread], axis=1).reset_index()
    return {"name": "raha", "table": table.to_dict("records"), "runs": runs.round(4).to_dict("list")}


def _package() -> ModuleType:
    try:
        import raha
    except ModuleNotFoundError as error:
        raise InputError(f"This needs 'pip install raha==1.26' (missing: {error.name}).") from error
    if not hasattr(pd.DataFrame, "applymap"):  # its name before pandas 3, by which raha 1.26 calls it
        pd.DataFrame.applymap = pd.DataFrame.map  # type: ignore[attr-defined]
    return raha


def _runs_on(package: ModuleType, name: str, runs: int, seed: int) -> Iterator[dict[str, Any]]:
    """One table's figures, a line per run and system; Raha's strategies run once, for they draw nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        table = {"name": name}
        for side, key in (("dirty", "path"), ("clean", "clean_path")):
            table[key] = str(Path(scratch) / f"{side}.csv")
            pd.read_parquet(ASSETS / "benchmark" / f"{name}_{side}.parquet").to_csv(table[key], index=False)
        for number in range(runs):
            _draw_from(seed + number)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                figures = _figures(package, table)
            yield from ({"table": name, "system": s, "run": number} | f for s, f in figures.items())


def _draw_from(seed: int) -> None:
    """The package draws from the global generators."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def _figures(package: ModuleType, table: dict[str, str]) -> dict[str, dict[str, float]]:
    """{system: figures} of one run."""
    detection = package.Detection()
    detection.LABELING_BUDGET = LABELLED
    named = detection.run(table)
    mended = _mended(package, table, named)
    known = package.Dataset(table).get_actual_errors_dictionary()
    evaluate = package.Dataset(table).get_data_cleaning_evaluation
    scores = {
        "Raha: cells found": evaluate(named)[:3], "Raha and Baran: cells mended": evaluate(mended)[3:],
        "Baran told the wrong cells: mended": evaluate(_mended(package, table, known))[3:],
    }  # fmt: skip
    return {system: dict(zip(FIGURES, map(float, score), strict=True)) for system, score in scores.items()}


def _mended(package: ModuleType, table: dict[str, str], named: dict[tuple[int, int], str]) -> dict[Any, str]:
    """{(row, column): text} that Baran suggests for the named cells."""
    data = package.Dataset(table)
    data.detected_cells = dict(named)
    correction = package.Correction()
    correction.LABELING_BUDGET, correction.SAVE_RESULTS = LABELLED, False
    found: dict[Any, str] = correction.run(data)
    return found
