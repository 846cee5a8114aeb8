"""`bench architectures`: the shipped DEC on task models that it has not seen, beside those it was trained with.

The six tables of bench detect, the paper's errors, the same corrupted rows and signals for every model; only the task
model, and with it every loss, prediction and influence, is another one. The DEC has seen mlp1 and mlp2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, f1_score

from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.corpus import ARCHITECTURES as SEEN
from demix_core.classifiers.detect import detect
from demix_core.classifiers.planted import make_case
from demix_core.models.base import MODELS
from demix_core.models.training import fit
from demix_core.planting import split_and_plant
from demix_core.settings import Settings
from demix_core.types import ErrorType
from demix_core.workers import in_order

SEEDS = (2026, 2027)
ALPHAS = (0.5, 0.9)
AGAINST = "mlp1"


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
        for model in sorted(of["model"].unique(), key=lambda m: (m not in SEEN, m)):
            f1, ap = means["F1"][model], means["AP"][model]
            line: dict[str, Any] = {"paper": f"{alpha:g}", "model": model, "seen": model in SEEN}
            kinds = of[of["model"] == model].groupby("kind")["F1"].mean()
            line |= {kind.short: round(float(kinds[kind.short]), 3) for kind in ErrorType}
            line |= {"mean F1": round(float(f1.mean()), 3), "mean AP": round(float(ap.mean()), 3)}
            difference = (f1 - means["F1"][AGAINST]).to_numpy()
            line |= {"F1 less mlp1's": round(float(difference.mean()), 3), "p": _p(difference), "runs": len(difference)}
            lines.append(line)
    return {"name": "architectures", "seen": SEEN, "table": lines, "runs": runs.round(4).to_dict("list")}


def _p(difference: np.ndarray) -> float | None:
    """Wilcoxon, paired over tables and seeds, two-sided; None for mlp1 against itself."""
    return round(float(wilcoxon(difference).pvalue), 4) if difference.any() else None


def _one(job: tuple[str, float, int]) -> list[dict[str, Any]]:
    """One table under the paper's errors: a row for every task model and error type."""
    name, alpha, seed = job
    frame, schema = load(name)
    parts = split_and_plant(frame, schema, "paper", alpha, seed)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    first = Settings(seed=seed, fit=replace(Settings().fit, model=AGAINST))
    case = make_case(parts.train.frame, parts.validation.frame, schema, first)
    outputs = len(schema.classes) or 1
    rows = []
    for model in MODELS:
        settings = replace(first, fit=replace(first.fit, model=model))
        fitted = fit(case.train, case.validation, schema.task, outputs, settings.fit, seed)
        found = detect(replace(case, fitted=fitted), settings)
        flags = found.probabilities >= np.array(list(found.thresholds.values()))
        for k, kind in enumerate(ErrorType):
            y = truth[:, k]
            scores = {"F1": f1_score(y, flags[:, k], zero_division=0), "AP": np.nan}
            scores["AP"] = average_precision_score(y, found.probabilities[:, k]) if y.any() else np.nan
            rows.append({"table": name, "alpha": alpha, "seed": seed, "model": model, "kind": kind.short, **scores})
    return rows
