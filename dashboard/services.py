"""The only file of the dashboard that touches the engine: runs, decisions, jobs, data, export, as plain functions."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import review
from dashboard.review import Book
from demix_core.errors import RunError
from demix_core.types import Column, ColumnKind, Event, Schema, Task

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "assets" / "example" / "run"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
REVIEWER = "dashboard"


# ---- where runs live ---------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> tuple[Path, Path | None]:
    """(workspace, run folder to open first) from the words after `--` on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--workspace", type=Path, default=Path(".demix"))
    parser.add_argument("run", nargs="?", type=Path)
    known, _ = parser.parse_known_args(list(sys.argv[1:] if argv is None else argv))
    first = known.run if known.run is not None and (known.run / "manifest.json").is_file() else None
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
        raise RunError(f"There is no run called '{name}' in {runs_folder()}; choose one in the sidebar.")
    return folder


def run_names() -> list[str]:
    """All runs of the workspace, newest first; the one named on the command line before all."""
    first = arguments()[1]
    folder = runs_folder()
    found = [p for p in folder.iterdir() if (p / "status.json").is_file()] if folder.is_dir() else []
    names = [p.name for p in sorted(found, key=lambda p: -(p / "status.json").stat().st_mtime)]
    return [first.name, *(n for n in names if n != first.name)] if first is not None else names


def open_example() -> str | None:
    """The name of the shipped example, copied into the workspace on first use; None when it is not shipped."""
    target = runs_folder() / "example"
    if not target.is_dir():
        if not (EXAMPLE / "manifest.json").is_file():
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(EXAMPLE, target.with_suffix(".copying"), dirs_exist_ok=True)
        target.with_suffix(".copying").rename(target)
    return "example"


def first_run() -> str | None:
    """What a newcomer sees: the run of the command line, else the example, else the newest run."""
    first = arguments()[1]
    if first is not None:
        return first.name
    example = open_example()
    names = run_names()
    return example or (names[0] if names else None)


def status(name: str) -> dict[str, Any]:
    """The run's status.json."""
    content: dict[str, Any] = json.loads((run_path(name) / "status.json").read_text(encoding="utf-8"))
    return content


# ---- reading a finished run --------------------------------------------------------------------------------------


def is_done(name: str | None) -> bool:
    """Whether a run can be reviewed."""
    return name is not None and status(name)["state"] == "done"


def book(name: str) -> Book:
    """What the review reads, loaded once per version of the run."""
    folder = run_path(name)
    return _book(name, str(folder), (folder / "patches.parquet").stat().st_mtime_ns)


@st.cache_resource(max_entries=2, show_spinner=False)
def _book(name: str, folder: str, stamp: int) -> Book:
    path = Path(folder)
    raw = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    columns = tuple(Column(c["name"], ColumnKind(c["kind"])) for c in raw["columns"])
    schema = Schema(columns, raw["target"], Task(raw["task"]), tuple(raw["classes"]))
    rows = pd.read_parquet(path / "rows.parquet").set_index("row_id")
    version = zlib.crc32(f"{folder}{stamp}".encode())
    diagnosis, patches = pd.read_parquet(path / "diagnosis.parquet"), pd.read_parquet(path / "patches.parquet")
    return Book(name, version, schema, rows, diagnosis, patches)


def projection(name: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """x, y float32 [N] of the map, in the order of the diagnosis."""
    frame = pd.read_parquet(run_path(name) / f"map_{method}.parquet")
    return frame["x"].to_numpy(np.float32), frame["y"].to_numpy(np.float32)


def projections(name: str) -> list[str]:
    """The maps that the run holds."""
    return [m for m in ("umap", "tsne") if (run_path(name) / f"map_{m}.parquet").is_file()]


# ---- decisions ---------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _log(folder: str) -> Any:
    from dashboard._shim import DecisionLog

    return DecisionLog(folder)


def log(name: str) -> Any:
    """The run's decision log."""
    return _log(str(run_path(name)))


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
    return log(name).undo()


def redo(name: str) -> Event | None:
    """Takes back the newest undo."""
    return log(name).redo()


def revert(name: str, seq: int) -> Event:
    """Takes back any one event and keeps the later ones."""
    return log(name).revert(seq, REVIEWER)


def events(name: str) -> list[Event]:
    """The history, oldest first."""
    return list(log(name).events())
