"""The DEC's twin: boosted trees on numbers that describe a row's set of tokens, its cells and itself.

Trees and network read the same row and err differently; the classifier believes the mean of both (see network). They
are grown by scikit-learn and kept as full binary trees, arrays that a checkpoint can hold and torch walks through for
all trees at once. They read the side features, with the few numbers of the run among them, but not the run's context
(means and deviations of every feature), by which trees would know the training tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import nn

from demix_core.classifiers.cell_features import NAMES, OWN
from demix_core.workers import one_thread

Boosted: TypeAlias = HistGradientBoostingClassifier | HistGradientBoostingRegressor
DEPTH = 6
TREES = 300
"""Per error type."""

_GROWING: dict[str, Any] = {
    "learning_rate": 0.06, "max_depth": DEPTH, "max_leaf_nodes": None, "min_samples_leaf": 80,
    "l2_regularization": 2.0, "max_features": 0.3, "early_stopping": False,
}  # fmt: skip
SUSPECT_BY = {"surprise": 1, "lift": -1, "distance": 1, "coherence": -1, "pair_lowest": -1}
"""The cell that is worst by each of these is described in full; −1: the lower the worse."""

CELL_NUMBERS = 4 * OWN + len(SUSPECT_BY) * len(NAMES)
EMPTY = 1e9
BLOCK = 256


@dataclass(frozen=True)
class FullTrees:
    """T trees of depth d. column: int16 [T, 2^d − 1], which number each inner node looks at; limit: float32, the same
    shape, at most that goes left; leaf: float32 [T, 2^d]; start: what is added to their sum.
    """

    column: np.ndarray
    limit: np.ndarray
    leaf: np.ndarray
    start: float


class Forest(nn.Module):
    """T trees per output of K: float32 [B, F] -> the sums of their leaves, log-odds [B, K].

    weight: [K], what one of these counts beside one of the network's logits.
    """

    column: torch.Tensor
    limit: torch.Tensor
    leaf: torch.Tensor
    start: torch.Tensor
    weight: torch.Tensor

    def __init__(self, outputs: int, trees: int, depth: int) -> None:
        super().__init__()
        inner = 2**depth - 1
        self.depth = depth
        self.register_buffer("column", torch.zeros(outputs, trees, inner, dtype=torch.int16))
        self.register_buffer("limit", torch.zeros(outputs, trees, inner))
        self.register_buffer("leaf", torch.zeros(outputs, trees, inner + 1))
        self.register_buffer("start", torch.zeros(outputs))
        self.register_buffer("weight", torch.ones(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Cost: B · K · T · depth lookups."""
        return torch.cat([self._walk(part) for part in x.split(BLOCK)])

    def _walk(self, x: torch.Tensor) -> torch.Tensor:
        outputs, trees, inner = self.column.shape
        column, limit = self.column.reshape(-1).long(), self.limit.reshape(-1)
        first = torch.arange(outputs * trees) * inner
        at = torch.zeros(len(x), outputs * trees, dtype=torch.long)
        for _ in range(self.depth):
            node = (first + at).view(-1)  # index_select, in place: twice as fast as indexing
            number = x.gather(1, column.index_select(0, node).view(at.shape))
            right = number > limit.index_select(0, node).view(at.shape)
            at.mul_(2).add_(1).add_(right)
        place = at - inner + torch.arange(outputs * trees) * (inner + 1)
        leaf = self.leaf.reshape(-1).index_select(0, place.view(-1))
        return leaf.view(len(x), outputs, trees).sum(2) + self.start


def grow(x: np.ndarray, truth: np.ndarray, trees: int, seed: int) -> Forest:
    """Fit to rows x float32 [R, F] and truth [R, K]; K times as many trees."""
    models = []
    for k in range(truth.shape[1]):
        with one_thread():
            model = HistGradientBoostingClassifier(max_iter=trees, random_state=seed, **_GROWING).fit(x, truth[:, k])
        models.append(model)
    return filled(models, DEPTH)


def filled(models: Sequence[Boosted], depth: int) -> Forest:
    """As many trees each, of at most this depth: an output per model."""
    forest = Forest(len(models), len(models[0]._predictors), depth)
    for k, model in enumerate(models):
        full = fill(model, depth)
        forest.column[k], forest.limit[k] = torch.from_numpy(full.column), torch.from_numpy(full.limit)
        forest.leaf[k], forest.start[k] = torch.from_numpy(full.leaf), full.start
    return forest


def fill(model: Boosted, depth: int = DEPTH) -> FullTrees:
    """The trees of a fitted binary classifier or regressor, each filled up: an early leaf is all leaves below it."""
    grown = [stage[0].nodes for stage in model._predictors]
    inner = 2**depth - 1
    column = np.zeros((len(grown), inner), np.int16)
    limit = np.zeros((len(grown), inner), np.float32)
    leaf = np.zeros((len(grown), inner + 1), np.float32)
    for tree, nodes in enumerate(grown):
        source = np.zeros(2 * inner + 1, np.int64)  # of each place, the node that is there or the leaf above it
        for place in range(inner):
            node = nodes[source[place]]
            if node["is_leaf"]:
                source[2 * place + 1 : 2 * place + 3] = source[place]
            else:
                source[2 * place + 1], source[2 * place + 2] = node["left"], node["right"]
                column[tree, place], limit[tree, place] = node["feature_idx"], _below(node["num_threshold"])
        leaf[tree] = nodes["value"][source[inner:]]
    return FullTrees(column, limit, leaf, float(model._baseline_prediction.item()))


def _below(limit: float) -> np.float32:
    """The largest float32 not above it, so that float32 numbers go the same way as they do for float64."""
    near = np.float32(limit)
    return near if float(near) <= limit else np.nextafter(near, np.float32(-np.inf))


def describe_cells(cells: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """float32 [B, CELL_NUMBERS] of cells [B, P, Q]: highest, second, lowest and mean of each of a cell's own numbers
    over the row, and all numbers of the cells that are worst by SUSPECT_BY.
    """
    own, mask = cells[..., :OWN], present[..., None]
    high = own.masked_fill(~mask, -EMPTY).sort(1, descending=True).values
    first = high[:, 0]
    second = first if high.shape[1] == 1 else torch.where(high[:, 1] > -EMPTY, high[:, 1], first)
    low, mean = own.masked_fill(~mask, EMPTY).amin(1), (own * mask).sum(1) / mask.sum(1).clamp(min=1)
    described = [first, second, low, mean]
    rows = torch.arange(len(cells))
    for name, sign in SUSPECT_BY.items():
        worst = (sign * own[..., NAMES.index(name)]).masked_fill(~present, -EMPTY).argmax(1)
        described.append(cells[rows, worst])
    return torch.cat(described, 1)
