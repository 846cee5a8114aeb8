"""Finds what each column holds, which one is the target, and the task; says what was odd in plain sentences."""

from __future__ import annotations

import difflib
import re

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, holds_text, is_missing, labels, to_datetime, to_numeric, to_text
from demix_core.datetimes import meant, times_of
from demix_core.errors import InputError
from demix_core.notation import DECIMAL_COMMA, as_written, find_notations, plain, read_number, signed_number
from demix_core.settings import LoadSettings
from demix_core.spelling import Vocabulary
from demix_core.templates import odd_texts, template_of
from demix_core.types import Column, ColumnKind, Notation, Schema, Task

TARGET_NAMES = ("target", "label", "labels", "class", "y", "outcome", "income", "survived", "cnt")
MAX_CLASSES = 100
FEW_VALUES = 20
"""A numeric target with more distinct values than this is a regression."""
BOOLEAN_PAIRS = frozenset(
    frozenset(p) for p in (("0", "1"), ("yes", "no"), ("true", "false"), ("t", "f"), ("y", "n"), ("0.0", "1.0"))
)
IDENTIFIER_NAME = re.compile(
    r"(^|[_\s.-])(id|uuid|guid|index|key|instant|rownames?)$|[a-z]Id$|ID$|^unnamed", re.IGNORECASE
)
PARSED_SHARE = 0.95
"""Share of the present cells that must be numbers (or times) for the column to be numeric (or a datetime)."""
PLAIN_SHARE = 0.5
"""Share of the present cells that must be plain numbers where others bear a sign or unit ('5%', '12 oz')."""
LEAST_SIGNED = 3
"""Different numbers that bear it; a single '1OT' beside 1 to 4 is a value of its own."""
MANY_CATEGORIES = 1000
SPELLINGS_SHOWN = COLUMNS_SHOWN = 3
MOST_NAMES = 0.5
"""A row that holds the names of a larger share of the columns is a header."""


def infer_schema(frame: pd.DataFrame, settings: LoadSettings) -> tuple[Schema, tuple[str, ...]]:
    """The schema of a raw frame, and notes on what was odd but does not stop a run.

    InputError: the target is not there, constant or has too many classes, or no usable feature is left.
    """
    target = find_target(frame, settings.target)
    _known_columns(frame, settings)
    heads = repeats_names(frame, target)
    frame = frame[~heads] if heads.any() else frame
    notations = find_notations(frame)
    task = _task(plain(frame[target], notations.get(target)), settings.task)
    if task is Task.CLASSIFICATION:
        notations.pop(target, None)  # a class is called what it is called
    notes = [_heads_note(heads)] if heads.any() else []
    columns: list[Column] = []
    for name in frame.columns:
        series = plain(frame[name], notations.get(name))
        kind, note = _kind(series) if name != target else (_target_kind(series, task), "")
        if name in settings.kinds:
            kind, note = ColumnKind(settings.kinds[name]), ""
        columns.append(Column(str(name), kind, notations.get(name) if kind is ColumnKind.NUMERIC else None))
        if note:
            notes.append(note)
    notes += _notation_notes(frame, columns)
    schema = Schema(tuple(columns), target, task, _classes(frame[target]) if task is Task.CLASSIFICATION else ())
    if not schema.features:
        raise InputError("No column is left to learn from: all are constant, empty or identifiers; set a kind by hand.")
    return schema, tuple(notes + _target_notes(plain_frame(frame, schema)[target], task))


def plain_frame(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A table of the file with plain numbers in the columns that write them otherwise; others are untouched.

    Once only: '1.234', already plain, would be read again as 1234 where points set thousands apart.
    """
    return frame.assign(**{name: plain(frame[name], notation) for name, notation in _notations(frame, schema)})


def written_frame(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The way back: plain numbers as their columns write them in the file."""
    return frame.assign(**{name: as_written(frame[name], notation) for name, notation in _notations(frame, schema)})


def _notations(frame: pd.DataFrame, schema: Schema) -> list[tuple[str, Notation]]:
    return [(c.name, c.notation) for c in schema.columns if c.notation is not None and c.name in frame]


def find_target(frame: pd.DataFrame, wanted: str) -> str:
    """The column asked for, else the best-named one, else the last. InputError names close matches."""
    names = [str(c) for c in frame.columns]
    if not wanted:
        by_name = {n.strip().lower(): n for n in reversed(names)}
        return next((by_name[n] for n in TARGET_NAMES if n in by_name), names[-1])
    if wanted not in names:
        close = difflib.get_close_matches(wanted, names, n=3) or names[:10]
        raise InputError(f"There is no column '{wanted}'; name the target as one of {', '.join(close)}.")
    return wanted


def target_rows(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """bool [n]: rows whose target can be used (present; a number where the task is a regression; not its name)."""
    series = frame[schema.target]
    if schema.task is Task.REGRESSION:
        return np.isfinite(to_numeric(series))
    return ~is_missing(series) & ~repeats_names(frame, schema.target)


def repeats_names(frame: pd.DataFrame, target: str) -> np.ndarray:
    """bool [n]: rows that hold the names of most columns, the target's among them, as where tables were joined."""
    found = np.zeros(len(frame), bool)
    if holds_text(frame[target]):
        at = np.flatnonzero((frame[target] == target).fillna(False))
        same = [labels(frame[name].iloc[at]) == str(name).strip() for name in frame.columns]
        found[at] = np.mean(same, axis=0) > MOST_NAMES
    return found


def _heads_note(heads: np.ndarray) -> str:
    rows = np.flatnonzero(heads)
    shown = ", ".join(str(row) for row in rows[:COLUMNS_SHOWN]) + (" …" if len(rows) > COLUMNS_SHOWN else "")
    what = f"{len(rows):,} rows repeat the names of the columns (row ids {shown})"
    return f"{what}, as where tables were put behind each other; they are left out, take them out of the file."


def _known_columns(frame: pd.DataFrame, settings: LoadSettings) -> None:
    for name, kind in settings.kinds.items():
        if name not in frame.columns:
            raise InputError(f"A kind was given for '{name}', but there is no such column; check the name.")
        if kind not in set(ColumnKind):
            raise InputError(f"'{kind}' is no kind of column; choose one of {', '.join(ColumnKind)}.")


def _notation_notes(frame: pd.DataFrame, columns: list[Column]) -> list[str]:
    """One note for each notation, with an example."""
    found: dict[Notation, list[str]] = {}
    for column in columns:
        if column.notation is not None:
            found.setdefault(column.notation, []).append(column.name)
    notes = []
    for notation, names in found.items():
        like = next(
            text for text in to_text(frame[names[0]]) if read_number(text, notation) not in (None, text.strip())
        )
        shown = ", ".join(f"'{name}'" for name in names[:COLUMNS_SHOWN])
        more = f" and {len(names) - COLUMNS_SHOWN} more columns" if len(names) > COLUMNS_SHOWN else ""
        notes.append(f"Numbers written like '{like}' in {shown}{more} are read as numbers; repairs are written alike.")
    return notes


def _task(series: pd.Series, wanted: str) -> Task:
    present = ~is_missing(series)
    if not present.any():
        raise InputError(f"The target '{series.name}' has no value in any row; choose another target.")
    values = to_numeric(series)[present]
    distinct = len(np.unique(labels(series)[present]))
    if distinct < 2:
        raise InputError(f"The target '{series.name}' has the same value in every row; choose another target.")
    numeric = float(np.isfinite(values).mean()) >= PARSED_SHARE
    if wanted == Task.REGRESSION or (wanted == "auto" and numeric and distinct > FEW_VALUES):
        if not numeric:
            raise InputError(f"The target '{series.name}' is not numeric, so it can't be a regression; set the task.")
        return Task.REGRESSION
    if distinct > MAX_CLASSES:
        raise InputError(
            f"The target '{series.name}' has {distinct} classes, more than {MAX_CLASSES}; "
            "choose another target, or regression if it is a number."
        )
    return Task.CLASSIFICATION


def _target_kind(series: pd.Series, task: Task) -> ColumnKind:
    if task is Task.REGRESSION:
        return ColumnKind.NUMERIC
    return ColumnKind.BOOLEAN if _boolean(labels(series)) else ColumnKind.CATEGORICAL


def _classes(series: pd.Series) -> tuple[str, ...]:
    found = [t for t in pd.unique(labels(series)) if t]
    numbers = to_numeric(pd.Series(found, dtype="str"))
    if np.isfinite(numbers).all():
        return tuple(found[i] for i in np.argsort(numbers, kind="stable"))
    return tuple(sorted(found))


def _target_notes(series: pd.Series, task: Task) -> list[str]:
    values = to_numeric(series) if task is Task.REGRESSION else None
    bad = int((is_missing(series) if values is None else ~np.isfinite(values)).sum())
    notes = [f"{bad} rows have no usable target '{series.name}' and are left out."] if bad else []
    if task is Task.CLASSIFICATION:
        counts = pd.Series([t for t in labels(series) if t]).value_counts()
        single = [str(name) for name, count in counts.items() if count < 2]
        if single:
            notes.append(f"Only one row each has the label {', '.join(single[:5])}; such rows stay out of validation.")
        notes += _spelling_note(str(series.name), Vocabulary({str(name): int(n) for name, n in counts.items()}))
    return notes


def _spelling_note(target: str, labels: Vocabulary) -> list[str]:
    found = labels.misspellings()
    if not found:
        return []
    rows = sum(labels.counts[text] for text in found)
    shown = ", ".join(f"'{text}' of '{known}'" for text, known in list(found.items())[:SPELLINGS_SHOWN])
    return [
        f"{rows} rows have a label in '{target}' that looks like another spelling of a frequent one ({shown}); each "
        "spelling is a class of its own until it is mended."
    ]


def _boolean(texts: np.ndarray) -> bool:
    return frozenset(t.strip().lower() for t in pd.unique(texts) if t) in BOOLEAN_PAIRS


def _kind(series: pd.Series) -> tuple[ColumnKind, str]:
    name = series.name
    texts = to_text(series)
    present = ~is_missing(series)
    distinct = pd.unique(texts[present])
    if len(distinct) == 0:
        return ColumnKind.IGNORE, f"Column '{name}' is empty and is ignored."
    if len(distinct) == 1:
        return ColumnKind.IGNORE, f"Column '{name}' has the same value in every row and is ignored."
    if _boolean(distinct) or pd.api.types.is_bool_dtype(series):
        return ColumnKind.BOOLEAN, ""
    values = to_numeric(series)[present]
    if float(np.isfinite(values).mean()) >= PARSED_SHARE:
        return _numeric_kind(str(name), values, len(distinct))
    signed = _signed(str(name), texts[present], values)
    if signed:
        return ColumnKind.NUMERIC, signed
    times = to_datetime(series) if pd.api.types.is_datetime64_any_dtype(series) or datetime_format(series) else None
    read = 0.0 if times is None else float(np.isfinite(times[present]).mean())
    if read >= PARSED_SHARE:
        return ColumnKind.DATETIME, ""
    mixed = _mixed_times(series, texts[present], read) if read >= PLAIN_SHARE else ""
    if mixed:
        return ColumnKind.DATETIME, mixed
    return _text_kind(str(name), distinct, int(present.sum()))


def _numeric_kind(name: str, values: np.ndarray, distinct: int) -> tuple[ColumnKind, str]:
    n = len(values)
    whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    sequence = whole and distinct == n and n > FEW_VALUES and float(np.ptp(values)) == n - 1
    named = whole and distinct == n and n > FEW_VALUES and bool(IDENTIFIER_NAME.search(name))
    if sequence or named:
        return ColumnKind.IGNORE, f"Column '{name}' looks like a row number or identifier and is ignored."
    infinite = int((~np.isfinite(values)).sum())
    note = f"{infinite} cells of the numeric column '{name}' are no finite number and count as missing."
    return ColumnKind.NUMERIC, note if infinite else ""


def _signed(name: str, texts: np.ndarray, values: np.ndarray) -> str:
    """What is said of a column of numbers of which many bear the same sign or unit, or a decimal comma; "" else.

    Codes are none ('12a', '1OT'), nor are several units, for nobody says which one the plain numbers have, nor signed
    numbers that lie where no plain one does. texts, values: of the present cells.
    """
    plain = values[np.isfinite(values)]
    if len(plain) < PLAIN_SHARE * len(values):
        return ""
    read = {text: signed_number(text) or _with_comma(text) for text in pd.unique(texts[~np.isfinite(values)])}
    rows = pd.Series(texts[~np.isfinite(values)]).map(read).dropna()
    rows = rows[rows.str[1] != ""] if len(rows) else rows
    if rows.empty:
        return ""
    usual = rows.str[1].mode().iloc[0]
    bearing = rows[rows.str[1] == usual]
    numbers = bearing.str[0].astype(float)
    inside = numbers.between(plain.min(), plain.max()).sum()
    code = (len(usual) == 1 and usual.isalpha()) or numbers.nunique() < LEAST_SIGNED
    if code or len(plain) + inside < PARSED_SHARE * len(values):
        return ""
    first = next(text for text, found in read.items() if found is not None and found[1] == usual)
    what = "a decimal comma" if usual == "," else "a sign or unit"
    said = f"{len(bearing):,} cells of '{name}' are numbers with {what} ('{first}')"
    return f"{said}; the column is read as numbers."


def _mixed_times(series: pd.Series, texts: np.ndarray, read: float) -> str:
    """What is said of a column of times of which many are written unlike the others; "" where it is none.

    texts: of the present cells; read: the share of them that is written alike.
    """
    times = times_of(series)
    if times is None:
        return ""
    counts = pd.Series(texts).value_counts()
    other = list(meant([str(text) for text in counts.index], times))
    cells = int(counts[other].sum())
    if read + cells / len(texts) < PARSED_SHARE:
        return ""
    return f"{cells:,} cells of '{series.name}' are times written unlike the others ('{other[0]}')."


def _with_comma(text: str) -> tuple[str, str] | None:
    number = read_number(text, DECIMAL_COMMA)
    return None if number is None else (number, ",")


def _odd_ones(identifiers: np.ndarray) -> str:
    """What is said of identifiers that are written unlike the others; "" where none is."""
    counts = {str(text): 1 for text in identifiers}
    odd = odd_texts(counts, template_of(counts))
    if not odd:
        return ""
    first = next(text for text in counts if text in odd)
    return f" {len(odd)} of them are written unlike the others ('{first}'): as 'text' they are looked at, too."


def _text_kind(name: str, distinct: np.ndarray, present: int) -> tuple[ColumnKind, str]:
    share = len(distinct) / present
    words = float(np.mean([t.count(" ") for t in distinct[:2000]]))
    if share > 0.5 and len(distinct) > FEW_VALUES and words >= 2:
        return ColumnKind.TEXT, ""
    if share == 1 and len(distinct) > FEW_VALUES:
        note = f"Every row has its own '{name}', so it is taken for an identifier and ignored."
        return ColumnKind.IGNORE, note + _odd_ones(distinct)
    if len(distinct) > MANY_CATEGORIES:
        note = (
            f"Column '{name}' has {len(distinct):,} different values and is read as text; set its kind to change that."
        )
        return ColumnKind.TEXT, note
    return ColumnKind.CATEGORICAL, ""
