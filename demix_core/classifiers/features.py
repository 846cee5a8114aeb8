"""What the DEC reads of a row: tokens (one per validation row) and side features (numbers per row), named and grouped.

Groups, so that each can be left out and its worth measured: 'influence' (anything from Φ or gradients), 'similarity'
(inputs' cosine and label agreement), 'side' (training dynamics, out-of-fold, cells, shortcuts, the run as a whole).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from demix_core.classifiers.usual import FAR, SURPRISING, Usual
from demix_core.columns import to_numeric
from demix_core.signals.base import Signals
from demix_core.signals.placing import average_rank
from demix_core.types import ColumnKind, Encoded, FittedModel, Schema, Task

CHANNELS = ("influence", "influence_last", "influence_first", "similarity", "agreement", "validation_loss")
CHANNEL_GROUPS = ("influence", "influence", "influence", "similarity", "similarity", "side")
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NEAREST = 20
RANK = ":rank"
DYNAMICS = 5
RULES = 3
"""Rules that are told apart; must not exceed signals.base.RULES_HIDDEN."""


@dataclass(frozen=True)
class Features:
    """values: float32 [N, F] raw features, finite; names and groups: F each."""

    values: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]


class Collector:
    """Gathers named columns of features of one group."""

    def __init__(self) -> None:
        self._columns: list[np.ndarray] = []
        self._names: list[str] = []
        self._groups: list[str] = []

    def add(self, group: str, name: str, values: np.ndarray) -> None:
        """values: [N] or [N, k] (then named name_0 … name_{k−1})."""
        values = np.asarray(values, np.float32)
        wide = values[:, None] if values.ndim == 1 else values
        for j in range(wide.shape[1]):
            self._columns.append(wide[:, j])
            self._names.append(name if values.ndim == 1 else f"{name}_{j}")
            self._groups.append(group)

    def done(self) -> Features:
        """All columns side by side; what is not finite becomes 0."""
        values = np.nan_to_num(np.stack(self._columns, 1), nan=0.0, posinf=0.0, neginf=0.0)
        return Features(values, tuple(self._names), tuple(self._groups))


def given_label_scores(oof: np.ndarray, y: np.ndarray, task: Task, target: np.ndarray) -> dict[str, np.ndarray]:
    """How well a prediction fits the given label, each [N]: p, margin over the next best, best other, entropy.

    Regression: oof is [N, 2] (prediction, residual scale); p = exp(−|z|/4) plays the probability.
    """
    if task is Task.CLASSIFICATION:
        p = oof[np.arange(len(y)), y]
        others = oof.copy()
        others[np.arange(len(y)), y] = -1
        best = others.max(1)
        entropy = -(oof * np.log(oof + 1e-9)).sum(1)
        return {"p": p, "margin": p - best, "other": best, "entropy": entropy}
    z = np.abs(target - oof[:, 0]) / oof[:, 1]
    p = np.exp(-z / 4)
    return {"p": p, "margin": 2 * p - 1, "other": np.log1p(z), "entropy": np.zeros(len(z))}


def side_features(
    frame: pd.DataFrame,
    schema: Schema,
    train: Encoded,
    fitted: FittedModel,
    predictions: np.ndarray,
    final_loss: np.ndarray,
    signals: Signals,
    table: Usual | None = None,
    where: np.ndarray | None = None,
) -> tuple[Features, Usual]:
    """Everything about N rows that needs no validation row, and what is usual. predictions: model outputs [N, K].

    table, where: for rows to come what is usual in the run's table, and their places in it, see signals.placing.
    """
    out = Collector()
    target = np.zeros(len(frame)) if schema.classes else to_numeric(frame[schema.target])
    strong = given_label_scores(signals.oof, train.y, schema.task, target)
    usual = table or Usual.of(schema, train.y, predictions, strong, signals)
    scale = np.full(len(frame), usual.residual, np.float32)
    shown = predictions if schema.classes else np.stack([predictions[:, 0], scale], 1)
    model = given_label_scores(shown, train.y, schema.task, train.y)
    for name, values in strong.items():
        out.add("side", f"oof_{name}", values)
    for name, values in model.items():
        out.add("side", f"model_{name}", values)
    _add_labels(out, schema, train.y, signals, usual, where)
    ranked = usual.rank_in_class(strong["p"], train.y, bool(schema.classes), where)
    out.add("side", "oof_rank_in_class", ranked)
    _add_dynamics(out, fitted, final_loss)
    _add_cells(out, signals, usual)
    _add_oddities(out, schema, signals, usual)
    _add_shortcuts(out, strong, signals, usual)
    _add_run(out, schema, usual, len(frame))
    return out.done(), usual


def _add_labels(
    out: Collector, schema: Schema, y: np.ndarray, signals: Signals, usual: Usual, where: np.ndarray | None
) -> None:
    """Class prior (density of the target for regression) and how the label looks from the cells."""
    if schema.classes:
        shares = usual.class_shares(len(schema.classes))
        prior, predicted_prior = shares[y], shares[signals.oof.argmax(1)]
    else:
        rank = usual.rank_of_target(y, where)
        prior, predicted_prior = np.minimum(rank, 1 - rank), rank
    out.add("side", "class_prior", prior)
    out.add("side", "predicted_prior", predicted_prior)
    out.add("side", "label_surprise", np.log1p(np.maximum(signals.cells.label_surprise, 0)))


def _add_dynamics(out: Collector, fitted: FittedModel, final_loss: np.ndarray) -> None:
    """The row's loss at five moments of training, its mean, spread and fall; log for comparability."""
    losses = fitted.losses if len(fitted.losses) else final_loss[None]
    path = np.log(np.nan_to_num(losses, nan=1.0) + 1e-3)
    moments = np.linspace(0, len(path) - 1, DYNAMICS).round().astype(int)
    out.add("side", "loss_at", path[moments].T)
    out.add("side", "loss_mean", path.mean(0))
    out.add("side", "loss_spread", path.std(0))
    out.add("side", "loss_final", np.log(final_loss + 1e-3))


def _add_cells(out: Collector, signals: Signals, usual: Usual) -> None:
    """The most surprising cells, and whether their columns are surprising in many rows (errors come in groups)."""
    s, lift = signals.cell_surprise, np.sort(signals.cells.lift, 1)
    heat = usual.heat
    order = np.argsort(-s, 1)
    top = np.take_along_axis(s, order[:, : min(3, s.shape[1])], 1)
    out.add("side", "surprise_top", _pad(np.arcsinh(top), 3))
    out.add("side", "surprise_mean", s.mean(1))
    out.add("side", "surprise_spread", s.std(1))
    out.add("side", "surprise_heat", heat[order[:, 0]])
    out.add("side", "surprise_by_heat", np.log1p(np.maximum(s, 0) @ heat))
    out.add("side", "surprise_count", np.log1p((s > SURPRISING).sum(1)))
    out.add("side", "lift_low", _pad(lift[:, :3], 3))
    out.add("side", "lift_mean", lift.mean(1))
    pairs = np.sort(signals.pairs.lowest, 1)
    out.add("side", "pair_low", _pad(pairs[:, :3], 3))
    out.add("side", "pair_mean", signals.pairs.mean.mean(1))
    shift = np.sort(signals.cells.label_shift, 1)
    out.add("side", "label_shift_high", _pad(np.arcsinh(shift[:, ::-1][:, :2]), 2))
    out.add("side", "label_shift_low", _pad(np.arcsinh(shift[:, :2]), 2))


def _pad(values: np.ndarray, width: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), mode="edge")


def _add_oddities(out: Collector, schema: Schema, signals: Signals, usual: Usual) -> None:
    """How far out the row's numbers are, how many rows share just that value, how rare its categories are, gaps."""
    odd = signals.oddities
    far = odd.distance
    order = np.argsort(-far, 1)
    first = order[:, :1]
    out.add("side", "far_top", _pad(np.arcsinh(np.take_along_axis(far, order[:, :3], 1)), 3))
    out.add("side", "far_count", np.log1p((far > FAR).sum(1)))
    out.add("side", "far_share", np.log(np.take_along_axis(odd.share, first, 1)[:, 0]) * (far.max(1) > 0))
    out.add("side", "far_crowd", np.take_along_axis(odd.crowd, first, 1)[:, 0] * (far.max(1) > 0))
    out.add("side", "far_heat", usual.far[first[:, 0]])
    out.add("side", "crowd_top", _pad(-np.sort(-odd.crowd, 1)[:, :2], 2))
    out.add("side", "form_top", _pad(-np.sort(-odd.form, 1)[:, :2], 2))
    categories = [j for j, c in enumerate(schema.features) if c.kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)]
    rare = np.sort(np.log(odd.share[:, categories]), 1) if categories else np.zeros((len(far), 1))
    out.add("side", "rarity", _pad(rare[:, :2], 2))
    out.add("side", "missing", np.log1p(odd.missing.sum(1)))


def _add_shortcuts(out: Collector, strong: dict[str, np.ndarray], signals: Signals, usual: Usual) -> None:
    """Which strong rules the row breaks, and whether its label is likely when the rule's columns are hidden.

    A row that breaks a rule and whose label is likely all the same is an exception, not a wrong label. Shallow trees
    against the strong learner say the same another way.
    """
    shallow = np.log(signals.out_of_fold.shallow + 1e-3)
    out.add("side", "shallow", shallow)
    out.add("side", "strong_over_shallow", np.log(strong["p"] + 1e-3)[:, None] - shallow)
    out.add("side", "shortcut", signals.shortcuts.lifts)
    strength, sides, without, shares = _rules(signals)
    broken = sides != 0
    often = np.concatenate([usual.broken, np.zeros(len(strength) - len(usual.broken))])
    out.add("side", "rule_side", sides[:, :RULES])
    out.add("side", "rule_broken", broken[:, :RULES] * strength[:RULES])
    out.add("side", "rule_without", without - signals.cells.label_surprise[:, None])
    out.add("side", "rules_broken", (broken * strength).sum(1) / (strength.sum() + 1e-6))
    out.add("side", "rule_worst", (broken * strength).max(1))
    out.add("side", "rule_best_kept", (~broken * strength).max(1))
    out.add("side", "run_rule_strength", np.broadcast_to(strength[:RULES], (len(sides), RULES)))
    out.add("side", "run_rule_share", np.broadcast_to(shares[:RULES], (len(sides), RULES)))
    out.add("side", "run_rule_broken", np.broadcast_to(often[:RULES], (len(sides), RULES)))
    out.add("side", "run_information", np.broadcast_to(signals.shortcuts.information, (len(sides), 3)))


def _rules(signals: Signals) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(strength [R], sides [N, R], label surprise without their columns [N, RULES], shares [R]), padded."""
    found = signals.shortcuts
    n, lacking = len(found.sides), max(0, RULES - len(found.rules))
    strength = np.array([r.strength for r in found.rules] + [0.0] * lacking)
    sides = np.concatenate([found.sides, np.zeros((n, lacking), np.int8)], 1)
    known = signals.cells.label_without[:, :RULES]
    own = np.repeat(signals.cells.label_surprise[:, None], RULES - known.shape[1], 1)
    return strength, sides, np.concatenate([known, own], 1), np.concatenate([found.shares, np.zeros(lacking)])


def _add_run(out: Collector, schema: Schema, usual: Usual, rows: int) -> None:
    """The run as a whole: the regime that a row's numbers are to be read in. Constant over rows."""
    ones = np.ones(rows)
    out.add("side", "run_regression", ones * (schema.task is Task.REGRESSION))
    out.add("side", "run_classes", ones * np.log(max(len(schema.classes), 2)))
    out.add("side", "run_rows", ones * np.log(len(usual.y)))
    out.add("side", "run_oof", ones * usual.p.mean())
    out.add("side", "run_oof_wrong", ones * usual.margin_below)
    out.add("side", "run_oof_very_wrong", ones * usual.p_low)
    out.add("side", "run_surprising", ones * usual.surprising)
    out.add("side", "run_hottest", ones * usual.heat.max())
    out.add("side", "run_far", ones * usual.far_mean)
    out.add("side", "run_farthest", ones * usual.far.max())


@dataclass(frozen=True)
class ValidationView:
    """The validation rows of one environment. x unit-length [M, D]; y, loss [M]; spread: of the target (regression)."""

    x: torch.Tensor
    y: torch.Tensor
    loss: torch.Tensor
    task: Task
    spread: float


def view_validation(validation: Encoded, loss: np.ndarray, task: Task, spread: float) -> ValidationView:
    """Prepare M validation rows for tokens."""
    x = torch.nn.functional.normalize(torch.from_numpy(validation.x), dim=1)
    return ValidationView(
        x, torch.from_numpy(validation.y), torch.from_numpy(np.log(loss + 1e-3)).float(), task, spread
    )


def tokens(
    x: torch.Tensor, y: torch.Tensor, phi: torch.Tensor, last: torch.Tensor, first: torch.Tensor, view: ValidationView
) -> torch.Tensor:
    """float32 [B, M, C]: the channels of DESIGN §3 of B training rows."""
    similarity = torch.nn.functional.normalize(x, dim=1) @ view.x.T
    if view.task is Task.CLASSIFICATION:
        agreement = (y[:, None] == view.y[None]).float()
    else:
        agreement = 1 / (1 + (y[:, None] - view.y[None]).abs() / view.spread)
    loss = view.loss.expand(len(x), -1)
    return torch.stack([phi, last, first, similarity, agreement, loss], 2)


def set_statistics(token: torch.Tensor, norm: torch.Tensor) -> Features:
    """Permutation-invariant statistics of tokens [B, M, C], the boosted twin's view of the set. norm: |g| [B]."""
    out = Collector()
    phi, last, first, similarity, agreement, _ = token.unbind(2)
    out.add("influence", "grad_norm", torch.log(norm + 1e-6).numpy())
    for name, channel in (("influence", phi), ("last", last), ("first", first), ("similarity", similarity)):
        out.add("similarity" if name == "similarity" else "influence", name, _moments(channel).numpy())
    same = agreement > 0.5
    for name, channel in (("influence", phi), ("last", last), ("similarity", similarity)):
        group = "similarity" if name == "similarity" else "influence"
        out.add(group, f"{name}_same", _masked_moments(channel, same).numpy())
        out.add(group, f"{name}_other", _masked_moments(channel, ~same).numpy())
    near = similarity.topk(min(NEAREST, similarity.shape[1]), 1).indices
    out.add("influence", "influence_near", phi.gather(1, near).mean(1).numpy())
    out.add("similarity", "agreement_near", agreement.gather(1, near).mean(1).numpy())
    out.add("similarity", "agreement", agreement.mean(1).numpy())
    out.add("influence", "influence~similarity", _correlation(phi, similarity).numpy())
    out.add("influence", "influence~agreement", _correlation(phi, agreement).numpy())
    out.add("similarity", "similarity~agreement", _correlation(similarity, agreement).numpy())
    return out.done()


def _moments(channel: torch.Tensor) -> torch.Tensor:
    """[B, 9]: mean, standard deviation, seven quantiles."""
    ordered = channel.sort(1).values
    at = torch.tensor([round(q * (channel.shape[1] - 1)) for q in QUANTILES])
    return torch.cat([channel.mean(1, keepdim=True), channel.std(1, keepdim=True), ordered[:, at]], 1)


def _masked_moments(channel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[B, 2]: mean and standard deviation over the masked entries, 0 where there are none."""
    weight = mask.float()
    total = weight.sum(1).clamp(min=1)
    mean = (channel * weight).sum(1) / total
    square = (channel.square() * weight).sum(1) / total
    return torch.stack([mean, (square - mean.square()).clamp(min=0).sqrt()], 1)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)


def join(parts: Iterable[Features]) -> Features:
    """Features of the same rows from several sources, side by side."""
    parts = list(parts)
    return Features(
        np.concatenate([p.values for p in parts], 1),
        tuple(n for p in parts for n in p.names),
        tuple(g for p in parts for g in p.groups),
    )


def stack(parts: Iterable[Features]) -> Features:
    """The same features of several blocks of rows, one below the other."""
    parts = list(parts)
    return Features(np.concatenate([p.values for p in parts]), parts[0].names, parts[0].groups)


def with_ranks(features: Features) -> Features:
    """Each feature twice: as it is, and as its rank in [0, 1] within the run (constant features stay single).

    Absolute values keep the regime, ranks make tables comparable; leaving either out costs (DESIGN §7).
    """
    varies = np.array([not name.startswith("run_") for name in features.names])
    ranked = pd.DataFrame(features.values[:, varies]).rank(pct=True).to_numpy(np.float32)
    names = tuple(f"{n}{RANK}" for n, v in zip(features.names, varies, strict=True) if v)
    groups = tuple(g for g, v in zip(features.groups, varies, strict=True) if v)
    return Features(np.concatenate([features.values, ranked], 1), features.names + names, features.groups + groups)


def with_placed_ranks(features: Features, names: tuple[str, ...], table: np.ndarray, where: np.ndarray) -> Features:
    """with_ranks of rows to come, for the features of these names only. table: float32 [N, R], theirs in the run.

    where: the rows' places in it, see signals.placing.
    """
    at = {name: i for i, name in enumerate(features.names)}
    values = [features.values[:, at[name]] for name in names]
    ranks = [average_rank(v, table[:, j], where) for j, v in enumerate(values)]
    ranked = np.stack(ranks, 1).astype(np.float32) if ranks else np.zeros((len(where), 0), np.float32)
    groups = tuple(features.groups[at[name]] for name in names)
    both = np.concatenate([features.values, ranked], 1)
    return Features(both, features.names + tuple(f"{n}{RANK}" for n in names), features.groups + groups)


def context(features: Features) -> Features:
    """What is usual in this run, one line: mean and standard deviation over all rows of each feature but ranks."""
    raw = [i for i, name in enumerate(features.names) if not name.endswith(RANK)]
    values, names = features.values[:, raw], [features.names[i] for i in raw]
    groups = tuple(features.groups[i] for i in raw)
    both = np.concatenate([values.mean(0), values.std(0)])[None].astype(np.float32)
    return Features(both, tuple(f"{word}:{n}" for word in ("mean", "sd") for n in names), groups + groups)
