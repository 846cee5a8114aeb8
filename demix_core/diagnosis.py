"""A finished run as a notebook shows it: counts, rows with their reasons, profiles and the map, as HTML and figures.

>>> found = Diagnosis("assets/example/run")
>>> list(found.summary())
['rows', 'share', 'threshold', 'suggestions', 'recommended']
>>> sure = found.flagged("label", min_confidence=0.75)
>>> bool((sure["probability"] >= 0.75).all()), "marital" in sure
(True, True)
>>> row = found.row(sure.index[0])
>>> row.why[ErrorType.LABEL]
"Given 'yes', but rows like this one are 'no' with probability ..."
>>> found.profile(row.row_id)
Drawing('Influence of row ... on the validation rows')

In a notebook each of these draws itself; `figure_json()` goes into plotly.graph_objects.Figure, if you want to go on.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.errors import InputError
from demix_core.explain import Explainer, Explanation
from demix_core.figures import Figure, influence_profile, kinds_of, row_map
from demix_core.markup import Html, node, table
from demix_core.palette import GLYPHS, TYPE_MARKS
from demix_core.store import Run
from demix_core.svg import picture
from demix_core.types import ErrorType
from demix_core.words import TYPE_NAMES, change_words, column_words, rows, shown

PLOTLY = "application/vnd.plotly.v1+json"
TOP = 4
"""Suggestions of each type that are shown first."""

STILL_POINTS = 3000
"""Points of the still picture of a map."""

PILL = "display:inline-block;border:1px solid currentColor;border-radius:10px;padding:0 8px;margin:2px 6px 2px 0"
CARD = "max-width:960px;overflow-x:auto;line-height:1.45"
SOFT = "opacity:.75"


@dataclass(frozen=True)
class Drawing:
    """A figure with a name. Notebooks with Plotly show it interactively, all others as a still picture."""

    title: str
    figure: Figure
    still: Html

    def __repr__(self) -> str:
        return f"Drawing('{self.title}')"

    def figure_json(self) -> Figure:
        """{"data": […], "layout": {…}}, yours to change."""
        return copy.deepcopy(self.figure)

    def _repr_html_(self) -> str:
        return node("div", node("p", self.title), self.still, style=CARD)

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        bundle = {PLOTLY: self.figure_json(), "text/html": self._repr_html_(), "text/plain": repr(self)}
        return {k: v for k, v in bundle.items() if (include is None or k in include) and k not in (exclude or ())}


class Row(Explanation):
    """An explanation that draws itself."""

    def _repr_html_(self) -> str:
        return node("div", *_card(self), style=CARD)


class Diagnosis:
    """One finished run. Reading is lazy and kept: the first row or profile takes seconds, the next milliseconds.

    RunError: no such folder, no finished run, or one of another version.
    """

    def __init__(self, run: Run | Path | str) -> None:
        self.run = run if isinstance(run, Run) else Run.open(run)
        self.explainer = Explainer(self.run)
        self.table = self.explainer.diagnosis

    def __repr__(self) -> str:
        return f"Diagnosis('{self.run.path}')"

    @cached_property
    def patches(self) -> pd.DataFrame:
        """Every suggestion, as in patches.parquet."""
        return self.run.patches()

    def summary(self) -> pd.DataFrame:
        """One line per error type: flagged rows, their share, the threshold, suggestions, recommended ones."""
        lines = {}
        thresholds = self.run.summary().get("thresholds", {})
        for kind in ErrorType:
            flags, mine = self.table[kind.value], self.patches[self.patches["error_type"] == kind.value]
            lines[kind.value] = {
                "rows": int(flags.sum()), "share": round(float(flags.mean()), 3),
                "threshold": round(float(thresholds.get(kind.value, np.nan)), 3), "suggestions": len(mine),
                "recommended": int(mine["recommended"].sum()),
            }  # fmt: skip
        return pd.DataFrame.from_dict(lines, orient="index")

    def flagged(self, error_type: ErrorType | str | None = None, min_confidence: float = 0.0) -> pd.DataFrame:
        """The flagged rows, surest first, indexed by row_id: probability, suspect_columns, then their cells as texts
        (a column of the table with such a name gets _cell behind it).

        error_type: an ErrorType or label, feature, spurious; None: any of them, with the largest of their
        probabilities. min_confidence: the least probability, in [0, 1]. InputError: another word or number.
        """
        kinds = tuple(ErrorType) if error_type is None else (_kind(error_type),)
        if not 0 <= min_confidence <= 1:
            raise InputError(f"min_confidence must lie between 0 and 1, not {min_confidence:g}.")
        p = [np.where(self.table[k.value], self.table[k.probability_column], -1.0) for k in kinds]
        sure = np.max(p, axis=0)
        at = np.flatnonzero(sure >= min_confidence)
        at = at[np.argsort(-sure[at], kind="stable")]
        told = self.table.iloc[at][["row_id", "suspect_columns"]].set_index("row_id")
        told.insert(0, "probability", sure[at].round(4))
        cells = self.explainer.rows.loc[told.index]
        return told.join(cells.rename(columns={name: f"{name}_cell" for name in told}))

    def row(self, row_id: int) -> Row:
        """Why a row is flagged. InputError: there is no training row of this id."""
        return Row(**vars(self.explainer.row(row_id)))

    def profile(self, row_id: int) -> Drawing:
        """The row's influence on every validation row, sorted, against the typical row of its class."""
        found = self.explainer.row(row_id)
        return _profile(found)

    def map(self) -> Drawing:
        """All rows, those of similar effect near each other, marked by what is suspected; large tables as a sample."""
        flags = self.table[[k.value for k in ErrorType]].to_numpy(bool)
        sure = self.table[[k.probability_column for k in ErrorType]].to_numpy(float)
        ids = self.table["row_id"].to_numpy()
        labels = self.explainer.rows.loc[ids, self.explainer.schema.target].astype(str).to_numpy()
        given = (self.table[["x", "y"]].to_numpy(float), kinds_of(flags, sure), ids, labels, sure.max(1))
        title = f"The map of {rows(len(ids))}"
        return Drawing(title, row_map(*given), picture(row_map(*given, most=STILL_POINTS), height=480, label=title))

    def _repr_html_(self) -> str:
        flagged = int(self.table[[k.value for k in ErrorType]].any(axis=1).sum())
        name = self.run.manifest().inputs["train"]["name"]
        counts = [_pill(k, f"{int(self.table[k.value].sum()):,}") for k in ErrorType]
        surest = self.patches.sort_values(["confidence", "row_id"], ascending=[False, True])
        top = surest.groupby("error_type", sort=False).head(TOP)
        lines = [_suggestion(patch) for patch in top.to_dict("records")]
        heads = ["row", "suspected", "column", "now", "suggested", "confidence", "why"]
        lead = node("p", node("b", name), f": {flagged:,} of {rows(len(self.table))} flagged")
        tail = node("p", f"The {TOP} surest of each type, of {len(self.patches):,} suggestions.", style=SOFT)
        return node("div", lead, node("p", *counts), table(heads, lines), tail, style=CARD)


def _kind(word: ErrorType | str) -> ErrorType:
    known = {name: kind for kind in ErrorType for name in (kind.value, kind.short)}
    if word not in known:
        raise InputError(f"'{word}' is no error type; write one of {', '.join(k.short for k in ErrorType)}.")
    return known[word]


def _profile(found: Explanation) -> Drawing:
    title = f"Influence of row {found.row_id} on the validation rows"
    figure = influence_profile(found.profile, found.same_class, found.typical)
    return Drawing(title, figure, picture(figure, height=260, label=title))


def _pill(kind: ErrorType, words: str) -> Html:
    """A type with its mark and a number; the text keeps the colour around it, so that it can be read on any ground."""
    mark = TYPE_MARKS[kind]
    glyph = node("span", GLYPHS[mark.shape], style=f"color:{mark.colour}")
    return node("span", glyph, f" {TYPE_NAMES[kind]} ", node("b", words), style=PILL)


def _suggestion(patch: dict[Any, Any]) -> list[object]:
    kind, action = ErrorType(patch["error_type"]), str(patch["action"])
    sure = f"{patch['confidence']:.2f}{' ✓' if patch['recommended'] else ''}"
    old = shown(patch["old"]) if patch["column"] else ""
    return [
        patch["row_id"], TYPE_NAMES[kind], column_words(patch["column"], action, patch["partner"]), old,
        node("b", change_words(action, patch["new"])), sure, patch["reason"],
    ]  # fmt: skip


def _card(found: Explanation) -> list[Html]:
    """The parts of a row's card."""
    pills = [_pill(k, f"{found.probabilities[k]:.2f}") for k in found.flagged]
    odd = {s.column: s for s in found.suspects} if ErrorType.FEATURE in found.flagged else {}
    cells = [
        [name, node("b", shown(value)) if name in odd else shown(value), odd[name].suggestion if name in odd else "",
         f"⚑ {odd[name].wrong:.2f}" if name in odd else ""]
        for name, value in found.cells.items()
    ]  # fmt: skip
    likely = [[p.value, f"{p.model:.4g}", f"{p.out_of_fold:.4g}"] for p in found.likelihoods]
    return [
        node("p", node("b", f"Row {found.row_id}"), f", given '{found.given}', likely '{found.predicted}' ", *pills),
        *(node("p", node("b", f"{TYPE_NAMES[k]}. "), text) for k, text in found.why.items()),
        table(["column", "value", "suggested", "wrong"], cells),
        table(["target", "model", "out of fold"], likely),
        _profile(found).still,
        node("p", "Nearest training rows: ", ", ".join(map(str, found.neighbours)), style=SOFT),
    ]
