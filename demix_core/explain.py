"""Why is this row flagged? Everything a finished run says of one row, its full influence profile computed on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from demix_core.classifiers.detect import curve, same_class_rule
from demix_core.errors import InputError
from demix_core.evidence import CROWD, Distribution, Training, nearest
from demix_core.influence.vectors import Factors, load_factors, profile, stream
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.training import load_weights, predict
from demix_core.repairs.conditional import Guess
from demix_core.repairs.impute import cell_reason, suspect_cells, view_cell
from demix_core.settings import InfluenceSettings
from demix_core.signals.base import Signals
from demix_core.store import TARGET_ID, Run
from demix_core.types import Encoded, ErrorType, Schema

SHOWN = 5
"""Validation rows and neighbours that are named."""

CLEAN = ""
"""Beside the error types' names: rows that look clean."""

TYPICAL_SAMPLE, TYPICAL_LEAST = 100, 5
"""Rows of one class and type that its typical curve is made of, at most and at least."""


@dataclass(frozen=True)
class SuspectCell:
    """One odd cell. wrong: its probability of being wrong; certainty: that of the suggestion, both in [0, 1]; where: in
    its column both values lie.
    """

    column: str
    value: str
    suggestion: str
    wrong: float
    certainty: float
    sentence: str
    where: str


@dataclass(frozen=True)
class Likelihood:
    """One class with its probability by the model and out of fold; regression: value 'prediction', in target units."""

    value: str
    model: float
    out_of_fold: float


@dataclass(frozen=True)
class Explanation:
    """All that is known of one training row.

    cells: raw texts by column. why: a sentence per flagged type, from its patch, or what else led to the flag.
    profile: float32 [M], influence on each validation row of Run.validation() (< 0 helps it, > 0 harms it);
    same_class: bool [M]; typical: float32 [2, 101], the median sorted influences of training rows of this class on
    validation rows of the same class and of others (quantiles 0..100 %).
    helped, harmed: positions in the M rows, strongest first, at most SHOWN and only of that sign.
    typical_of: {type's value or CLEAN: float32 [2, 101]}, as typical, of training rows of this class that are flagged
    so or look clean; types with fewer than TYPICAL_LEAST rows are left out.
    neighbours: row ids of the nearest training rows in the classifier's embedding, nearest first; same_label,
    other_label: the nearest of each kind (numbers: targets closer than one standard deviation, or not); crowd: share of
    the CROWD nearest that have the same label. training: its loss over the epochs; None where weights were given.
    """

    row_id: int
    cells: dict[str, str]
    given: str
    predicted: str
    probabilities: dict[ErrorType, float]
    flagged: tuple[ErrorType, ...]
    why: dict[ErrorType, str]
    suspects: tuple[SuspectCell, ...]
    likelihoods: tuple[Likelihood, ...]
    profile: np.ndarray
    same_class: np.ndarray
    typical: np.ndarray
    helped: tuple[int, ...]
    harmed: tuple[int, ...]
    neighbours: tuple[int, ...]
    same_label: tuple[int, ...]
    other_label: tuple[int, ...]
    crowd: float
    typical_of: dict[str, np.ndarray]
    training: Training | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "row_id": self.row_id, "cells": self.cells, "given": self.given, "predicted": self.predicted,
            "probabilities": {k.value: v for k, v in self.probabilities.items()},
            "flagged": [k.value for k in self.flagged], "why": {k.value: v for k, v in self.why.items()},
            "suspect_cells": [vars(s) for s in self.suspects], "likelihoods": [vars(p) for p in self.likelihoods],
            "profile": [round(float(v), 6) for v in self.profile], "same_class": self.same_class.tolist(),
            "helped": list(self.helped), "harmed": list(self.harmed), "neighbours": list(self.neighbours),
            "same_label": list(self.same_label), "other_label": list(self.other_label), "crowd": self.crowd,
            "training": None if self.training is None else self.training.to_dict(),
        }  # fmt: skip


class Explainer:
    """Answers for one finished run. What it reads it keeps: the first row takes seconds, the next milliseconds."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def row(self, row_id: int) -> Explanation:
        """InputError: the run has no training row of this id. RunError: a file of the run is missing or damaged."""
        place = self._place(row_id)
        found = self.diagnosis.iloc[place]
        x, y = self.encoded(row_id)
        phi = profile(self.network, x, y, self.schema.task, self.factors, self.kernel)
        same = same_class_rule(self.schema.task, self.target_ids)(y[0])
        peers = same_class_rule(self.schema.task, self.train_ids)(y[0])
        own = int(y[0]) if self.schema.classes else 0
        everyone, distance = np.ones(len(peers), bool), np.square(self.embedding - self.embedding[place]).sum(1)
        distance[place] = np.inf
        flagged = tuple(kind for kind in ErrorType if found[kind.value])
        return Explanation(
            row_id=row_id,
            cells={str(k): str(v) for k, v in self.rows.loc[row_id].items()},
            given=str(self.rows.at[row_id, self.schema.target]),
            predicted=str(found["predicted"]),
            probabilities={kind: float(found[kind.probability_column]) for kind in ErrorType},
            flagged=flagged,
            why={kind: self._why(row_id, kind) for kind in flagged},
            suspects=self._suspects(place, row_id),
            likelihoods=self._likelihoods(place, x),
            profile=np.asarray(phi, np.float32),
            same_class=same,
            typical=self.typical[own],
            helped=_strongest(phi, helps=True),
            harmed=_strongest(phi, helps=False),
            neighbours=self._ids(nearest(distance, SHOWN, everyone)),
            same_label=self._ids(nearest(distance, SHOWN, peers)),
            other_label=self._ids(nearest(distance, SHOWN, ~peers)),
            crowd=float(peers[nearest(distance, CROWD, everyone)].mean()),
            typical_of=self._typical_of(own),
            training=self._training(place, own),
        )

    # ---- what is read once --------------------------------------------------------------------------------
    @cached_property
    def schema(self) -> Schema:
        """Columns, target, task, classes."""
        return self.run.schema()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Raw cells by row id."""
        return self.run.rows()

    @cached_property
    def diagnosis(self) -> pd.DataFrame:
        """One line per training row."""
        return self.run.diagnosis()

    @cached_property
    def signals(self) -> Signals:
        """Of the training rows, in the order of the diagnosis."""
        return Signals.load(self.run / "signals")

    @cached_property
    def encoder(self) -> TabularEncoder:
        """As fitted on the training rows."""
        return TabularEncoder.from_dict(self.run.json("encoder.json"))

    @cached_property
    def network(self) -> Any:
        """The task model."""
        name = self.run.json("fit.json")["architecture"]
        path = self.run / "model.safetensors"
        return load_weights(name, self.encoder.n_inputs, self.encoder.n_outputs, path).network

    @cached_property
    def factors(self) -> Factors:
        """Of the M validation rows."""
        return load_factors(self.run / "factors.safetensors")

    @cached_property
    def kernel(self) -> str:
        """cosine or dot, as the run was made with."""
        return str(self.run.manifest().settings["influence"]["kernel"])

    @cached_property
    def target_ids(self) -> np.ndarray:
        """Class id or standardised target of the M validation rows."""
        return self.run.validation()[TARGET_ID].to_numpy()

    @cached_property
    def typical(self) -> np.ndarray:
        """float32 [K, 2, 101]."""
        return self.run.array("typical.npy")

    @cached_property
    def train_ids(self) -> np.ndarray:
        """Class id or standardised target of the N training rows."""
        return self.encoder.targets(self.rows.loc[self.diagnosis["row_id"].to_numpy()])

    @cached_property
    def losses(self) -> np.ndarray:
        """float32 [E, N]; [0, 0] where weights were given."""
        return self.run.array("losses.npy", mapped=True)

    @cached_property
    def embedding(self) -> np.ndarray:
        """float32 [N, E]."""
        return self.run.array("embedding.npy")

    @cached_property
    def wrong(self) -> np.ndarray:
        """float32 [N, F], P(cell wrong)."""
        return self.run.array("detection/wrong.npy")

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(row_id): i for i, row_id in enumerate(self.diagnosis["row_id"])}

    @cached_property
    def _reasons(self) -> dict[tuple[int, str], list[str]]:
        reasons: dict[tuple[int, str], list[str]] = {}
        patches = self.run.suggested()
        for row_id, kind, reason in zip(patches["row_id"], patches["error_type"], patches["reason"], strict=True):
            reasons.setdefault((int(row_id), str(kind)), []).append(str(reason))
        return reasons

    @cached_property
    def _patched(self) -> dict[tuple[int, str], tuple[str, str]]:
        """{(row id, column): (suggested text, reason)} of the suggested cells."""
        patches = self.run.suggested()
        cells = patches[patches["error_type"] == ErrorType.FEATURE.value]
        found = {}
        for patch in cells.to_dict("records"):
            row, reason = int(patch["row_id"]), str(patch["reason"])
            found[row, str(patch["column"])] = (str(patch["new"]), reason)
            if patch["partner"]:
                found[row, str(patch["partner"])] = (str(patch["old"]), reason)
        return found

    def distribution(self, column: str) -> Distribution:
        """Of one column's cells in the training rows; kept."""
        if column not in self._distributions:
            about = next(c for c in self.schema.columns if c.name == column)
            self._distributions[column] = Distribution.of(about, self.rows[column].loc[self.diagnosis["row_id"]])
        return self._distributions[column]

    @cached_property
    def _distributions(self) -> dict[str, Distribution]:
        return {}

    @cached_property
    def _typical(self) -> dict[int, dict[str, np.ndarray]]:
        return {}

    @cached_property
    def _quartiles(self) -> dict[int, np.ndarray]:
        return {}

    # ---- one row ------------------------------------------------------------------------------------------
    def encoded(self, row_id: int) -> tuple[np.ndarray, np.ndarray]:
        """x float32 [1, D] and y [1] of one row."""
        data: Encoded = self.encoder.transform(self.rows.loc[[row_id]])
        return data.x, data.y

    def _place(self, row_id: int) -> int:
        place = self._places.get(row_id)
        if place is not None:
            return place
        if row_id in self.rows.index:
            raise InputError(
                f"Row {row_id} was held out to measure influence on, so it was not diagnosed; ask for a training row."
            )
        raise InputError(f"There is no row {row_id}; row ids go from 0 to {len(self.rows) - 1}.")

    def _why(self, row_id: int, kind: ErrorType) -> str:
        reasons = self._reasons.get((row_id, kind.value))
        if reasons:
            return " ".join(reasons)
        return (
            "Its influence and training history look like those of wrong rows, but there is no better value to offer."
        )

    def _suspects(self, place: int, row_id: int) -> tuple[SuspectCell, ...]:
        cells, odd, wrong = self.signals.cells, self.signals.oddities, self.wrong[place]
        suspects = []
        for j in suspect_cells(wrong):
            column, certainty = self.schema.features[j], float(cells.certainty[place, j])
            value = str(self.rows.at[row_id, column.name])
            offered, sentence = self._patched.get((row_id, column.name), ("", ""))
            if not sentence:
                offered = str(cells.suggestion[place, j])
                sentence = cell_reason(
                    column, value, Guess(offered), view_cell(cells, odd, place, j, self.signals.laws)
                )
            where = self.distribution(column.name).reading(value, offered)
            suspects.append(SuspectCell(column.name, value, offered, float(wrong[j]), certainty, sentence, where))
        return tuple(suspects)

    def _likelihoods(self, place: int, x: np.ndarray) -> tuple[Likelihood, ...]:
        model, trees = predict(self.network, x, self.schema.task)[0], self.signals.oof[place]
        if not self.schema.classes:
            value = float(model[0]) * self.encoder.target_std + self.encoder.target_mean
            return (Likelihood("prediction", value, float(trees[0])),)
        return tuple(Likelihood(c, float(model[k]), float(trees[k])) for k, c in enumerate(self.schema.classes))

    def _ids(self, places: np.ndarray) -> tuple[int, ...]:
        return tuple(int(i) for i in self.diagnosis["row_id"].to_numpy()[places])

    def _mine(self, own: int) -> np.ndarray:
        """bool [N]: rows of one class; numbers: all."""
        return self.train_ids == own if self.schema.classes else np.ones(len(self.diagnosis), bool)

    def _training(self, place: int, own: int) -> Training | None:
        """Its loss over the epochs beside its class's; None where nothing was trained."""
        if not self.losses.size or not np.isfinite(self.losses[:, place]).all():
            return None
        if own not in self._quartiles:
            self._quartiles[own] = np.percentile(self.losses[:, self._mine(own)], (25, 50, 75), axis=1)
        low, median, high = self._quartiles[own].astype(np.float32)
        return Training(np.array(self.losses[:, place]), low, median, high, int(self.run.json("fit.json")["epoch"]))

    def _typical_of(self, own: int) -> dict[str, np.ndarray]:
        """Typical curves by type for rows of one class (numbers: of all rows); kept."""
        if own not in self._typical:
            mine = self._mine(own)
            flags = self.diagnosis[[kind.value for kind in ErrorType]].to_numpy(bool)
            kinds = {kind.value: flags[:, k] for k, kind in enumerate(ErrorType)} | {CLEAN: ~flags.any(1)}
            found = {name: np.flatnonzero(mine & mask) for name, mask in kinds.items()}
            self._typical[own] = {
                name: self._median_curves(places[:: max(1, len(places) // TYPICAL_SAMPLE)][:TYPICAL_SAMPLE])
                for name, places in found.items()
                if len(places) >= TYPICAL_LEAST
            }
        return self._typical[own]

    def _median_curves(self, places: np.ndarray) -> np.ndarray:
        """float32 [2, 101]: on validation rows of the same class and of others (0 where there are none)."""
        data = self.encoder.transform(self.rows.loc[self.diagnosis["row_id"].to_numpy()[places]])
        settings, rule = InfluenceSettings(kernel=self.kernel), same_class_rule(self.schema.task, self.target_ids)
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for block in stream(self.network, data, self.schema.task, self.factors, settings, parts=False):
            for phi, y in zip(block.phi, data.y[block.start : block.stop], strict=True):
                same = rule(y)
                for side, mask in zip(sides, (same, ~same), strict=True):
                    if mask.any():
                        side.append(curve(phi[mask]))
        nothing = np.zeros(len(self.typical[0, 0]), np.float32)
        return np.stack([np.median(side, axis=0).astype(np.float32) if side else nothing for side in sides])


def _strongest(phi: np.ndarray, helps: bool) -> tuple[int, ...]:
    signed = -phi if helps else phi
    order = np.argsort(-signed, kind="stable")[:SHOWN]
    return tuple(int(j) for j in order if signed[j] > 0)
