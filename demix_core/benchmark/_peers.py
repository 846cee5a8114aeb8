"""What others would use to find each error type, on the same rows: scores per row, and flags where they give any.

Peers get what DeMix's own stages made where that is kinder to them: the boosted trees' out-of-fold predictions, the
task model's losses in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from cleanlab.regression.rank import get_label_quality_scores as regression_quality
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from demix_core.classifiers.detect import Case
from demix_core.types import Encoded, ErrorType, Task

NEIGHBOURS = 10
TREES = 60


@dataclass(frozen=True)
class Finding:
    """scores float [N], higher = more suspect; flags bool [N] by the method's own default, or None if it has none."""

    scores: np.ndarray
    flags: np.ndarray | None = None


def _cleanlab(case: Case, seed: int) -> Finding:
    """Confident learning with a linear model's out-of-fold predictions; for regression its label quality."""
    x, y = case.train.x, case.train.y
    if case.schema.task is Task.REGRESSION:
        return Finding(1 - regression_quality(y, cross_val_predict(Ridge(), x, y, cv=5)))
    model = LogisticRegression(max_iter=200)
    return _confident(y, cross_val_predict(model, x, y, cv=5, method="predict_proba"))


def _cleanlab_trees(case: Case, seed: int) -> Finding:
    """The same with boosted trees, the ones DeMix itself uses."""
    if case.schema.task is Task.REGRESSION:
        spread = float(np.median(case.signals.oof[:, 1])) + 1e-9
        return Finding(_miss(case) / spread)
    return _confident(case.train.y, case.signals.oof)


def _miss(case: Case) -> np.ndarray:
    target = case.frame[case.schema.target].to_numpy(float)
    return np.abs(target - case.signals.oof[:, 0])


def _confident(y: np.ndarray, probabilities: np.ndarray) -> Finding:
    try:
        flags = find_label_issues(y, probabilities, n_jobs=1)
    except ValueError:  # a class without a confident row
        flags = None
    return Finding(1 - get_label_quality_scores(y, probabilities), flags)


def _mean_loss(case: Case, seed: int) -> Finding:
    """The task model's loss on the row, averaged over the epochs (forgetting, area under the margin and kin)."""
    return Finding(np.nan_to_num(case.fitted.losses).mean(0))


def _out_of_bag(case: Case, seed: int) -> Finding:
    """Data-OOB (Kwon & Zou, 2023), soft: how far the trees of a random forest that did not draw the row are from it."""
    x, y = case.train.x, case.train.y
    options: dict[str, Any] = {"n_estimators": TREES, "oob_score": True, "n_jobs": 1, "random_state": seed}
    if case.schema.task is Task.REGRESSION:
        return Finding(np.abs(y - RandomForestRegressor(**options).fit(x, y).oob_prediction_))
    forest = RandomForestClassifier(**options).fit(x, y)
    column = np.searchsorted(forest.classes_, y)
    return Finding(1 - np.nan_to_num(forest.oob_decision_function_[np.arange(len(y)), column]))


def _early_loss(case: Case, seed: int) -> Finding:
    """What just train twice upweights: rows that the model gets wrong after the first epoch."""
    return Finding(np.nan_to_num(case.fitted.losses[0]))


def _isolation(case: Case, seed: int) -> Finding:
    forest = IsolationForest(random_state=seed, n_jobs=1).fit(case.train.x)
    return Finding(-forest.score_samples(case.train.x), forest.predict(case.train.x) < 0)


def _lof(case: Case, seed: int) -> Finding:
    factor = LocalOutlierFactor(n_jobs=1)
    flags = factor.fit_predict(case.train.x) < 0
    return Finding(-factor.negative_outlier_factor_, flags)


def _neighbours(case: Case, seed: int) -> Finding:
    """Mean distance to the ten nearest rows: Datalab's outlier score."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, n_jobs=1).fit(case.train.x)
    return Finding(near.kneighbors(case.train.x)[0][:, 1:].mean(1))


def _largest_z(case: Case, seed: int) -> Finding:
    x = case.train.x
    return Finding(np.abs((x - x.mean(0)) / (x.std(0) + 1e-9)).max(1))


def _one_feature(case: Case, seed: int) -> Finding:
    return Finding(*one_feature_tree(case.train, case.schema.task))


def one_feature_tree(data: Encoded, task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """(score, flag) per row: the best tree of depth one on any single input; rows that it gets wrong."""
    regression = task is Task.REGRESSION
    best, best_score = None, -np.inf
    for j in range(data.x.shape[1]):
        column = data.x[:, j : j + 1]
        if regression:
            predicted = DecisionTreeRegressor(max_depth=1).fit(column, data.y).predict(column)
            score = -float(np.square(data.y - predicted).mean())
        else:
            tree = DecisionTreeClassifier(max_depth=1, class_weight="balanced").fit(column, data.y)
            predicted = tree.predict_proba(column)
            hit = predicted.argmax(1) == data.y
            score = float(np.mean([hit[data.y == c].mean() for c in np.unique(data.y)]))
        if score > best_score:
            best, best_score = predicted, score
    assert best is not None
    if regression:
        return np.abs(data.y - best), None
    return 1 - best[np.arange(len(data.y)), data.y], best.argmax(1) != data.y


Peer = Callable[[Case, int], Finding]
PEERS: dict[ErrorType, dict[str, Peer]] = {
    ErrorType.LABEL: {
        "cleanlab": _cleanlab, "cleanlab, boosted trees": _cleanlab_trees, "mean loss": _mean_loss,
        "Data-OOB": _out_of_bag,
    },
    ErrorType.FEATURE: {
        "IsolationForest": _isolation, "LOF": _lof, "kNN distance": _neighbours, "largest |z|": _largest_z,
        "mean loss": _mean_loss,
    },
    ErrorType.SPURIOUS: {"one-feature tree": _one_feature, "early loss (JTT)": _early_loss, "mean loss": _mean_loss},
}  # fmt: skip
