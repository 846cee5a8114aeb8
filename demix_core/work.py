"""What each stage of a diagnosis does and which files it writes.

What an earlier stage made is taken from memory, or from disk when an earlier job finished it: the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from demix_core.ahead import Ahead, pays
from demix_core.carrying import reject_again, renew_decisions
from demix_core.classifiers.described import Scale
from demix_core.classifiers.detect import Case, Detection, Standing, detect, within
from demix_core.classifiers.planted import calibrate
from demix_core.classifiers.thresholds import Estimate, Trust
from demix_core.classifiers.usual import Usual
from demix_core.columns import to_text
from demix_core.influence.head import Head, head_of
from demix_core.influence.vectors import load_factors, save_factors
from demix_core.modalities.base import load as load_dataset
from demix_core.modalities.predictions import covered, read_predictions
from demix_core.modalities.tabular import TabularEncoder
from demix_core.models.stand_in import Answers, alike, fit_stand_in, learned_by_heart
from demix_core.models.training import fit, load_weights, save_halfway, save_weights
from demix_core.projection import described, fitting_rows, project
from demix_core.records import load_record, save_record
from demix_core.repairs.base import LEARNED_PARTS, Evidence, Learned, Suggestions, suggest
from demix_core.repairs.impute import learn as learn_cells
from demix_core.repairs.impute import suspect_cells
from demix_core.repairs.relabel import learn as learn_values
from demix_core.settings import Settings
from demix_core.signals.base import Signals, learn
from demix_core.signals.shortcuts import RuleGroup, rule_groups
from demix_core.stages import Outputs
from demix_core.store import (
    DESCRIBED,
    TARGET_ID,
    Run,
    patch_table,
    with_id,
    write_array,
    write_file,
    write_folder,
    write_json,
    write_table,
)
from demix_core.types import (
    Action,
    Dataset,
    Encoded,
    ErrorType,
    FittedModel,
    Patch,
    Progress,
    Schema,
    ShouldStop,
    Task,
    no_progress,
)
from demix_core.words import FAINT_BELOW, mostly_faint

NEARLY_ALL = 0.9
"""Of flags that are faint, for there to be nothing at all."""

REFERENCE, STANDING, HALFWAY, REPAIRS = "reference.npz", "standing.npz", "halfway.npz", "repairs.npz"
"""What rows to come are read against: in signals/, in detection/, the model's weights amid epochs, of repairs."""

PREDICTIONS = "predictions"
"""The role of a file with what the person's own model predicts."""

BY_HEART = (
    "Your predictions fit the given labels far better than cross-validated ones do. If your model had learned from the "
    "rows that it predicts, wrong labels stay hidden: use cross-validation (scikit-learn's cross_val_predict)."
)

SHIPPED_SHARE = 0.1
"""The part of the detect stage's time that the shipped classifier takes where the table is learnt from as well."""

DETECTION_ARRAYS = ("probabilities", "wrong", "predictions", "harm", "grad_norm", "loss", "validation_rows")


class Work:
    """One job on one run folder: a method per stage, a cached property per thing that travels between stages."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self._ahead: Ahead | None = None

    def close(self) -> None:
        """Ends what still runs beside this job."""
        if self._ahead is not None:
            self._ahead.end()

    # ---- load ---------------------------------------------------------------------------------------------
    @cached_property
    def loaded(self) -> tuple[Dataset, tuple[str, ...]]:
        """The table as it was copied into the run, and notes on what was odd in it."""
        inputs = self.run.manifest().inputs
        validation, test = (self.run.path / inputs[r]["file"] if r in inputs else None for r in ("validation", "test"))
        held_out = self.run.held_out()
        return load_dataset(self.run.input_path(), self.settings.load, self.settings.seed, validation, test, held_out)

    @property
    def dataset(self) -> Dataset:
        """The rows and their split."""
        return self.loaded[0]

    @property
    def schema(self) -> Schema:
        """Columns, target, task, classes."""
        return self.dataset.schema

    @cached_property
    def encoder(self) -> TabularEncoder:
        """Fitted on the training rows."""
        if (self.run / "encoder.json").exists():
            return TabularEncoder.from_dict(self.run.json("encoder.json"))
        return TabularEncoder.fit(self.dataset.train, self.schema)

    @cached_property
    def train(self) -> Encoded:
        """The N training rows."""
        return self.encoder.transform(self.dataset.train)

    @cached_property
    def validation(self) -> Encoded:
        """All validation rows."""
        return self.encoder.transform(self.dataset.validation)

    def load(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """schema, rows, split, encoder."""
        run = self.run
        (run / "encoder.json").unlink(missing_ok=True)
        dataset, notes = self.loaded
        progress(0.5, f"Read {len(dataset.frame):,} rows")
        run.write_schema(dataset.schema)
        write_table(run / "rows.parquet", with_id(cell_texts(dataset.frame), "row_id"))
        write_table(run / "split.parquet", split_table(dataset))
        write_json(run / "encoder.json", self.encoder.to_dict())
        write_json(run / "load.json", {"notes": list(notes)})
        return ("schema.json", "rows.parquet", "split.parquet", "encoder.json", "load.json")

    # ---- fit ----------------------------------------------------------------------------------------------
    @cached_property
    def fitted(self) -> FittedModel:
        """The task model as the fit stage left it."""
        described = self.run.json("fit.json")
        model = self._model_from(self.run / "model.safetensors")
        loss = described["validation_loss"]
        return replace(
            model,
            losses=self.run.array("losses.npy"),
            epoch=described["epoch"],
            validation_loss=math.nan if loss is None else loss,
        )

    def _model_from(self, path: Path) -> FittedModel:
        return load_weights(self.settings.fit.model, self.encoder.n_inputs, self.encoder.n_outputs, path)

    @cached_property
    def answers(self) -> Answers | None:
        """What the person's own model predicts for the rows; None where no file says so."""
        inputs = self.run.manifest().inputs
        if PREDICTIONS not in inputs:
            return None
        data, path = self.dataset, self.run.input_path(PREDICTIONS)
        given = read_predictions(path, self.schema, len(data.frame), inputs[PREDICTIONS]["name"])
        covered(given, data.train_ids, inputs[PREDICTIONS]["name"])
        laid = self.encoder.standardised(given)
        here = data.validation_frame is data.frame
        held = laid[data.validation_ids] if here else np.full((len(data.validation_ids), laid.shape[1]), np.nan)
        return Answers(laid[data.train_ids], held.astype(np.float32))

    def fit(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """The task model: trained, the person's own weights, or a stand-in for the person's own model."""
        run = self.run
        model = self.fitted = self._model(progress, should_stop)
        write_file(run / "model.safetensors", lambda p: save_weights(model.network, p))
        write_array(run / "losses.npy", model.losses)
        write_file(run / HALFWAY, lambda p: save_halfway(model, p))
        loss = model.validation_loss if math.isfinite(model.validation_loss) else None
        described = {"architecture": model.architecture, "epoch": model.epoch, "validation_loss": loss}
        write_json(run / "fit.json", described | self._stands_in(model))
        return ("model.safetensors", "losses.npy", HALFWAY, "fit.json")

    def _model(self, progress: Progress, should_stop: ShouldStop) -> FittedModel:
        if "weights" in self.run.manifest().inputs:
            return self._model_from(self.run.input_path("weights"))
        task, settings, seed = self.schema.task, self.settings.fit, self.settings.seed
        rows, held, outputs = self.train, self.validation, self.encoder.n_outputs
        if self.answers is not None:
            return fit_stand_in(rows, held, task, self.answers, settings, seed, progress, should_stop)
        return fit(rows, held, task, outputs, settings, seed, progress, should_stop)

    def _stands_in(self, model: FittedModel) -> dict[str, Any]:
        """How alike the stand-in and the person's own model are, on held-out rows if they have predictions."""
        if self.answers is None:
            return {}
        task, held = self.schema.task, self.answers.validation
        measured = np.isfinite(held).all(1).any()
        rows, answers = (self.validation, held) if measured else (self.train, self.answers.train)
        known = int(np.isfinite(self.answers.train).all(1).sum())
        found = {"rows": known, "alike": round(alike(model, rows.x, answers, task), 4), "on_validation": bool(measured)}
        return {"stands_in": found}

    # ---- signals ------------------------------------------------------------------------------------------
    @cached_property
    def signals(self) -> Signals:
        """As the signals stage left them."""
        return Signals.load(self.run / "signals")

    @property
    def case(self) -> Case:
        """The training rows with all that the stages before detection know of them."""
        return Case(self.dataset.train, self.schema, self.train, self.validation, self.fitted, self.signals)

    def find_signals(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """What can be said of each row without influence."""
        found, reference = learn(self.dataset.train, self.schema, self.settings.seed, progress, should_stop)
        self.signals = found

        def write(folder: Path) -> None:
            found.save(folder)
            reference.save(folder / REFERENCE)

        write_folder(self.run / "signals", write)
        return ("signals",)

    # ---- detect -------------------------------------------------------------------------------------------
    @cached_property
    def detection(self) -> Detection:
        """As the detect stage left it."""
        run = self.run
        arrays: dict[str, Any] = {name: run.array(f"detection/{name}.npy") for name in DETECTION_ARRAYS}
        found = run.json("detection/detection.json")
        estimates = {
            ErrorType(k): Trust(**{name: Estimate(**e) for name, e in v.items()}) for k, v in found["trust"].items()
        }
        return Detection(
            embedding=run.array("embedding.npy"),
            typical=run.array("typical.npy"),
            factors=load_factors(run / "factors.safetensors"),
            thresholds={ErrorType(k): v for k, v in found["thresholds"].items()},
            trust=estimates,
            **arrays,
        )

    @property
    def standing(self) -> Standing:
        """What rows to come are ranked against, and how far probabilities were moved."""
        return load_record(self.run / "detection" / STANDING, Standing, (Usual, Scale))

    def detect(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """Influence and error types of every training row."""
        run = self.run
        for name in run.projections():
            (run / f"map_{name}.parquet").unlink()
            (run / f"map_{name}.json").unlink(missing_ok=True)
        if pays(len(self.train.y), self.settings.map.method):
            self._ahead = Ahead(self.settings.map.method)
        found = self.detection = self._found(progress, should_stop)
        write_file(run / "factors.safetensors", lambda p: save_factors(found.factors, p))
        write_array(run / "embedding.npy", found.embedding)
        write_array(run / "typical.npy", found.typical)
        write_table(run / "validation.parquet", self._measured())
        write_folder(run / "detection", lambda folder: _save_detection(folder, found))
        if self._ahead is not None:
            self._ahead.draw(run / "embedding.npy", self.settings.seed)
        return ("factors.safetensors", "embedding.npy", "typical.npy", "validation.parquet", "detection")

    def _found(self, progress: Progress, should_stop: ShouldStop) -> Detection:
        if not self.settings.diagnose.calibrate:
            return detect(self.case, self.settings, progress, should_stop)
        found = detect(self.case, self.settings, within(progress, 0.0, SHIPPED_SHARE), should_stop)
        rest = within(progress, SHIPPED_SHARE, 1.0)
        return calibrate(found, self.case, self.dataset.validation, self.settings, rest, should_stop)

    def _measured(self) -> pd.DataFrame:
        rows = self.detection.validation_rows
        frame = cell_texts(self.dataset.validation.iloc[rows])
        return with_id(frame, "validation_id").assign(**{TARGET_ID: self.validation.y[rows]})

    def notes(self) -> tuple[str, ...]:
        """What a person should know of this diagnosis: of the table, how well their own model could be followed,
        and where most flags are faint.
        """
        return (*self.run.json("load.json")["notes"], *self._notes_on_answers(), *self._notes_on_faint_flags())

    def _notes_on_faint_flags(self) -> Iterator[str]:
        faint = self.flags & (self.detection.probabilities < FAINT_BELOW)
        for k, kind in enumerate(ErrorType):
            few, flagged = int(faint[:, k].sum()), int(self.flags[:, k].sum())
            if said := mostly_faint(kind, few, flagged):
                none = kind is ErrorType.SPURIOUS and few >= NEARLY_ALL * flagged
                so = "there may be no shortcut in this table" if none else "most of them are as they should be"
                yield f"{said} (probability below one third): {so}."

    def _notes_on_answers(self) -> Iterator[str]:
        if self.answers is None:
            return
        task, answers = self.schema.task, self.answers.train
        found = self.run.json("fit.json")["stands_in"]
        where = f"{'held-out' if found['on_validation'] else 'training'} rows"
        share = f"gives the same answer on {found['alike']:.0%} of the {where}"
        fit_words = share if task is Task.CLASSIFICATION else f"follows its predictions with R² {found['alike']:.2f}"
        yield f"A network ('{self.settings.fit.model}') stands in for your own model: it {fit_words}."
        trees = self.encoder.standardised(self.signals.oof[:, : answers.shape[1]])
        if learned_by_heart(answers, trees, self.train.y, task):
            yield BY_HEART

    # ---- suggest ------------------------------------------------------------------------------------------
    @property
    def flags(self) -> np.ndarray:
        """bool [N, 3] in the order of ErrorType."""
        return self.called(self.detection.probabilities)

    def called(self, p: np.ndarray) -> np.ndarray:
        """bool [n, 3]: what probabilities [n, 3] call; a threshold set by hand goes before the detection's own."""
        given = self.settings.diagnose.thresholds
        limits = np.array([given.get(kind.value, self.detection.thresholds[kind]) for kind in ErrorType])
        return np.asarray(p >= limits)

    def evidence(self) -> Evidence:
        """What the repairs look at."""
        return evidence_of(self.case, self.encoder, self.detection)

    def suggest(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """Patches, and the diagnosis without its map."""
        run, evidence = self.run, self.evidence()
        progress(0.05, "Looking for likelier labels and cells")
        labels, cells = (
            np.flatnonzero(self.flags[:, list(ErrorType).index(k)]) for k in (ErrorType.LABEL, ErrorType.FEATURE)
        )
        learned = replace(learn_cells(evidence, cells), target=learn_values(evidence, labels))
        evidence = replace(evidence, learned=learned)
        made = suggest(evidence, self.flags)
        progress(0.9, "Reckoning what each suggestion would bring")
        head = head_of(self.case.fitted.network, self.train, self.validation, self.schema.task)
        gains = gains_of(head, self.encoder, evidence.frame, made.patches)
        slopes = head.v if head is not None else np.zeros((0, 0))
        write_file(
            run / REPAIRS,
            lambda p: save_record(Repairs(evidence.learned, slopes, len(self.train.y), evidence.groups), p),
        )
        patches = patch_table([vars(p) | {"gain": g} for p, g in zip(made.patches, gains, strict=True)])
        renew_decisions(run, patches, self.dataset.train_ids.tolist(), run.rows())
        write_table(run / "patches.parquet", patches)
        reject_again(run, patches)
        write_json(run / "suggest.json", {"declined": declined(made)})
        write_table(run / "diagnosis.parquet", self._diagnosis(evidence))
        return ("patches.parquet", "suggest.json", "diagnosis.parquet", REPAIRS)

    def _diagnosis(self, evidence: Evidence) -> pd.DataFrame:
        return diagnosis_table(self.dataset.train_ids, evidence, self.flags, self.detection)

    # ---- map ----------------------------------------------------------------------------------------------
    def draw_map(self, progress: Progress, should_stop: ShouldStop) -> Outputs:
        """One map (kept if this embedding's was drawn before), PCA beside it, and places in the diagnosis."""
        run, method = self.run, self.settings.map.method
        diagnosis = run.diagnosis()
        for drawn in dict.fromkeys(("pca", method)):
            if run.projection(drawn) is None:
                self._draw(drawn, diagnosis, progress if drawn == method else no_progress, should_stop)
        places = run.projection(method)
        assert places is not None
        diagnosis["x"], diagnosis["y"] = places["x"], places["y"]
        write_table(run / "diagnosis.parquet", diagnosis)
        return (f"map_{method}.parquet", "diagnosis.parquet")

    def _draw(self, method: str, diagnosis: pd.DataFrame, progress: Progress, should_stop: ShouldStop) -> None:
        run, seed = self.run, self.settings.seed
        flagged = np.asarray(diagnosis[[k.value for k in ErrorType]].to_numpy(bool).any(1))
        fitted = None if method == "pca" else fitting_rows(strata_of(diagnosis, self.schema), flagged, seed)
        progress(0.0, f"Drawing the map of {len(diagnosis):,} rows")
        xy = self._ahead.places(should_stop) if self._ahead is not None and method != "pca" else None
        if xy is None:
            xy = project(run.array("embedding.npy"), method, seed, progress, should_stop, fitted)
        write_json(run / f"map_{method}.json", described(method, seed, flagged, fitted))
        places = pd.DataFrame({"row_id": diagnosis["row_id"], "x": xy[:, 0], "y": xy[:, 1]})
        write_table(run / f"map_{method}.parquet", places)


def strata_of(diagnosis: pd.DataFrame, schema: Schema) -> np.ndarray:
    """int [N]: predicted class, or quintile of the predicted number, with the error types."""
    predicted = diagnosis["predicted"]
    if not schema.classes:
        predicted = pd.to_numeric(predicted, errors="coerce").rank(pct=True).mul(4.999).fillna(0).astype(int)
    types = diagnosis[[k.value for k in ErrorType]].to_numpy(bool) @ np.array([1, 2, 4])
    return np.asarray(pd.factorize(predicted)[0] * 8 + types)


@dataclass(frozen=True)
class Repairs:
    """What the suggest stage learned, for rows to come. head: influence.head.Head.v, empty for none; rows: N; groups:
    whom each shortcut splits the rows into.
    """

    learned: Learned | None
    head: np.ndarray
    rows: int
    groups: tuple[RuleGroup, ...]


REPAIRS_PARTS = (Learned, *LEARNED_PARTS, RuleGroup)


class Found(Protocol):
    """What detection says of some rows, the fields as in Detection."""

    @property
    def probabilities(self) -> np.ndarray: ...
    @property
    def wrong(self) -> np.ndarray: ...
    @property
    def predictions(self) -> np.ndarray: ...
    @property
    def harm(self) -> np.ndarray: ...
    @property
    def grad_norm(self) -> np.ndarray: ...
    @property
    def loss(self) -> np.ndarray: ...


def declined(made: Suggestions) -> dict[str, dict[str, int]]:
    """{error type: {reason: rows without a suggestion}}."""
    counts: dict[str, dict[str, int]] = {}
    for _, kind, reason in made.declined:
        of_kind = counts.setdefault(kind.value, {})
        of_kind[reason] = of_kind.get(reason, 0) + 1
    return counts


def diagnosis_table(row_ids: np.ndarray, evidence: Evidence, flags: np.ndarray, found: Found) -> pd.DataFrame:
    """diagnosis.parquet without places on the map. flags: bool [N, 3] in the order of ErrorType."""
    columns: dict[str, object] = {"row_id": row_ids.astype(np.int64)}
    for k, kind in enumerate(ErrorType):
        columns[kind.probability_column] = found.probabilities[:, k]
    for k, kind in enumerate(ErrorType):
        columns[kind.value] = flags[:, k]
    names = [c.name for c in evidence.schema.features]
    wrong = flags[:, list(ErrorType).index(ErrorType.FEATURE)]
    columns["suspect_columns"] = [
        [names[j] for j in suspect_cells(evidence.wrong[i])] if wrong[i] else [] for i in range(len(wrong))
    ]
    columns["x"] = columns["y"] = np.full(len(wrong), np.nan, np.float32)
    columns |= predictions_of(evidence)
    columns |= {"grad_norm": found.grad_norm, "loss": found.loss, "harm": found.harm}
    return pd.DataFrame(columns)


def evidence_of(case: Case, encoder: TabularEncoder, found: Found) -> Evidence:
    """What the repairs look at, for the rows of the case."""
    signals, scale, text = case.signals, 0.0, encoder.target_text
    given, model, trees = case.train.y, found.predictions, signals.oof
    if not case.schema.classes:
        mean, sd = encoder.target_mean, encoder.target_std
        given, model, trees = given * sd + mean, model * sd + mean, signals.oof[:, :1]
        scale = float(signals.oof[0, 1])

        def text(value: float) -> str:
            return encoder.target_text((value - mean) / sd)

    errors = (model.argmax(1) != given).astype(float) if case.schema.classes else np.abs(model[:, 0] - given)
    sides = signals.shortcuts.sides
    groups = rule_groups(sides, signals.shortcuts.shares, errors)
    return Evidence(
        cell_texts(case.frame), case.schema, found.probabilities, given, model, trees, scale,
        found.wrong, signals.cells, signals.oddities, signals.against, signals.shortcut, text, sides, groups,
        laws=signals.laws,
    )  # fmt: skip


def gains_of(head: Head | None, encoder: TabularEncoder, frame: pd.DataFrame, patches: Sequence[Patch]) -> np.ndarray:
    """float64 [P]: what each patch is expected to take off the mean validation loss; NaN where it can't be told.

    frame: the rows as texts, indexed by row id.
    """
    if head is None or not patches:
        return np.full(len(patches), np.nan)
    rows = frame.loc[[p.row_id for p in patches]].reset_index(drop=True)
    mended = {name: series.to_numpy(object, copy=True) for name, series in rows.items()}
    for i, patch in enumerate(patches):
        if patch.column is not None:
            mended[patch.column][i] = patch.new
            if patch.partner:
                mended[patch.partner][i] = patch.old
    weight = np.array([float(p.new) if p.action is Action.REWEIGHT else 1.0 for p in patches])
    return head.gain(encoder.transform(rows), encoder.transform(pd.DataFrame(mended)), weight)


def cell_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text: text columns as they stand, native ones written out, missing native values ""."""
    texts = {
        name: series.astype(object).where(series.notna(), "").astype(str)
        if pd.api.types.is_object_dtype(series) or pd.api.types.is_string_dtype(series)
        else pd.Series(to_text(series), index=frame.index, dtype=object)
        for name, series in frame.items()
    }
    return pd.DataFrame(texts, index=frame.index)


def split_table(dataset: Dataset) -> pd.DataFrame:
    """row_id, part: 'train', and 'validation' where validation rows come from the same file."""
    parts = [pd.DataFrame({"row_id": dataset.train_ids.astype(np.int64), "part": "train"})]
    if dataset.validation_frame is dataset.frame:
        parts.append(pd.DataFrame({"row_id": dataset.validation_ids.astype(np.int64), "part": "validation"}))
    return pd.concat(parts).sort_values("row_id", ignore_index=True)


def predictions_of(evidence: Evidence) -> dict[str, object]:
    """predicted (text); for classes also its probability and that of the given class (regression: NaN)."""
    likely = evidence.likely()
    n = len(likely)
    if not evidence.classes:
        unknown = np.full(n, np.nan, np.float32)
        texts = [evidence.target_text(float(v)) for v in likely[:, 0]]
        return {"predicted": texts, "predicted_probability": unknown, "given_probability": unknown}
    best = likely.argmax(1)
    names = [evidence.target_text(k) for k in range(likely.shape[1])]
    return {
        "predicted": [names[k] for k in best],
        "predicted_probability": likely[np.arange(n), best].astype(np.float32),
        "given_probability": likely[np.arange(n), evidence.given.astype(int)].astype(np.float32),
    }


def _save_detection(folder: Path, found: Detection) -> None:
    if found.standing is not None:
        save_record(found.standing, folder / STANDING)
    if found.described is not None:
        np.save(folder / Path(DESCRIBED).name, found.described, allow_pickle=False)
    for name in DETECTION_ARRAYS:
        np.save(folder / f"{name}.npy", getattr(found, name), allow_pickle=False)
    thresholds = {k.value: float(v) for k, v in found.thresholds.items()}
    write_json(
        folder / "detection.json",
        {"thresholds": thresholds, "trust": {k.value: asdict(v) for k, v in found.trust.items()}},
    )
