"""The only file of the dashboard that touches the engine: runs, decisions, evidence, data, jobs, export.

Plain functions over records; nothing here that the command line can't do as well. Writes happen through the engine.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import zlib
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import review
from dashboard.review import Book
from dashboard.state import DataChoice
from demix_core import jobs
from demix_core.decisions import DecisionLog, live
from demix_core.errors import DemixError, RunError
from demix_core.repairs.apply import plan
from demix_core.settings import LoadSettings, Settings
from demix_core.store import JobState, Run, Status, storing
from demix_core.types import ErrorType, Event, Schema

if TYPE_CHECKING:
    from demix_core.explain import Explainer, Explanation
else:
    Explanation = Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "assets" / "example"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
REVIEWER = "dashboard"


# ---- where runs live ---------------------------------------------------------------------------------------------


def arguments() -> tuple[Path, Path | None]:
    """(workspace, run folder to open first or None) from the words after `--` on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--workspace", type=Path, default=Path(".demix"))
    parser.add_argument("run", nargs="?", type=Path)
    known, _ = parser.parse_known_args(sys.argv[1:])
    first = known.run if known.run is not None and (known.run / "status.json").is_file() else None
    return known.workspace, first


def runs_folder() -> Path:
    """Where the runs of this workspace lie."""
    return arguments()[0] / "runs"


def run_path(name: str) -> Path:
    """The folder of a run by its name in the address; RunError when there is none."""
    first = arguments()[1]
    if first is not None and first.name == name:
        return first
    folder = runs_folder() / name
    if not RUN_NAME.fullmatch(name) or not folder.is_dir():
        raise RunError(f"There is no run called '{name}' in '{runs_folder()}'; choose another one in the sidebar.")
    return folder


def run_names() -> list[str]:
    """All runs of the workspace, newest first; the one named on the command line before all."""
    first, folder = arguments()[1], runs_folder()
    found = [p for p in folder.iterdir() if (p / "status.json").is_file()] if folder.is_dir() else []
    names = [p.name for p in sorted(found, key=lambda p: -(p / "status.json").stat().st_mtime)]
    return [first.name, *(n for n in names if n != first.name)] if first is not None else names


def open_example() -> str | None:
    """The name of the shipped example's run, copied into the workspace on first use; None when it is not shipped."""
    target = runs_folder() / "example"
    if target.is_dir():
        return "example"
    if not (EXAMPLE / "run" / "manifest.json").is_file():
        return None
    copying = target.with_name(".example.copying")
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(EXAMPLE / "run", copying, dirs_exist_ok=True)
        copying.rename(target)
    return "example"


def first_run() -> str | None:
    """What a newcomer sees: the run of the command line, else the example, else the newest run."""
    first = arguments()[1]
    if first is not None:
        return first.name
    names = run_names()
    return open_example() or (names[0] if names else None)


# ---- jobs --------------------------------------------------------------------------------------------------------


def status(name: str) -> Status | None:
    """How the run's job is doing, a dead worker noticed."""
    return jobs.state(Run(run_path(name)))


def is_done(name: str | None) -> bool:
    """Whether a run can be reviewed."""
    found = status(name) if name else None
    return found is not None and found.state is JobState.DONE


def cancel(name: str) -> None:
    """Stops the job; finished stages stay."""
    jobs.cancel(Run(run_path(name)))


def models() -> list[str]:
    """The task models there are."""
    from demix_core.models.base import MODELS  # brings torch

    return list(MODELS)


def start(choice: DataChoice, settings: Settings, weights: Path | None = None) -> str:
    """Starts a diagnosis in its own process; the name of its run."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(choice.path).stem).strip("-.") or "run"
    taken = set(run_names()) | {"example"}
    name = next(n for i in range(1, len(taken) + 2) if (n := f"{stem}-{i}") not in taken)
    validation, test = (Path(p) if p else None for p in (choice.validation, choice.test))
    jobs.start(Path(choice.path), runs_folder() / name, settings, validation, test, weights)
    return name


def start_again(name: str, settings: Settings | None = None) -> None:
    """Starts a run's job again, on its own copies of the files; it goes on from the last finished stage."""
    run = Run(run_path(name))
    manifest = run.manifest()
    paths = {role: run.input_path(role) for role in manifest.inputs}
    wanted = settings or Settings.from_dict(manifest.settings)
    jobs.start(paths["train"], run.path, wanted, paths.get("validation"), paths.get("test"), paths.get("weights"))


def draw_map(name: str, method: str) -> None:
    """Starts the job that adds the other map; everything else is fresh already."""
    given = Settings.from_dict(Run(run_path(name)).manifest().settings)
    start_again(name, replace(given, map=replace(given.map, method=method)))


def stages(name: str) -> dict[str, float]:
    """Finished stages of a run with their seconds, in order; empty before the first."""
    run = Run(run_path(name))
    return {n: s.seconds for n, s in run.manifest().stages.items()} if (run / "manifest.json").is_file() else {}


@dataclass(frozen=True)
class Option:
    """One setting as a form control. section: the field of Settings it belongs to, '' for a field of Settings itself."""

    section: str
    name: str
    help: str
    default: Any
    choices: tuple[str, ...]


def options() -> list[Option]:
    """Every setting of a diagnosis but those of the data page, from demix_core.settings."""
    found = []
    defaults = Settings()
    for f in fields(Settings):
        part = getattr(defaults, f.name)
        if f.name == "load":
            continue
        if hasattr(part, "__dataclass_fields__"):
            inner = [(f.name, g, getattr(part, g.name)) for g in fields(part)]
        else:
            inner = [("", f, part)]
        found += [Option(s, g.name, g.metadata["help"], value, _choices(g)) for s, g, value in inner]
    return found


def _choices(option: Field[Any]) -> tuple[str, ...]:
    return tuple(models()) if option.name == "model" else tuple(option.metadata["choices"])


def settings(choice: DataChoice, values: dict[tuple[str, str], Any]) -> Settings:
    """Settings from the data page's choice and {(section, name): value} of the diagnose page."""
    content = Settings().to_dict() | {"load": asdict(load_settings(choice))}
    for (section, name), value in values.items():
        (content[section] if section else content)[name] = value
    return Settings.from_dict(content)


def load_settings(choice: DataChoice) -> LoadSettings:
    """The data page's choice in the engine's words."""
    return LoadSettings(target=choice.target, task=choice.task, kinds=dict(choice.kinds), validation_share=choice.share)


# ---- reading a finished run --------------------------------------------------------------------------------------


def book(name: str) -> Book:
    """What the review reads, loaded once per version of the run."""
    folder = run_path(name)
    run = Run.open(folder)
    return _book(name, str(folder.resolve()), (run / "patches.parquet").stat().st_mtime_ns)


@st.cache_resource(max_entries=2, show_spinner=False)
def _book(name: str, folder: str, stamp: int) -> Book:
    run = Run(folder)
    version = zlib.crc32(f"{folder}{stamp}".encode()) & 0x3FFFFFFF
    return Book(name, version, run.schema(), run.rows(), run.diagnosis(), run.patches())


def projection(name: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """x, y float32 [N] of the map, in the order of the diagnosis."""
    loaded = book(name)
    return _projection(str(run_path(name).resolve()), loaded.version, method, loaded.row_ids)


@st.cache_resource(max_entries=4, show_spinner=False)
def _projection(folder: str, version: int, method: str, _row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = Run(folder).projection(method)
    if found is None:
        raise RunError(f"This run holds no {method} map; diagnose the table again with it.")
    placed = found.set_index("row_id").loc[_row_ids]
    return placed["x"].to_numpy(np.float32), placed["y"].to_numpy(np.float32)


def projections(name: str) -> list[str]:
    """The maps that the run holds."""
    found = set(Run(run_path(name)).projections())
    return [m for m in ("umap", "tsne") if m in found]


def thresholds(name: str) -> dict[ErrorType, float]:
    """The probability above which each type was called."""
    found = Run(run_path(name)).summary().get("thresholds", {})
    return {t: float(found[t.value]) for t in ErrorType if isinstance(found.get(t.value), int | float)}


# ---- decisions ---------------------------------------------------------------------------------------------------


def log(name: str) -> DecisionLog:
    """The run's decision log."""
    return _log(str(run_path(name).resolve()))


@st.cache_resource(max_entries=8, show_spinner=False, on_release=DecisionLog.close)
def _log(folder: str) -> DecisionLog:
    return Run(folder).decisions()


def codes(name: str) -> np.ndarray:
    """uint8 [P]: what stands decided, see review.state_codes."""
    return review.state_codes(book(name), log(name).replay())


def accept(name: str, patch_ids: Sequence[int], query: str = "") -> Event:
    """Accepts; returns when it is on disk."""
    return log(name).accept(list(patch_ids), REVIEWER, query=query)


def reject(name: str, patch_ids: Sequence[int], query: str = "") -> Event:
    """Rejects; returns when it is on disk."""
    return log(name).reject(list(patch_ids), REVIEWER, query=query)


def edit(name: str, patch_id: int, value: str) -> Event:
    """Takes the person's own value, or types.DROP_VALUE."""
    return log(name).edit(patch_id, value, REVIEWER)


def undo(name: str) -> Event | None:
    """Takes back the newest decision."""
    return log(name).undo(REVIEWER)


def redo(name: str) -> Event | None:
    """Takes back the newest undo."""
    return log(name).redo(REVIEWER)


def revert(name: str, seq: int) -> Event:
    """Takes back any one event and keeps the later ones."""
    return log(name).revert(seq, REVIEWER)


def events(name: str) -> list[Event]:
    """The history, oldest first."""
    return log(name).events()


def standing(name: str) -> set[int]:
    """The numbers of the events that nothing has taken back."""
    return {event.seq for event in live(log(name).events())}


# ---- evidence of one row -----------------------------------------------------------------------------------------


def explain(name: str, row_id: int) -> Explanation:
    """All that is known of one training row."""
    return _explain(str(run_path(name).resolve()), book(name).version, row_id)


@st.cache_data(max_entries=64, show_spinner=False)
def _explain(folder: str, version: int, row_id: int) -> Explanation:
    return _explainer(folder, version).row(row_id)


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _explainer(folder: str, version: int) -> Explainer:
    from demix_core.explain import Explainer  # brings torch: only when a person asks why

    return Explainer(Run(folder))


def validation_rows(name: str, places: Sequence[int]) -> pd.DataFrame:
    """Validation rows by their position in the profile; index: their row number."""
    return _validation(str(run_path(name).resolve()), book(name).version).iloc[list(places)]


@st.cache_resource(max_entries=2, show_spinner=False)
def _validation(folder: str, version: int) -> pd.DataFrame:
    return Run(folder).validation()


# ---- data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """A table before its diagnosis. problem: why it can't be diagnosed as it stands, '' when it can; notes: what to know."""

    columns: list[str]
    head: pd.DataFrame
    n_rows: int
    schema: Schema | None
    notes: tuple[str, ...]
    problem: str
    facts: pd.DataFrame
    """facts: one line per column: column, kind, missing (share), distinct, examples."""


def example_file() -> Path | None:
    """The shipped example table."""
    found = sorted(p for p in EXAMPLE.glob("*") if p.suffix in (".csv", ".parquet") and "truth" not in p.name)
    return found[0] if found else None


def keep_upload(name: str, content: bytes) -> str:
    """Puts an uploaded file into the workspace, by its content; returns its path."""
    folder = arguments()[0] / "uploads" / f"{zlib.crc32(content):08x}-{len(content)}"
    path = folder / (re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name).lstrip(".") or "table.csv")
    if not path.is_file():
        with storing(path):
            folder.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.tmp").write_bytes(content)
            path.with_name(f".{path.name}.tmp").rename(path)
    return str(path)


def preview(choice: DataChoice) -> Preview:
    """Reads the table and finds its columns' kinds, target and task; problems come as words, not as errors."""
    path = Path(choice.path).expanduser()
    try:
        table = _read(str(path), path.stat().st_mtime_ns if path.is_file() else 0)
    except DemixError as error:
        return Preview([], pd.DataFrame(), 0, None, (), str(error), pd.DataFrame())
    head = table.head(200)
    try:
        schema, notes = _schema(str(path), path.stat().st_mtime_ns, choice)
    except DemixError as error:
        return Preview(list(table.columns), head, len(table), None, (), str(error), pd.DataFrame())
    return Preview(list(table.columns), head, len(table), schema, notes, "", _facts(str(path), path.stat().st_mtime_ns, schema))


@st.cache_resource(max_entries=2, show_spinner="Reading the table")
def _read(path: str, stamp: int) -> pd.DataFrame:
    from demix_core.tablefile import TableFile

    return TableFile.read(Path(path)).frame


@st.cache_data(max_entries=8, show_spinner=False)
def _schema(path: str, stamp: int, choice: DataChoice) -> tuple[Schema, tuple[str, ...]]:
    from demix_core.modalities.tabular import infer_schema

    return infer_schema(_read(path, stamp), load_settings(choice))


@st.cache_data(max_entries=8, show_spinner=False)
def _facts(path: str, stamp: int, schema: Schema) -> pd.DataFrame:
    from demix_core.columns import is_missing

    frame = _read(path, stamp)
    return pd.DataFrame([
        {
            "column": c.name, "kind": str(c.kind), "missing": float(is_missing(frame[c.name]).mean()),
            "distinct": int(frame[c.name].nunique()), "examples": ", ".join(map(str, frame[c.name].dropna().unique()[:4])),
        }
        for c in schema.columns
    ])  # fmt: skip


# ---- export ------------------------------------------------------------------------------------------------------


def any_decision(name: str | None) -> bool:
    """Whether the review of a run has begun."""
    return name is not None and is_done(name) and bool(log(name).replay())


def stage_names() -> tuple[str, ...]:
    """The stages of a diagnosis, in order."""
    return ("load", "fit", "signals", "detect", "suggest", "map")


def changes(name: str) -> pd.DataFrame:
    """What the decisions would change, one line per cell, row or weight."""
    run = Run.open(run_path(name))
    events_ = log(name).events()
    return plan(run.patches(), log(name).replay(), events_).rows


def export_names(name: str) -> dict[str, str]:
    """File names of the three downloads."""
    given = Path(Run(run_path(name)).manifest().inputs["train"]["name"])
    stem = f"{given.stem}-cleaned"
    return {"cleaned": f"{stem}{given.suffix}", "changes": f"{stem}.changes.csv", "decisions": f"{stem}.decisions.jsonl"}


def export_file(name: str, kind: str, with_weights: bool) -> bytes:
    """Writes the three files into the run's export folder and returns one of them."""
    from demix_core.exporting import export

    names = export_names(name)
    folder = run_path(name) / "export"
    with storing(folder):
        folder.mkdir(exist_ok=True)
    export(Run.open(run_path(name)), folder / names["cleaned"], with_weights=with_weights)
    return (folder / names[kind]).read_bytes()


def export_command(name: str, with_weights: bool) -> str:
    """The commands that write the same cleaned file: from this run, and from the downloaded decisions."""
    names = export_names(name)
    words = ["python", "-m", "demix_core", "apply", str(run_path(name)), "-o", names["cleaned"]]
    words += ["--with-weights"] if with_weights else []
    return f"{shlex.join(words)}\n{shlex.join([*words, '--decisions', names['decisions']])}   # from the downloaded decisions"
