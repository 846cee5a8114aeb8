"""`bench lessons`: what verdicts on some suggestions teach of the rest, on the six tables of `bench detect`.

A reviewer judges some of the flagged rows, drawn at random (never wrong, or one time in ten) or the most informative
first, and the rest is judged anew. Average precision is over all rows that were not judged; settled are open
suggestions of which at least nine in ten, or at most one in ten, should be right by then, and 'held' how many of these
are as they should be. How strongly a verdict counts was chosen on development tables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score

from demix_core.benchmark._tables import BENCHMARKS
from demix_core.benchmark.detect import SEEDS, SHORT, Job, prepare
from demix_core.classifiers.detect import SHIPPED, Detection, judge, look
from demix_core.classifiers.lessons import SPREADS, corrected, learn
from demix_core.classifiers.network import load_checkpoint
from demix_core.evaluation.two_samples import holm
from demix_core.lessons import SURE, UNLIKELY
from demix_core.sift import uncertainty
from demix_core.types import ErrorType
from demix_core.workers import in_order

CONDITIONS = (("paper", 0.5), ("paper", 0.9), ("broad", 0.9), ("broad", 0.6))
VERDICTS = (10, 30, 100, 300)
RUNS = 3
"""Seeds, of those of `bench detect`."""

AT_RANDOM, MISTAKEN, INFORMATIVE = "at random", "at random, one in ten wrong", "most informative first"
ORDERS = (AT_RANDOM, MISTAKEN, INFORMATIVE)
MISTAKES = 0.1


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """Six tables, four corruptions, three seeds (quick: two tables, one corruption, one seed)."""
    tables = ("bank", "air") if quick else tuple(BENCHMARKS)
    conditions, seeds = (CONDITIONS[:1], [seed]) if quick else (CONDITIONS, [seed + i for i in range(RUNS)])
    return report(pd.DataFrame(in_order(_one, [(t, p, a, s) for p, a in conditions for s in seeds for t in tables])))


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """A line per corruption, order and number of verdicts: means over tables and seeds. runs: of `_one`."""
    runs = runs.assign(corruption=runs.protocol + " " + runs.alpha.map("{:g}".format))
    lines = []
    for (corruption, order, count), of in runs.groupby(["corruption", "order", "verdicts"], sort=False):
        line: dict[str, Any] = {"corruption": corruption, "order": order, "verdicts": count}
        for kind, mine in of.groupby("kind", sort=False):
            line[f"{kind} AP"] = f"{mine['AP before'].mean():.3f} → {mine['AP after'].mean():.3f}"
        whole = of.groupby(["table", "seed"])[["AP before", "AP after"]].mean()
        line["mean AP"] = f"{whole['AP before'].mean():.3f} → {whole['AP after'].mean():.3f}"
        gain = whole["AP after"] - whole["AP before"]
        line |= {"better": f"{int((gain > 0).sum())} of {len(gain)}", "p": _p(gain)}
        for when in ("before", "after"):
            settled = of[f"settled {when}"].sum()
            line[f"settled {when}"] = f"{settled / of['open'].sum():.0%}"
            line[f"held {when}"] = f"{of[f'held {when}'].sum() / settled:.0%}" if settled else "–"
        lines.append(line)
    for line, p in zip(lines, holm([line.pop("p") for line in lines]), strict=True):
        line["p, Holm"] = round(p, 5)
    return {"name": "lessons", "verdicts": VERDICTS, "table": lines, "runs": runs.round(4).to_dict("list")}


def _p(gain: pd.Series) -> float:
    return float(wilcoxon(gain).pvalue) if len(gain) > 1 and gain.any() else 1.0


def _one(job: Job) -> list[dict[str, Any]]:
    name, protocol, alpha, seed = job
    parts, _, settings, case = prepare(job)
    found = judge(load_checkpoint(SHIPPED), look(case, settings), case, settings)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    place = {"table": name, "protocol": protocol, "alpha": alpha, "seed": seed}
    return [
        place | line for order in ORDERS for count in VERDICTS for line in reviewed(found, truth, order, count, seed)
    ]


def reviewed(found: Detection, truth: np.ndarray, order: str, count: int, seed: int) -> list[dict[str, Any]]:
    """A line per error type, once `count` suggestions of all types were judged; none where fewer are left than that.

    truth: bool [N, 3].
    """
    assert found.described is not None
    flags = found.probabilities >= np.array(list(found.thresholds.values()))
    rows, kinds = np.nonzero(flags)
    if len(rows) < 2 * count:
        return []
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(rows))
    if order == INFORMATIVE:
        chosen = np.argsort(-uncertainty(found.probabilities[rows, kinds]), kind="stable")
    verdicts = np.full(truth.shape, np.nan)
    some = rows[chosen[:count]], kinds[chosen[:count]]
    verdicts[some] = truth[some] ^ (rng.random(count) < (MISTAKES if order == MISTAKEN else 0))
    return [
        {"order": order, "verdicts": count, "kind": short, **_judged(found, truth, flags, verdicts, k)}
        for k, short in enumerate(SHORT.values())
    ]


def _judged(found: Detection, truth: np.ndarray, flags: np.ndarray, verdicts: np.ndarray, k: int) -> dict[str, float]:
    """Of one type, by what was said before and after."""
    assert found.described is not None
    y, left = truth[:, k], np.isnan(verdicts[:, k])
    before = found.probabilities[:, k].astype(float)
    line = {"right": float((verdicts[:, k] == 1).sum()), "wrong": float((verdicts[:, k] == 0).sum())}
    still = left & flags[:, k]
    line["open"] = float(still.sum())
    taught = learn(found.described, before, verdicts[:, k], SPREADS[list(ErrorType)[k]])
    after = corrected(taught, found.described, before)
    for when, p in (("before", before), ("after", after)):
        line[f"AP {when}"] = float(average_precision_score(y[left], p[left])) if y[left].any() else np.nan
        likely, unlikely = still & (p >= SURE), still & (p <= UNLIKELY)
        line[f"settled {when}"] = float(likely.sum() + unlikely.sum())
        line[f"held {when}"] = float(y[likely].sum() + (~y[unlikely]).sum())
    return line
