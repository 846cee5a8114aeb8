"""`bench update`: new rows by what a run has learned: how long it takes, and whether the numbers are the same.

Adult with planted errors, mlp1, 1 % of the training rows kept back. Everything is done by the command line, so that its
start counts; the seconds of the job alone are those that the run folder tells.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from demix_core.benchmark._tables import ASSETS, load
from demix_core.errors import DemixError
from demix_core.planting import split_and_plant
from demix_core.store import Run
from demix_core.types import ErrorType

TABLE, ALPHA, SEED, SHARE = "adult", 0.5, 2026, 0.01
P = [kind.probability_column for kind in ErrorType]
FLAGS = [kind.value for kind in ErrorType]


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """Time and largest differences of probability; quick: a tenth of the rows."""
    frame, schema = load(TABLE)
    if quick:
        frame = frame.sample(len(frame) // 10, random_state=seed).reset_index(drop=True)
    parts = split_and_plant(frame, schema, "paper", ALPHA, seed)
    rows = parts.train.frame.reset_index(drop=True)
    new = np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(1, round(SHARE * len(rows)))])
    old = np.setdiff1d(np.arange(len(rows)), new)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        parts.validation.frame.to_csv(place / "validation.csv", index=False)
        held = ["--target", schema.target, "--seed", str(seed), "--validation", str(place / "validation.csv")]
        full, full_time = _diagnose(place, "old", rows.iloc[old], held)
        by_run = ["--update", str(full.path)]
        some, some_time = _diagnose(place, "new", rows.iloc[new], by_run)
        numbered = pd.concat([rows.iloc[old].assign(row_id=np.arange(len(old))), rows.iloc[new]])
        both, both_time = _diagnose(place, "both", numbered.astype({"row_id": "Int64"}), by_run)
        anew, anew_time = _diagnose(place, "anew", rows, held)
        lines = [
            _line("the run itself", full, full_time),
            _line("new rows by the run", some, some_time),
            _line("all rows by the run", both, both_time),
            _line("all rows diagnosed anew", anew, anew_time),
        ]
        compared = _compare(full.diagnosis(), some.diagnosis(), both.diagnosis(), anew.diagnosis(), new)
    return {
        "name": "update", "table_name": TABLE, "rows": len(old), "new": len(new), "seed": seed, "model": "mlp1",
        "threads": torch.get_num_threads(), "share_of_time": some_time[0] / full_time[0],
        "share_of_command_time": some_time[1] / full_time[1], **compared, "table": lines,
    }  # fmt: skip


def _compare(
    full: pd.DataFrame, some: pd.DataFrame, both: pd.DataFrame, anew: pd.DataFrame, new: np.ndarray
) -> dict[str, float]:
    """Largest differences that must be none, and how far a diagnosis with refitting differs."""
    alone, among = some[P].to_numpy(), both[P].to_numpy()
    refitted = anew.set_index("row_id").loc[new]
    return {
        "largest difference, new rows alone or with all": float(np.abs(alone - among[len(full) :]).max()),
        "largest difference, rows of the run diagnosed again": float(
            np.abs(full[P].to_numpy() - among[: len(full)]).max()
        ),
        "mean difference from a diagnosis anew": float(np.abs(alone - refitted[P].to_numpy()).mean()),
        "flags as in a diagnosis anew": float((some[FLAGS].to_numpy() == refitted[FLAGS].to_numpy()).mean()),
    }


def _diagnose(place: Path, name: str, frame: pd.DataFrame, words: Sequence[str]) -> tuple[Run, tuple[float, float]]:
    """(run, seconds of the job and of the command)."""
    table, folder = place / f"{name}.csv", place / f"{name}-run"
    frame.to_csv(table, index=False)
    command = [sys.executable, "-m", "demix_core", "diagnose", str(table), *words, "--out", str(folder)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ASSETS.parent, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise DemixError(done.stderr.strip())
    made = Run.open(folder)
    return made, (float(made.summary()["seconds"]), seconds)


def _line(what: str, made: Run, seconds: tuple[float, float]) -> dict[str, Any]:
    return {
        "what": what, "rows": len(made.diagnosis()), "seconds": round(seconds[0], 2),
        "with start": round(seconds[1], 2), "peak MB": made.summary()["peak_mb"],
    }  # fmt: skip
