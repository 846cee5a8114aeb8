"""Trains the task model on one version of the training table, with several seeds, and predicts the measured rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_numeric
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit, predict
from demix_core.settings import FitSettings
from demix_core.types import Progress, Schema, ShouldStop, Task, never_stop, no_progress


@dataclass(frozen=True)
class Arm:
    """One version of the training rows. weights: float [n], or None for all alike."""

    name: str
    frame: pd.DataFrame
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Trainer:
    """What every arm shares: schema, settings of the model, the rows that stop training early, the measured rows."""

    schema: Schema
    settings: FitSettings
    validation: pd.DataFrame
    measured: Mapping[str, pd.DataFrame]

    def predictions(
        self, arm: Arm, seeds: Sequence[int], progress: Progress = no_progress, should_stop: ShouldStop = never_stop
    ) -> dict[str, list[np.ndarray]]:
        """Per measured part one array per seed: float32 [n, K] probabilities, or [n, 1] in target units.

        The encoder is fitted on the arm's own rows: scales and categories are part of what repairs mend.
        """
        encoder = TabularEncoder.fit(arm.frame, self.schema)
        train, held = encoder.transform(arm.frame), encoder.transform(self.validation)
        inputs = {name: encoder.transform(frame).x for name, frame in self.measured.items()}
        out: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
        for i, seed in enumerate(seeds):

            def tell(fraction: float, message: str, i: int = i) -> None:
                progress((i + fraction) / len(seeds), f"{arm.name}: seed {i + 1} of {len(seeds)}")

            fitted = fit(
                train, held, self.schema.task, encoder.n_outputs, self.settings, seed, tell, should_stop, arm.weights
            )
            for name, x in inputs.items():
                p = predict(fitted.network, x, self.schema.task)
                out[name].append(p if self.schema.classes else p * encoder.target_std + encoder.target_mean)
        return out


def truth(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The target of measured rows: int64 class ids, or float64 numbers."""
    if schema.task is Task.REGRESSION:
        return to_numeric(frame[schema.target])
    return pd.Index(schema.classes, dtype=object).get_indexer(pd.Index(labels(frame[schema.target]), dtype=object))
