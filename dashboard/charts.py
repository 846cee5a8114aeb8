"""Plotly figures from records; tested by their data."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from dashboard.palette import OTHER_CLASS, SAME_CLASS, SYMBOLS
from dashboard.review import FILTERED_BIT, Colouring

FALLBACK_POINTS = 4000
SAME_COLOUR, OTHER_COLOUR = SAME_CLASS, OTHER_CLASS


def map_fallback(
    xy: tuple[np.ndarray, np.ndarray], view: Colouring, marks: np.ndarray, row_ids: np.ndarray, height: int
) -> go.Figure:
    """A still picture of the map for browsers without WebGL2: all suspects, then an even sample of the rest."""
    visible = np.flatnonzero((marks & FILTERED_BIT) == 0)
    suspects, clean = visible[(marks[visible] & 7) > 0], visible[(marks[visible] & 7) == 0]
    room = max(0, FALLBACK_POINTS - len(suspects))
    step = max(1, -(-len(clean) // max(room, 1)))
    at = np.concatenate([clean[::step][:room], suspects])[-FALLBACK_POINTS:]
    colours = np.array(view.ramp or [item["colour"] for item in view.legend])[view.colour[at]]
    symbols = np.array(SYMBOLS)[marks[at] & 7]
    symbols = np.where((marks[at] & 8) > 0, np.char.add(symbols, "-open"), symbols)
    size = np.where((marks[at] & 7) > 0, 7, 3)
    trace = go.Scatter(
        x=xy[0][at],
        y=xy[1][at],
        mode="markers",
        customdata=row_ids[at],
        hovertemplate="row %{customdata}<extra></extra>",
        marker={"color": colours, "symbol": symbols, "size": size, "line": {"width": 1}},
    )
    axis = {"visible": False, "scaleanchor": None}
    return go.Figure(trace).update_layout(
        height=height, margin=dict.fromkeys("lrtb", 0), xaxis=axis, yaxis=axis, showlegend=False
    )


def _quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(0, 100, min(101, max(len(values), 2)))
    return at, np.percentile(values, at)


def influence_profile(influence: np.ndarray, same: np.ndarray, typical: np.ndarray, height: int = 132) -> go.Figure:
    """The row's influences in ascending order, same and other class apart, against the typical row of its class.

    influence: float [M], below zero helps, above harms; same: bool [M]; typical: float [2, 101] (same, other).
    x: percent of those validation rows.
    """
    figure = go.Figure()
    for name, mask, colour, usual in (
        ("same class", same, SAME_COLOUR, typical[0]),
        ("other classes", ~same, OTHER_COLOUR, typical[1]),
    ):
        if mask.any() and np.isfinite(usual).all():
            figure.add_scatter(
                x=np.linspace(0, 100, len(usual)),
                y=usual,
                mode="lines",
                name=f"typical row, {name}",
                hoverinfo="skip",
                line={"color": colour, "width": 1.5, "dash": "dot"},
            )
        if mask.any():
            x, y = _quantiles(influence[mask])
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines",
                name=f"this row, {name}",
                line={"color": colour, "width": 2.5},
                hovertemplate="%{x:.0f} % of these rows lie below %{y:.2f}<extra></extra>",
            )
    figure.add_hline(y=0, line_width=1, opacity=0.4)
    return figure.update_layout(
        height=height,
        margin={"l": 40, "r": 8, "t": 6, "b": 20},
        hovermode="closest",
        showlegend=False,
        xaxis={"ticksuffix": " %", "tickfont": {"size": 10.5}, "range": [0, 100]},
        yaxis={"tickfont": {"size": 10.5}, "nticks": 5},
    )
