"""`bench learning`: what more public tables in training are worth, and more tasks drawn from as many tables.

The network that has learnt from synthetic tables goes on, on all tasks of some public tables, and a twin is grown on
the same: train-dec's second and third stage, from nothing to what the shipped classifier has seen. They are
judged on the tables of bench development, which no training saw. Tasks are drawn once and kept in FOLDER.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.benchmark import development
from demix_core.benchmark.detect import ABLATIONS, SHORT, mean_and_spread
from demix_core.classifiers import public_tables
from demix_core.classifiers.calibrate import calibrate
from demix_core.classifiers.corpus import build_corpus, origin_of
from demix_core.classifiers.gathered import gather
from demix_core.classifiers.network import Dec, load_checkpoint
from demix_core.classifiers.train import TrainSettings, grow_twin, learn, split
from demix_core.workers import in_order

TASKS, QUICK_TASKS = 1400, 60
SEED = 77
"""TASKS of this seed are those that the shipped classifier has learnt from."""

FOLDER = development.FOLDER
START = ABLATIONS["network: synthetic tables only"]
EPOCHS = 2
SIZES = (0, 5, 20, 80, 1000)
"""Tables learnt from; the last one: all there are."""

ALL, MIXED = "all of these tables", "as many tasks of all tables"

SEEDS = 3
"""Of the choice of tables, and of the training."""

FIGURES = ("LE AP", "FE AP", "SC AP", "mean AP", "mean F1")

Job = tuple[int, int, bool, bool]
"""One training: seed, how many tables, whether instead as many tasks are drawn from all tables, quick."""


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """Every size with three seeds (quick: a few tasks, one seed, one corruption)."""
    _tasks(quick)
    _unseen(quick)
    choices = [seed + k for k in range(1 if quick else SEEDS)]
    sizes = [(size, False) for size in SIZES] + [(size, True) for size in SIZES[1:-1]]
    sizes.sort(reverse=True)  # the longest first
    jobs = [(choice, *size, quick) for size in sizes for choice in choices]
    return report(pd.DataFrame(in_order(_one, jobs)))


def report(every: pd.DataFrame) -> dict[str, Any]:
    """A line per size: means over the tables and corruptions of bench development ± sd over seeds. every: of `_one`."""
    lines = []
    for (tables, which), runs in every.groupby(["tables", "which"]):
        ap, f1 = (runs.pivot(index="seed", columns="kind", values=figure) for figure in ("AP", "F1"))
        figures = {f"{kind} AP": ap[kind] for kind in SHORT.values()}
        figures |= {"mean AP": ap.mean(axis=1), "mean F1": f1.mean(axis=1)}
        line = {"tables": tables, "tasks": round(runs["tasks"].mean()), "learnt from": which}
        lines.append(line | {name: mean_and_spread(figures[name]) for name in FIGURES})
    return {"name": "learning", "judged on": list(development.TABLES), "table": lines, "runs": every.to_dict("list")}


def _one(job: Job) -> list[dict[str, Any]]:
    """One training, judged: a row per error type, means over the tables not seen."""
    seed, size, mixed, quick = job
    learnt, kept = _tasks(quick)
    chosen = choose(learnt, size, mixed, np.random.default_rng(seed))
    dec = _trained(chosen, kept, seed)
    rows = pd.DataFrame([row for path in _unseen(quick) for row in development.judged(dec, path)])
    tables = min(size, len({_table(path) for path in learnt}))
    place = {"seed": seed, "tables": tables, "tasks": len(chosen), "which": MIXED if mixed else ALL}
    means = rows.groupby("kind")[["AP", "F1"]].mean()
    return [place | {"kind": kind, "AP": means["AP"][kind], "F1": means["F1"][kind]} for kind in SHORT.values()]


def choose(paths: list[Path], size: int, mixed: bool, rng: np.random.Generator) -> list[Path]:
    """All tasks of `size` of the tables; mixed: as many, of any table."""
    of = pd.Series([_table(path) for path in paths])
    names = rng.permutation(np.sort(of.unique()))[:size]
    at = np.flatnonzero(of.isin(names))
    if mixed:
        at = np.sort(rng.permutation(len(paths))[: len(at)])
    return [paths[i] for i in at]


def _table(path: Path) -> str:
    return public_tables.table_of(origin_of(path))


def _trained(chosen: list[Path], kept: list[Path], seed: int) -> Dec:
    """Network and twin, of synthetic tables alone where nothing is chosen; calibrated on the tasks kept."""
    dec = load_checkpoint(START)
    if chosen:
        settings = TrainSettings(seed=seed, epochs=EPOCHS, refine=str(START))
        corpus = gather(chosen, dec.shape)
        dec = learn(dec.shape, corpus, settings, start=dec)
        grow_twin(dec, corpus, settings)
    calibrate(dec, gather(kept, dec.shape))
    return dec


def _tasks(quick: bool) -> tuple[list[Path], list[Path]]:
    """Files of the tasks (to learn from, to calibrate on), drawn where they are not there yet."""
    paths = build_corpus(FOLDER, range(QUICK_TASKS if quick else TASKS), SEED, source=public_tables.SOURCE)
    return split(paths, TrainSettings(refine=str(START)))


def _unseen(quick: bool) -> list[Path]:
    """Files of the tasks to judge on."""
    numbers = range(len(development.TABLES) if quick else len(development.JOBS))
    return build_corpus(FOLDER, numbers, development.SEED, source=development.SOURCE)
