"""Mean influence of every training row on every slice of the validation rows: one streamed pass, kept in the run.

Cost: 2·N·M·Σ_l(D_l + K_l) operations for influence and 2·N·M·S for the means over S slices. Memory: O(block·(M + S))
and the factors of the M validation rows; never the N × M matrix. On disk: S × N numbers of 4 bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.blame.parts import (
    by_correctness,
    by_label,
    by_type,
    by_value,
    clusters,
    divided,
    what_is_special,
    worst,
)
from demix_core.errors import Cancelled
from demix_core.explain import Explainer
from demix_core.influence.vectors import stream
from demix_core.jobs import only_worker
from demix_core.models.training import predict, row_losses
from demix_core.pipeline import last_word
from demix_core.settings import InfluenceSettings, Settings
from demix_core.stages import Reporter, Stage, StopAsked
from demix_core.store import Run, write_array, write_folder, write_json
from demix_core.types import Encoded, Progress, ShouldStop, never_stop, no_progress

VERSION = 1
"""Raised whenever the meaning of the kept files changes."""

WORST, LABEL, CORRECTNESS = "worst", "label", "correctness"
COLUMN = "column:"
"""Before the name of a column in the name of a slicing or grouping."""


@dataclass(frozen=True)
class Slice:
    """Some validation rows. by: 'label', 'correctness' or 'column:NAME'; loss: the model's mean there; right: the share
    that it gets right (None for numbers); one_label: they all have the same one, so that every row of another harms
    them; rank: place among the worst slices from 0, or None.
    """

    by: str
    name: str
    rows: int
    loss: float
    right: float | None
    one_label: bool
    rank: int | None = None


@dataclass(frozen=True)
class Means:
    """Mean influence of the N training rows of the diagnosis, in its order, on S slices.

    phi: float32 [S, N], mapped from disk (< 0 helps the slice, > 0 harms it); clusters: int64 [N], with the words of
    each.
    """

    slices: tuple[Slice, ...]
    phi: np.ndarray
    clusters: np.ndarray
    cluster_names: tuple[str, ...]


def folder(run: Run) -> Path:
    """Where the means of this very diagnosis are kept."""
    stage = run.manifest().stages.get("detect")
    content = f"{VERSION} {stage.key if stage else ''}"
    return run.blame / hashlib.sha256(content.encode()).hexdigest()[:24]


def load(run: Run) -> Means | None:
    """What was measured before; None where nothing was. RunError: a kept file is damaged."""
    place = folder(run)
    if not place.is_dir():
        return None
    kept = Run(place)
    about = kept.json("slices.json")
    slices = tuple(Slice(**s) for s in about["slices"])
    return Means(slices, kept.array("means.npy", mapped=True), kept.array("clusters.npy"), tuple(about["clusters"]))


def measure(run: Run, progress: Progress = no_progress, should_stop: ShouldStop = never_stop) -> Means:
    """The means, from disk where they were measured before. The state of the job lies in the run's blame/ folder.

    RunError: a file of the run is missing or damaged, or another job is at it. Cancelled: asked to stop.
    """
    place = run.blame
    stage = Stage("blame", "Influence on slices", 1.0, (), lambda *_: ())
    with only_worker(place):
        place.clear_cancel()
        reporter = Reporter(place, (stage,), progress)
        with last_word(reporter):
            found = load(run)
            reporter.enter(0, found is not None)
            return found or _measure(run, reporter.tell, StopAsked(place, should_stop))


def _measure(run: Run, progress: Progress, should_stop: ShouldStop) -> Means:
    explainer = Explainer(run)
    settings = Settings.from_dict(run.manifest().settings)
    slices, members = _slices(explainer)
    progress(0.02, "Reading the training rows")
    train = explainer.rows.loc[explainer.diagnosis["row_id"].to_numpy()]
    data = explainer.encoder.transform(train)

    def tell(fraction: float, message: str) -> None:
        progress(0.05 + 0.85 * fraction, message)

    def write(place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        shape = (len(slices), len(data.y))
        phi = np.lib.format.open_memmap(place / "means.npy", mode="w+", dtype=np.float32, shape=shape)
        _fill(phi, explainer, data, members, settings.influence, tell, should_stop)
        phi.flush()
        progress(0.92, "Finding clusters of rows")
        codes = clusters(explainer.embedding, settings.seed)
        if should_stop():
            raise Cancelled("Measuring influence was cancelled.")
        write_array(place / "clusters.npy", codes)
        names = _cluster_names(explainer, train, codes)
        write_json(place / "slices.json", {"slices": [asdict(s) for s in slices], "clusters": names})

    write_folder(folder(run), write)
    made = load(run)
    assert made is not None
    return made


def _fill(
    phi: np.ndarray,
    explainer: Explainer,
    data: Encoded,
    members: list[np.ndarray],
    settings: InfluenceSettings,
    progress: Progress,
    should_stop: ShouldStop,
) -> None:
    """phi [S, N] from blocks of rows; members: positions of each slice in the M validation rows."""
    weight = np.zeros((len(explainer.target_ids), len(members)), np.float32)
    for s, rows in enumerate(members):
        weight[rows, s] = 1 / len(rows)
    blocks = stream(
        explainer.network, data, explainer.schema.task, explainer.factors, settings, progress, should_stop, parts=False
    )
    for block in blocks:
        phi[:, block.start : block.stop] = (block.phi @ weight).T


def _slices(explainer: Explainer) -> tuple[list[Slice], list[np.ndarray]]:
    """All slices of the validation rows, and their positions there; the worst ones know their rank."""
    schema, network = explainer.schema, explainer.network
    train = explainer.rows.loc[explainer.diagnosis["row_id"].to_numpy()]
    held = explainer.run.validation()
    data = Encoded(explainer.encoder.transform(held).x, np.array(explainer.target_ids))
    predicted, loss = predict(network, data.x, schema.task), row_losses(network, data, schema.task)
    found = [(LABEL, part) for part in by_label(schema, train[schema.target], held[schema.target])]
    for column in divided(schema):
        parts = by_value(column, train[column.name], held[column.name])
        found += [(COLUMN + column.name, part) for part in parts]
    rank = {place: i for i, place in enumerate(worst([part for _, part in found], loss))}
    found += [(CORRECTNESS, part) for part in by_correctness(schema, predicted, data.y, loss)]
    right = predicted.argmax(1) == data.y if schema.classes else None
    slices = [
        Slice(
            by, part.name, len(part.members), float(loss[part.members].mean()),
            None if right is None else float(right[part.members].mean()),
            bool(schema.classes) and len(np.unique(data.y[part.members])) == 1, rank.get(i),
        )
        for i, (by, part) in enumerate(found)
    ]  # fmt: skip
    return slices, [part.members for _, part in found]


def _cluster_names(explainer: Explainer, train: pd.DataFrame, codes: np.ndarray) -> list[str]:
    schema = explainer.schema
    ways = [by_type(explainer.diagnosis), by_label(schema, train[schema.target], train[schema.target])]
    ways += [by_value(column, train[column.name], train[column.name]) for column in divided(schema)]
    names = (what_is_special(np.flatnonzero(codes == k), ways, len(codes)) for k in range(int(codes.max()) + 1))
    return [f"{k}. {name}" for k, name in enumerate(names, 1)]
