"""The run folder: everything one diagnosis produced, written so that a crash or a full disk never leaves half a file.

Every file goes to a temporary name first and is renamed when whole. No pickle. The folder's layout:

manifest.json      schema version, settings, input hashes, finished stages     status.json   how the job is doing
cancel             exists when somebody asked to stop                           lock          held by the worker
input/             byte copies of the person's files                            schema.json · encoder.json
rows.parquet       row id (first column) and the raw cells as text, all rows of the training file
split.parquet      row_id, part (train | validation)      held_out.parquet      rows that an earlier round held out
validation.parquet validation_id (first column), raw cells, __target_id: the M rows influence is measured on
model.safetensors · losses.npy · fit.json · signals/ · detection/ · factors.safetensors · embedding.npy · typical.npy
halfway.npz · signals/reference.npz · detection/standing.npz · repairs.npz: what rows to come are read against
detection/described.npy   every row in bytes: what decisions teach from
blame/ · rehearsal/   state and results of `blame`, of `rehearse`
patches.parquet · diagnosis.parquet · map_umap.parquet · map_tsne.parquet · summary.json · decisions.sqlite · export/
samples.json · thresholds.json   rows drawn for review; thresholds that a person moved
check/ · drift/    state and result of `evaluate`, of `drift`          second_reviews/   who judges which patches again
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demix_core.errors import RunError, StorageError
from demix_core.types import Column, ColumnKind, Notation, Schema, StageState, Task

if TYPE_CHECKING:
    from demix_core.decisions import DecisionLog

SCHEMA_VERSION = 1
"""Of the run folder; a folder of another version is refused."""

HELD_OUT = "held_out.parquet"
TARGET_ID = "__target_id"
PATCH_COLUMNS = {
    "patch_id": "int64", "row_id": "int64", "error_type": "str", "action": "str", "column": "str", "old": "str",
    "new": "str", "confidence": "float64", "reason": "str", "gain": "float64", "recommended": "bool",
    "alternatives": "str", "pattern": "str", "partner": "str",
}  # fmt: skip
LIST_COLUMNS = ("suspect_columns",)


class JobState(StrEnum):
    """Where the job of a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether a worker is, or should be, at it."""
        return self in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Status:
    """status.json. fraction: of the stage; overall: of the job; seconds_left: None until it can be told.

    started, updated: ISO times (UTC); pid and pid_started (epoch seconds) identify the worker process.
    """

    state: JobState
    stage: str = ""
    stage_index: int = 0
    stage_count: int = 0
    fraction: float = 0.0
    overall: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    started: str = ""
    updated: str = ""
    pid: int = 0
    pid_started: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class Parent:
    """The run that a run came from. how: CLEANED, its table with the decisions carried out; UPDATE, rows to come that
    were diagnosed with what it had learned.
    """

    run: str
    how: str


DESCRIBED = "detection/described.npy"
CLEANED, UPDATE = "cleaned", "update"


@dataclass(frozen=True)
class Manifest:
    """manifest.json. inputs: {train | validation | test | weights | predictions:
    {name, file, sha256, bytes}}; stages by name.

    parent: the run that this one came from, if any.
    """

    created: str
    settings: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    stages: dict[str, StageState]
    parent: Parent | None = None


def now() -> str:
    """The time as it stands in every file of a run: ISO, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns a failed write into a StorageError that names the file and the way out."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(
            f"'{path}' can't be written ({why}); free some space or choose another folder and start again: "
            "what was there before is untouched."
        ) from error


def write_file(path: Path, write: Callable[[Path], object], durable: bool = False) -> None:
    """Calls write(temporary path) and renames the result to path. durable: on the disk when this returns.

    StorageError: the disk is full or the folder not writable; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            if durable:
                _sync(temporary)
            temporary.replace(path)
            if durable:
                _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """As write_file, for a whole folder that write(temporary path) makes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storing(path):
            temporary.mkdir(parents=True)
            write(temporary)
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any, durable: bool = False) -> None:
    """One JSON file, readable by people, without NaN."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(path, lambda p: p.write_text(text, encoding="utf-8"), durable)


def write_array(path: Path, array: np.ndarray) -> None:
    """One .npy file without pickle."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    write_file(path, write)


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """One parquet file without the index; suspect_columns is stored as a list of texts even when all are empty."""
    table = pa.Table.from_pandas(frame.drop(columns=[c for c in LIST_COLUMNS if c in frame]), preserve_index=False)
    for place, name in enumerate(frame.columns):
        if name in LIST_COLUMNS:
            table = table.add_column(place, name, pa.array(list(frame[name]), pa.list_(pa.string())))
    write_file(path, lambda p: pq.write_table(table, p))


def _column(said: Mapping[str, Any]) -> Column:
    written = said.get("notation")  # a run of an earlier version knows none
    return Column(said["name"], ColumnKind(said["kind"]), Notation(**written) if written else None)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Run:
    """One run folder. Reading never changes it; every writer is atomic.

    Readers raise RunError (one sentence) when a file is missing or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """An existing run of this version. RunError: no such folder, no run, or of another version."""
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(f"There is no run folder '{path}'; name the folder that 'diagnose' wrote.")
        run.manifest()
        return run

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def blame(self) -> Run:
        """Where `blame` keeps its state, and the means over slices of each diagnosis."""
        return Run(self / "blame")

    @property
    def check(self) -> Run:
        """Where `evaluate` keeps its state and its result, evaluation.json."""
        return Run(self / "check")

    @property
    def drift(self) -> Run:
        """Where `drift` keeps its state and its result, drift.json."""
        return Run(self / "drift")

    def held_out(self) -> np.ndarray | None:
        """int64: the rows that an earlier round held out and this one is to hold out as well; None: none are named."""
        path = self / HELD_OUT
        return pd.read_parquet(path)["row_id"].to_numpy(np.int64) if path.is_file() else None

    @property
    def rehearsal(self) -> Run:
        """Where `rehearse` keeps its state, and what it found with each detection."""
        return Run(self / "rehearsal")

    def evaluation(self, changes: str, seeds: int) -> Path:
        """The file of one evaluation. changes: hash of what the decisions change (repairs.apply.Changes.key)."""
        stage = self.manifest().stages.get("suggest")
        content = f"{changes} {seeds} {stage.key if stage else ''}"
        return self / "check" / "results" / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.json"

    # ---- manifest -----------------------------------------------------------------------------------------
    def manifest(self) -> Manifest:
        """What the run is made of."""
        data = self._json("manifest.json")
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise RunError(
                f"The run in '{self.path}' was written by another version (its format is {version}, this version "
                f"reads {SCHEMA_VERSION}); diagnose the table again into a new folder."
            )
        with self._reading("manifest.json"):
            stages = {k: StageState(k, **{**v, "outputs": tuple(v["outputs"])}) for k, v in data["stages"].items()}
            parent = Parent(**data["parent"]) if data.get("parent") else None
            return Manifest(data["created"], data["settings"], data["inputs"], stages, parent)

    def write_manifest(self, manifest: Manifest) -> None:
        """Durably."""
        stages = {k: {n: v for n, v in asdict(s).items() if n != "name"} for k, s in manifest.stages.items()}
        content = {"schema_version": SCHEMA_VERSION, **asdict(manifest), "stages": stages}
        write_json(self / "manifest.json", content, durable=True)

    # ---- job ----------------------------------------------------------------------------------------------
    def status(self) -> Status | None:
        """As the worker last wrote it (jobs.state also notices a dead worker); None before the first."""
        if not (self / "status.json").exists():
            return None
        data = self._json("status.json")
        with self._reading("status.json"):
            known = {f.name: data[f.name] for f in fields(Status) if f.name in data}
            return replace(Status(**known), state=JobState(data["state"]))

    def write_status(self, status: Status) -> Status:
        """Stamps the time; returns what was written."""
        status = replace(status, updated=now())
        write_json(self / "status.json", asdict(status))
        return status

    def request_cancel(self) -> None:
        """Asks the worker to stop at the next batch."""
        with storing(self / "cancel"):
            (self / "cancel").touch()

    def cancel_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return (self / "cancel").exists()

    def clear_cancel(self) -> None:
        """For a new start."""
        (self / "cancel").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes temporary files that a killed worker left behind."""
        for left in self.path.glob("**/.*.tmp"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    # ---- tables -------------------------------------------------------------------------------------------
    def rows(self) -> pd.DataFrame:
        """The raw cells as texts ("" for a missing native value), indexed by row_id: all rows of the training file."""
        return self._indexed("rows.parquet", "row_id")

    def split(self) -> pd.DataFrame:
        """row_id, part ('train' or 'validation')."""
        return self.table("split.parquet")

    def validation(self) -> pd.DataFrame:
        """The M rows influence is measured on, in the order of the profiles: raw cells and __target_id.

        Indexed by validation_id, the 0-based position in the file they come from.
        """
        return self._indexed("validation.parquet", "validation_id")

    def diagnosis(self) -> pd.DataFrame:
        """One line per training row, columns as in DESIGN §6; suspect_columns holds lists."""
        frame = self.table("diagnosis.parquet")
        frame["suspect_columns"] = pd.Series([list(c) for c in frame["suspect_columns"]], dtype=object)
        return frame

    def patches(self) -> pd.DataFrame:
        """The suggested patches, and after them those that people made themselves (decisions.own_patches)."""
        from demix_core.decisions import with_own

        suggested = self.suggested()
        if not (self / "decisions.sqlite").exists():  # looking makes no log
            return suggested
        with closing(self.decisions()) as log:
            return with_own(suggested, log.events())

    def suggested(self) -> pd.DataFrame:
        """patch_id (0..P−1), row_id, error_type, action, column (None for reweight), old, new, confidence, reason,
        gain, recommended, alternatives (JSON: [[text, probability or null], …]), pattern, partner ("" but for swaps).
        """
        frame = self.table("patches.parquet")
        defaults: dict[str, Any] = {"gain": float("nan"), "recommended": False, "alternatives": "[]"}
        defaults |= {"pattern": "", "partner": ""}
        frame = frame.assign(**{k: v for k, v in defaults.items() if k not in frame})  # a run of an earlier version
        column = frame["column"].astype(object)
        return frame.assign(column=column.where(column.notna(), None))

    def projection(self, method: str) -> pd.DataFrame | None:
        """row_id, x, y of one map; None when it was not computed."""
        name = f"map_{method}.parquet"
        return self.table(name) if (self / name).exists() else None

    def projection_facts(self, method: str) -> dict[str, Any] | None:
        """How one map was drawn, see projection.described; None when that was not noted."""
        name = f"map_{method}.json"
        return dict(self._json(name)) if (self / name).exists() else None

    def projections(self) -> tuple[str, ...]:
        """The methods whose map is there."""
        return tuple(sorted(p.stem.removeprefix("map_") for p in self.path.glob("map_*.parquet")))

    def schema(self) -> Schema:
        """Columns, target, task, classes."""
        data = self._json("schema.json")
        with self._reading("schema.json"):
            columns = tuple(_column(c) for c in data["columns"])
            return Schema(columns, data["target"], Task(data["task"]), tuple(data["classes"]))

    def write_schema(self, schema: Schema) -> None:
        """schema.json."""
        write_json(self / "schema.json", asdict(schema))

    def summary(self) -> dict[str, Any]:
        """summary.json, written when the last stage is done."""
        return dict(self._json("summary.json"))

    def decisions(self) -> DecisionLog:
        """The log of this run, made on first use."""
        from demix_core.decisions import DecisionLog

        return DecisionLog(self / "decisions.sqlite")

    def input_path(self, role: str = "train") -> Path:
        """The byte copy of one input file (train, validation, test)."""
        inputs = self.manifest().inputs
        if role not in inputs:
            raise RunError(f"The run in '{self.path}' has no {role} file.")
        return self.path / inputs[role]["file"]

    # ---- reading ------------------------------------------------------------------------------------------
    def json(self, name: str) -> Any:
        """One JSON file of the folder."""
        return self._json(name)

    def array(self, name: str, mapped: bool = False) -> np.ndarray:
        """One .npy file of the folder; mapped: left on disk and read where it is looked at."""
        with self._reading(name):
            loaded: np.ndarray = np.load(self.path / name, mmap_mode="r" if mapped else None, allow_pickle=False)
            return loaded

    def table(self, name: str) -> pd.DataFrame:
        """One parquet file of the folder."""
        with self._reading(name):
            return pd.read_parquet(self.path / name)

    def _indexed(self, name: str, index: str) -> pd.DataFrame:
        frame = self.table(name)
        return frame.iloc[:, 1:].set_axis(pd.Index(frame.iloc[:, 0], name=index), axis=0)

    def _json(self, name: str) -> Any:
        with self._reading(name):
            return json.loads((self.path / name).read_text(encoding="utf-8"))

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise RunError(f"'{name}' is missing in the run folder '{self.path}'; diagnose the table again.") from error
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"'{name}' in the run folder '{self.path}' is damaged; diagnose the table again.") from error


def with_id(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with its index as the first column, called name unless the person's table has such a column."""
    taken = set(frame.columns)
    while name in taken:
        name = f"_{name}"
    return pd.concat([pd.Series(np.asarray(frame.index), index=frame.index, name=name), frame], axis=1)


def patch_table(records: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Patches as the table of patches.parquet, right column types even for none at all."""
    whole = [
        {"recommended": False, "pattern": "", "partner": "", **r, "alternatives": _alternatives(r)} for r in records
    ]
    frame = pd.DataFrame(whole, columns=list(PATCH_COLUMNS))
    return frame.astype(PATCH_COLUMNS)


def _alternatives(patch: Mapping[str, Any]) -> str:
    """JSON, null for an unknown probability."""
    known = [[text, None if p != p else round(p, 4)] for text, p in patch.get("alternatives", ())]
    return json.dumps(known, ensure_ascii=False)
