"""`bench probe`: are the error types separable in the paper's channels at all, by a straight line, within one table?

A linear probe (ridge regression on set statistics of influence, input cosine, label agreement, and training loss) is
fitted to the truth of four fifths of a table's rows and asked about the rest. It is told what nobody knows in practice:
its figures say what a line could find, they are no detector's. The same probe on shuffled truth says what chance
gives: p = (1 + permutations at least as good) / (1 + permutations), Holm's correction over all runs.
Cost: one factorisation per fold; the truth and all permutations are solved at once, O(n·F·(F + 3·P)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.environment import make_environment
from demix_core.classifiers.features import Features
from demix_core.evaluation.two_samples import holm
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit, row_losses
from demix_core.planting import split_and_plant
from demix_core.settings import Settings
from demix_core.types import Encoded, ErrorType
from demix_core.workers import in_order

SEEDS = (2026, 2027)
ALPHAS = (0.5, 0.9)
MODEL = "mlp1"
ROWS = 5_000
"""A larger table is sampled after influence was measured."""

FOLDS = 5
PERMUTATIONS = 1_999
RIDGE = 1e-3
"""Of the mean diagonal of XᵀX."""

CHANNELS = ("influence", "similarity", "agreement")


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """Six tables, the paper's errors, two shares, two seeds (quick: two tables, one share, one seed)."""
    tables = ("bank", "air") if quick else tuple(BENCHMARKS)
    alphas, seeds = (ALPHAS[:1], [seed]) if quick else (ALPHAS, [seed + i for i in range(len(SEEDS))])
    return report(pd.DataFrame(in_order(_one, [(t, a, s) for a in alphas for s in seeds for t in tables])))


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """A line per share of errors and type. runs: of `_one`."""
    runs = runs.assign(holm=holm(runs["p"].tolist()))
    lines = [
        {
            "paper": f"{alpha:g}", "kind": kind, "AP": round(float(of["AP"].mean()), 3),
            "AP shuffled": round(float(of["AP shuffled"].mean()), 3), "runs": len(of),
            "p < .05": int((of["p"] < 0.05).sum()), "p < .05, Holm": int((of["holm"] < 0.05).sum()),
            "largest p": round(float(of["p"].max()), 4),
        }
        for (alpha, kind), of in runs.groupby(["alpha", "kind"], sort=False)
    ]  # fmt: skip
    return {"name": "probe", "permutations": PERMUTATIONS, "table": lines, "runs": runs.round(4).to_dict("list")}


def _one(job: tuple[str, float, int]) -> list[dict[str, Any]]:
    name, alpha, seed = job
    frame, schema = load(name)
    parts = split_and_plant(frame, schema, "paper", alpha, seed)
    encoder = TabularEncoder.fit(parts.train.frame, schema)
    rows, held = (encoder.transform(part.frame) for part in (parts.train, parts.validation))
    settings = replace(Settings().fit, model=MODEL)
    fitted = fit(rows, held, schema.task, encoder.n_outputs, settings, seed)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(rows.y))[:ROWS])
    seen = Encoded(rows.x[some], rows.y[some], rows.columns)
    statistics = make_environment(fitted, held, schema.task, rng).statistics(seen)
    loss = np.log(row_losses(fitted.network, seen, schema.task) + 1e-3)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)[some]
    found = probe(np.concatenate([paper_statistics(statistics), loss[:, None]], 1), truth, PERMUTATIONS, seed)
    return [{"table": name, "alpha": alpha, "seed": seed, "kind": kind.short} | found[k]
            for k, kind in enumerate(ErrorType) if truth[:, k].any()]  # fmt: skip


def paper_statistics(statistics: Features) -> np.ndarray:
    """[n, F]: those of the paper's channels alone."""
    return statistics.values[:, [name.startswith(CHANNELS) for name in statistics.names]]


def probe(x: np.ndarray, truth: np.ndarray, permutations: int, seed: int) -> list[dict[str, float]]:
    """Per column of truth [n, K]: AP of the cross-fitted probe, the mean over shuffled truths, and p. x: [n, F]."""
    rng = np.random.default_rng(seed)
    n, kinds = truth.shape
    x = np.asarray(x, np.float64)
    x = np.concatenate([(x - x.mean(0)) / (x.std(0) + 1e-9), np.ones((n, 1))], 1)
    orders = [np.arange(n), *(rng.permutation(n) for _ in range(permutations))]
    y = np.concatenate([truth[order] for order in orders], 1).astype(np.float64)
    scores, fold = np.empty_like(y), rng.permutation(n) % FOLDS
    for k in range(FOLDS):
        fits, asked = fold != k, fold == k
        gram = x[fits].T @ x[fits]
        gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
        scores[asked] = x[asked] @ cho_solve(cho_factor(gram), x[fits].T @ y[fits])
    ap = average_precisions(scores, y > 0.5).reshape(permutations + 1, kinds)
    return [
        {
            "AP": float(a[0]), "AP shuffled": float(a[1:].mean()),
            "p": float((1 + (a[1:] >= a[0]).sum()) / (1 + permutations)),
        }
        for a in ap.T
    ]  # fmt: skip


def average_precisions(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float [C]: average precision of every column of scores [n, C] against the same column of truth (no ties)."""
    order = np.argsort(-scores, 0, kind="stable")
    hit = np.take_along_axis(truth, order, 0)
    precision = hit.cumsum(0) / np.arange(1, len(hit) + 1)[:, None]
    return np.asarray((precision * hit).sum(0) / np.maximum(hit.sum(0), 1))
