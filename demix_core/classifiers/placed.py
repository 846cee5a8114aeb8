"""Error types of rows to come, by what a run has learned: nothing is fitted, the run's rows stay what they are.

The same passes as detect.detect, with ranks, context and all that is usual taken from the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demix_core.classifiers.cell_features import placed_cell_features
from demix_core.classifiers.described import describe
from demix_core.classifiers.detect import SHIPPED, Case, Standing, believe_signs, classify, profiles
from demix_core.classifiers.environment import look_through
from demix_core.classifiers.features import Features, join, side_features, with_placed_ranks
from demix_core.classifiers.network import Dec, load_checkpoint
from demix_core.classifiers.thresholds import shifted
from demix_core.influence.vectors import Factors
from demix_core.models.training import predict, row_losses
from demix_core.settings import Settings
from demix_core.signals.base import Signals


@dataclass(frozen=True)
class Placed:
    """Of m rows to come, as the fields of detect.Detection."""

    probabilities: np.ndarray
    wrong: np.ndarray
    embedding: np.ndarray
    harm: np.ndarray
    grad_norm: np.ndarray
    loss: np.ndarray
    predictions: np.ndarray
    described: np.ndarray | None


@dataclass(frozen=True)
class Known:
    """What a run knows. signals: of its N rows; factors: of the M measured validation rows; where: int64 [m], the
    place of each row's old version among the N, signals.placing.NEW for none.
    """

    standing: Standing
    signals: Signals
    factors: Factors
    where: np.ndarray


def place(case: Case, known: Known, settings: Settings) -> Placed:
    """Name the errors of m rows to come. case: theirs, with the M measured validation rows as in the factors.

    The losses of case.fitted are [E, m], those of these rows. A row's numbers do not depend on those it comes with.
    """
    chosen, task = settings.diagnose.classifier, case.schema.task
    dec = load_checkpoint(SHIPPED if chosen == "shipped" else Path(chosen))
    harm, norm, _ = profiles(case, case.validation, known.factors, settings)
    environment = look_through(case.fitted, case.validation, known.standing.rows, task)
    predictions = predict(case.fitted.network, case.train.x, task)
    loss = row_losses(case.fitted.network, case.train, task)
    side, _ = side_features(
        case.frame, case.schema, case.train, case.fitted, predictions, loss, case.signals, known.standing.usual,
        known.where,
    )  # fmt: skip
    features = _ranked(dec, join([side, environment.statistics(case.train)]), known)
    cells = placed_cell_features(case.schema, case.signals, known.signals, known.where)
    picked, standing = (features, known.standing.context), known.standing
    named = classify(dec, picked, cells, environment, case.train, standing.column_odds)
    own = believe_signs(shifted(named.probabilities, standing.own_shift), cells.negative)
    p = shifted(own, standing.shift).astype(np.float32)
    described = None if standing.scale is None else describe(standing.scale, features, cells.own, named.looks)
    return Placed(p, named.wrong, named.embedding, harm, norm, loss, predictions, described)


def _ranked(dec: Dec, features: Features, known: Known) -> np.ndarray:
    """float32 [m, F]: what the classifier reads of each row."""
    standing = known.standing
    whole = with_placed_ranks(features, standing.ranked, standing.columns, known.where)
    return dec.pick_features(whole)
