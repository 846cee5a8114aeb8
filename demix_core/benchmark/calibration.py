"""`bench calibration`: what `--calibrate` adds on the six tables of bench detect, under the same corrupted rows.

'calibrated' has also learnt from errors planted into copies of the very rows that it looks at; their own errors are
unknown to it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from demix_core.benchmark.detect import (
    HEADLINE,
    MODEL,
    OURS,
    PLAIN,
    SEEDS,
    Job,
    compare,
    jobs,
    mean_and_spread,
    prepare,
    scores,
    wide,
)
from demix_core.classifiers.detect import detect
from demix_core.classifiers.planted import calibrate
from demix_core.evaluation.two_samples import holm
from demix_core.workers import in_order

CALIBRATED = "DeMix, calibrated"


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """With and without on six tables, four conditions, five seeds (quick: two tables, one condition, one seed)."""
    return report(pd.DataFrame(in_order(_one, [j for j in jobs(quick, seed) if j[1:3] not in PLAIN])))


def report(every: pd.DataFrame) -> dict[str, Any]:
    """A line per corruption and method, and what calibrating changes in mean F1 and average precision."""
    lines: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    for (protocol, alpha), runs in every.groupby(["protocol", "alpha"], sort=False):
        condition = f"{protocol} {alpha:g}"
        figures = wide(runs)
        for method in (OURS, CALIBRATED):
            seeds = figures.xs(method, level="method").groupby("seed")[list(HEADLINE)].mean()
            lines.append({"corruption": condition, "method": method} | {h: mean_and_spread(seeds[h]) for h in HEADLINE})
        with_it, without = (runs[runs.method == m] for m in (CALIBRATED, OURS))
        tests += [{"corruption": condition} | compare(with_it, without, figure) for figure in ("F1", "AP")]
    for line, p in zip(tests, holm([line["p over runs"] for line in tests]), strict=True):
        line["p over runs, Holm"] = p
    return {
        "name": "calibration", "model": MODEL, "table": lines, "significance": tests,
        "runs": every.round(4).to_dict("list"),
    }  # fmt: skip


def _one(job: Job) -> list[dict[str, Any]]:
    """One table under one corruption: a row for each of both and every error type."""
    name, protocol, alpha, seed = job
    parts, schema, settings, case = prepare(job)
    found = detect(case, settings)
    learnt = calibrate(found, case, parts.validation.frame, settings)
    rows = scores(OURS, parts, schema, found) + scores(CALIBRATED, parts, schema, learnt)
    return [{"table": name, "protocol": protocol, "alpha": alpha, "seed": seed} | row for row in rows]
