"""What the map's hover card says of each row, as arrays and short texts that are sent once per run."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from dashboard import review, texts
from dashboard.review import Book
from demix_core.types import ErrorType, Task

MOST_SAID = 100_000
"""Rows whose suggestion travels with the map, surest first; the others say theirs when they are clicked."""

LONGEST = 90
"""Characters of a suggestion."""


@dataclass(frozen=True)
class Card:
    """target: its name; names: the labels that label [N] float32 counts, None where label is the number itself.

    chance: uint8 [3N], the probabilities in hundredths, row by row; said: {position: suggestion}.
    """

    target: str
    label: np.ndarray
    names: list[str] | None
    chance: np.ndarray
    said: dict[int, str]


def card_of(book: Book) -> Card:
    """The card of every diagnosed row."""
    label, names = _labels(book)
    chance = book.diagnosis[[t.probability_column for t in ErrorType]].to_numpy(float)
    hundredths = np.rint(100 * np.nan_to_num(chance).clip(0, 1)).astype(np.uint8)
    return Card(book.schema.target, label, names, hundredths.ravel(), _said(book))


def _labels(book: Book) -> tuple[np.ndarray, list[str] | None]:
    if book.schema.task is Task.REGRESSION:
        return pd.to_numeric(book.labels, errors="coerce").to_numpy(np.float32), None
    codes, names = pd.factorize(book.labels)
    return codes.astype(np.float32), [str(name) for name in names]


def _said(book: Book) -> dict[int, str]:
    """Per row the surest suggestion and how many more there are."""
    confidence = book.patches["confidence"].to_numpy()
    surest = np.argsort(-confidence, kind="stable")
    rows, first, counts = np.unique(book.patch_rows[surest], return_index=True, return_counts=True)
    kept = np.sort(np.argsort(first, kind="stable")[:MOST_SAID])
    at = surest[first[kept]]
    columns = (book.patches[c].to_numpy(object)[at] for c in ("action", "column", "old", "new"))
    sentences = (sentence(*cells) for cells in zip(*columns, strict=True))
    more = counts[kept] - 1
    return {
        int(row): text + (f" (+{n} more)" if n else "")
        for row, text, n in zip(rows[kept], sentences, more, strict=True)
    }


def sentence(action: str, column: object, old: object, new: object) -> str:
    """'marital: (empty) → single', 'Give the row more weight: × 2'."""
    what = str(column) if action in ("impute", "relabel", "swap") else texts.ACTION_WORDS[action]
    before = "" if action in ("drop", "reweight") else f"{review.shown(old)} → "
    text = what if action == "drop" else f"{what}: {before}{review.change_words(action, new)}"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def lines(card: Card, row_ids: np.ndarray, at: np.ndarray) -> list[str]:
    """The cards of some positions as HTML lines for Plotly."""
    names, chance = [texts.TYPE_NAMES[t] for t in ErrorType], card.chance.reshape(-1, len(ErrorType))
    found = []
    for i in at.tolist():
        label = card.names[int(card.label[i])] if card.names is not None else f"{card.label[i]:g}"
        types = " · ".join(f"{name} {p / 100:.2f}" for name, p in zip(names, chance[i], strict=True))
        words = [f"Row {row_ids[i]}", escape(f"{card.target}: {label}"), types]
        found.append("<br>".join([*words, escape(card.said[i])] if i in card.said else words))
    return found
