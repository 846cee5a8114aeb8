"""Training data of the DEC: many tables, each corrupted and seen under two environments (S, m1) and (S′, m2).

Every table comes from one number of one seeded command; a table's file is written once and reused. A source says how
a number becomes a table: SYNTHETIC here, real ones in public_tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from demix_core.classifiers import cell_features
from demix_core.classifiers.environment import make_environment, subset
from demix_core.classifiers.features import Features, context, join, set_statistics, side_features, with_ranks
from demix_core.corruption import inject_all, lifelike, synthetic
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit, predict, row_losses
from demix_core.settings import FitSettings
from demix_core.signals.base import Signals, compute
from demix_core.types import Encoded, ErrorType, Progress, Schema, Task, no_progress
from demix_core.workers import one_core_each

ARCHITECTURES = ("mlp1", "mlp2")
ROWS_KEPT = 400
"""Rows kept of each table: more tables teach more than more rows."""

TOKENS_KEPT = 64
WIDEST = 26
"""Cells kept of each row; of wider tables as many columns are drawn."""

VALIDATION_SHARE = 0.2
REGRESSION_SHARE = 0.3
SMALLEST, LARGEST = 800, 8_000
FORMAT = 3


@dataclass(frozen=True)
class Example:
    """One corrupted table under two environments: R rows kept, T tokens, C channels, F features, P cells of Q numbers.

    features float32 [2, R, F] (ranks are within the whole table); context float32 [2, F″], of the whole table;
    tokens float16 [2, R, T, C]; models int64 [2]; cells float16 [R, P, Q]; present, wrong bool [R, P];
    truth bool [R, 3]; names and groups of features, and context_names and context_groups; origin: of a public table
    where it is from.
    """

    features: np.ndarray
    context: np.ndarray
    tokens: np.ndarray
    models: np.ndarray
    cells: np.ndarray
    present: np.ndarray
    wrong: np.ndarray
    truth: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    context_names: tuple[str, ...]
    context_groups: tuple[str, ...]
    origin: str = ""


@dataclass(frozen=True)
class Source:
    """Where examples come from: (number, seed) -> Example. name: of its files."""

    name: str
    draw: Callable[[int, int], Example]


@dataclass(frozen=True)
class _Table:
    """A corrupted table as both environments see it; kept: the R rows that go into the example."""

    frame: pd.DataFrame
    schema: Schema
    rows: Encoded
    held: Encoded
    signals: Signals
    kept: np.ndarray
    outputs: int
    seed: int


def draw_example(number: int, seed: int) -> Example:
    """Draw table `number` of the corpus `seed`: a random causal model, corruption, two task models.

    Even numbers are plain tables with broad corruption, odd ones lifelike tables with wide corruption: each half alone
    transfers worse to real tables than both together.
    """
    rng = np.random.default_rng([seed, number])
    rows = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    draw, protocol = ((synthetic.draw_table, "broad"), (lifelike.draw_table, "wide"))[number % 2]
    frame, schema = draw(rows, rng, regression=rng.random() < REGRESSION_SHARE)
    held = int(rows * VALIDATION_SHARE)
    parts = [frame.iloc[held:].reset_index(drop=True), frame.iloc[:held].reset_index(drop=True)]
    train, validation = inject_all(parts, schema, protocol, None, int(rng.integers(2**31)))
    return describe(train.frame, train.truth, validation.frame, schema, rng)


SYNTHETIC = Source("synthetic", draw_example)


def describe(
    train: pd.DataFrame,
    truth: pd.DataFrame,
    validation: pd.DataFrame,
    schema: Schema,
    rng: np.random.Generator,
    rows_kept: int = ROWS_KEPT,
) -> Example:
    """What the DEC reads of a sample of a corrupted table's rows, under both architectures."""
    keep = train[schema.target].notna().to_numpy()
    train, truth = train[keep].reset_index(drop=True), truth[keep].reset_index(drop=True)
    if schema.task is Task.CLASSIFICATION:
        validation = validation[validation[schema.target].isin(train[schema.target])]
    encoder = TabularEncoder.fit(train, schema)
    seed = int(rng.integers(2**31))
    table = _Table(
        frame=train, schema=schema, rows=encoder.transform(train), held=encoder.transform(validation),
        signals=compute(train, schema, seed), kept=np.sort(rng.permutation(len(train))[:rows_kept]),
        outputs=encoder.n_outputs, seed=seed,
    )  # fmt: skip
    order = rng.permutation(len(ARCHITECTURES))
    views = [_view(table, ARCHITECTURES[m], rng) for m in order]
    around = [context(f) for f, _ in views]
    cells, present, wrong = _cells(table, truth, rng)
    first = views[0][0]
    return Example(
        features=np.stack([f.values[table.kept] for f, _ in views]),
        context=np.concatenate([c.values for c in around]),
        tokens=np.stack([t for _, t in views]),
        models=order,
        cells=cells,
        present=present,
        wrong=wrong,
        truth=truth[[t.value for t in ErrorType]].to_numpy(bool)[table.kept],
        names=first.names,
        groups=first.groups,
        context_names=around[0].names,
        context_groups=around[0].groups,
    )


def _view(table: _Table, architecture: str, rng: np.random.Generator) -> tuple[Features, np.ndarray]:
    """One environment: (features of all rows, ranks among them; tokens of the kept rows, float16 [R, T, C])."""
    task, rows = table.schema.task, table.rows
    fitted = fit(rows, table.held, task, table.outputs, FitSettings(model=architecture), table.seed)
    share = rng.uniform(0.5, 1.0)
    part = subset(table.held, rng.permutation(len(table.held.y))[: max(32, int(share * len(table.held.y)))])
    environment = make_environment(fitted, part, task, rng)
    predictions, final = predict(fitted.network, rows.x, task), row_losses(fitted.network, rows, task)
    side, _ = side_features(table.frame, table.schema, rows, fitted, predictions, final, table.signals)
    statistics, kept = [], []
    for block, token, norm in environment.blocks(rows):
        statistics.append(set_statistics(token, norm))
        inside = table.kept[(table.kept >= block.start) & (table.kept < block.stop)] - block.start
        kept.append(token[torch.from_numpy(inside)])
    of_set = Features(np.concatenate([s.values for s in statistics]), statistics[0].names, statistics[0].groups)
    tokens = torch.cat(kept)
    picked = np.resize(rng.permutation(tokens.shape[1])[:TOKENS_KEPT], TOKENS_KEPT)
    return join([with_ranks(side), with_ranks(of_set)]), tokens[:, picked].numpy().astype(np.float16)


def _cells(table: _Table, truth: pd.DataFrame, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cells float16 [R, WIDEST, Q], present, wrong bool [R, WIDEST]) of the kept rows."""
    names = [c.name for c in table.schema.features]
    at = np.arange(len(names)) if len(names) <= WIDEST else np.sort(rng.permutation(len(names))[:WIDEST])
    every = cell_features.cell_features(table.schema, table.signals).block(table.kept)
    corrupted = [set(text.split("|")) for text in truth["columns"].iloc[table.kept]]
    shape = (len(table.kept), WIDEST)
    cells = np.zeros((*shape, every.shape[2]), np.float16)
    present, wrong = np.zeros(shape, bool), np.zeros(shape, bool)
    cells[:, : len(at)], present[:, : len(at)] = every[:, at], True
    wrong[:, : len(at)] = [[names[j] in row for j in at] for row in corrupted]
    return cells, present, wrong


NAMED = ("names", "groups", "context_names", "context_groups")
BOOLEANS = ("present", "wrong", "truth")


def save_example(example: Example, path: Path) -> None:
    """One safetensors file, names as metadata."""
    arrays = {k: np.ascontiguousarray(v) for k, v in vars(example).items() if k not in (*NAMED, "origin")}
    arrays |= {name: arrays[name].astype(np.uint8) for name in BOOLEANS}
    meta = {name: "\n".join(getattr(example, name)) for name in NAMED}
    meta |= {"format": str(FORMAT), "origin": example.origin}
    temporary = path.with_suffix(".tmp")
    save_file(arrays, temporary, metadata=meta)
    temporary.replace(path)


def load_example(path: Path) -> Example:
    """The inverse of save_example."""
    arrays = load_file(path)
    with safe_open(path, "numpy") as file:
        meta = file.metadata()
    values: dict[str, Any] = {**arrays, **{name: arrays[name].astype(bool) for name in BOOLEANS}}
    names = {name: tuple(meta[name].split("\n")) for name in NAMED}
    return Example(**values | names, origin=meta.get("origin", ""))


def origin_of(path: Path) -> str:
    """The example's origin alone."""
    with safe_open(path, "numpy") as file:
        return str(file.metadata().get("origin", ""))


def _draw_to(path: Path, source: Source, number: int, seed: int) -> Path:
    if not path.exists():
        save_example(source.draw(number, seed), path)
    return path


def build_corpus(
    folder: Path,
    numbers: Sequence[int],
    seed: int,
    workers: int = 2,
    progress: Progress = no_progress,
    source: Source = SYNTHETIC,
) -> list[Path]:
    """Draw the tables of these numbers that are not there yet, in `workers` processes; returns their files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{FORMAT}-{source.name}-{seed}-{number:05d}.safetensors" for number in numbers]
    with one_core_each(workers) as pool:
        jobs = [pool.submit(_draw_to, path, source, number, seed) for path, number in zip(paths, numbers, strict=True)]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            progress(done / len(jobs), f"Table {done} of {len(jobs)}")
    return paths
