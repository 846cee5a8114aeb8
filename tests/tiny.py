"""A table of a few hundred rows and an error classifier of random weights: whole diagnoses in a second or two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from demix_core.classifiers.network import Dec, Shape, save_checkpoint
from demix_core.pipeline import diagnose
from demix_core.projection import principal
from demix_core.settings import DiagnoseSettings, FitSettings, LoadSettings, MapSettings, Settings


def table(path: Path, n: int = 240, seed: int = 0) -> Path:
    """CSV with a number, a category, an identifier and a label; some labels and cells are wrong."""
    r = np.random.default_rng(seed)
    age = r.integers(18, 80, n)
    job = r.choice(["clerk", "smith", "baker"], n)
    rich = (age > 45) ^ (r.random(n) < 0.08)
    hours = r.integers(20, 60, n)
    hours[r.random(n) < 0.05] = 999
    frame = pd.DataFrame({"age": age, "job": job, "hours": hours, "income": np.where(rich, "high", "low")})
    frame.to_csv(path, index=False)
    return path


def classifier(path: Path) -> Path:
    """An untrained DEC that reads two features and all channels."""
    torch.manual_seed(2)
    shape = Shape(
        features=("oof_p", "oof_margin"), context=("mean:oof_p",), channels=(0, 1, 2, 3, 4, 5), hidden=8, inducing=4,
        cell_hidden=8, side_hidden=8, tokens=8,
    )  # fmt: skip
    network = Dec(shape)
    with torch.no_grad():
        network.feature_mean[:], network.feature_sd[:] = 0.8, 0.1  # so that rows differ
        network.calibration[:, 0] = 8.0
        network.calibration[:, 1] = -1.0
        network.share[:, 1] = 0.2  # so that a table's own word is heard
    save_checkpoint(network.eval(), path)
    return path


def suggested(frame: pd.DataFrame, column: str, target: str, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """(what the shipped classifier's diagnosis suggests for one column, by row id; the rows that were diagnosed)."""
    frame.to_csv(folder / "table.csv", index=False)
    chosen = Settings(load=LoadSettings(target=target), map=MapSettings(method="pca"))
    run = diagnose(folder / "table.csv", folder / "run", chosen)
    patches = run.patches()
    return patches[patches["column"] == column].set_index("row_id"), run.diagnosis()["row_id"].to_numpy()


def flat_map(embedding: np.ndarray, method: str, seed: int, *told: object) -> np.ndarray:
    """In place of projection.project, which takes seconds: principal components."""
    return principal(embedding)


def settings(dec: Path, **changes: object) -> Settings:
    """Linear model, few epochs."""
    quick = Settings(
        fit=FitSettings(model="linear", epochs=3, batch_size=64),
        diagnose=DiagnoseSettings(classifier=str(dec)),
        map=MapSettings(method="tsne"),
    )
    return replace(quick, **changes)
