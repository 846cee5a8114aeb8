"""The only module that knows the order: load → fit, signals → detect → suggest → map, from a file to a finished run."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from demix_core.errors import Cancelled, DemixError, InputError, RunError, StorageError
from demix_core.jobs import only_worker
from demix_core.models.base import MODELS
from demix_core.settings import Settings
from demix_core.stages import Reporter, Stage, StopAsked, run_stages
from demix_core.store import HELD_OUT, UPDATE, JobState, Manifest, Run, now, write_file, write_json
from demix_core.summary import summarise
from demix_core.types import ColumnKind, ErrorType, Progress, ShouldStop, never_stop, no_progress
from demix_core.work import PREDICTIONS, Work

SHIPPED = "shipped"
VALIDATION_SHARES = (0.05, 0.5)


def diagnose(
    train: Path,
    out: Path,
    settings: Settings,
    validation: Path | None = None,
    test: Path | None = None,
    weights: Path | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    predictions: Path | None = None,
) -> Run:
    """Diagnose a table into the run folder `out`; returns the finished run.

    A folder that holds a run already goes on from there: finished stages whose inputs and settings are unchanged are
    not redone. predictions: what the person's own model says of the rows (a file, see modalities.predictions); a
    network stands in for it then. progress speaks of the whole job. InputError, RunError, StorageError in one sentence;
    Cancelled when should_stop said so, the folder's cancel file appeared, or Ctrl-C was pressed.
    """
    check(settings)
    _one_model(settings, weights, predictions)
    given = {"train": train, "validation": validation, "test": test, "weights": weights, PREDICTIONS: predictions}
    run = Run(out)
    with only_worker(run), closing(Work(run, settings)) as work:
        _make_ready(run)
        reporter = Reporter(run, stages_of(work), progress)
        with last_word(reporter):
            inputs = _take_inputs(run, {role: Path(path) for role, path in given.items() if path is not None})
            _register(run, settings, inputs)
            manifest = run_stages(
                run, stages_of(work), _depends(run, settings, inputs), reporter, StopAsked(run, should_stop)
            )
            write_json(run / "summary.json", summarise(run, manifest, work.notes()))
    return run


def check(settings: Settings) -> None:
    """InputError for a choice that can't be made, before anything is read or written."""
    for part in (settings.load, settings.fit, settings.influence, settings.diagnose, settings.map):
        for f in fields(part):
            choices, value = f.metadata["choices"], getattr(part, f.name)
            if choices and value not in choices:
                raise InputError(f"'{f.name}' can't be '{value}'; choose one of {', '.join(choices)}.")
    _known_model(settings.fit.model)
    kinds = [kind.value for kind in ColumnKind]
    for column, kind in settings.load.kinds.items():
        if kind not in kinds:
            raise InputError(f"The column '{column}' can't be of kind '{kind}'; choose one of {', '.join(kinds)}.")
    _within("validation_share", settings.load.validation_share, *VALIDATION_SHARES)
    _within("expected_error_share", settings.diagnose.expected_error_share, 0.0, 0.99)
    for name, value in settings.diagnose.thresholds.items():
        if name not in list(ErrorType):
            raise InputError(f"There is no error type '{name}'; choose one of {', '.join(ErrorType)}.")
        _within(f"threshold of {name}", value, 0.0, 1.0)


def _one_model(settings: Settings, weights: Path | None, predictions: Path | None) -> None:
    if predictions is not None and weights is not None:
        raise InputError("Give either weights or predictions of your own model, not both.")
    if predictions is not None and settings.diagnose.calibrate:
        raise InputError(
            "To calibrate, the model is trained on copies with planted errors, which a file of predictions can't show; "
            "leave one of the two out."
        )


def _known_model(name: str) -> None:
    if name not in list(MODELS):
        raise InputError(f"There is no model called '{name}'; choose one of {', '.join(MODELS)}.")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"'{name}' must lie between {low:g} and {high:g}, not {value:g}.")


def stages_of(work: Work) -> tuple[Stage, ...]:
    """The stages in order. Shares: of the seconds that Adult takes with two cores, rounded."""
    naming = 1.74 if work.settings.diagnose.calibrate else 0.22
    return (
        Stage("load", "Reading the table", 0.04, (), work.load),
        Stage("fit", "Training the model", 0.13, ("load",), work.fit),
        Stage("signals", "Looking at labels, cells and shortcuts", 0.22, ("load",), work.find_signals),
        Stage("detect", "Naming the errors", naming, ("fit", "signals"), work.detect),
        Stage("suggest", "Suggesting repairs", 0.3, ("detect",), work.suggest),
        Stage("map", "Drawing the map", 0.09, ("suggest",), work.draw_map),
    )


def _depends(run: Run, settings: Settings, inputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What each stage depends on besides its parents."""
    hashes = {role: described["sha256"] for role, described in inputs.items()}
    files = [hashes.get(role) for role in ("train", "validation", "test")]
    held_out = [file_hash(run / HELD_OUT)] if (run / HELD_OUT).is_file() else []
    chosen = settings.diagnose.classifier
    detection = asdict(settings.diagnose)
    thresholds = detection.pop("thresholds")
    return {
        "load": [asdict(settings.load), settings.seed, files, *held_out],
        "fit": [asdict(settings.fit), hashes.get("weights"), *([hashes[PREDICTIONS]] if PREDICTIONS in hashes else [])],
        "signals": [],
        "detect": [asdict(settings.influence), detection, _classifier_hash(chosen)],
        "suggest": [thresholds] if thresholds else [],
        "map": [asdict(settings.map)],
    }


def _classifier_hash(chosen: str) -> str:
    """A new checkpoint under the old name is another classifier."""
    from demix_core.classifiers.detect import SHIPPED as SHIPPED_FILE

    path = SHIPPED_FILE if chosen == SHIPPED else Path(chosen)
    if not path.is_file():
        raise InputError(f"There is no error classifier '{path}'; leave it at 'shipped' or name a checkpoint file.")
    return file_hash(path)


def _make_ready(run: Run) -> None:
    """Sweeps up after a killed worker, and forgets an old wish to stop (not one that came after the job was queued)."""
    if (run / "manifest.json").exists():
        parent = run.manifest().parent
        if parent is not None and parent.how == UPDATE:
            raise RunError(
                f"'{run.path}' holds rows that were diagnosed with what the run '{parent.run}' had learned; "
                "choose another folder for a diagnosis."
            )
    run.sweep()
    status = run.status() if (run / "status.json").exists() else None
    if status is None or status.state is not JobState.QUEUED:
        run.clear_cancel()


@contextmanager
def last_word(reporter: Reporter) -> Iterator[None]:
    """Whatever ends the job, status.json says so; on a full disk even that may fail, and the first error counts."""
    try:
        yield
    except (Cancelled, KeyboardInterrupt) as stop:
        with suppress(StorageError):
            reporter.end(JobState.CANCELLED, "Cancelled")
        raise Cancelled("Cancelled; what is finished is kept, and the same command goes on from there.") from stop
    except DemixError as error:
        with suppress(StorageError):
            reporter.end(JobState.FAILED, str(error), str(error))
        raise
    except BaseException as error:
        with suppress(StorageError):
            reporter.end(JobState.FAILED, "Failed", f"Unexpected {type(error).__name__}: {error}")
        raise
    reporter.end(JobState.DONE, "Done")


def _take_inputs(run: Run, given: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Byte copies in input/, described for the manifest by role: name, file (inside the run), sha256, bytes."""
    described: dict[str, dict[str, Any]] = {}
    known = run.manifest().inputs if (run / "manifest.json").exists() else {}
    for role, path in given.items():
        if not path.is_file():
            raise InputError(f"There is no {role} file '{path}'; check the path.")
        copy = Path("input") / f"{role}{path.suffix.lower()}"
        digest = file_hash(path)
        if not (run / str(copy)).exists() or file_hash(run / str(copy)) != digest:
            write_file(run / str(copy), lambda p, path=path: shutil.copyfile(path, p), durable=True)  # type: ignore[misc]
        named = known.get(role, {})
        name = named.get("name", path.name) if path.resolve() == (run / str(copy)).resolve() else path.name
        described[role] = {
            "name": name, "file": copy.as_posix(), "sha256": digest, "bytes": path.stat().st_size,
        }  # fmt: skip
    return described


def file_hash(path: Path) -> str:
    """sha256 of a file, hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"'{path}' can't be read ({error.strerror}); check the path and its permissions.") from error


def _register(run: Run, settings: Settings, inputs: dict[str, dict[str, Any]]) -> None:
    """The manifest of this job: new, or the folder's own with its finished stages."""
    old = run.manifest() if (run / "manifest.json").exists() else None
    created, stages, parent = (old.created, old.stages, old.parent) if old else (now(), {}, None)
    run.write_manifest(Manifest(created, settings.to_dict(), inputs, stages, parent))
