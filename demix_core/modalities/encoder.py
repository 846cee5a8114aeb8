"""Turns raw rows into the numbers a model sees, robust to wild cells, and target numbers back into cell texts."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer

from demix_core.columns import datetime_format, is_missing, labels, to_datetime, to_numeric, to_text
from demix_core.errors import InputError
from demix_core.types import ColumnKind, Encoded, Schema, Task

CLIP = 8.0
WINSOR = (0.5, 99.5)
MAX_CATEGORIES = 64
TEXT_INPUTS = 32
CYCLES = {"hour": 24, "weekday": 7, "month": 12}
MISSING_CATEGORY = ""


@dataclass(frozen=True)
class Part:
    """How one column becomes inputs. size: how many inputs; the rest as the kind needs it."""

    column: str
    kind: str
    size: int
    mean: float = 0.0
    scale: float = 1.0
    indicator: bool = False
    categories: list[str] = field(default_factory=list)
    format: str | None = None
    cycles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TabularEncoder:
    """Fitted on training rows. D = n_inputs; n_outputs: K classes, 1 for regression; decimals: of the target column."""

    parts: tuple[Part, ...]
    target: str
    task: Task
    classes: tuple[str, ...]
    target_mean: float = 0.0
    target_std: float = 1.0
    decimals: int = 0

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: Schema) -> TabularEncoder:
        """Learns scales and categories from the training rows (usable targets only)."""
        parts = tuple(_FIT[c.kind](frame[c.name]) for c in schema.features)
        if schema.task is Task.CLASSIFICATION:
            return cls(parts, schema.target, schema.task, schema.classes)
        values = to_numeric(frame[schema.target])
        mean, scale = _robust(values)
        return cls(parts, schema.target, schema.task, (), mean, scale, _decimals(frame[schema.target]))

    @property
    def n_inputs(self) -> int:
        """D."""
        return sum(p.size for p in self.parts)

    @property
    def n_outputs(self) -> int:
        """K; 1 for regression."""
        return len(self.classes) or 1

    @property
    def input_columns(self) -> tuple[str, ...]:
        """For each of the D inputs its source column."""
        return tuple(p.column for p in self.parts for _ in range(p.size))

    def transform(self, frame: pd.DataFrame) -> Encoded:
        """x float32 [n, D], y int64 class ids or float32 standardised target [n].

        InputError: a label that training did not have, or a target that is no number.
        """
        x = np.zeros((len(frame), self.n_inputs), np.float32)
        at = 0
        for part in self.parts:
            x[:, at : at + part.size] = _TRANSFORM[ColumnKind(part.kind)](part, frame[part.column])
            at += part.size
        return Encoded(x, self.targets(frame), self.input_columns)

    def target_text(self, value: float) -> str:
        """A class id, or a standardised target, as the text that stands in the file."""
        if self.task is Task.CLASSIFICATION:
            return self.classes[int(value)]
        return f"{float(value) * self.target_std + self.target_mean:.{self.decimals}f}"

    def to_dict(self) -> dict[str, Any]:
        """Plain dict, for encoder.json."""
        return asdict(self) | {"parts": [asdict(p) for p in self.parts], "task": str(self.task)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TabularEncoder:
        """The inverse of to_dict."""
        rest = {
            "parts": tuple(Part(**p) for p in data["parts"]), "task": Task(data["task"]),
            "classes": tuple(data["classes"]),
        }  # fmt: skip
        return cls(**(data | rest))

    def standardised(self, answers: np.ndarray) -> np.ndarray:
        """float32: predictions [n, 1] in units of the target as a model gives them; class probabilities as they are."""
        if self.task is Task.REGRESSION:
            answers = np.clip((answers - self.target_mean) / self.target_std, -CLIP, CLIP)
        return answers.astype(np.float32)

    def targets(self, frame: pd.DataFrame) -> np.ndarray:
        """int64 class ids or float32 standardised target [n]; errors as in transform."""
        series = frame[self.target]
        if self.task is Task.REGRESSION:
            values = to_numeric(series)
            if not np.isfinite(values).all():
                raise InputError(f"A row has no number in the target '{self.target}'; leave it out.")
            return np.clip((values - self.target_mean) / self.target_std, -CLIP, CLIP).astype(np.float32)
        found = labels(series)
        ids = pd.Index(self.classes, dtype=object).get_indexer(pd.Index(found, dtype=object))
        if (ids < 0).any():
            raise InputError(f"The label '{found[ids < 0][0]}' of '{self.target}' is not in the training rows.")
        return np.asarray(ids, np.int64)


def _robust(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.percentile(finite, (5, 95))
        if high > low:  # in a small table the outer percentiles are themselves wild
            finite = np.clip(finite, low - 10 * (high - low), high + 10 * (high - low))
        calm = np.clip(finite, *np.percentile(finite, WINSOR))
        mean, scale = float(calm.mean()), float(calm.std())
    usable = np.isfinite(mean) and np.isfinite(scale) and scale > 0
    return (mean, scale) if usable else (float(np.median(finite)), 1.0)


def _decimals(series: pd.Series) -> int:
    if pd.api.types.is_integer_dtype(series):
        return 0
    found = [re.search(r"\.(\d+)$", t.strip()) for t in to_text(series)[:2000]]
    return max((len(m.group(1)) for m in found if m), default=0)


def _scaled(part: Part, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled = np.clip((values - part.mean) / part.scale, -CLIP, CLIP)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


def _fit_numeric(series: pd.Series) -> Part:
    values = to_numeric(series)
    mean, scale = _robust(values)
    gaps = bool(np.isnan(values).any())
    return Part(str(series.name), ColumnKind.NUMERIC, 1 + gaps, mean, scale, gaps)


def _numeric(part: Part, series: pd.Series) -> np.ndarray:
    values = to_numeric(series)
    columns = [_scaled(part, values)]
    if part.indicator:
        columns.append(np.isnan(values).astype(np.float32))
    return np.stack(columns, axis=1)


def _cells(series: pd.Series) -> np.ndarray:
    return np.where(is_missing(series), MISSING_CATEGORY, labels(series))


def _fit_categories(series: pd.Series) -> Part:
    counts = pd.Series(_cells(series), dtype=object).value_counts()
    order = sorted(counts.index, key=lambda c: (-counts[c], c))[:MAX_CATEGORIES]
    return Part(str(series.name), ColumnKind.CATEGORICAL, len(order) + 1, categories=[str(c) for c in order])


def _categories(part: Part, series: pd.Series) -> np.ndarray:
    ids = pd.Index(part.categories, dtype=object).get_indexer(pd.Index(_cells(series), dtype=object))
    hot = np.zeros((len(series), part.size), np.float32)
    hot[np.arange(len(series)), np.where(ids < 0, part.size - 1, ids)] = 1
    return hot


def _phases(seconds: np.ndarray) -> dict[str, np.ndarray]:
    days = np.floor(seconds / 86400)
    known = np.where(np.isfinite(days), days, 0).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return {"hour": seconds / 3600 % 24, "weekday": (days + 4) % 7, "month": np.where(np.isfinite(days), known, np.nan)}


def _fit_datetime(series: pd.Series) -> Part:
    fmt = datetime_format(series)
    seconds = to_datetime(series, fmt)
    mean, scale = _robust(seconds)
    phases = _phases(seconds)
    cycles = [c for c in CYCLES if len(np.unique(phases[c][np.isfinite(seconds)])) > 1]
    gaps = bool(np.isnan(seconds).any())
    size = 1 + gaps + 2 * len(cycles)
    return Part(str(series.name), ColumnKind.DATETIME, size, mean, scale, gaps, format=fmt, cycles=cycles)


def _datetime(part: Part, series: pd.Series) -> np.ndarray:
    seconds = to_datetime(series, part.format)
    columns = [_scaled(part, seconds)]
    if part.indicator:
        columns.append(np.isnan(seconds).astype(np.float32))
    phases = _phases(seconds)
    for cycle in part.cycles:
        angle = 2 * np.pi * phases[cycle] / CYCLES[cycle]
        columns += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
    return np.stack(columns, axis=1).astype(np.float32)


def _fit_text(series: pd.Series) -> Part:
    return Part(str(series.name), ColumnKind.TEXT, TEXT_INPUTS)


def _text(part: Part, series: pd.Series) -> np.ndarray:
    hashed = HashingVectorizer(n_features=part.size, analyzer="char_wb", ngram_range=(3, 3)).transform(to_text(series))
    return np.asarray(hashed.toarray(), np.float32)


_FIT = {
    ColumnKind.NUMERIC: _fit_numeric, ColumnKind.CATEGORICAL: _fit_categories, ColumnKind.BOOLEAN: _fit_categories,
    ColumnKind.DATETIME: _fit_datetime, ColumnKind.TEXT: _fit_text,
}  # fmt: skip
_TRANSFORM = {
    ColumnKind.NUMERIC: _numeric, ColumnKind.CATEGORICAL: _categories, ColumnKind.BOOLEAN: _categories,
    ColumnKind.DATETIME: _datetime, ColumnKind.TEXT: _text,
}  # fmt: skip
