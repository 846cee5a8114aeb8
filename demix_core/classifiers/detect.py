"""Which rows have which errors: one environment, two streamed passes (statistics and their ranks, then the DEC).

Cost: 2·(2·N·M·Σ_l(D_l + K_l)) flops of influence at M ≤ 256, one pass at all M validation rows for the harm of
each row, and N set-transformer passes over `tokens` validation rows. Memory: O(block × M), and N × F side features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from demix_core.classifiers.cell_features import CellFeatures, cell_features
from demix_core.classifiers.column_odds import believe_columns, column_odds
from demix_core.classifiers.described import Scale, describe
from demix_core.classifiers.environment import Environment, make_environment, subset
from demix_core.classifiers.features import RANK, Features, join, side_features, with_ranks
from demix_core.classifiers.network import Dec, Rows, load_checkpoint
from demix_core.classifiers.thresholds import Trust, share_shift, shifted, threshold, trust
from demix_core.classifiers.usual import Usual
from demix_core.errors import Cancelled
from demix_core.influence.vectors import Factors, factorise, stream
from demix_core.models.training import predict, row_losses
from demix_core.settings import Settings
from demix_core.signals.base import Signals
from demix_core.signals.laws import SURE
from demix_core.types import (
    Encoded,
    ErrorType,
    FittedModel,
    Progress,
    Schema,
    ShouldStop,
    Task,
    never_stop,
    no_progress,
)

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "dec.safetensors"
CURVE = 101
"""Points of a typical profile: quantiles 0, 1, …, 100 %."""

TYPICAL_ROWS = 4000
DEC_BATCH = 1024
DOUBT = 0.05
"""Added to P(cell wrong) before cells are compared: the classifier may be mistaken."""


@dataclass(frozen=True)
class Standing:
    """What rows to come are read against, of N rows of a run.

    usual: numbers of the whole table; ranked: names of the features whose ranks the classifier reads, columns float32
    [N, R] their values; context: as the classifier reads it; rows: int64, which of the measured validation rows it
    looks through; shift: of the log-odds, by the person's word on the share of rows with an error; own_shift: float64
    [3], before that, by the table's own word; column_odds: float64 [F], before that, of the columns' cells; scale: by
    which rows are described, None for a run of an earlier version.
    """

    usual: Usual
    ranked: tuple[str, ...]
    columns: np.ndarray
    context: np.ndarray
    rows: np.ndarray
    shift: float
    own_shift: np.ndarray | float = 0.0
    column_odds: np.ndarray | float = 0.0
    scale: Scale | None = None


@dataclass(frozen=True)
class Detection:
    """What the diagnosis stage hands on, for N training rows and the M validation rows influence was measured on.

    probabilities float32 [N, 3] in the order of ErrorType; wrong float32 [N, F]: P(cell wrong) of each feature cell;
    embedding float32 [N, 64]; thresholds per type; trust: estimated shares per type, with intervals;
    harm float32 [N]: mean Φ over the validation rows (> 0 harms on the whole); grad_norm, loss float32 [N];
    factors: of the M rows; validation_rows int64 [M] positions in the validation set; typical float32 [K, 2, 101]:
    for each class the median sorted influences on validation rows of the same class and of others (regression: K = 1,
    'same' are targets closer than one standard deviation). standing: what rows to come are read against; None for a
    run of an earlier version. described: int8 [N, D], of describe: what verdicts on rows will teach from.
    """

    probabilities: np.ndarray
    wrong: np.ndarray
    embedding: np.ndarray
    thresholds: dict[ErrorType, float]
    trust: dict[ErrorType, Trust]
    harm: np.ndarray
    grad_norm: np.ndarray
    loss: np.ndarray
    predictions: np.ndarray
    factors: Factors
    validation_rows: np.ndarray
    typical: np.ndarray
    standing: Standing | None = None
    described: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """Everything the detector looks at. frame: the N training rows; train: them encoded, in the same order."""

    frame: pd.DataFrame
    schema: Schema
    train: Encoded
    validation: Encoded
    fitted: FittedModel
    signals: Signals


@dataclass(frozen=True)
class Looked:
    """All that is looked at before a classifier judges it: numbers as in Detection, what it reads, and where from."""

    harm: np.ndarray
    grad_norm: np.ndarray
    loss: np.ndarray
    predictions: np.ndarray
    factors: Factors
    validation_rows: np.ndarray
    typical: np.ndarray
    environment: Environment
    features: Features
    cells: CellFeatures
    usual: Usual


def detect(
    case: Case, settings: Settings, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> Detection:
    """Name the errors of every training row with the shipped DEC, or the one that settings.diagnose names."""
    dec = dec_of(settings)
    looked = look(case, settings, within(progress, 0.0, 0.5), should_stop)
    return judge(dec, looked, case, settings, within(progress, 0.5, 1.0), should_stop)


def look(
    case: Case, settings: Settings, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> Looked:
    """The passes that no classifier has a part in, so that several can judge what they found."""
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(case.validation.y))[: settings.influence.validation_rows]
    measured = subset(case.validation, order)
    factors = factorise(case.fitted.network, measured.x, measured.y, case.schema.task)
    harm, norm, typical = profiles(case, measured, factors, settings, within(progress, 0.0, 0.6), should_stop)
    environment = make_environment(case.fitted, measured, case.schema.task, rng)
    features, loss, predictions, usual = row_features(case, environment, within(progress, 0.6, 1.0), should_stop)
    cells = cell_features(case.schema, case.signals)
    return Looked(harm, norm, loss, predictions, factors, order, typical, environment, features, cells, usual)


def judge(
    dec: Dec,
    looked: Looked,
    case: Case,
    settings: Settings,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Detection:
    """What this classifier says of it."""
    picked, around = dec.pick(looked.features)
    named = classify(dec, (picked, around), looked.cells, looked.environment, case.train, None, progress, should_stop)
    own = dec.own_shifts(named.probabilities)
    before = shifted(named.probabilities, own)
    p, share = believe_signs(before, looked.cells.negative), settings.diagnose.expected_error_share
    shift = share_shift(p, share) if share > 0 else 0.0
    p, before = shifted(p, shift).astype(np.float32), shifted(before, shift).astype(np.float32)
    read = picked, looked.cells.own, named.looks
    scale = Scale.of(*read)
    standing = replace(
        _standing(dec, looked, around), shift=shift, own_shift=own, column_odds=named.column_odds, scale=scale
    )
    thresholds, told = limits(p, dec, before)
    return Detection(
        p, named.wrong, named.embedding, thresholds, told, looked.harm, looked.grad_norm, looked.loss,
        looked.predictions, looked.factors, looked.validation_rows, looked.typical, standing,
        describe(scale, *read),
    )  # fmt: skip


def _standing(dec: Dec, looked: Looked, around: np.ndarray) -> Standing:
    """Before anything is moved."""
    features, ranked = looked.features, tuple(n.removesuffix(RANK) for n in dec.shape.features if n.endswith(RANK))
    columns = [features.names.index(name) for name in ranked]
    return Standing(looked.usual, ranked, features.values[:, columns], around, looked.environment.rows, 0.0)


def dec_of(settings: Settings) -> Dec:
    """The error classifier that the settings name."""
    chosen = settings.diagnose.classifier
    return load_checkpoint(SHIPPED if chosen == "shipped" else Path(chosen))


def limits(
    p: np.ndarray, dec: Dec, before_signs: np.ndarray | None = None
) -> tuple[dict[ErrorType, float], dict[ErrorType, Trust]]:
    """Thresholds, and estimates of trust, per type from probabilities p [N, 3]. before_signs: the same before these
    were believed, None for p: rows that they name are flagged beside the others, and push no threshold up for them.
    """
    judged = p if before_signs is None else before_signs
    thresholds = {kind: threshold(judged[:, k]) for k, kind in enumerate(ErrorType)}
    told = {kind: trust(p[:, k], thresholds[kind], dec.trust[k].numpy()) for k, kind in enumerate(ErrorType)}
    return thresholds, told


def within(progress: Progress, start: float, stop: float) -> Progress:
    """Progress of a part that takes a job from `start` to `stop`."""

    def inner(fraction: float, message: str) -> None:
        progress(start + (stop - start) * fraction, message)

    return inner


def row_features(
    case: Case, environment: Environment, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> tuple[Features, np.ndarray, np.ndarray, Usual]:
    """(features with ranks of all N rows, loss [N], model outputs [N, K], what is usual): the first pass."""
    predictions = predict(case.fitted.network, case.train.x, case.schema.task)
    loss = row_losses(case.fitted.network, case.train, case.schema.task)
    side, usual = side_features(case.frame, case.schema, case.train, case.fitted, predictions, loss, case.signals)
    statistics = environment.statistics(case.train, progress, should_stop)
    return join([with_ranks(side), with_ranks(statistics)]), loss, predictions, usual


@dataclass(frozen=True)
class Named:
    """What the classifier, spelling and laws say of N rows, as in Detection.

    embedding: float32 [N, 64]; probabilities: float32 [N, 3]; wrong: float32 [N, F]; column_odds: float64 [F] or 0;
    looks: float32 [N, F], how wrong each cell looks before anything but the network has spoken.
    """

    embedding: np.ndarray
    probabilities: np.ndarray
    wrong: np.ndarray
    looks: np.ndarray
    column_odds: np.ndarray | float


@torch.no_grad()
def classify(
    dec: Dec,
    picked: tuple[np.ndarray, np.ndarray],
    cells: CellFeatures,
    environment: Environment,
    rows: Encoded,
    known_odds: np.ndarray | float | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Named:
    """Second pass. picked: as by Dec.pick; known_odds: of the columns, None where these rows are to tell them.

    The classifier's word, and beside it that of spelling and of laws: a garbled cell is wrong, and so is one of a row
    that breaks a law, whatever the classifier thinks.
    """
    features, around = (torch.from_numpy(a) for a in picked)
    n, columns = len(features), cells.own.shape[1]
    embedding = np.empty((n, dec.shape.embedding), np.float32)
    p = np.empty((n, len(ErrorType)), np.float32)
    wrong = np.empty((n, columns), np.float32)
    for part, token, _ in environment.narrow(dec.shape.tokens).blocks(rows, progress, should_stop):
        for start in range(part.start, part.stop, DEC_BATCH):
            if should_stop():
                raise Cancelled("Stopped while naming errors.")
            here = slice(start, min(start + DEC_BATCH, part.stop))
            some = Rows(
                features=features[here],
                context=around.expand(here.stop - here.start, -1),
                tokens=token[here.start - part.start : here.stop - part.start],
                cells=torch.from_numpy(cells.block(here)),
                present=torch.ones(here.stop - here.start, columns, dtype=torch.bool),
            )
            z, logits = dec.embed(some)
            embedding[here], wrong[here] = z.numpy(), logits.sigmoid().numpy()
            p[here] = dec.probabilities(dec.logits(z, some)).numpy()
    k = list(ErrorType).index(ErrorType.FEATURE)
    odds = column_odds(p[:, k], wrong) if known_odds is None else known_odds
    looks = wrong
    p[:, k], wrong = believe_columns(p[:, k], wrong, odds)
    _believe_spelling(p, wrong, cells.garbled, cells.label)
    _believe_laws(p, wrong, cells.blame, cells.broken)
    wrong += (1 - wrong) * cells.negative
    return Named(embedding, p, wrong, looks, odds)


def _believe_spelling(p: np.ndarray, wrong: np.ndarray, garbled: np.ndarray, label: np.ndarray) -> None:
    """Join what the spelling says to what the network says, as if both were wrong independently; in place."""
    for kind, spelling in ((ErrorType.LABEL, label), (ErrorType.FEATURE, garbled.max(1, initial=0.0))):
        k = list(ErrorType).index(kind)
        p[:, k] += (1 - p[:, k]) * spelling
    wrong += (1 - wrong) * garbled


def _believe_laws(p: np.ndarray, wrong: np.ndarray, blame: np.ndarray, broken: np.ndarray) -> None:
    """The same of laws. Whom to blame is told by the law, and by how wrong each cell looks beside the others."""
    k = list(ErrorType).index(ErrorType.FEATURE)
    p[:, k] += (1 - p[:, k]) * SURE * broken
    rows = np.flatnonzero(broken)
    asked, looks = blame[rows] > 0, wrong[rows] + DOUBT
    usual = (looks * asked).sum(1, keepdims=True) / np.maximum(asked.sum(1, keepdims=True), 1)
    odds = blame[rows] * looks / usual
    blamed = odds / (odds + 1 - blame[rows])
    wrong[rows] += (1 - wrong[rows]) * SURE * blamed


def believe_signs(p: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """p [n, 3] with what signs say, negative [n, F], joined to it as if both were wrong independently.

    Not before the table's own word is heard, as laws and spelling are: these tell it how many cells are wrong, and it
    does better for it (F1 of cells on 93 held-out tasks with broken laws .697, else .672), while signs mostly say what
    the classifier knows (27 with lost signs: .781 without them, .772 before, .795 after, with no say on thresholds).
    """
    k = list(ErrorType).index(ErrorType.FEATURE)
    told = p.copy()
    told[:, k] += (1 - told[:, k]) * negative.max(1, initial=0.0)
    return told


def profiles(
    case: Case,
    measured: Encoded,
    factors: Factors,
    settings: Settings,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One pass at all M validation rows: (harm [N], gradient norm [N], typical curves [K, 2, 101])."""
    n = len(case.train.y)
    harm, norm = np.empty(n, np.float32), np.empty(n, np.float32)
    classes = len(case.schema.classes) or 1
    curves: list[list[list[np.ndarray]]] = [[[], []] for _ in range(classes)]
    every = max(1, n // TYPICAL_ROWS)
    same_class = same_class_rule(case.schema.task, measured.y)
    blocks = stream(
        case.fitted.network,
        case.train,
        case.schema.task,
        factors,
        settings.influence,
        progress,
        should_stop,
        parts=False,
    )
    for block in blocks:
        harm[block.start : block.stop] = block.phi.mean(1)
        norm[block.start : block.stop] = block.norm
        for i in range(-block.start % every, block.stop - block.start, every):
            y = case.train.y[block.start + i]
            own = int(y) if case.schema.classes else 0
            for side, mask in enumerate((same_class(y), ~same_class(y))):
                if mask.any():
                    curves[own][side].append(curve(block.phi[i, mask]))
    typical = np.zeros((classes, 2, CURVE), np.float32)
    for k in range(classes):
        for side in (0, 1):
            if curves[k][side]:
                typical[k, side] = np.median(np.stack(curves[k][side]), 0)
    return harm, norm, typical


def same_class_rule(task: Task, validation_y: np.ndarray) -> Callable[[float], np.ndarray]:
    """y -> bool [M]: validation rows of the same class; regression: targets closer than one standard deviation."""
    if task is Task.CLASSIFICATION:
        return lambda y: validation_y == y
    return lambda y: np.abs(validation_y - y) < 1.0


def curve(phi: np.ndarray) -> np.ndarray:
    """float32 [101]: the sorted influences at equal steps, so that profiles of different sets can be compared."""
    ordered = np.sort(phi)
    return ordered[np.linspace(0, len(ordered) - 1, CURVE).round().astype(int)].astype(np.float32)
