"""`bench detect`: the shipped DEC on six real tables it never saw, beside ablations, peers and chance.

Leave-one-dataset-out by construction: the DEC has learnt from synthetic and from other public tables, so that every
table here is left out of its training; the seeds, the published rules and these tables' rows are used here and nowhere
else. Every method sees the same corrupted rows. The code of both protocols is in its training, on other tables and
rules. Beside the classifier stand its halves, itself without the laws between columns (the other rows hear them), and
networks that lack something: 'the paper's errors unseen' in it;
'synthetic tables only'; 'no influence', nothing from gradients, similarity kept; 'no tokens', neither.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, f1_score

from demix_core.benchmark._peers import PEERS, Finding
from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.detect import SHIPPED, Case, Detection, Looked, judge, look
from demix_core.classifiers.network import load_checkpoint
from demix_core.classifiers.planted import make_case
from demix_core.classifiers.thresholds import Trust
from demix_core.evaluation.two_samples import holm
from demix_core.planting import Parts, split_and_plant
from demix_core.settings import Settings
from demix_core.types import ErrorType, Schema
from demix_core.workers import in_order

SEEDS = (2026, 2027, 2028, 2029, 2030)
CONDITIONS = (("paper", 0.5), ("paper", 0.7), ("paper", 0.9), ("paper", 0.98), ("broad", 0.9), ("broad", 0.6))
PLAIN = (("paper", 0.7), ("paper", 0.98))
"""Conditions in between and beyond, without the ablations."""

MODEL = "mlp1"
OURS = "DeMix"
_FOLDER = SHIPPED.parent / "ablations"
NETWORK = "network alone"
DEAF = "without laws"
ABLATIONS = {
    DEAF: SHIPPED,
    NETWORK: _FOLDER / "network.safetensors",
    "trees alone": _FOLDER / "trees.safetensors",
    "network: the paper's errors unseen": _FOLDER / "no_paper.safetensors",
    "network: synthetic tables only": _FOLDER / "synthetic.safetensors",
    "network: no influence": _FOLDER / "no_influence.safetensors",
    "network: no tokens": _FOLDER / "no_tokens.safetensors",
}
"""The classifier deaf to the laws between columns, its halves, and networks trained otherwise, to be compared with the
network alone."""

FLAG_ALL = "chance (flag every row)"
BEST_PEER = "best peer of each type"
Job = tuple[str, str, float, int]
SHORT = {ErrorType.LABEL: "LE", ErrorType.FEATURE: "FE", ErrorType.SPURIOUS: "SC"}


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """All methods on six tables, six conditions, five seeds (quick: two tables, one condition, one seed)."""
    tables, conditions, seeds = scope(quick, seed)
    return report(pd.DataFrame(in_order(_one, jobs(quick, seed))), tables, conditions, seeds)


def scope(quick: bool, seed: int) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...], list[int]]:
    """(tables, conditions, seeds) of a run."""
    tables = ("bank", "air") if quick else tuple(BENCHMARKS)
    return tables, CONDITIONS[:1] if quick else CONDITIONS, [seed + i for i in range(1 if quick else len(SEEDS))]


def jobs(quick: bool, seed: int) -> list[Job]:
    """(table, protocol, alpha, seed) of everything in scope."""
    tables, conditions, seeds = scope(quick, seed)
    return [(t, p, a, s) for t in tables for p, a in conditions for s in seeds]


def prepare(job: Job) -> tuple[Parts, Schema, Settings, Case]:
    """The table with errors planted, and everything before detection done to it."""
    name, protocol, alpha, seed = job
    frame, schema = load(name)
    parts = split_and_plant(frame, schema, protocol, alpha, seed)
    settings = Settings(seed=seed, fit=replace(Settings().fit, model=MODEL))
    return parts, schema, settings, make_case(parts.train.frame, parts.validation.frame, schema, settings)


def report(
    every: pd.DataFrame, tables: tuple[str, ...], conditions: tuple[tuple[str, float], ...], seeds: list[int]
) -> dict[str, Any]:
    """All figures from the runs, one line per table, corruption, seed, method and error type."""
    return {
        "name": "detect", "tables": tables, "conditions": conditions, "model": MODEL, "seeds": seeds,
        "table": [line for c in conditions for line in _table(_of(every, *c), f"{c[0]} {c[1]:g}")],
        "by_table": [line for c in conditions for line in _by_table(_of(every, *c), f"{c[0]} {c[1]:g}")],
        "several": [line for c in conditions for line in _several_table(_of(every, *c), f"{c[0]} {c[1]:g}")],
        "trust": [line for c in conditions for line in _trust_table(_of(every, *c), f"{c[0]} {c[1]:g}")],
        "peers": [line for c in conditions for line in _peers_table(_of(every, *c), f"{c[0]} {c[1]:g}")],
        "significance": _significance(every, conditions), "runs": every.round(4).to_dict("list"),
    }  # fmt: skip


def _one(job: Job) -> list[dict[str, Any]]:
    """One table under one corruption: a row for every method and error type."""
    name, protocol, alpha, seed = job
    warnings.simplefilter("ignore", ConvergenceWarning)  # of a peer's linear model: its predictions are what counts
    parts, schema, settings, case = prepare(job)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    rows = []
    ablations = {} if (protocol, alpha) in PLAIN else ABLATIONS
    looked = look(case, settings)
    for method, checkpoint in {OURS: SHIPPED, **ablations}.items():
        heard = deaf(looked) if method == DEAF else looked
        rows += scores(method, parts, schema, judge(load_checkpoint(checkpoint), heard, case, settings))
    for kind, peers in PEERS.items():
        rows += [_score(peer, kind, truth, find(case, seed)) for peer, find in peers.items()]
        rows.append(_score(FLAG_ALL, kind, truth, Finding(np.full(len(truth), 0.5), np.ones(len(truth), bool))))
    return [{"table": name, "protocol": protocol, "alpha": alpha, "seed": seed} | row for row in rows]


def deaf(looked: Looked) -> Looked:
    """As if no law had been found."""
    cells = looked.cells
    return replace(looked, cells=replace(cells, blame=0 * cells.blame, broken=cells.broken & False))


def scores(method: str, parts: Parts, schema: Schema, found: Detection) -> list[dict[str, Any]]:
    """A row for every error type of one of our methods."""
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    flags = found.probabilities >= np.array(list(found.thresholds.values()))
    rows = []
    for k, kind in enumerate(ErrorType):
        row = _score(method, kind, truth, Finding(found.probabilities[:, k], flags[:, k]))
        row |= _trust(truth[:, k], flags[:, k], found.trust[kind])
        if kind is ErrorType.FEATURE:
            row["wrong cell named first"] = _localised(parts, schema, found.wrong)
        rows.append(row)
    return rows


def _trust(y: np.ndarray, flags: np.ndarray, told: Trust) -> dict[str, Any]:
    """What was estimated without the truth, what is true, and whether the interval holds it."""
    row: dict[str, Any] = {}
    for name, estimate, true in (("wrong", told.wrong, y.mean()), ("right", told.right, y[flags].mean())):
        row |= {
            f"{name} estimated": estimate.value, f"{name} truly": true,
            f"{name} covered": float(estimate.low <= true <= estimate.high),
        }  # fmt: skip
    return row


def _localised(parts: Parts, schema: Schema, wrong: np.ndarray) -> float:
    """Share of the rows with wrong cells whose most suspect cell is one of them."""
    truth = parts.train.truth
    columns = [set(text.split("|")) for text in truth["columns"]]
    names = [c.name for c in schema.features]
    guilty = np.flatnonzero(truth[ErrorType.FEATURE.value])
    return float(np.mean([names[wrong[i].argmax()] in columns[i] for i in guilty])) if len(guilty) else np.nan


def _score(method: str, kind: ErrorType, truth: np.ndarray, found: Finding) -> dict[str, Any]:
    """F1 at the method's own flags and when told how many rows are wrong, average precision; NaN without wrong rows.

    alone, several: the share that the flags find of the wrong rows with this error alone, and with others, too.
    """
    y = truth[:, list(ErrorType).index(kind)]
    row: dict[str, Any] = {"method": method, "kind": SHORT[kind], "share": y.mean(), "flagged": np.nan}
    row |= dict.fromkeys(("F1", "told", "AP", "alone", "several"), np.nan)
    if found.flags is not None:
        row["flagged"] = found.flags.mean()
    if y.any():
        row["told"] = f1_score(y, top(found.scores, int(y.sum())), zero_division=0)
        row["AP"] = average_precision_score(y, found.scores)
        if found.flags is not None:
            row["F1"] = f1_score(y, found.flags, zero_division=0)
            for name, some in (("alone", truth.sum(1) == 1), ("several", truth.sum(1) > 1)):
                row[name] = found.flags[y & some].mean() if (y & some).any() else np.nan
    return row


def top(scores: np.ndarray, count: int) -> np.ndarray:
    flags = np.zeros(len(scores), bool)
    flags[np.argsort(-scores, kind="stable")[:count]] = True
    return flags


def _of(every: pd.DataFrame, protocol: str, alpha: float) -> pd.DataFrame:
    return every[(every.protocol == protocol) & (every.alpha == alpha)]


def _with_best_peer(runs: pd.DataFrame) -> pd.DataFrame:
    """Beside our methods and chance, per type the peer of the highest mean average precision over all runs."""
    ours = runs[runs.method.isin([OURS, *ABLATIONS, FLAG_ALL])]
    best = [_best(runs, kind).assign(method=BEST_PEER) for kind in SHORT.values()]
    return pd.concat([ours, *best])


def _best(runs: pd.DataFrame, kind: str) -> pd.DataFrame:
    names = [name for k, peers in PEERS.items() if SHORT[k] == kind for name in peers]
    peers = runs[(runs.kind == kind) & runs.method.isin(names)]
    return peers[peers.method == peers.groupby("method").AP.mean().idxmax()]


def wide(runs: pd.DataFrame) -> pd.DataFrame:
    """One line per table, seed and method; columns 'LE F1', …, and means over the types that the run has."""
    keys = ["table", "seed", "method"]
    parts = []
    for figure in ("F1", "told", "AP"):
        of = runs.pivot(index=keys, columns="kind", values=figure).reindex(columns=list(SHORT.values()))
        parts.append(of.add_suffix(f" {figure}"))
        parts.append(of.mean(axis=1).rename(f"mean {figure}").to_frame())
    return pd.concat(parts, axis=1)


HEADLINE = ("LE F1", "FE F1", "SC F1", "mean F1", "mean told", "mean AP")


def _table(runs: pd.DataFrame, condition: str) -> list[dict[str, Any]]:
    """The headline: mean over tables ± sd over the seeds' means, a line per method."""
    figures = wide(_with_best_peer(runs))
    lines = []
    for method in [m for m in (OURS, *ABLATIONS, BEST_PEER, FLAG_ALL) if m in figures.index.get_level_values("method")]:
        seeds = figures.xs(method, level="method").groupby("seed")[list(HEADLINE)].mean()
        line: dict[str, Any] = {"corruption": condition, "method": method}
        line |= {head: mean_and_spread(seeds[head]) for head in HEADLINE}
        if "–" in line.values():  # a peer without flags of its own
            line["mean F1"] = "–"
        lines.append(line)
    return lines


def mean_and_spread(values: pd.Series) -> str:
    if values.isna().all():
        return "–"
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():.3f} ±{spread:.3f}".replace("0.", ".")


def _by_table(runs: pd.DataFrame, condition: str) -> list[dict[str, Any]]:
    """Ours on each table, mean over seeds."""
    figures = wide(runs[runs.method == OURS]).groupby("table", sort=False).mean().round(3)
    cells = runs[(runs.method == OURS) & (runs.kind == "FE")].groupby("table")["wrong cell named first"].mean().round(3)
    return [
        {"corruption": condition, "table": name, **figures.loc[name].to_dict(), "wrong cell named first": cells[name]}
        for name in cells.index.astype(str)
    ]


def _trust_table(runs: pd.DataFrame, condition: str) -> list[dict[str, Any]]:
    """Ours per type: estimated and true share of wrong rows and of right flags, how far off, how often covered."""
    lines = []
    for kind, of in runs[runs.method == OURS].groupby("kind", sort=False):
        line: dict[str, Any] = {"corruption": condition, "kind": kind}
        for name in ("wrong", "right"):
            line |= {f"{name} {word}": round(float(of[f"{name} {word}"].mean()), 3) for word in ("estimated", "truly")}
            off = (of[f"{name} estimated"] - of[f"{name} truly"]).abs().mean()
            line |= {f"{name} off by": round(float(off), 3), f"{name} covered": float(of[f"{name} covered"].mean())}
        lines.append(line)
    return lines


def _several_table(runs: pd.DataFrame, condition: str) -> list[dict[str, Any]]:
    """Ours per type: the share found of rows with this error alone and of rows with several; means over all runs."""
    found = runs[runs.method == OURS].groupby("kind", sort=False)[["alone", "several"]].mean().round(3)
    return [{"corruption": condition, "kind": kind, **found.loc[kind].to_dict()} for kind in found.index.astype(str)]


def _peers_table(runs: pd.DataFrame, condition: str) -> list[dict[str, Any]]:
    """Every peer: mean over tables and seeds."""
    known = {(SHORT[k], name) for k, peers in PEERS.items() for name in peers}
    means = runs.groupby(["kind", "method"], sort=False)[["F1", "told", "AP"]].mean().round(3)
    return [
        {"corruption": condition, "kind": kind, "method": method, **means.loc[(kind, method)].to_dict()}
        for kind, method in means.index
        if (kind, method) in known
    ]


def _significance(every: pd.DataFrame, conditions: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
    """Average precision of DeMix against the best peer, and mean figures against the ablations.

    Paired Wilcoxon, two-sided, over all tables and seeds (not independent: seeds share a table) and over the tables'
    means; Holm over all.
    """
    lines: list[dict[str, Any]] = []
    for protocol, alpha in conditions:
        runs = _of(every, protocol, alpha)
        for kind in SHORT.values():
            best = _best(runs, kind)
            lines.append(compare(runs[(runs.kind == kind) & (runs.method == OURS)], best, "AP"))
            lines[-1] |= {"kind": kind, "against": str(best.method.iloc[0])}
        for method in ABLATIONS if (protocol, alpha) not in PLAIN else ():
            for figure in ("F1", "AP"):
                whole = NETWORK if method.startswith("network:") else OURS
                ours, theirs = (runs[runs.method == m] for m in (whole, method))
                lines.append(compare(ours, theirs, figure) | {"kind": "mean", "of": whole, "against": method})
        for line in lines:
            line.setdefault("corruption", f"{protocol} {alpha:g}")
    for field in ("p over runs", "p over tables"):
        for line, p in zip(lines, holm([line[field] for line in lines]), strict=True):
            line[f"{field}, Holm"] = p
    return lines


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, figure: str) -> dict[str, Any]:
    a, b = (d.groupby(["table", "seed"])[figure].mean() for d in (ours, theirs))
    difference = (a - b).dropna()
    of_tables = difference.groupby("table").mean()
    return {
        "figure": figure,
        "mean difference": float(difference.mean()),
        "wins": int((difference > 0).sum()),
        "runs": len(difference),
        "p over runs": _p(difference),
        "p over tables": _p(of_tables),
    }


def _p(difference: pd.Series) -> float:
    return float(wilcoxon(difference).pvalue) if len(difference) > 1 and difference.any() else 1.0
