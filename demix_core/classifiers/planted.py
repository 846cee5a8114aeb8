"""Learning from this very table (`--calibrate`): errors planted into copies of it show what errors look like here.

The shipped classifier has learnt what errors look like on other tables. Errors planted into copies of this one are
known, but its own are not, and must not be taught as clean: the rows that nothing was planted into keep the shipped
classifier's probability as a soft label. Boosted trees are fitted to that, and the mean of both log-odds is used.

Cost: COPIES times fit, signals and detection of at most MOST_ROWS rows, whatever the size of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from demix_core.classifiers.cell_features import cell_features
from demix_core.classifiers.detect import Case, Detection, believe_signs, classify, dec_of, limits, row_features, within
from demix_core.classifiers.environment import make_environment
from demix_core.classifiers.network import Dec
from demix_core.classifiers.thresholds import shift_to_share, shifted
from demix_core.corruption import Corrupted, inject_all
from demix_core.errors import Cancelled
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit
from demix_core.settings import Settings
from demix_core.signals.base import compute
from demix_core.types import ErrorType, Progress, Schema, ShouldStop, never_stop, no_progress
from demix_core.workers import one_thread

COPIES = 3
PROTOCOL = "wide"
MOST_ROWS = 20_000
"""A larger table is sampled before errors are planted."""

SHARE_OF_TREES = 0.5
"""Weight of the trees' log-odds; the rest is the shipped classifier's."""

WORST_CELLS = 3
"""So many of a row's most suspect cells are shown to the trees."""

TREES = {
    "max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 15, "min_samples_leaf": 40, "l2_regularization": 1.0,
    "max_features": 0.3, "early_stopping": False,
}  # fmt: skip
LEAST = 1e-4
"""Probabilities are kept this far from 0 and 1."""


@dataclass(frozen=True)
class PlantedCopy:
    """A copy with planted errors. x: float32 [n, F]; p: float32 [n, 3], the shipped classifier's probabilities;
    planted: bool [n, 3]; kept: int64 [n], positions in the table.
    """

    x: np.ndarray
    p: np.ndarray
    planted: np.ndarray
    kept: np.ndarray


def make_case(train: pd.DataFrame, validation: pd.DataFrame, schema: Schema, settings: Settings) -> Case:
    """Encode, fit and compute signals: the stages before detection. Both tables typed, RangeIndex."""
    encoder = TabularEncoder.fit(train, schema)
    rows, held = encoder.transform(train), encoder.transform(validation)
    fitted = fit(rows, held, schema.task, encoder.n_outputs, settings.fit, settings.seed)
    return Case(train, schema, rows, held, fitted, compute(train, schema, settings.seed))


def calibrate(
    found: Detection,
    case: Case,
    validation: pd.DataFrame,
    settings: Settings,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Detection:
    """The detection with probabilities, thresholds and estimates that have learnt from this table.

    validation: the validation rows that case.validation encodes. Cancelled when should_stop says so.
    """
    dec = dec_of(settings)
    copies = plant_copies(case, validation, settings, within(progress, 0.0, COPIES / (COPIES + 1)), should_stop)
    progress(COPIES / (COPIES + 1), "Learning from planted errors")
    here = _learn(copies, _inputs_of(dec, case, found, settings), found.probabilities, settings)
    p = blend(found.probabilities, here)
    if settings.diagnose.expected_error_share > 0:
        p = shift_to_share(p, settings.diagnose.expected_error_share).astype(np.float32)
    thresholds, told = limits(p, dec)
    return replace(found, probabilities=p, thresholds=thresholds, trust=told)


def plant_copies(
    case: Case,
    validation: pd.DataFrame,
    settings: Settings,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> list[PlantedCopy]:
    """COPIES copies of the table with planted errors, looked at as the table itself is. Cancelled: asked to stop."""
    dec, copies = dec_of(settings), []
    for k in range(COPIES):
        if should_stop():
            raise Cancelled("Stopped while looking for planted errors.")
        progress(k / COPIES, f"Planting errors into a copy and finding them, {k + 1} of {COPIES}")
        copies.append(_copy(dec, case, validation, settings, k))
    return copies


def by_the_others(copies: list[PlantedCopy], table: np.ndarray, settings: Settings) -> list[np.ndarray]:
    """float32 [n, 3] per copy: what a classifier that has learnt from the other copies says of it.

    table: float [N, 3], the probabilities of the table's own rows.
    """
    return [blend(copy.p, _learn([c for c in copies if c is not copy], copy.x, table, settings)) for copy in copies]


def blend(shipped: np.ndarray, here: np.ndarray) -> np.ndarray:
    """float32: the weighted mean of both log-odds, as probabilities."""
    odds = SHARE_OF_TREES * _log_odds(here) + (1 - SHARE_OF_TREES) * _log_odds(shipped)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(p, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(p / (1 - p)))


def _copy(dec: Dec, case: Case, validation: pd.DataFrame, settings: Settings, number: int) -> PlantedCopy:
    """One copy, with everything done to it that is done to the table itself."""
    rng = np.random.default_rng([settings.seed, number])
    seed = int(rng.integers(2**31))
    sample = np.sort(rng.permutation(len(case.frame))[:MOST_ROWS])
    held = np.sort(rng.permutation(len(validation))[: MOST_ROWS // 4])
    tables = [case.frame.iloc[sample].reset_index(drop=True), validation.iloc[held].reset_index(drop=True)]
    dirty, held_dirty = inject_all(tables, case.schema, PROTOCOL, None, seed)
    copy = make_case(
        dirty.frame, _of_known_classes(held_dirty, dirty, case.schema), case.schema, replace(settings, seed=seed)
    )
    environment = make_environment(copy.fitted, copy.validation, case.schema.task, rng)
    features, *_ = row_features(copy, environment)
    cells = cell_features(case.schema, copy.signals)
    named = classify(dec, dec.pick(features), cells, environment, copy.train)
    p = shifted(named.probabilities, dec.own_shifts(named.probabilities))
    p = believe_signs(p, cells.negative).astype(np.float32)
    planted = dirty.truth[[kind.value for kind in ErrorType]].to_numpy(bool)
    return PlantedCopy(_inputs(features.values, p, named.wrong), p, planted, sample[dirty.kept])


def _of_known_classes(held: Corrupted, train: Corrupted, schema: Schema) -> pd.DataFrame:
    """Validation rows whose class the copy's training rows still have."""
    if not schema.classes:
        return held.frame
    return held.frame[held.frame[schema.target].isin(train.frame[schema.target])].reset_index(drop=True)


def _inputs_of(dec: Dec, case: Case, found: Detection, settings: Settings) -> np.ndarray:
    """The table's own rows, as the copies' are described."""
    environment = make_environment(
        case.fitted, case.validation, case.schema.task, np.random.default_rng([settings.seed, COPIES])
    )
    features, *_ = row_features(case, environment)
    return _inputs(features.values, found.probabilities, found.wrong)


def _inputs(features: np.ndarray, p: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """float32 [n, F + 3 + WORST_CELLS]: features, the shipped classifier's word on the row and on its worst cells."""
    worst = -np.sort(-wrong, 1)[:, :WORST_CELLS]
    worst = np.pad(worst, ((0, 0), (0, WORST_CELLS - worst.shape[1])))
    return np.concatenate([features, _log_odds(p), _log_odds(worst)], 1).astype(np.float32)


@one_thread()
def _learn(copies: list[PlantedCopy], rows: np.ndarray, shipped: np.ndarray, settings: Settings) -> np.ndarray:
    """float64 [N, 3]: what trees fitted to the copies say of the table's rows. shipped: [N, 3]."""
    x = np.concatenate([c.x for c in copies])
    learnt = []
    for k in range(len(ErrorType)):
        soft = np.concatenate([np.where(c.planted[:, k], 1.0, shipped[c.kept, k]) for c in copies])
        trees = HistGradientBoostingRegressor(**TREES, random_state=settings.seed).fit(x, soft)
        learnt.append(trees.predict(rows))
    return np.stack(learnt, 1)
