"""`bench detect`: the shipped DEC on a table it never saw, beside ablations, peers and chance.

no influence: trained without anything from gradients, similarity kept; no tokens: with neither; peers: cleanlab for
labels, IsolationForest for cells, the best one-feature tree for the shortcut; chance: every row flagged.

Honest by construction: the DEC is trained on synthetic tables only; seeds 2026–2030, the published rules and Adult's
rows are used here and nowhere else. Every method sees the same corrupted rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.stats import wilcoxon
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from demix_core.benchmark._tables import load
from demix_core.classifiers.detect import SHIPPED, Case, detect
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit
from demix_core.planting import Parts, split_and_plant
from demix_core.settings import Settings
from demix_core.signals.base import compute
from demix_core.types import Encoded, ErrorType, Schema

SEEDS = (2026, 2027, 2028, 2029, 2030)
TABLE, ALPHA, MODEL = "adult", 0.5, "mlp1"
OURS = "DeMix"
ABLATIONS = {
    "no influence": SHIPPED.parent / "ablations" / "no_influence.safetensors",
    "no tokens": SHIPPED.parent / "ablations" / "no_tokens.safetensors",
}


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """All methods over five seeds (quick: one); figures are F1 per type at each method's own threshold."""
    seeds = [seed + i for i in range(1 if quick else len(SEEDS))]
    rows = [r for s in seeds for r in _one_seed(TABLE, ALPHA, MODEL, s)]
    every = pd.DataFrame(rows)
    return {
        "name": "detect", "table_name": TABLE, "protocol": "paper", "alpha": ALPHA, "model": MODEL, "seeds": seeds,
        "table": _table(every), "significance": _significance(every), "runs": rows,
    }  # fmt: skip


def make_case(parts: Parts, schema: Schema, settings: Settings) -> Case:
    """Encode, fit and compute signals: the stages before the DEC."""
    train, validation = parts.train.frame, parts.validation.frame
    encoder = TabularEncoder.fit(train, schema)
    rows, held = encoder.transform(train), encoder.transform(validation)
    fitted = fit(rows, held, schema.task, encoder.n_outputs, settings.fit, settings.seed)
    return Case(train, schema, rows, held, fitted, compute(train, schema, settings.seed))


def _one_seed(name: str, alpha: float, model: str, seed: int) -> list[dict[str, Any]]:
    frame, schema = load(name)
    parts = split_and_plant(frame, schema, "paper", alpha, seed)
    settings = Settings(seed=seed, fit=replace(Settings().fit, model=model))
    case = make_case(parts, schema, settings)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    rows = []
    for method, checkpoint in {OURS: SHIPPED, **ABLATIONS}.items():
        if checkpoint.exists():
            chosen = replace(settings, diagnose=replace(settings.diagnose, classifier=str(checkpoint)))
            found = detect(case, chosen)
            rows.append(_score(method, seed, truth, found.probabilities, list(found.thresholds.values())))
            rows[-1]["wrong cell named first"] = _localised(parts, schema, found.wrong)
    rows.append(_peers(case, truth, seed))
    rows.append(_chance(truth, seed))
    return rows


def _localised(parts: Parts, schema: Schema, wrong: np.ndarray) -> float:
    """Share of the rows with wrong cells whose most suspect cell is one of them."""
    truth = parts.train.truth
    columns = [set(text.split("|")) for text in truth["columns"]]
    names = [c.name for c in schema.features]
    guilty = np.flatnonzero(truth[ErrorType.FEATURE.value])
    return float(np.mean([names[wrong[i].argmax()] in columns[i] for i in guilty]))


def _score(name: str, seed: int, truth: np.ndarray, scores: np.ndarray, thresholds: list[float]) -> dict[str, Any]:
    out: dict[str, Any] = {"method": name, "seed": seed}
    for k, kind in enumerate(ErrorType):
        y, s = truth[:, k], scores[:, k]
        out[f"{kind.short} F1"] = f1_score(y, s >= thresholds[k], zero_division=0)
        out[f"{kind.short} F1 told share"] = f1_score(y, _top(s, int(y.sum())), zero_division=0)
        out[f"{kind.short} AP"] = average_precision_score(y, s) if y.any() else np.nan
    return _with_average(out)


def _with_average(out: dict[str, Any]) -> dict[str, Any]:
    for figure in ("F1", "F1 told share", "AP"):
        out[f"average {figure}"] = float(np.mean([out[f"{k.short} {figure}"] for k in ErrorType]))
    return out


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    flags = np.zeros(len(scores), bool)
    flags[np.argsort(-scores, kind="stable")[:count]] = True
    return flags


def _peers(case: Case, truth: np.ndarray, seed: int) -> dict[str, Any]:
    """cleanlab (labels), IsolationForest (features), a one-feature tree (shortcut): each at its own default flag."""
    x, y = case.train.x, case.train.y
    probabilities = cross_val_predict(LogisticRegression(max_iter=200), x, y, cv=5, method="predict_proba")
    issues = find_label_issues(y, probabilities, n_jobs=1)
    forest = IsolationForest(random_state=seed, n_jobs=1).fit(x)
    shortcut, against = one_feature_tree(case.train)
    flags = np.stack([issues, forest.predict(x) < 0, against], 1)
    scores = np.stack([1 - get_label_quality_scores(y, probabilities), -forest.score_samples(x), shortcut], 1)
    out = _score("peers", seed, truth, scores, [np.inf] * 3)
    for k, kind in enumerate(ErrorType):
        out[f"{kind.short} F1"] = f1_score(truth[:, k], flags[:, k], zero_division=0)
    return _with_average(out)


def one_feature_tree(data: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """(score, flag) per row: the best tree of depth one on any single input; rows whose class it does not predict."""
    best, best_score = None, -1.0
    for j in range(data.x.shape[1]):
        column = data.x[:, j : j + 1]
        tree = DecisionTreeClassifier(max_depth=1, class_weight="balanced").fit(column, data.y)
        p = tree.predict_proba(column)
        accuracy = float(np.mean([(p.argmax(1) == data.y)[data.y == c].mean() for c in np.unique(data.y)]))
        if accuracy > best_score:
            best, best_score = p, accuracy
    assert best is not None
    given = best[np.arange(len(data.y)), data.y]
    return 1 - given, best.argmax(1) != data.y


def _chance(truth: np.ndarray, seed: int) -> dict[str, Any]:
    """Flags every row: the best that can be done without looking."""
    return _score("chance", seed, truth, np.full(truth.shape, 0.5), [0.0] * 3)


def _table(every: pd.DataFrame) -> list[dict[str, Any]]:
    """The headline, mean ± sd over seeds, a row per method; every figure is in runs."""
    heads = {
        "label F1": "LE F1", "feature F1": "FE F1", "spurious F1": "SC F1",
        "average F1": "mean F1", "average F1 told share": "told share", "average AP": "mean AP",
    }  # fmt: skip
    rows = []
    for method, group in every.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method}
        for column, head in heads.items():
            spread = group[column].std(ddof=1) if len(group) > 1 else 0.0
            row[head] = f"{group[column].mean():.3f} ±{spread:.3f}".replace("0.", ".")
        rows.append(row)
    return rows


def _significance(every: pd.DataFrame) -> list[dict[str, Any]]:
    """DeMix against each other method, paired over seeds: mean difference, Wilcoxon p (five seeds: never below .06)."""
    ours = every[every.method == OURS].set_index("seed")["average F1"]
    out = []
    for method, group in every.groupby("method", sort=False):
        other = group.set_index("seed")["average F1"]
        if method == OURS or len(other) < 2:
            continue
        difference = ours - other
        out.append(
            {
                "against": method,
                "mean difference in average F1": float(difference.mean()),
                "sd": float(difference.std(ddof=1)),
                "wins": int((difference > 0).sum()),
                "wilcoxon p (two-sided)": float(wilcoxon(difference).pvalue),
            }
        )
    return out
