"""`diagnose NEWROWS --update RUN`: appended or edited rows, diagnosed with what a run has learned, without refitting.

The result is a run folder of its own, about these rows only (row id: their position in their file), so that they are
reviewed, explained and exported like any others. Encoder, task model, validation factors, classifier, thresholds,
signal models, repairs, and all ranks and shares are the run's, see signals.placing.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from demix_core.carrying import renew_decisions
from demix_core.classifiers.detect import Case
from demix_core.classifiers.placed import Known, Placed, place
from demix_core.columns import labels, to_numeric
from demix_core.errors import InputError, RunError
from demix_core.influence.head import Head
from demix_core.jobs import only_worker
from demix_core.lessons import hear
from demix_core.modalities.schema import plain_frame, target_rows
from demix_core.models.training import load_halfway, losses_on_the_way
from demix_core.pipeline import file_hash, last_word
from demix_core.records import load_record
from demix_core.repairs.base import Suggestions, suggest
from demix_core.settings import Settings
from demix_core.signals.base import Reference
from demix_core.signals.placing import NEW
from demix_core.stages import PeakMemory, Reporter, Stage
from demix_core.store import (
    DESCRIBED,
    UPDATE,
    Manifest,
    Parent,
    Run,
    now,
    patch_table,
    with_id,
    write_array,
    write_file,
    write_folder,
    write_json,
    write_table,
)
from demix_core.summary import summarise
from demix_core.tablefile import TableFile
from demix_core.types import Column, ColumnKind, Encoded, FittedModel, Progress, Schema, StageState, no_progress
from demix_core.work import (
    HALFWAY,
    REFERENCE,
    REPAIRS,
    REPAIRS_PARTS,
    STANDING,
    Repairs,
    Work,
    cell_texts,
    declined,
    diagnosis_table,
    evidence_of,
    gains_of,
)

ROW_ID = "row_id"
"""A column of this name says which row of the run's table a row is a new version of."""

SHARED = ("encoder.json", "model.safetensors", "fit.json", "validation.parquet", "factors.safetensors", "typical.npy")
"""Files of the run that are as true of the rows to come."""

NEAREST, CANDIDATES = 5, 16
"""Rows of the run, nearest in the classifier's embedding, between which a row to come is put on the map; and those that
are looked at closely.
"""

BLOCK = 256
"""Rows to come whose distances to all others are held at once."""


def update(run: Run, rows: Path, out: Path, progress: Progress = no_progress, taught: bool = False) -> Run:
    """Diagnose the rows of a file with what `run` has learned, into the run folder `out`; returns that.

    taught: what was decided one by one on the run is heard as well.

    Rows with a number in a column `row_id` are new versions of rows of the run's table, all others come new. A row's
    numbers do not depend on the other rows of the file. InputError: the file can't be used. RunError: the run is not
    finished, is of an earlier version, or `out` holds another diagnosis. Cost: O(rows · M), and reading the run.
    """
    if not rows.is_file():
        raise InputError(f"There is no file '{rows}'; check the path.")
    _check_folder(run, out)
    made, stage = Run(out), Stage("update", "Diagnosing new rows", 1.0, (), lambda *_: ())
    with only_worker(made):
        reporter, memory, began = Reporter(made, (stage,), progress), PeakMemory(), time.monotonic()
        memory.reset()
        with last_word(reporter):
            reporter.enter(0, False)
            job = Update(run, rows, taught)
            found = job.placed
            reporter.tell(0.6, "Suggesting repairs")
            job.write(made, found)
            cost = StageState(UPDATE, "", round(time.monotonic() - began, 3), round(memory.megabytes(), 1))
            manifest = replace(job.manifest(made), stages={UPDATE: cost})
            made.write_manifest(manifest)
            write_json(made / "summary.json", summarise(made, manifest, made.json("load.json")["notes"]))
    return made


def _check_folder(run: Run, out: Path) -> None:
    manifest = run.manifest()
    if manifest.parent is not None and manifest.parent.how == UPDATE:
        raise RunError(
            f"'{run.path}' holds rows that were diagnosed with another run; name that one: {manifest.parent.run}."
        )
    if manifest.settings["diagnose"].get("calibrate"):
        raise RunError(
            f"The run in '{run.path}' was calibrated, and keeps nothing of that for new rows; diagnose its table "
            "without --calibrate to judge rows to come by it."
        )
    needed = (f"signals/{REFERENCE}", f"detection/{STANDING}", HALFWAY, REPAIRS)
    if "map" not in manifest.stages or not all((run / name).exists() for name in needed):
        raise RunError(
            f"The run in '{run.path}' is not finished, or of an earlier version that kept nothing for new rows; "
            "diagnose its table again, into a new folder."
        )
    if (Run(out) / "manifest.json").exists():
        known = Run(out).manifest().parent
        if known is None or known.how != UPDATE:
            raise RunError(f"'{out}' holds another diagnosis; choose another folder for the new rows.")


@dataclass(frozen=True)
class _Rows:
    """The rows that are diagnosed. ids: positions in the file; frame: their cells as texts; where: places of their
    old versions among the run's training rows, NEW for none; old: the cells of these (of any row for new ones).
    """

    ids: np.ndarray
    frame: pd.DataFrame
    where: np.ndarray
    old: pd.DataFrame


class Update:
    """One file of rows against one run: what is read and reckoned, each once."""

    def __init__(self, run: Run, path: Path, taught: bool = False) -> None:
        self.run, self.path, self.taught = run, Path(path), taught
        self.settings = Settings.from_dict(run.manifest().settings)
        self.work = Work(run, self.settings)
        self.notes: list[str] = []

    @cached_property
    def schema(self) -> Schema:
        """The run's."""
        return self.run.schema()

    @cached_property
    def table(self) -> pd.DataFrame:
        """All rows of the file as texts."""
        frame = cell_texts(plain_frame(TableFile.read(self.path).frame, self.schema))
        lacking = [c for c in (*(f.name for f in self.schema.features), self.schema.target) if c not in frame]
        if lacking:
            raise InputError(f"{self.path.name} lacks the column '{lacking[0]}' of the run's table; add it.")
        return frame

    @cached_property
    def rows(self) -> _Rows:
        """Those of the file that can be diagnosed; notes say why others are left out."""
        frame, schema = self.table, self.schema
        usable = target_rows(frame, schema)
        if schema.classes:
            usable &= np.isin(labels(frame[schema.target]), schema.classes)
        if not usable.all():
            self.notes.append(f"{int((~usable).sum())} rows have no target or a label that the run does not know.")
        wanted, split = self._versions(), self.run.split().set_index(ROW_ID)["part"]
        held = wanted.isin(split.index[split != "train"]).to_numpy()
        if held.any():
            self.notes.append(f"{int(held.sum())} rows are versions of validation rows, which are not diagnosed.")
        ids = np.flatnonzero(usable & ~held)
        if not len(ids):
            raise InputError(f"{self.path.name} has no row that can be diagnosed. {' '.join(self.notes)}".strip())
        trained = pd.Index(self.run.diagnosis()[ROW_ID])
        places = trained.get_indexer(pd.Index(wanted.iloc[ids].fillna(-1).astype(int)))
        old = self.run.rows().loc[trained[np.where(places < 0, 0, places)]]
        return _Rows(ids, frame.iloc[ids], np.where(places < 0, NEW, places), old)

    def _versions(self) -> pd.Series:
        """float, per row of the file: the row id that it is a version of, NaN for none."""
        none = pd.Series(np.nan, index=self.table.index)
        if ROW_ID not in self.table or ROW_ID in (c.name for c in self.schema.columns):
            return none
        texts = pd.Series(labels(self.table[ROW_ID]), index=self.table.index)
        numbers = pd.Series(to_numeric(texts), index=self.table.index)
        known = len(self.run.rows())
        bad = (texts != "") & ~(numbers.between(0, known - 1) & (numbers % 1 == 0))
        if bad.any():
            raise InputError(
                f"{self.path.name} has '{texts[bad].iloc[0]}' as a row_id; give 0 to {known - 1}, nothing for new rows."
            )
        twice = numbers[numbers.duplicated() & numbers.notna()]
        if len(twice):
            raise InputError(f"{self.path.name} has row {twice.iloc[0]:.0f} more than once; keep one version of it.")
        return numbers

    @cached_property
    def encoded(self) -> Encoded:
        """The rows as the model sees them."""
        return self.work.encoder.transform(self.rows.frame)

    @cached_property
    def fitted(self) -> FittedModel:
        """The run's model, with the losses of these rows: those of the training where a row is as it was then."""
        model = replace(self.work.fitted, halfway=load_halfway(self.run / HALFWAY))
        losses, where = losses_on_the_way(model, self.encoded, self.schema.task), self.rows.where
        if len(losses):
            before = self.work.encoder.transform(self.rows.old)
            same = (where != NEW) & (before.x == self.encoded.x).all(1) & (before.y == self.encoded.y)
            losses[:, same] = model.losses[:, where[same]]
        return replace(model, losses=losses)

    @cached_property
    def case(self) -> Case:
        """Everything that the classifier looks at."""
        rows = self.rows
        reference = Reference.load(self.run / "signals" / REFERENCE)
        signals = reference.place(rows.frame, rows.old, self.schema, self.work.signals, rows.where)
        validation = self.work.encoder.transform(self.run.validation())
        return Case(rows.frame, self.schema, self.encoded, validation, self.fitted, signals)

    @cached_property
    def placed(self) -> Placed:
        """Error types of the rows."""
        known = Known(self.work.standing, self.work.signals, self.work.detection.factors, self.rows.where)
        found = place(self.case, known, self.settings)
        if not self.taught:
            return found
        p, count = hear(self.run, found.described, found.probabilities)
        self.notes.append(f"{count} verdicts on the rows of '{self.run.path.name}' were heard.")
        return replace(found, probabilities=p)

    @cached_property
    def repairs(self) -> Repairs:
        """What the run's repairs learned."""
        return load_record(self.run / REPAIRS, Repairs, REPAIRS_PARTS)

    # ---- what is written ----------------------------------------------------------------------------------
    def write(self, out: Run, found: Placed) -> None:
        """All files but manifest and summary."""
        called = self.work.called(found.probabilities)
        evidence = replace(
            evidence_of(self.case, self.work.encoder, found),
            learned=self.repairs.learned,
            groups=self.repairs.groups,
            to_come=True,
        )
        made = suggest(evidence, called)
        patches = self._patches(made)
        renew_decisions(out, patches)
        for name in SHARED:
            write_file(out / name, lambda p, name=name: shutil.copyfile(self.run / name, p))  # type: ignore[misc]
        self._write_table(out)
        write_folder(out / "signals", self.case.signals.save)
        write_folder(out / "detection", lambda folder: self._save_detection(folder, found))
        write_array(out / "embedding.npy", found.embedding)
        write_array(out / "losses.npy", self.fitted.losses)
        write_table(out / "patches.parquet", patches)
        write_json(out / "suggest.json", {"declined": declined(made)})
        diagnosis = diagnosis_table(self.rows.ids, evidence, called, found)
        near, weight = nearest_by_embedding(self.run.array("embedding.npy"), found.embedding)
        for method in self.run.projections():
            places = self._places(method, near, weight)
            write_table(out / f"map_{method}.parquet", pd.DataFrame({ROW_ID: self.rows.ids, **places}))
        write_table(out / "diagnosis.parquet", diagnosis.assign(**places))

    def _patches(self, made: Suggestions) -> pd.DataFrame:
        head, model = self.repairs.head, self.fitted.network
        last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
        used = Head(model, last[-1], self.schema.task, head, self.repairs.rows) if head.size else None
        gains = gains_of(used, self.work.encoder, self.rows.frame, made.patches)
        return patch_table([vars(p) | {"gain": g} for p, g in zip(made.patches, gains, strict=True)])

    def _write_table(self, out: Run) -> None:
        known = {c.name: c for c in self.schema.columns}
        columns = tuple(known.get(str(c), Column(str(c), ColumnKind.IGNORE)) for c in self.table)
        out.write_schema(replace(self.schema, columns=columns))
        copy = out / f"input/train{self.path.suffix.lower()}"
        if self.path.resolve() != copy.resolve():
            write_file(copy, lambda p: shutil.copyfile(self.path, p), durable=True)
        write_table(out / "rows.parquet", with_id(self.table, ROW_ID))
        write_table(out / "split.parquet", pd.DataFrame({ROW_ID: self.rows.ids, "part": "train"}))
        write_json(out / "load.json", {"notes": self.notes})

    def _save_detection(self, folder: Path, found: Placed) -> None:
        for name in ("probabilities", "wrong", "predictions", "harm", "grad_norm", "loss"):
            np.save(folder / f"{name}.npy", getattr(found, name), allow_pickle=False)
        if found.described is not None:
            np.save(folder / Path(DESCRIBED).name, found.described, allow_pickle=False)
        np.save(folder / "validation_rows.npy", self.work.detection.validation_rows, allow_pickle=False)
        thresholds = self.run.json("detection/detection.json")["thresholds"]
        write_json(folder / "detection.json", {"thresholds": thresholds, "trust": {}})

    def _places(self, method: str, near: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """x, y float32 [m]: between the nearest rows of the run, by how near they are."""
        drawn = self.run.projection(method)
        assert drawn is not None
        return {
            name: (weight * drawn[name].to_numpy()[near]).sum(1).astype(np.float32) for name in ("x", "y")
        }  # fmt: skip

    def manifest(self, out: Run) -> Manifest:
        """Settings of the run, the file as the training rows."""
        copy = f"input/train{self.path.suffix.lower()}"
        inputs = {
            "train": {
                "name": self.path.name, "file": copy, "sha256": file_hash(out / copy),
                "bytes": (out / copy).stat().st_size,
            }
        }  # fmt: skip
        return Manifest(now(), self.settings.to_dict(), inputs, {}, Parent(str(self.run.path.resolve()), UPDATE))


def nearest_by_embedding(known: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [m, k], float64 [m, k]): the k = NEAREST rows of known [N, E] nearest to each of rows [m, E], and their
    weights, the nearer the larger, of sum 1.

    Looked for among CANDIDATES by one product of matrices a block, which is too rough to tell near ones apart.
    Cost: m · N · E.
    """
    half, some = np.square(known).sum(1) / 2, min(CANDIDATES, len(known) - 1)
    near, weights = [np.zeros((0, min(NEAREST, len(known))), np.int64)], [np.zeros((0, min(NEAREST, len(known))))]
    for start in range(0, len(rows), BLOCK):
        mine = rows[start : start + BLOCK]
        found = np.argpartition(half - mine @ known.T, some, 1)[:, :CANDIDATES]
        distance = np.square(known[found].astype(np.float64) - mine[:, None]).sum(2)
        first = np.argsort(distance, 1, kind="stable")[:, :NEAREST]
        weight = 1 / (np.take_along_axis(distance, first, 1) + 1e-9)
        near.append(np.take_along_axis(found, first, 1))
        weights.append(weight / weight.sum(1, keepdims=True))
    return np.concatenate(near), np.concatenate(weights)
