"""A finished run of any size in the format of the run folder, drawn at random in seconds, for measuring the screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.store import JobState, Manifest, Run, Status, now, patch_table, write_json, write_table
from demix_core.types import Column, ColumnKind, ErrorType, Schema, Task

NUMERIC, CATEGORICAL, CLASSES, TARGET = 6, 5, ("no", "yes"), "target"
SUSPECT_SHARE, VALIDATION = 0.05, 200


def make(folder: Path, n: int, seed: int = 0) -> Run:
    """Writes the run: n training rows of 12 columns, 5 % of them with one suggestion; no model, so no evidence."""
    run, r = Run(folder), np.random.default_rng(seed)
    (folder / "input").mkdir(parents=True)
    (folder / "input" / "train.csv").write_text(TARGET + "\n", encoding="utf-8")
    rows, schema = _table(n + VALIDATION, r)
    diagnosis = _diagnosis(n, r)
    write_table(run / "rows.parquet", rows.rename_axis("row_id").reset_index())
    parts = np.where(np.arange(n + VALIDATION) < n, "train", "validation")
    write_table(run / "split.parquet", pd.DataFrame({"row_id": np.arange(n + VALIDATION), "part": parts}))
    held = rows.iloc[n:].rename_axis("validation_id").reset_index()
    write_table(run / "validation.parquet", held.assign(__target_id=0))
    patches = _patches(rows, diagnosis)
    write_table(run / "patches.parquet", patches)
    diagnosis["suspect_columns"] = pd.Series([[]] * n, dtype=object)
    write_table(run / "diagnosis.parquet", diagnosis)
    for method in ("umap", "pca"):
        write_table(run / f"map_{method}.parquet", diagnosis[["row_id", "x", "y"]])
    run.write_schema(schema)
    write_json(run / "summary.json", {"rows": n, "thresholds": {t.value: 0.5 for t in ErrorType}})
    inputs = {"train": {"name": "synthetic.csv", "file": "input/train.csv", "sha256": "0" * 64, "bytes": 7}}
    run.write_manifest(Manifest(now(), {}, inputs, {}))
    run.write_status(Status(JobState.DONE, overall=1.0))
    return run


def _table(n: int, r: np.random.Generator) -> tuple[pd.DataFrame, Schema]:
    cells: dict[str, np.ndarray] = {}
    for k in range(NUMERIC):
        cells[f"number {k}"] = r.normal(40, 12, n).round(1).astype(str)
    for k in range(CATEGORICAL):
        cells[f"kind {k}"] = np.array([f"value {i}" for i in range(4 + 3 * k)])[r.integers(0, 4 + 3 * k, n)]
    cells[TARGET] = np.array(CLASSES)[r.integers(0, 2, n)]
    kinds = [ColumnKind.NUMERIC if c.startswith("number") else ColumnKind.CATEGORICAL for c in cells]
    columns = tuple(Column(c, k) for c, k in zip(cells, kinds, strict=True))
    return pd.DataFrame(cells), Schema(columns, TARGET, Task.CLASSIFICATION, CLASSES)


def _diagnosis(n: int, r: np.random.Generator) -> pd.DataFrame:
    chance = r.beta(1.2, 12, (n, 3)).clip(0, 0.49).astype(np.float32)
    suspects = r.permutation(n)[: int(n * SUSPECT_SHARE)]
    kind = r.integers(0, 3, len(suspects))
    chance[suspects, kind] = r.uniform(0.55, 0.99, len(suspects))
    centres = r.normal(0, 4, (12, 2))
    xy = (centres[r.integers(0, 12, n)] + r.normal(0, 0.8, (n, 2))).astype(np.float32)
    columns: dict[str, np.ndarray] = {"row_id": np.arange(n)}
    columns |= {t.probability_column: chance[:, k] for k, t in enumerate(ErrorType)}
    columns |= {t.value: chance[:, k] > 0.5 for k, t in enumerate(ErrorType)}
    return pd.DataFrame(columns | {"x": xy[:, 0], "y": xy[:, 1]})


def _patches(rows: pd.DataFrame, diagnosis: pd.DataFrame) -> pd.DataFrame:
    found = []
    for kind, action, column, new in (
        (ErrorType.LABEL, "relabel", TARGET, CLASSES[1]),
        (ErrorType.FEATURE, "impute", "number 0", "40.0"),
        (ErrorType.SPURIOUS, "reweight", None, "2"),
    ):
        mine = diagnosis.loc[diagnosis[kind.value], ["row_id", kind.probability_column]].to_numpy()
        ids = mine[:, 0].astype(np.int64)
        old = rows[column].to_numpy()[ids] if column else np.full(len(ids), "1")
        found.append(pd.DataFrame({
            "row_id": ids, "error_type": kind.value, "action": action, "column": column, "old": old, "new": new,
            "confidence": mine[:, 1], "reason": "Drawn at random, for measuring the screen.", "gain": 1e-6,
            "recommended": mine[:, 1] > 0.8, "alternatives": "[]", "pattern": "", "partner": "",
        }))  # fmt: skip
    patches = pd.concat(found).sort_values("row_id", ignore_index=True)
    patches.insert(0, "patch_id", np.arange(len(patches)))
    return patches.astype(patch_table([]).dtypes.to_dict())
