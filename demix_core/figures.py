"""Plotly figures as plain JSON, {"data": […], "layout": {…}}: for reports and notebooks, without importing Plotly.

Colours are chosen to be read on light and on dark ground; where one is better on dark, the trace's meta["dark"] has it.
Every text of the person's table is escaped, as Plotly reads a little HTML.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from demix_core.palette import CLEAN, FAINT, OTHER_CLASS, SAME_CLASS, SEVERAL, SYMBOLS, TYPE_MARKS
from demix_core.words import CLEAN_NAME, FAINT_BELOW, FAINT_NAME, SEVERAL_NAME, TYPE_NAMES

Figure = dict[str, Any]

MOST_POINTS = 20_000
"""Points of a map above which it shows a sample."""

SVG_POINTS = 4_000
"""Points up to which a map is drawn as vectors; above by WebGL."""

INK, LINE = "#7d7d78", "rgba(127,127,127,0.25)"
MARKS = (CLEAN, *TYPE_MARKS.values(), SEVERAL, FAINT)
MARK_NAMES = (CLEAN_NAME, *TYPE_NAMES.values(), SEVERAL_NAME, FAINT_NAME)
PERCENT = tuple(range(101))


def kinds_of(flags: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """uint8 [N], places in MARKS: 0 clean, 1 label, 2 feature, 3 spurious, 4 several, 5 flagged, but faintly only.

    flags: bool [N, 3] in the order of ErrorType; probabilities: float [N, 3]. A faint flag beside a sure one is none.

    >>> p = np.array([[0.1, 0.1, 0.1], [0.9, 0, 0.2], [0, 0, 0.9], [0.9, 0.9, 0.1], [0, 0, 0.2]])
    >>> kinds_of(np.array([[0, 0, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 1]], bool), p).tolist()
    [0, 1, 3, 4, 5]
    """
    sure = flags & (probabilities >= FAINT_BELOW)
    several, faint = MARKS.index(SEVERAL), MARKS.index(FAINT)
    kinds = np.where(sure.sum(1) > 1, several, sure @ np.array([1, 2, 3]))
    return np.where(flags.any(1) & ~sure.any(1), faint, kinds).astype(np.uint8)


def sampled(kinds: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Positions of at most this many rows in their order: every suspect row, if they are not too many, and an even
    sample of the others.

    >>> sampled(np.array([0, 1, 0, 0, 2, 0]), most=4).tolist()
    [0, 1, 3, 4]
    """
    suspect, clean = np.flatnonzero(kinds), np.flatnonzero(kinds == 0)
    suspect = _even(suspect, most)
    return np.sort(np.concatenate([suspect, _even(clean, most - len(suspect))]))


def _even(positions: np.ndarray, most: int) -> np.ndarray:
    if len(positions) <= most:
        return positions
    return positions[(np.arange(most) * len(positions) / max(most, 1)).astype(int)]


def row_map(
    xy: np.ndarray,
    kinds: np.ndarray,
    row_ids: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    most: int = MOST_POINTS,
) -> Figure:
    """The map, a trace per kind with its count. xy: float [N, 2]; kinds: see kinds_of; labels: texts [N] of the target;

    confidence: float [N], the largest of a row's three probabilities. Rows without a place are left out.
    """
    placed = np.flatnonzero(np.isfinite(xy).all(1))
    at = placed[sampled(kinds[placed], most)]
    counts = np.bincount(kinds, minlength=len(MARKS))
    told = [[int(row_ids[i]), escape(str(labels[i])), round(float(confidence[i]), 3)] for i in at]
    drawn = "scatter" if len(at) <= SVG_POINTS else "scattergl"
    traces = []
    for code in np.unique(kinds[at]):
        mine = kinds[at] == code
        x, y = (_short(xy[at[mine], k]) for k in (0, 1))
        texts = [told[i] for i in np.flatnonzero(mine)]
        traces.append(
            {"type": drawn, "mode": "markers", "x": x, "y": y, "customdata": texts, **_kind(code, counts[code])}
        )
    axis = {"visible": False, "showgrid": False, "zeroline": False}
    legend = {"orientation": "h", "y": -0.02, "itemsizing": "constant"}
    layout = {"xaxis": axis, "yaxis": axis, "height": 560, "hovermode": "closest"}
    return {"data": traces, "layout": _layout() | layout | {"dragmode": "pan", "legend": legend}}


def _kind(code: int, count: int) -> dict[str, Any]:
    """What a trace of the map has for the kind of its rows."""
    mark, name = MARKS[code], MARK_NAMES[code]
    size, opacity = (4, 0.45) if mark is CLEAN else (5, 0.8) if mark is FAINT else (8, 0.9)
    said = f"row %{{customdata[0]}} · label %{{customdata[1]}}<br>{name}, probability %{{customdata[2]:.2f}}"
    return {
        "name": f"{name} · {count:,}",
        "hovertemplate": f"{said}<extra></extra>",
        "marker": {"color": mark.colour, "symbol": SYMBOLS[mark.shape], "size": size, "opacity": opacity},
        "meta": {"light": mark.colour, "dark": mark.dark or mark.colour},
    }


def influence_profile(influence: np.ndarray, same: np.ndarray, typical: np.ndarray) -> Figure:
    """A row's influences in ascending order, same and other class apart, against the typical row of its class.

    influence: float [M], below zero helps, above harms; same: bool [M]; typical: float [2, 101] (same, other).
    """
    traces = []
    for name, mask, colour, usual in profile_lines(influence, same, typical):
        common = {"type": "scatter", "mode": "lines", "x": list(PERCENT)}
        if mask.any() and np.isfinite(usual).all():
            line = {"color": colour, "width": 1.5, "dash": "dot"}
            traces.append(
                common | {"y": _short(usual), "name": f"typical row, {name}", "line": line, "hoverinfo": "skip"}
            )
        if mask.any():
            said = "%{x:.0f} % of these rows lie below %{y:.2f}<extra></extra>"
            y, line = _short(np.percentile(influence[mask], PERCENT)), {"color": colour, "width": 2.5}
            traces.append(common | {"y": y, "name": f"this row, {name}", "line": line, "hovertemplate": said})
    percent = {"ticksuffix": " %", "range": [0, 100], "gridcolor": LINE, "title": {"text": "validation rows, sorted"}}
    effect = {"gridcolor": LINE, "zerolinecolor": INK, "title": {"text": "helps < 0 < harms"}}
    layout = {"xaxis": percent, "yaxis": effect, "height": 320, "hovermode": "closest"}
    return {"data": traces, "layout": _layout() | layout}


def profile_lines(
    influence: np.ndarray, same: np.ndarray, typical: np.ndarray
) -> tuple[tuple[str, np.ndarray, str, np.ndarray], ...]:
    """(name, which validation rows, colour, typical influences [101]) of the two kinds of validation rows."""
    return (("same class", same, SAME_CLASS, typical[0]), ("other classes", ~same, OTHER_CLASS, typical[1]))


def _layout() -> dict[str, Any]:
    return {
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12},
        "margin": {"l": 48, "r": 8, "t": 8, "b": 40}, "legend": {"orientation": "h", "y": 1.12},
    }  # fmt: skip


def _short(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values]
