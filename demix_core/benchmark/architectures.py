"""`bench architectures`: the shipped DEC on task models that it has not seen, beside those it was trained with.

The six tables of bench detect (ROWS of each at most), the paper's errors, the same corrupted rows and signals for every
model; only the task model, and with it every loss, prediction and influence, is another one. The DEC has seen mlp1 and
mlp2. Models that are no networks come as `--predictions` does: cross-validated, with mlp1 as their stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.corpus import ARCHITECTURES as SEEN
from demix_core.classifiers.detect import Case, detect
from demix_core.classifiers.planted import make_case
from demix_core.models.base import MODELS
from demix_core.models.stand_in import Answers, fit_stand_in
from demix_core.models.training import fit
from demix_core.planting import split_and_plant
from demix_core.settings import Settings
from demix_core.types import ErrorType, FittedModel, Task
from demix_core.workers import in_order

SEEDS = (2026, 2027)
ALPHAS = (0.5, 0.9)
AGAINST = "mlp1"
FOLDS = 5
ROWS = 12_000
"""The most rows of a table that are used, test rows among them: eight models on 24,000 training rows take hours."""

OTHERS: dict[str, dict[Task, Callable[[], Any]]] = {
    "logistic or ridge regression": {
        Task.CLASSIFICATION: lambda: LogisticRegression(max_iter=300),
        Task.REGRESSION: lambda: Ridge(),
    },
    "random forest": {
        Task.CLASSIFICATION: lambda: RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
        Task.REGRESSION: lambda: RandomForestRegressor(100, min_samples_leaf=3, random_state=0),
    },
    "boosted trees": {
        Task.CLASSIFICATION: lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
        Task.REGRESSION: lambda: HistGradientBoostingRegressor(max_iter=60, random_state=0),
    },
}
"""What people bring that is no network: per task, what makes one."""


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """All task models on six tables, two shares of errors, two seeds (quick: two tables, one share, one seed)."""
    tables = ("bank", "air") if quick else tuple(BENCHMARKS)
    jobs = [(t, a, seed + i) for a in ALPHAS[: 1 if quick else None] for i in range(1 if quick else 2) for t in tables]
    return report(pd.DataFrame(in_order(_one, jobs)))


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """A line per task model and share of errors: F1 per type, means, and how far from mlp1. runs: of `_one`."""
    lines = []
    for alpha, of in runs.groupby("alpha"):
        means = of.pivot_table(index=["table", "seed"], columns="model", values=["F1", "AP"])
        for model in sorted(of["model"].unique(), key=lambda m: (m in OTHERS, m not in SEEN, m)):
            f1, ap = means["F1"][model], means["AP"][model]
            line: dict[str, Any] = {"paper": f"{alpha:g}", "model": model, "seen": model in SEEN}
            kinds = of[of["model"] == model].groupby("kind")["F1"].mean()
            line |= {kind.short: round(float(kinds[kind.short]), 3) for kind in ErrorType}
            line |= {"mean F1": round(float(f1.mean()), 3), "mean AP": round(float(ap.mean()), 3)}
            difference = (f1 - means["F1"][AGAINST]).to_numpy()
            line |= {"F1 less mlp1's": round(float(difference.mean()), 3), "p": _p(difference), "runs": len(difference)}
            lines.append(line)
    found = {"name": "architectures", "seen": SEEN, "rows at most": ROWS, "table": lines}
    return found | {"runs": runs.round(4).to_dict("list")}


def _p(difference: np.ndarray) -> float | None:
    """Wilcoxon, paired over tables and seeds, two-sided; None for mlp1 against itself."""
    return round(float(wilcoxon(difference).pvalue), 4) if difference.any() else None


def _one(job: tuple[str, float, int]) -> list[dict[str, Any]]:
    """One table under the paper's errors: a row for every task model and error type."""
    name, alpha, seed = job
    frame, schema = load(name)
    if len(frame) > ROWS:
        frame = frame.sample(ROWS, random_state=seed).reset_index(drop=True)
    parts = split_and_plant(frame, schema, "paper", alpha, seed)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    first = Settings(seed=seed, fit=replace(Settings().fit, model=AGAINST))
    case = make_case(parts.train.frame, parts.validation.frame, schema, first)
    outputs = len(schema.classes) or 1
    rows = []
    for model, fitted in _fitted(case, outputs, first):
        found = detect(replace(case, fitted=fitted), first)
        flags = found.probabilities >= np.array(list(found.thresholds.values()))
        for k, kind in enumerate(ErrorType):
            y = truth[:, k]
            scores = {"F1": f1_score(y, flags[:, k], zero_division=0), "AP": np.nan}
            scores["AP"] = average_precision_score(y, found.probabilities[:, k]) if y.any() else np.nan
            rows.append({"table": name, "alpha": alpha, "seed": seed, "model": model, "kind": kind.short, **scores})
    return rows


def _fitted(case: Case, outputs: int, settings: Settings) -> Iterator[tuple[str, FittedModel]]:
    """Every registered network, then a stand-in for each of OTHERS."""
    task, seed = case.schema.task, settings.seed
    for model in MODELS:
        yield model, fit(case.train, case.validation, task, outputs, replace(settings.fit, model=model), seed)
    for model, kinds in OTHERS.items():
        answers = _answers(kinds[task], case, outputs)
        yield model, fit_stand_in(case.train, case.validation, task, answers, settings.fit, seed)


def _answers(make: Callable[[], Any], case: Case, outputs: int) -> Answers:
    """Training rows by models that have not seen them, validation rows by a model of all training rows."""
    x, y = case.train.x, case.train.y
    if case.schema.task is Task.REGRESSION:
        given = cross_val_predict(make(), x, y, cv=KFold(FOLDS, shuffle=True, random_state=0))
        held = make().fit(x, y).predict(case.validation.x)
        return Answers(given[:, None].astype(np.float32), held[:, None].astype(np.float32))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    given = cross_val_predict(make(), x, y, cv=folds, method="predict_proba")
    whole = make().fit(x, y)
    held = whole.predict_proba(case.validation.x)
    return Answers(*(_of_all_classes(p, whole.classes_, outputs) for p in (given, held)))


def _of_all_classes(p: np.ndarray, classes: np.ndarray, outputs: int) -> np.ndarray:
    laid = np.zeros((len(p), outputs), np.float32)
    laid[:, classes] = p
    return laid
