"""A network that stands in for a person's own model: it learns what that model predicts, not the labels.

Influence and training dynamics need gradients, which trees or a remote service do not give; a network that answers as
they do has them (knowledge distillation, Hinton, Vinyals and Dean 2015, arXiv 1503.02531, at temperature 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix_core.models.training import fit, predict
from demix_core.settings import FitSettings
from demix_core.types import Encoded, FittedModel, Progress, ShouldStop, Task, never_stop, no_progress

FAR_TOO_WELL = 0.5
"""Predictions with less than this share of a cross-validated learner's error were made on rows learned by heart."""

LEAST_P = 1e-7


@dataclass(frozen=True)
class Answers:
    """What the person's model predicts. train: float32 [N, K] class probabilities, or [N, 1] standardised predictions;
    validation: the same [V, K]; NaN in rows that it says nothing of.
    """

    train: np.ndarray
    validation: np.ndarray


def fit_stand_in(
    train: Encoded,
    validation: Encoded,
    task: Task,
    answers: Answers,
    settings: FitSettings,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> FittedModel:
    """As `fit`, but for the answers; the epoch is kept that answers most alike on validation rows, where there are any.

    Rows without an answer are learned by their label.
    """
    k, held = answers.train.shape[1], answers.validation
    known = np.isfinite(held).all(1)

    def apart(predicted: np.ndarray) -> float:
        return float(_apart(predicted[known], held[known], task).mean())

    return fit(
        train, validation, task, k, settings, seed, progress, should_stop,
        criterion=apart if known.any() else None, teacher=answers.train,
    )  # fmt: skip


def _apart(predicted: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """float [n]: the cross-entropy between both, or half the squared distance."""
    if task is Task.CLASSIFICATION:
        return np.asarray(-(answers * np.log(np.maximum(predicted, LEAST_P))).sum(1))
    return np.asarray(0.5 * (predicted[:, 0] - answers[:, 0]) ** 2)


def alike(model: FittedModel, x: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """How well the network stands in on rows x with these answers; NaN where no row has one.

    Classification: the share of rows for which both name the same class. Regression: R² of its predictions for theirs.
    """
    known = np.isfinite(answers).all(1)
    if not known.any():
        return float("nan")
    mine, theirs = predict(model.network, x[known], task), answers[known]
    if task is Task.CLASSIFICATION:
        return float((mine.argmax(1) == theirs.argmax(1)).mean())
    return 1 - float(((mine - theirs) ** 2).sum() / max(((theirs - theirs.mean()) ** 2).sum(), 1e-12))


def learned_by_heart(answers: np.ndarray, cross_validated: np.ndarray, y: np.ndarray, task: Task) -> bool:
    """Whether answers fit the labels y [N] so much better than cross-validated ones that they can't be such.

    answers, cross_validated: [N, K] probabilities, or [N, 1] standardised predictions. Classification: the share of
    labels missed; regression: the median absolute distance.
    """
    known = np.isfinite(answers).all(1)
    theirs, ours = (_error(p[known], y[known], task) for p in (answers, cross_validated))
    return bool(known.any()) and theirs < FAR_TOO_WELL * ours


def _error(p: np.ndarray, y: np.ndarray, task: Task) -> float:
    if not len(y):
        return 0.0
    return float((p.argmax(1) != y).mean() if task is Task.CLASSIFICATION else np.median(np.abs(p[:, 0] - y)))
