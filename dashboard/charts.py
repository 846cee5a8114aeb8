"""Plotly figures from records; tested by their data."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from dashboard.review import FILTERED_BIT, Colouring

FALLBACK_POINTS = 4000
SYMBOLS = ("circle", "circle", "square", "triangle-up", "diamond")


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
        x=xy[0][at], y=xy[1][at], mode="markers", customdata=row_ids[at], hovertemplate="row %{customdata}<extra></extra>",
        marker={"color": colours, "symbol": symbols, "size": size, "line": {"width": 1}},
    )  # fmt: skip
    axis = {"visible": False, "scaleanchor": None}
    return go.Figure(trace).update_layout(height=height, margin=dict.fromkeys("lrtb", 0), xaxis=axis, yaxis=axis, showlegend=False)
