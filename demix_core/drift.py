"""`drift`: does a new batch act on the model as the training rows do? And if not: which columns, which rows?

A model that has seen the training rows treats them unlike any others, so the run's own influence vectors would always
tell them apart. Here the model, its encoder and its validation rows are made of one part of the training rows, and the
batch is compared with the rest of them, which that model has never seen either: where nothing drifts, both samples
are alike, and the p-value of the permutation test is exact.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.classifiers.environment import SET_SIZE, Environment, look_through
from demix_core.columns import labels
from demix_core.errors import InputError
from demix_core.evaluation.two_samples import LEVEL, TwoSamples, column_changes, two_samples
from demix_core.jobs import only_worker
from demix_core.modalities.schema import plain_frame, target_rows
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import fit
from demix_core.pipeline import last_word
from demix_core.settings import Settings
from demix_core.stages import Reporter, Stage, StopAsked
from demix_core.store import Run, now, write_json
from demix_core.tablefile import TableFile
from demix_core.types import Column, Progress, Schema, ShouldStop, never_stop, no_progress
from demix_core.work import cell_texts

RESULT = "drift.json"
LEARN_MOST, COMPARE_MOST = 8000, 1500
"""Training rows that the model learns from, and rows of either sample that are compared in influence space."""

COMPARE_SHARE, LOOK_SHARE = 1 / 3, 1 / 6
FEWEST, FEWEST_TRAINING = 20, 60
SHOWN_ROWS, BARS = 50, 40


@dataclass(frozen=True)
class Samples:
    """Rows as texts. training: all training rows; batch: all rows with a usable label; left_out: the others' number."""

    schema: Schema
    training: pd.DataFrame
    batch: pd.DataFrame
    name: str
    left_out: int


def drift(
    run: Run, batch: Path | None = None, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> dict[str, Any]:
    """Compare a batch (None: the run's validation rows) with the training rows; writes drift/drift.json, returns it.

    Cost: one training on at most LEARN_MOST rows, and (2 · COMPARE_MOST)² · 500 flops. InputError: the batch can't be
    used, or there are too few rows. Cancelled: asked to stop.
    """
    place, stage = run.drift, Stage("drift", "Comparing the batch", 1.0, (), lambda *_: ())
    with only_worker(place):
        place.clear_cancel()
        reporter = Reporter(place, (stage,), progress)
        with last_word(reporter):
            reporter.enter(0, False)
            settings = Settings.from_dict(run.manifest().settings)
            samples = read_samples(run, batch)
            result = compare(samples, settings, reporter.tell, StopAsked(place, should_stop))
            write_json(place / RESULT, result)
    return result


def read_samples(run: Run, batch: Path | None) -> Samples:
    """The run's training rows and the batch."""
    schema, rows, split = run.schema(), run.rows(), run.split().set_index("row_id")["part"]
    training, manifest = rows.loc[split.index[split == "train"]], run.manifest()
    if batch is not None:
        frame, name = cell_texts(plain_frame(TableFile.read(batch).frame, schema)), batch.name
    elif "validation" in manifest.inputs:
        held = plain_frame(TableFile.read(run.input_path("validation")).frame, schema)
        frame, name = cell_texts(held), "the validation rows"
    else:
        frame, name = rows.loc[split.index[split == "validation"]], "the validation rows"
    for column in (*(c.name for c in schema.features), schema.target):
        if column not in frame:
            raise InputError(f"{name} lacks the column '{column}' of the training table; add it.")
    usable = target_rows(frame, schema)
    if schema.classes:
        usable &= np.isin(labels(frame[schema.target]), schema.classes)
    if usable.sum() < FEWEST or len(training) < FEWEST_TRAINING:
        raise InputError(
            f"There are {int(usable.sum())} rows with a known label in {name} and {len(training)} training rows; "
            f"give at least {FEWEST} and {FEWEST_TRAINING} to compare."
        )
    return Samples(schema, training, frame[usable], name, int((~usable).sum()))


def compare(
    samples: Samples, settings: Settings, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> dict[str, Any]:
    """What drift.json holds, see drift."""
    view = InfluenceView(samples, settings, progress, should_stop)
    progress(0.7, "Comparing influence")
    found = two_samples(view.first, view.second, settings.seed)
    progress(0.9, "Comparing columns")
    schema = samples.schema
    target = Column(schema.target, schema.kind(schema.target))
    changes = column_changes(samples.training, samples.batch, [*schema.features, target])
    order = np.argsort(-found.second, kind="stable")[:SHOWN_ROWS]
    changed = [c.column for c in changes if c.holm < LEVEL]
    return {
        "made": now(), "batch": samples.name, "left_out": samples.left_out,
        "rows": {"training": len(samples.training), "batch": len(samples.batch)},
        "compared": {"training": len(view.first), "batch": len(view.second)},
        "p": found.p, "drifts": found.p < LEVEL, "distance": found.distance, "likely": list(found.likely),
        "columns": [asdict(c) for c in changes],
        "typical_rows": [_row(samples, int(view.batch_rows[i]), float(found.second[i]), changed) for i in order],
        "picture": picture(found),
    }  # fmt: skip


def _row(samples: Samples, place: int, witness: float, changed: list[str]) -> dict[str, Any]:
    """One row of the batch with the cells of the columns that changed, else of the first ones."""
    cells = samples.batch.iloc[place]
    shown = changed or [c.name for c in samples.schema.features]
    return {
        "row": int(samples.batch.index[place]), "witness": round(witness, 6),
        "cells": {name: str(cells[name]) for name in shown[:4]},
    }  # fmt: skip


def picture(found: TwoSamples) -> dict[str, list[float]]:
    """Shares of both samples by their witness: edges [BARS + 1], training and batch [BARS]."""
    both = np.concatenate([found.first, found.second])
    edges = np.histogram_bin_edges(both, BARS)
    shares = [np.histogram(v, edges)[0] / len(v) for v in (found.first, found.second)]
    return {"edges": edges.tolist(), "training": shares[0].tolist(), "batch": shares[1].tolist()}


class InfluenceView:
    """Both samples as summaries of their influence on rows that neither has anything to do with.

    first: float32 [n, F], training rows kept from the model; second: [m, F], rows of the batch, batch_rows which.
    """

    def __init__(self, samples: Samples, settings: Settings, progress: Progress, should_stop: ShouldStop) -> None:
        self._samples, self._settings = samples, settings
        self._progress, self._stop = progress, should_stop
        rng = np.random.default_rng(settings.seed)
        order = rng.permutation(len(samples.training))
        n = len(order)
        compared, looked = min(round(COMPARE_SHARE * n), COMPARE_MOST), min(round(LOOK_SHARE * n), SET_SIZE * 4)
        self._compared, self._looked = order[:compared], order[compared : compared + looked]
        self._learned = order[compared + looked :][:LEARN_MOST]
        self.batch_rows = np.sort(rng.permutation(len(samples.batch))[:COMPARE_MOST])

    @cached_property
    def _encoder(self) -> TabularEncoder:
        return TabularEncoder.fit(self._samples.training.iloc[self._learned], self._samples.schema)

    @cached_property
    def _environment(self) -> Environment:
        table, schema = self._samples.training, self._samples.schema
        learned, looked = (self._encoder.transform(table.iloc[at]) for at in (self._learned, self._looked))
        model = fit(
            learned, looked, schema.task, self._encoder.n_outputs, self._settings.fit, self._settings.seed,
            lambda f, m: self._progress(0.6 * f, m), self._stop,
        )  # fmt: skip
        return look_through(model, looked, np.arange(min(SET_SIZE, len(looked.y))), schema.task)

    @cached_property
    def first(self) -> np.ndarray:
        """Of the training rows."""
        return self._summaries(self._samples.training.iloc[self._compared])

    @cached_property
    def second(self) -> np.ndarray:
        """Of the batch."""
        return self._summaries(self._samples.batch.iloc[self.batch_rows])

    def _summaries(self, frame: pd.DataFrame) -> np.ndarray:
        found = self._environment.statistics(self._encoder.transform(frame), should_stop=self._stop)
        return found.values[:, [group == "influence" for group in found.groups]]
