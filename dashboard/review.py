"""What the review shows, from records: which suggestions are in the queue, how each row is marked and coloured.

Pure functions over arrays; no screen, no disk. Letters: N diagnosed rows, P suggestions (patches). Positions count
0..N-1 or 0..P-1; ids are the row's and the patch's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dashboard import palette, texts
from dashboard.state import STATES, Filters
from demix_core.columns import to_numeric
from demix_core.decisions import are_own, joined
from demix_core.figures import MARK_NAMES, MARKS, kinds_of
from demix_core.sift import benefit, uncertainty
from demix_core.types import DROP_VALUE, Action, ColumnKind, DecisionKind, ErrorType, Event, Schema, Task
from demix_core.words import FAINT_BELOW, change_words, column_words, shown

MOST_CATEGORIES = 11
DECIDED_BIT, FILTERED_BIT, TYPE_BITS = 8, 16, (32, 64, 128)
COLOUR_BY = ("Error type", "Confidence", "Label", "Decision")
KIND_TO_STATE = {DecisionKind.ACCEPT: "accepted", DecisionKind.EDIT: "edited", DecisionKind.REJECT: "rejected"}
SORT_COLUMNS = {"row": "row_id", "type": "error_type", "column": "column", "confidence": "confidence", "gain": "gain"}
SORTS = (*SORT_COLUMNS, "state", "uncertainty", "benefit", "random", "taught")


@dataclass(frozen=True)
class Book:
    """Everything of a finished run that the review reads; never changed.

    rows: raw cells of the whole file, index row id. diagnosis [N] and patches [P] as in the run folder, RangeIndex.
    """

    name: str
    version: int
    schema: Schema
    rows: pd.DataFrame
    diagnosis: pd.DataFrame
    patches: pd.DataFrame

    def corrected(self, own: pd.DataFrame) -> Book:
        """The same with patches of people's own after the suggested ones, but those of unknown rows or columns."""
        known = own[own["row_id"].isin(self.row_ids) & (own["column"].isin(self.rows.columns) | own["column"].isna())]
        made = replace(self, patches=joined(self.patches, known))
        for name in ("row_ids", "row_at", "type_codes", "type_bits", "confidence", "labels", "search_text"):
            if name in vars(self):  # what is known of the rows is not made anew
                vars(made)[name] = vars(self)[name]
        return made

    @property
    def own(self) -> tuple[int, ...]:
        """Ids of the patches of people's own."""
        return tuple(self.patches.loc[are_own(self.patches), "patch_id"].tolist())

    @cached_property
    def row_ids(self) -> np.ndarray:
        """int64 [N]."""
        return self.diagnosis["row_id"].to_numpy()

    @cached_property
    def row_at(self) -> dict[int, int]:
        """Position of a row id among the N."""
        return dict(zip(self.row_ids.tolist(), range(len(self.row_ids)), strict=True))

    @cached_property
    def patch_at(self) -> dict[int, int]:
        """Position of a patch id among the P."""
        return {int(p): i for i, p in enumerate(self.patches["patch_id"])}

    @cached_property
    def patch_rows(self) -> np.ndarray:
        """int64 [P]: the position of each patch's row among the N."""
        return pd.Index(self.row_ids).get_indexer(pd.Index(self.patches["row_id"])).astype(np.int64)

    @cached_property
    def patch_types(self) -> np.ndarray:
        """object [P] of ErrorType."""
        return np.array([ErrorType(t) for t in self.patches["error_type"]], dtype=object)

    @cached_property
    def type_codes(self) -> np.ndarray:
        """uint8 [N]: 0 clean, 1 label, 2 feature, 3 spurious, 4 several, 5 faint: places in figures.MARKS."""
        flags = self.diagnosis[[t.value for t in ErrorType]].to_numpy(bool)
        return kinds_of(flags, self.diagnosis[[t.probability_column for t in ErrorType]].to_numpy(float))

    def faint(self, kind: ErrorType) -> tuple[int, int]:
        """How many rows are flagged with this type faintly, and how many at all."""
        flagged = self.diagnosis[kind.value].to_numpy(bool)
        weak = flagged & (self.diagnosis[kind.probability_column].to_numpy(float) < FAINT_BELOW)
        return int(weak.sum()), int(flagged.sum())

    @cached_property
    def type_bits(self) -> np.ndarray:
        """uint8 [N]: 32, 64, 128 for a flagged label, feature, spurious error."""
        flags = self.diagnosis[[t.value for t in ErrorType]].to_numpy(bool)
        return (flags @ np.array(TYPE_BITS)).astype(np.uint8)

    @cached_property
    def confidence(self) -> np.ndarray:
        """float [N]: the largest of the three probabilities."""
        return self.diagnosis[[t.probability_column for t in ErrorType]].to_numpy(float).max(1)

    @cached_property
    def orders(self) -> dict[tuple[str, bool], np.ndarray]:
        """Filled by `ordered`: {(by, ascending): all P positions in that order}, where decisions do not matter."""
        return {}

    @cached_property
    def uncertainty(self) -> np.ndarray:
        """float [P]: how much a verdict on each suggestion would tell, in bits."""
        return uncertainty(self.patches["confidence"].to_numpy(float))

    @cached_property
    def benefit(self) -> np.ndarray:
        """float [P]: what a review does most for the model with, the largest first."""
        relabels = (self.patches["action"] == Action.RELABEL).to_numpy(bool)
        sure, gain = (self.patches[name].to_numpy(float) for name in ("confidence", "gain"))
        return benefit(relabels, sure, gain, self.schema.task is Task.REGRESSION)

    @cached_property
    def shuffled(self) -> np.ndarray:
        """float [P]: an order drawn once, the same for everybody."""
        return np.random.default_rng(0).permutation(len(self.patches)).astype(float)

    @cached_property
    def labels(self) -> pd.Series:
        """The given target of the N rows, as text."""
        return self.rows[self.schema.target].loc[self.row_ids].astype(str).reset_index(drop=True)

    def reach(self, column: str) -> tuple[float, float]:
        """The least and the largest number of a column of the N rows; (0, 0) when it holds none."""
        numbers = to_numeric(self.rows[column].loc[self.row_ids])
        known = numbers[np.isfinite(numbers)]
        return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)

    @cached_property
    def search_text(self) -> pd.Series:
        """Each of the N rows as one lowercase line; made when somebody searches, in Arrow: 1 s for 1,000,000 rows."""
        cells = self.rows.loc[self.row_ids]
        columns = [pa.array(cells[name].astype(str), pa.large_string()) for name in cells]
        joined = pc.utf8_lower(pc.binary_join_element_wise(*columns, pa.scalar("\x1f", pa.large_string())))
        return pd.Series(joined.to_pandas(), dtype="str")


# ---- decisions ---------------------------------------------------------------------------------------------------


def decided_change(patch: Mapping[str, Any], event: Event) -> str:
    """What a decision comes to for one of its patches, in words: '→ 31' without the arrow, 'leave the row out'."""
    new = event.value if event.kind.verdict is DecisionKind.EDIT and event.value is not None else patch["new"]
    if new == DROP_VALUE or patch["action"] == Action.DROP:
        return texts.LEFT_OUT
    return change_words(patch["action"], new)


def state_codes(book: Book, replayed: Mapping[int, Any]) -> np.ndarray:
    """uint8 [P], index into STATES, from {patch id: PatchState with .kind}."""
    codes = np.zeros(len(book.patches), np.uint8)
    for patch_id, state in replayed.items():
        if patch_id in book.patch_at:
            codes[book.patch_at[patch_id]] = STATES.index(KIND_TO_STATE[state.kind])
    return codes


def row_states(book: Book, codes: np.ndarray) -> np.ndarray:
    """uint8 [N]: 0 nothing suggested, 1 open, 2 accepted, 3 edited, 4 rejected; open while any patch is open."""
    result = np.zeros(len(book.diagnosis), np.uint8)
    for code in (3, 2, 1, 0):
        result[book.patch_rows[codes == code]] = code + 1
    return result


# ---- the queue ---------------------------------------------------------------------------------------------------


def _row_mask(book: Book, filters: Filters) -> np.ndarray:
    keep = np.ones(len(book.diagnosis), bool)
    if filters.classes:
        keep &= book.labels.isin(filters.classes).to_numpy()
    for condition in filters.where:
        keep &= condition.holds(book.rows.loc[book.row_ids, [condition.column]])
    word = filters.search.strip().lower()
    if word.isdigit() and int(word) in book.row_at:
        keep &= (book.row_ids == int(word)) | book.search_text.str.contains(word, regex=False).to_numpy()
    elif word:
        keep &= book.search_text.str.contains(word, regex=False).to_numpy()
    return keep


def _patch_mask(book: Book, codes: np.ndarray, filters: Filters) -> np.ndarray:
    keep = np.isin(book.patch_types.astype(str), [t.value for t in filters.types])
    keep &= np.isin(codes, [STATES.index(s) for s in filters.states])
    keep &= book.patches["confidence"].to_numpy() >= filters.least
    if filters.columns:
        keep &= book.patches[["column", "partner"]].isin(filters.columns).any(axis=1).to_numpy()
    return keep


def in_rows(book: Book, row_ids: np.ndarray) -> np.ndarray:
    """bool [N]: which diagnosed rows are among the ids."""
    return np.isin(book.row_ids, row_ids)


def passing(
    book: Book,
    codes: np.ndarray,
    filters: Filters,
    selection: np.ndarray | None,
    deciders: Mapping[int, str] | None = None,
) -> np.ndarray:
    """Positions of the suggestions that pass the filters and lie in the selection, in table order.

    deciders: {patch id: who made its standing decision}, needed where the filters name reviewers.
    """
    rows = _row_mask(book, filters)
    if selection is not None:
        rows &= in_rows(book, selection)
    keep = _patch_mask(book, codes, filters) & rows[book.patch_rows]
    if filters.reviewers:
        theirs = [p for p, who in (deciders or {}).items() if who in filters.reviewers]
        keep &= np.isin(book.patches["patch_id"].to_numpy(), theirs)
    return np.flatnonzero(keep)


def as_selected(book: Book, positions: np.ndarray, row_ids: np.ndarray) -> np.ndarray:
    """The same positions in the order of the selected rows, suggestions of one row as in the table."""
    place = pd.Series(np.arange(len(row_ids)), index=row_ids)
    rows = book.patches["row_id"].to_numpy()[positions]
    return positions[np.argsort(place.reindex(rows).to_numpy(), kind="stable")]


def ordered(
    book: Book, codes: np.ndarray, positions: np.ndarray, by: str, ascending: bool, taught: np.ndarray | None = None
) -> np.ndarray:
    """The same positions sorted by one of SORTS; ties by confidence, then row. taught: float [P], needed for that."""
    if by in ("state", "taught"):
        whole = _sorted(book, pd.Series(codes if by == "state" else taught), ascending)
    else:
        if (by, ascending) not in book.orders:
            ours = {"uncertainty": book.uncertainty, "benefit": book.benefit, "random": book.shuffled}
            key = pd.Series(ours[by]) if by in ours else book.patches[SORT_COLUMNS[by]]
            book.orders[by, ascending] = _sorted(book, key.reset_index(drop=True), ascending)
        whole = book.orders[by, ascending]
    wanted = np.zeros(len(book.patches), bool)
    wanted[positions] = True
    return whole[wanted[whole]]


def _sorted(book: Book, key: pd.Series, ascending: bool) -> np.ndarray:
    """All P positions in that order."""
    if key.dtype == object or isinstance(key.dtype, pd.StringDtype):
        key = key.fillna("").astype(str)
    frame = pd.DataFrame(
        {"key": key, "p": -book.patches["confidence"].to_numpy(), "row": book.patches["row_id"].to_numpy()}
    )
    return frame.sort_values(["key", "p", "row"], ascending=[ascending, True, True]).index.to_numpy()


def visible_rows(book: Book, codes: np.ndarray, filters: Filters) -> np.ndarray:
    """bool [N]: rows not greyed out on the map. Clean rows stay unless the filters speak of suggestions."""
    keep = _row_mask(book, filters)
    default = Filters()
    if filters.types == default.types and not filters.least and not filters.columns:
        return keep
    wanted = np.zeros(len(keep), bool)
    everything = Filters(types=filters.types, states=STATES, least=filters.least, columns=filters.columns)
    wanted[book.patch_rows[_patch_mask(book, codes, everything)]] = True
    return keep & wanted


def lines(
    book: Book, codes: np.ndarray, positions: np.ndarray, dark: bool = False, taught: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """What queue.js draws, one dict per suggestion. taught: float [P], shown in place of the confidence."""
    result, sure = [], book.patches["confidence"].to_numpy(float) if taught is None else taught
    for i, patch in zip(positions, book.patches.iloc[positions].itertuples(), strict=True):
        kind = ErrorType(patch.error_type)
        mark = palette.TYPE_MARKS[kind]
        result.append(
            {
                "id": int(patch.patch_id),
                "row": int(patch.row_id),
                "type": texts.TYPE_NAMES[kind],
                "shape": mark.shape,
                "colour": (mark.dark if dark else None) or mark.colour,
                "column": column_words(patch.column, patch.action, patch.partner),
                "old": "" if patch.action in ("reweight", "drop") else shown(patch.old),
                "new": change_words(patch.action, patch.new),
                "confidence": round(float(sure[i]), 3),
                "advised": bool(patch.recommended),
                "gain": round(1e6 * float(patch.gain), 2) if np.isfinite(patch.gain) else None,
                "state": STATES[codes[i]],
                "decided": bool(codes[i]),
            }
        )
    return result


# ---- the map -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Colouring:
    """colour: uint8 [N], index into legend (categories) or into ramp (255 = missing). low, high: the ends in words."""

    title: str
    colour: np.ndarray
    legend: list[dict[str, Any]]
    ramp: list[str] | None = None
    low: str = ""
    high: str = ""


def marks(book: Book, states: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """uint8 [N] for map.js: shape of the error type, 8 decided, 16 filtered out, 32 64 128 flagged types.

    states: from row_states.
    """
    shapes = np.array([mark.shape for mark in MARKS], np.uint8)
    return (
        shapes[book.type_codes]
        | book.type_bits
        | np.where(states > 1, DECIDED_BIT, 0).astype(np.uint8)
        | np.where(visible, 0, FILTERED_BIT).astype(np.uint8)
    )


def colour_by_type(book: Book) -> Colouring:
    """By predicted error type."""
    legend = [_entry(name, m.colour, m.dark, m.shape) for name, m in zip(MARK_NAMES, MARKS, strict=True)]
    legend[MARKS.index(palette.FAINT)]["said"] = texts.FAINT_WORDS
    return Colouring("Error type", book.type_codes, legend)


def colour_by_decision(states: np.ndarray) -> Colouring:
    """By what was decided. states: from row_states."""
    legend = [_entry("nothing suggested", palette.CLEAN.colour, palette.CLEAN.dark, 0)]
    legend += [_entry(s, palette.STATE_COLOURS[s], palette.STATE_DARK.get(s)) for s in STATES]
    return Colouring("Decision", states, legend)


def colour_by_values(title: str, values: pd.Series, kind: ColumnKind) -> Colouring:
    """By any column: numbers and times along a ramp between their 1 % and 99 % points, everything else by category."""
    if kind is ColumnKind.NUMERIC:
        return _along_ramp(title, pd.to_numeric(values, errors="coerce").to_numpy(float))
    if kind is ColumnKind.DATETIME:
        times = pd.to_datetime(values, errors="coerce", format="mixed")
        seconds = times.astype("int64").where(times.notna()).to_numpy(float)
        return _along_ramp(title, seconds, lambda v: str(pd.Timestamp(int(v)).date()))
    return _by_category(title, values)


def _along_ramp(title: str, numbers: np.ndarray, words: Any = None) -> Colouring:
    finite = np.isfinite(numbers)
    low, high = np.percentile(numbers[finite], [1, 99]) if finite.any() else (0.0, 1.0)
    if high <= low:
        low, high = low, low + 1
    scaled = np.where(finite, (numbers - low) / (high - low), 0).clip(0, 1)
    colour = np.where(finite, (scaled * 254).round(), 255).astype(np.uint8)
    words = words or (lambda v: f"{v:.4g}")
    return Colouring(title, colour, [], [*palette.ramp(), palette.MISSING_COLOUR], words(low), words(high))


def _by_category(title: str, values: pd.Series) -> Colouring:
    values = values.fillna("").astype(str)
    names = list(values.value_counts().index)
    kept = names if len(names) <= MOST_CATEGORIES else names[:MOST_CATEGORIES]
    code = {name: i for i, name in enumerate(kept)}
    colour = values.map(lambda v: code.get(v, len(kept))).to_numpy(np.uint8)
    legend = [_entry(shown(n), palette.CATEGORY_COLOURS[i]) for i, n in enumerate(kept)]
    if len(kept) < len(names):
        legend.append(_entry(f"{len(names) - len(kept)} others", palette.OTHER_COLOUR))
    return Colouring(title, colour, legend)


def _entry(name: str, colour: str, dark: str | None = None, shape: int = 1) -> dict[str, Any]:
    return {"name": name, "colour": colour, "dark": dark, "shape": shape}


def colouring(book: Book, states: np.ndarray, by: str) -> Colouring:
    """The colouring of that name: one of COLOUR_BY, or a column."""
    if by == "Error type":
        return colour_by_type(book)
    if by == "Decision":
        return colour_by_decision(states)
    if by == "Confidence":
        return _along_ramp("Confidence", book.confidence)
    column = book.schema.target if by == "Label" else by.removeprefix("Column: ")
    values = book.rows[column].loc[book.row_ids].reset_index(drop=True)
    kind = book.schema.kind(column)
    if by == "Label" and book.schema.classes:
        kind = ColumnKind.CATEGORICAL
    return colour_by_values(by.removeprefix("Column: "), values, kind)


def colour_choices(schema: Schema) -> list[str]:
    """What the map can be coloured by."""
    return [*COLOUR_BY, *(f"Column: {c.name}" for c in schema.columns if c.name != schema.target)]
