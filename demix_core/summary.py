"""summary.json: what a diagnosis found, how, at what cost; and how well, where the truth is known."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.errors import InputError
from demix_core.store import Manifest, Run
from demix_core.types import ErrorType

PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "torch", "umap-learn", "openTSNE")

ESTIMATED = (
    "wrong: the mean calibrated probability over all rows; right: over the flagged ones. low to high holds for 90 % of "
    "the tasks from public tables that training never saw; how often it does on other tables: see bench detect"
)


def summarise(run: Run, manifest: Manifest, notes: Sequence[str]) -> dict[str, Any]:
    """The content of summary.json for a finished run. notes: what a person should know of it."""
    diagnosis, patches = run.diagnosis(), run.suggested()
    flags = diagnosis[[k.value for k in ErrorType]]
    split = run.split()["part"].value_counts()
    settings, fitted = manifest.settings, run.json("fit.json")
    given = settings["diagnose"].get("thresholds", {})
    return {
        "rows": len(diagnosis),
        "validation_rows": len(run.validation()),
        "flagged_rows": int(flags.any(axis=1).sum()),
        "counts": {k.value: int(flags[k.value].sum()) for k in ErrorType},
        "patches": {str(k): int(v) for k, v in patches["action"].value_counts().items()},
        "declined": run.json("suggest.json")["declined"],
        "thresholds": run.json("detection/detection.json")["thresholds"] | given,
        "thresholds_chosen": _how(settings["diagnose"]),
        "thresholds_by_hand": given,
        "estimated": run.json("detection/detection.json")["trust"],
        "estimated_how": ESTIMATED,
        "laws": laws_of(run),
        "classifier": settings["diagnose"]["classifier"],
        "calibrated": settings["diagnose"].get("calibrate", False),
        "model": {**fitted, "own_weights": "weights" in manifest.inputs},
        "maps": {m: facts for m in run.projections() if (facts := run.projection_facts(m)) is not None},
        "notes": list(notes),
        "fitting": {"rows": int(split.get("train", 0)), "where": "split.parquet, part = train"},
        "validation": _validation(manifest, int(split.get("validation", 0)), len(run.validation())),
        "stages": {n: {"seconds": s.seconds, "peak_mb": s.peak_mb} for n, s in manifest.stages.items()},
        "seconds": round(sum(s.seconds for s in manifest.stages.values()), 3),
        "peak_mb": max((s.peak_mb for s in manifest.stages.values()), default=0.0),
        "seed": settings["seed"],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "inputs": manifest.inputs,
    }


def laws_of(run: Run) -> list[dict[str, Any]]:
    """The laws between columns that rows of the run break, most broken first: each in words, and how many rows do."""
    if not (run / "signals" / "laws-rows.npy").exists():  # a run of an earlier version, or one without its signals
        return []
    said, rows = run.array("signals/laws-said.npy"), run.array("signals/laws-rows.npy")
    return [{"law": str(said[i]), "rows": int(rows[i])} for i in np.argsort(-rows, kind="stable") if rows[i]]


def _how(diagnose: dict[str, Any]) -> str:
    share = diagnose["expected_error_share"]
    told = f", after moving them to your word on the share of rows with an error ({share:g})" if share > 0 else ""
    by_hand = "; those set by hand as given" if diagnose.get("thresholds") else ""
    best = "per type, the threshold of the largest expected F1 under the calibrated probabilities"
    return f"{best}{told}; one half, which none reaches, where probably none of the rows above has it{by_hand}"


def _validation(manifest: Manifest, held_out: int, measured: int) -> dict[str, Any]:
    own = "validation" in manifest.inputs
    where = f"the file {manifest.inputs['validation']['name']}" if own else "split.parquet, part = validation"
    described: dict[str, Any] = {"where": where, "influence_measured_on": measured}
    return described if own else {"rows": held_out, **described}


@dataclass(frozen=True)
class Score:
    """How one error type was found among the training rows whose truth is known; shares in [0, 1]."""

    error_type: ErrorType
    rows: int
    wrong: int
    flagged: int
    precision: float
    recall: float
    f1: float


def read_truth(path: Path) -> pd.DataFrame:
    """A truth file as `inject` writes it: label_error, feature_error, spurious (and columns), indexed by row_id."""
    if not path.is_file():
        raise InputError(f"There is no truth file '{path}'; check the path.")
    try:
        frame = pd.read_csv(path, encoding="utf-8")
    except (ValueError, OSError) as error:
        raise InputError(f"The truth file '{path}' can't be read as CSV; give the one that 'inject' wrote.") from error
    missing = [c for c in ("row_id", *(k.value for k in ErrorType)) if c not in frame]
    if missing:
        raise InputError(f"The truth file '{path}' has no column '{missing[0]}'; give the one that 'inject' wrote.")
    return frame.set_index("row_id")


def score(diagnosis: pd.DataFrame, truth: pd.DataFrame) -> list[Score]:
    """Precision, recall and F1 per type over the diagnosed rows; InputError when the truth speaks of other rows.

    F1 is 0 where nothing was wrong or nothing found; a precision of nothing flagged is 0.
    """
    if not diagnosis["row_id"].isin(truth.index).all():
        raise InputError("The truth file does not speak of every row of the table; give the one written beside it.")
    known = truth.loc[diagnosis["row_id"]]
    return [_score(kind, diagnosis[kind.value].to_numpy(bool), known[kind.value].to_numpy(bool)) for kind in ErrorType]


def _score(kind: ErrorType, flagged: np.ndarray, wrong: np.ndarray) -> Score:
    hits, said, there = int((flagged & wrong).sum()), int(flagged.sum()), int(wrong.sum())
    f1 = 2 * hits / (said + there) if said + there else 0.0
    return Score(kind, len(wrong), there, said, hits / said if said else 0.0, hits / there if there else 0.0, f1)
