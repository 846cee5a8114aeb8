"""Fitted trees of scikit-learn as plain arrays, which can be kept without pickle and give the same predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.tree import DecisionTreeClassifier

ROWS = 4096
"""Rows that walk through all trees at once: memory is this many × trees."""

CLASSES, SIGMOID, SOFTMAX, NUMBER = "classes", "sigmoid", "softmax", "number"


@dataclass(frozen=True)
class Trees:
    """T trees of at most P nodes. A row goes left where x[feature] ≤ threshold (missing: where missing_left).

    feature, left, right: int32 [T, P], left is −1 in a leaf; threshold: float64 [T, P]; missing_left: bool [T, P];
    value: float64 [T, P, V]; output: int64 [T], what each tree adds to; base: float64 [outputs]; link: how the sums
    become predictions (CLASSES: the leaf itself holds the probabilities).
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    output: np.ndarray
    base: np.ndarray
    link: str

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities float64 [n, K], or numbers [n, 1]; x: float64 [n, F]."""
        parts = [self._some(x[start : start + ROWS]) for start in range(0, max(len(x), 1), ROWS)]
        return np.concatenate(parts)

    def _some(self, x: np.ndarray) -> np.ndarray:
        leaf = self.value[np.arange(len(self.feature))[:, None], self._leaves(x)]  # [T, n, V]
        if self.link == CLASSES:
            return np.asarray(leaf[0])
        raw = np.broadcast_to(self.base, (len(x), len(self.base))).copy()
        for tree, output in enumerate(self.output):  # in the order of training, as scikit-learn adds them up
            raw[:, output] += leaf[tree, :, 0]
        if self.link == SIGMOID:
            p = expit(raw[:, 0])
            return np.stack([1 - p, p], 1)
        return np.asarray(softmax(raw, axis=1)) if self.link == SOFTMAX else raw

    def _leaves(self, x: np.ndarray) -> np.ndarray:
        """int64 [T, n]: the node where each row ends in each tree."""
        tree = np.arange(len(self.feature))[:, None]
        node = np.zeros((len(self.feature), len(x)), np.int64)
        row = np.arange(len(x))[None]
        while True:
            left = self.left[tree, node]
            inner = left >= 0
            if not inner.any():
                return node
            cell = x[row, self.feature[tree, node]]
            goes_left = np.where(np.isnan(cell), self.missing_left[tree, node], cell <= self.threshold[tree, node])
            node = np.where(inner, np.where(goes_left, left, self.right[tree, node]), node)


def some_value(x: np.ndarray) -> np.ndarray:
    """The matrix with zeros in columns without any value: scikit-learn can't bin those, and learns nothing there.

    >>> some_value(np.array([[np.nan, np.nan], [np.nan, 2.0]])).tolist()
    [[0.0, nan], [0.0, 2.0]]
    """
    return np.where(np.isnan(x).all(0), 0.0, x)


def blend(parts: Sequence[Trees], weights: Sequence[float], middle: float) -> Trees:
    """Trees of numbers as one: middle + Σ weight · (what a part predicts − middle)."""
    base = middle + sum(w * (float(p.base[0]) - middle) for p, w in zip(parts, weights, strict=True))

    def joined(name: str, kind: type) -> np.ndarray:
        return _padded([row for p in parts for row in getattr(p, name)], kind)

    scaled = [w * tree for p, w in zip(parts, weights, strict=True) for tree in p.value[..., 0]]
    return Trees(
        feature=joined("feature", np.int32),
        threshold=joined("threshold", np.float64),
        missing_left=joined("missing_left", bool),
        left=joined("left", np.int32),
        right=joined("right", np.int32),
        value=_padded(scaled, np.float64)[..., None],
        output=np.concatenate([p.output for p in parts]),
        base=np.array([base]),
        link=NUMBER,
    )


def trees_of(model: Any) -> Trees:
    """Of a fitted HistGradientBoosting model without categorical splits, or a DecisionTreeClassifier."""
    if isinstance(model, DecisionTreeClassifier):
        return _of_one_tree(model)
    rounds = model._predictors  # the only place where scikit-learn keeps the nodes; a test compares the predictions
    nodes = [one.nodes for group in rounds for one in group]
    outputs = np.array([k for group in rounds for k in range(len(group))], np.int64)
    base = np.asarray(model._baseline_prediction, np.float64).reshape(-1)
    several = len(base) > 1
    link = NUMBER if not hasattr(model, "classes_") else SOFTMAX if several else SIGMOID
    leaf = [n["is_leaf"].astype(bool) for n in nodes]
    return Trees(
        feature=_padded([n["feature_idx"] for n in nodes], np.int32),
        threshold=_padded([n["num_threshold"] for n in nodes], np.float64),
        missing_left=_padded([n["missing_go_to_left"] for n in nodes], bool),
        left=_padded([np.where(e, -1, n["left"].astype(np.int64)) for n, e in zip(nodes, leaf, strict=True)], np.int32),
        right=_padded([n["right"] for n in nodes], np.int32),
        value=_padded([n["value"] for n in nodes], np.float64)[..., None],
        output=outputs,
        base=base,
        link=link,
    )


def _of_one_tree(model: DecisionTreeClassifier) -> Trees:
    tree = model.tree_
    value = tree.value[:, 0, :]
    return Trees(
        feature=tree.feature[None].astype(np.int32).clip(0),
        threshold=tree.threshold[None],
        missing_left=np.zeros((1, tree.node_count), bool),
        left=tree.children_left[None].astype(np.int32),
        right=tree.children_right[None].astype(np.int32),
        value=(value / value.sum(1, keepdims=True))[None],
        output=np.zeros(1, np.int64),
        base=np.zeros(value.shape[1]),
        link=CLASSES,
    )


def _padded(columns: Sequence[np.ndarray], kind: type) -> np.ndarray:
    out: np.ndarray = np.zeros((len(columns), max(len(c) for c in columns)), kind)
    for i, column in enumerate(columns):
        out[i, : len(column)] = column
    return out
