"""Training data of the DEC: many tables, each corrupted and seen under two environments (S, m1) and (S′, m2).

Every table comes from one number of one seeded command; a table's file is written once and reused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from demix_core.classifiers.environment import make_environment, subset
from demix_core.classifiers.features import Features, join, set_statistics, side_features, with_ranks
from demix_core.corruption import inject_all
from demix_core.corruption.synthetic import draw_table
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit, predict, row_losses
from demix_core.settings import FitSettings
from demix_core.signals import compute
from demix_core.types import Encoded, ErrorType, Progress, Schema, no_progress

ARCHITECTURES = ("mlp1", "mlp2")
ROWS_KEPT = 400
"""Rows kept of each table: more tables teach more than more rows."""

TOKENS_KEPT = 128
VALIDATION_SHARE = 0.2
REGRESSION_SHARE = 0.25
SMALLEST, LARGEST = 1_200, 6_000
FORMAT = 1


@dataclass(frozen=True)
class Example:
    """One corrupted table under two environments. R rows kept, T tokens, C channels, F features.

    features float32 [2, R, F]; tokens float16 [2, R, T, C]; truth bool [R, 3]; models int64 [2].
    """

    features: np.ndarray
    tokens: np.ndarray
    truth: np.ndarray
    models: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]


def draw_example(number: int, seed: int) -> Example:
    """Draw table `number` of the corpus `seed`: a random causal model, broad corruption, two task models."""
    rng = np.random.default_rng([seed, number])
    rows = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    frame, schema = draw_table(rows, rng, regression=rng.random() < REGRESSION_SHARE)
    held = int(rows * VALIDATION_SHARE)
    parts = [frame.iloc[held:].reset_index(drop=True), frame.iloc[:held].reset_index(drop=True)]
    train, validation = inject_all(parts, schema, "broad", None, int(rng.integers(2**31)))
    return describe(train.frame, train.truth, validation.frame, schema, rng)


def describe(
    train: pd.DataFrame, truth: pd.DataFrame, validation: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> Example:
    """Features and tokens of a sample of a corrupted table's rows, under both architectures."""
    keep = train[schema.target].notna().to_numpy()
    train, truth = train[keep].reset_index(drop=True), truth[keep].reset_index(drop=True)
    validation = validation[validation[schema.target].isin(train[schema.target]) | (not schema.classes)]
    encoder = TabularEncoder.fit(train, schema)
    rows, held = encoder.transform(train), encoder.transform(validation)
    seed = int(rng.integers(2**31))
    signals = compute(train, schema, seed)
    kept = np.sort(rng.permutation(len(train))[:ROWS_KEPT])
    order = rng.permutation(len(ARCHITECTURES))
    views = [
        _view(train, schema, rows, held, signals, ARCHITECTURES[m], kept, seed, encoder.n_outputs, rng) for m in order
    ]
    return Example(
        features=np.stack([f.values for f, _ in views]),
        tokens=np.stack([t for _, t in views]),
        truth=truth[[t.value for t in ErrorType]].to_numpy(bool)[kept],
        models=order,
        names=views[0][0].names,
        groups=views[0][0].groups,
    )


def _view(train, schema, rows, held, signals, architecture, kept, seed, outputs, rng):  # type: ignore[no-untyped-def]
    """One environment: (features with ranks [R, F], tokens float16 [R, T, C])."""
    settings = FitSettings(model=architecture, batch_size=256)
    fitted = fit(rows, held, schema.task, outputs, settings, seed)
    share = rng.uniform(0.5, 1.0)
    part = subset(held, rng.permutation(len(held.y))[: max(32, int(share * len(held.y)))])
    environment = make_environment(fitted, part, schema.task, rng)
    final = row_losses(fitted.network, rows, schema.task)
    side = side_features(train, schema, rows, fitted, predict(fitted.network, rows.x, schema.task), final, signals)
    _, token, norm = _whole(environment, subset(rows, kept))
    some = Features(side.values, side.names, side.groups)
    ranked = with_ranks(some)
    of_set = with_ranks(set_statistics(token, norm))
    picked = rng.permutation(token.shape[1])[:TOKENS_KEPT]
    repeated = np.resize(picked, TOKENS_KEPT)
    both = join([Features(ranked.values[kept], ranked.names, ranked.groups), of_set])
    return both, token[:, repeated].numpy().astype(np.float16)


def _whole(environment, rows: Encoded):  # type: ignore[no-untyped-def]
    parts = list(environment.blocks(rows))
    return slice(0, len(rows.y)), torch.cat([t for _, t, _ in parts]), torch.cat([n for *_, n in parts])


def save_example(example: Example, path: Path) -> None:
    """One safetensors file, names as metadata."""
    arrays = {
        "features": example.features,
        "tokens": example.tokens,
        "truth": example.truth.astype(np.uint8),
        "models": example.models.astype(np.int64),
    }
    temporary = path.with_suffix(".tmp")
    meta = {"names": "\n".join(example.names), "groups": "\n".join(example.groups), "format": str(FORMAT)}
    save_file(arrays, temporary, metadata=meta)
    temporary.replace(path)


def load_example(path: Path) -> Example:
    """The inverse of save_example."""
    arrays = load_file(path)
    with safe_open(path, "numpy") as file:
        meta = file.metadata()
    return Example(
        arrays["features"], arrays["tokens"], arrays["truth"].astype(bool), arrays["models"],
        tuple(meta["names"].split("\n")), tuple(meta["groups"].split("\n")),
    )  # fmt: skip


def _draw_to(path: Path, number: int, seed: int) -> Path:
    torch.set_num_threads(1)
    if not path.exists():
        save_example(draw_example(number, seed), path)
    return path


def build_corpus(
    folder: Path, numbers: Sequence[int], seed: int, workers: int = 2, progress: Progress = no_progress
) -> list[Path]:
    """Draw the tables of these numbers that are not there yet, in `workers` processes; returns their files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed}-{number:05d}.safetensors" for number in numbers]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"  # the workers inherit it: one core each
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_draw_to, path, number, seed) for path, number in zip(paths, numbers, strict=True)]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            progress(done / len(jobs), f"Table {done} of {len(jobs)}")
    return paths
