"""Trains the task model on one version of the training table, with several seeds, and predicts the measured rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_numeric
from demix_core.evaluation.metrics import METRICS, Measured
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
        criterion = _criterion(self.schema, truth(self.validation, self.schema), encoder)
        train, held = encoder.transform(arm.frame), encoder.transform(self.validation)
        inputs = {name: encoder.transform(frame).x for name, frame in self.measured.items()}
        out: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
        for i, seed in enumerate(seeds):

            def tell(fraction: float, message: str, i: int = i) -> None:
                progress((i + fraction) / len(seeds), f"{arm.name}: seed {i + 1} of {len(seeds)}")

            fitted = fit(
                train,
                held,
                self.schema.task,
                encoder.n_outputs,
                self.settings,
                seed,
                tell,
                should_stop,
                arm.weights,
                criterion,
            )
            for name, x in inputs.items():
                p = predict(fitted.network, x, self.schema.task)
                out[name].append(p if self.schema.classes else p * encoder.target_std + encoder.target_mean)
        return out


def _criterion(schema: Schema, y: np.ndarray, encoder: TabularEncoder) -> Callable[[np.ndarray], float]:
    """What chooses the epoch: 1 − AUC, or the mean absolute error, on the validation rows.

    Not their loss: where some of their labels are wrong it punishes a model for being sure, and so one that was
    trained on repaired rows; ranks and absolute errors bear wrong rows.
    """
    area = METRICS[Task.CLASSIFICATION][0]
    one, none = np.ones((1, len(y))), np.full(len(y), -1)

    def of(p: np.ndarray) -> float:
        if schema.classes:
            found = float(area.measure(Measured(p, y, none), one)[0])
            return 1 - found if np.isfinite(found) else 1.0
        return float(np.abs(p[:, 0] * encoder.target_std + encoder.target_mean - y).mean())

    return of


def truth(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The target of measured rows: int64 class ids, or float64 numbers."""
    if schema.task is Task.REGRESSION:
        return to_numeric(frame[schema.target])
    return pd.Index(schema.classes, dtype=object).get_indexer(pd.Index(labels(frame[schema.target]), dtype=object))
