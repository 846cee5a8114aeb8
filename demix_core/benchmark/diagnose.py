"""How long a whole diagnosis takes and what memory it needs (DESIGN §9): Adult with planted errors, mlp1."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from demix_core.benchmark._tables import load
from demix_core.pipeline import diagnose
from demix_core.planting import split_and_plant
from demix_core.settings import LoadSettings, Settings
from demix_core.summary import score

TABLE, ALPHA, SEED = "adult", 0.5, 2026


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """Seconds and peak memory of every stage, of the run as `diagnose` itself writes it; quick: a tenth of the rows.

    The table is read from CSV, validation from a file of its own, and everything is written to a run folder.
    """
    frame, schema = load(TABLE)
    if quick:
        frame = frame.sample(len(frame) // 10, random_state=seed).reset_index(drop=True)
    parts = split_and_plant(frame, schema, "paper", ALPHA, seed)
    with tempfile.TemporaryDirectory() as scratch:
        train, validation = Path(scratch) / "train.csv", Path(scratch) / "validation.csv"
        parts.train.frame.to_csv(train, index=False)
        parts.validation.frame.to_csv(validation, index=False)
        settings = Settings(load=LoadSettings(target=schema.target), seed=seed)
        made = diagnose(train, Path(scratch) / "run", settings, validation)
        summary = made.summary()
        scores = score(made.diagnosis(), parts.train.truth.set_index("row_id"))
    stages = [{"stage": name, **cost} for name, cost in summary["stages"].items()]
    total = {"stage": "all", "seconds": summary["seconds"], "peak_mb": summary["peak_mb"]}
    return {
        "name": "diagnose", "table_name": TABLE, "rows": len(parts.train.frame), "seed": seed, "model": "mlp1",
        "threads": torch.get_num_threads(), "f1": {s.error_type.value: s.f1 for s in scores}, "table": [*stages, total],
    }  # fmt: skip
