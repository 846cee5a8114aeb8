"""A table before its diagnosis: read, previewed, its problems told."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.services import runs
from dashboard.services.runs import arguments, load_settings
from dashboard.state import DataChoice
from demix_core.errors import DemixError
from demix_core.store import storing
from demix_core.types import Schema


@dataclass(frozen=True)
class Preview:
    """A table before its diagnosis. problem: why it can't be diagnosed, '' when it can; notes: what to know."""

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
    found = sorted(p for p in runs.EXAMPLE.glob("*") if p.suffix in (".csv", ".parquet") and "truth" not in p.name)
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


def keep_copy(name: str, path: str) -> str:
    """The same of a file on this machine, under another name."""
    return keep_upload(name, Path(path).read_bytes())


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
    return Preview(
        list(table.columns), head, len(table), schema, notes, "", _facts(str(path), path.stat().st_mtime_ns, schema)
    )


def trouble_with_predictions(path: str, schema: Schema, n_rows: int) -> str:
    """Why this file of predictions can't be used for the table, '' where it can."""
    from demix_core.modalities.predictions import read_predictions

    try:
        read_predictions(Path(path), schema, n_rows)
    except DemixError as error:
        return str(error)
    return ""


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
    return pd.DataFrame(
        [
            {
                "column": c.name,
                "kind": str(c.kind),
                "missing": float(is_missing(frame[c.name]).mean()),
                "distinct": int(frame[c.name].nunique()),
                "examples": ", ".join(map(str, frame[c.name].dropna().unique()[:4])),
            }
            for c in schema.columns
        ]
    )
