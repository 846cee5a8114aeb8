"""Plotly figures from records; tested by their data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io import to_html
from plotly.subplots import make_subplots

from dashboard import palette
from dashboard.palette import OTHER_CLASS, SAME_CLASS, SYMBOLS
from dashboard.review import DECIDED_BIT, FILTERED_BIT, Colouring
from demix_core.types import ErrorType

FALLBACK_POINTS, PAGE_POINTS = 4000, 50_000
"""The most rows of the map without WebGL2 and of the page that stands alone."""

SAME_COLOUR, OTHER_COLOUR = SAME_CLASS, OTHER_CLASS
RULE_COLOUR = "#808890"
"""Of a line across a chart; seen on the light and on the dark ground."""


def sampled(marks: np.ndarray, most: int) -> np.ndarray:
    """Positions to show where not all can be: of what the filters let through all suspects, the rest evenly sampled."""
    visible = np.flatnonzero((marks & FILTERED_BIT) == 0)
    suspects, clean = visible[(marks[visible] & 7) > 0], visible[(marks[visible] & 7) == 0]
    room = max(0, most - len(suspects))
    step = max(1, -(-len(clean) // max(room, 1)))
    return np.concatenate([clean[::step][:room], suspects[:most]])


def _classes(view: Colouring, at: np.ndarray) -> Iterator[tuple[str, np.ndarray, Any]]:
    """(name, positions, colour or colours) per trace: one a class, so that the legend hides it; one for a ramp."""
    if view.ramp is not None:
        yield view.title, at, np.array(view.ramp)[view.colour[at]]
        return
    for code, item in enumerate(view.legend):
        mine = at[view.colour[at] == code]
        if len(mine):
            yield f"{item['name']} {len(mine):,}", mine, item["colour"]


def map_figure(
    xy: tuple[np.ndarray, np.ndarray], view: Colouring, marks: np.ndarray, row_ids: np.ndarray, at: np.ndarray,
    words: Sequence[str], selected: np.ndarray | None = None, trace: type = go.Scatter,
) -> go.Figure:  # fmt: skip
    """The map in Plotly, for browsers without WebGL2 and for pages that stand alone.

    at: positions to draw; words: [len(at)], what the hover says; selected: bool [N]. Row ids
    travel as customdata: a position within a trace says nothing, as every class is a trace of its own.
    """
    figure = go.Figure()
    said = dict(zip(at.tolist(), words, strict=True))
    for name, mine, colour in _classes(view, at):
        symbols = np.array(SYMBOLS)[marks[mine] & 7]
        symbols = np.where((marks[mine] & DECIDED_BIT) > 0, np.char.add(symbols, "-open"), symbols)
        figure.add_trace(trace(
            x=xy[0][mine], y=xy[1][mine], mode="markers", name=name, customdata=row_ids[mine],
            text=[said[i] for i in mine.tolist()], hovertemplate="%{text}<extra></extra>",
            selectedpoints=None if selected is None else np.flatnonzero(selected[mine]),
            marker={"color": colour, "symbol": symbols, "size": np.where((marks[mine] & 7) > 0, 7, 4),
                    "line": {"width": 1}},
            unselected={"marker": {"color": "#9A9A94", "opacity": 0.25}},
        ))  # fmt: skip
    axis = {"visible": False}
    return figure.update_layout(
        xaxis=axis, yaxis=axis | {"scaleanchor": "x"}, margin=dict.fromkeys("lrtb", 0), dragmode="lasso",
        showlegend=view.ramp is None,
        legend={"orientation": "h", "y": 0, "yanchor": "bottom", "x": 0, "itemsizing": "constant"},
    )  # fmt: skip


def chosen_rows(points: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """int64: the row ids of the points that Plotly reports; never their index, which starts anew in every trace."""
    ids = [point["customdata"] for point in points]
    return np.unique(np.array([i[0] if isinstance(i, list | tuple) else i for i in ids], np.int64))


def map_page(figure: go.Figure, title: str, facts: str) -> str:
    """A whole HTML page that needs no network: the figure, plotly.js within, and a line on what is shown."""
    body = to_html(
        figure.update_layout(template="plotly_white"), include_plotlyjs=True, include_mathjax=False, full_html=False,
        default_height="calc(100vh - 84px)", config={"displaylogo": False, "scrollZoom": True, "responsive": True},
    )  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:14px/1.4 sans-serif;margin:12px 16px;color:#1D2733}h1{font-size:18px;margin:0}"
        f"p{{margin:2px 0 8px;opacity:.8}}</style></head><body><h1>{escape(title)}</h1><p>{escape(facts)}</p>"
        f"{body}</body></html>"
    )


def two_samples(picture: dict[str, list[float]], batch: str, height: int = 220) -> go.Figure:
    """Shares of training rows (filled, blue) and of a batch (dashed, orange) along what tells them apart.

    picture: edges [B + 1], training and batch [B], as drift.picture makes it.
    """
    figure = go.Figure()
    x = picture["edges"]
    for name, shares, style in (
        ("training rows", picture["training"], {"color": SAME_COLOUR, "width": 1.5, "shape": "hv"}),
        (batch, picture["batch"], {"color": OTHER_COLOUR, "width": 2.5, "shape": "hv", "dash": "dash"}),
    ):
        figure.add_scatter(
            x=x, y=[*shares, shares[-1]], mode="lines", name=escape(name), line=style,
            fill="tozeroy" if name == "training rows" else None,
            hovertemplate="%{y:.1%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    return figure.update_layout(
        height=height,
        margin={"l": 44, "r": 8, "t": 26, "b": 30},
        legend={"orientation": "h", "y": 1.16, "x": 0},
        xaxis={
            "title": {"text": "like the training rows ← → like the batch", "font": {"size": 11}},
            "showticklabels": False,
        },
        yaxis={"tickformat": ".0%", "nticks": 4, "tickfont": {"size": 10.5}},
    )


def _quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(0, 100, min(101, max(len(values), 2)))
    return at, np.percentile(values, at)


DASHES = {ErrorType.LABEL: "dot", ErrorType.FEATURE: "dash", ErrorType.SPURIOUS: "dashdot"}
"""How the typical lines of the error types are drawn; clean ones are solid."""

INK = {False: "#1D2733", True: "#E6EAF0"}


def influence_profile(
    influence: np.ndarray, same: np.ndarray, typical: dict[str, np.ndarray], dark: bool, height: int = 140
) -> go.Figure:
    """The row's influences in ascending order, on validation rows of its label and of others side by side.

    influence: float [M], below zero helps, above harms; same: bool [M]; typical: float [2, 101] (same, other) by error
    type's value, '' for clean rows, of rows with this label. x: percent of those validation rows.
    """
    sides = [(k, mask) for k, mask in enumerate((same, ~same)) if mask.any()]
    titles = [("its own label", "other labels")[k] for k, _ in sides]
    figure = make_subplots(1, len(sides), shared_yaxes=True, horizontal_spacing=0.1, subplot_titles=titles)
    for place, (k, mask) in enumerate(sides, 1):
        for name, curves in typical.items():
            mark = palette.TYPE_MARKS[ErrorType(name)] if name else palette.CLEAN
            figure.add_scatter(
                x=np.linspace(0, 100, len(curves[k])), y=curves[k], mode="lines", hoverinfo="skip", row=1, col=place,
                name=f"typical {name or 'clean'}, {titles[place - 1]}",
                line={"color": (mark.dark if dark else None) or mark.colour, "width": 1.6,
                      "dash": DASHES[ErrorType(name)] if name else "solid"},
            )  # fmt: skip
        x, y = _quantiles(influence[mask])
        figure.add_scatter(
            x=x, y=y, mode="lines", name=f"this row, {titles[place - 1]}", line={"color": INK[dark], "width": 3},
            hovertemplate="%{x:.0f} % of these rows lie below %{y:.2f}<extra></extra>", row=1, col=place,
        )  # fmt: skip
    figure.add_hline(y=0, line_width=1, opacity=0.4)
    figure.update_annotations(font_size=11.5)
    return figure.update_layout(
        height=height, margin={"l": 36, "r": 6, "t": 20, "b": 20}, hovermode="closest", showlegend=False
    ).update_xaxes(ticksuffix=" %", tickfont_size=10.5, range=[0, 100], nticks=4).update_yaxes(
        tickfont_size=10.5, nticks=5
    )  # fmt: skip


def loss_curve(
    own: np.ndarray, low: np.ndarray, median: np.ndarray, high: np.ndarray, kept: int, dark: bool, height: int = 120
) -> go.Figure:
    """A row's loss over the epochs, with the median and the middle half of the rows with its label; float [E] each.

    kept: the epoch whose weights were kept, from 0; marked by an upright line.
    """
    epochs = np.arange(1, len(own) + 1)
    grey = palette.CLEAN.dark if dark else palette.CLEAN.colour
    figure = go.Figure()
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(x=epochs, y=low, name="lower quarter", **edge)
    figure.add_scatter(
        x=epochs, y=high, name="upper quarter", fill="tonexty", fillcolor="rgba(140,140,135,.28)", **edge
    )
    figure.add_scatter(
        x=epochs, y=median, name="median", mode="lines", line={"color": grey, "width": 2, "dash": "dash"},
        hovertemplate="epoch %{x}: median %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=epochs, y=own, name="this row", mode="lines", line={"color": INK[dark], "width": 3},
        hovertemplate="epoch %{x}: this row %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=kept + 1, line_width=1, line_dash="dot", line_color=RULE_COLOUR)
    return figure.update_layout(
        height=height, margin={"l": 36, "r": 6, "t": 4, "b": 20}, hovermode="closest", showlegend=False,
        xaxis={"tickfont": {"size": 10.5}, "tickformat": "d", "nticks": 8},
        yaxis={"tickfont": {"size": 10.5}, "nticks": 4},
    )  # fmt: skip


HELPS, HARMS = "#0072B2", "#D55E00"
GROUND = {False: "#F7F7F5", True: "#20262F"}
LINE_HEIGHT, LOWEST, HIGHEST = 40, 380, 520
WRAPPED = 5
"""Slices that have room for their names side by side; more of them have slanted names."""


def influence_matrix(
    mean: np.ndarray,
    groups: list[str],
    slices: list[str],
    hover: list[list[str]],
    at: tuple[int | None, int],
    dark: bool,
) -> go.Figure:
    """Groups down, slices across, blue helps and vermilion harms, grey at zero; the chosen cell or column is framed.

    mean: float [G, S]; hover: HTML per cell; at: (group or None, slice). Above each cell lies an unseen mark that
    answers the mouse; their points are in the order of mean, row by row.
    """
    reach = max(float(np.abs(mean).max()), 1e-9)
    scale = [[0.0, HELPS], [0.5, GROUND[dark]], [1.0, HARMS]]
    figure = go.Figure(
        go.Heatmap(
            z=mean, zmid=0, zmin=-reach, zmax=reach, colorscale=scale, xgap=2, ygap=2, hoverinfo="skip",
            texttemplate="%{z:+.2f}", textfont={"size": 12}, showscale=False,
        )
    )  # fmt: skip
    y, x = (axis.ravel() for axis in np.indices(mean.shape))
    figure.add_scatter(
        x=x, y=y, mode="markers", hovertext=[t for line in hover for t in line],
        hovertemplate="%{hovertext}<extra></extra>", marker={"size": 34, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}}, showlegend=False,
    )  # fmt: skip
    top, bottom = (-0.5, len(groups) - 0.5) if at[0] is None else (at[0] - 0.5, at[0] + 0.5)
    figure.add_shape(
        type="rect", x0=at[1] - 0.5, x1=at[1] + 0.5, y0=top, y1=bottom, fillcolor="rgba(0,0,0,0)",
        line={"width": 2.5, "color": "#E6EAF0" if dark else "#1D2733"},
    )  # fmt: skip
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True, "automargin": True}
    axis["tickfont"] = {"size": 11.5}
    slanted = len(slices) > WRAPPED
    names = [_short(s, 30) for s in slices] if slanted else [_wrapped(s, 16) for s in slices]
    across = {"tickvals": list(range(len(slices))), "ticktext": names, "tickangle": -35 if slanted else 0}
    down = {"tickvals": list(range(len(groups))), "ticktext": [_wrapped(g, 26) for g in groups]}
    return figure.update_layout(
        height=int(np.clip(120 + LINE_HEIGHT * len(groups), LOWEST, HIGHEST)), margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="closest", hoverdistance=-1, dragmode=False, clickmode="event+select", plot_bgcolor="rgba(0,0,0,0)",
        xaxis=axis | across, yaxis=axis | down | {"autorange": "reversed"},
    )  # fmt: skip


def _short(name: str, width: int) -> str:
    return escape(name if len(name) <= width else f"{name[: width - 2]} …")


def _wrapped(name: str, width: int) -> str:
    """The name in lines of at most `width` characters, three at most, as HTML."""
    return "<br>".join(escape(line) for line in textwrap.wrap(name, width, max_lines=3, placeholder=" …"))


BIN = 0.02
BELOW_COLOUR = "#9A9A94"


def score_histogram(
    scores: np.ndarray, threshold: float, lowest: float, judged: dict[str, np.ndarray], colour: str, height: int = 300
) -> go.Figure:
    """How many rows have which probability, those from the threshold on in colour; below, what was said of which.

    scores: float [N]; lowest: from where rows have a suggestion (the picture begins a little before, and is scaled to
    what follows); judged: {'right' | 'wrong': probabilities of the rows judged so}.
    """
    edges = np.round(np.arange(0, 1 + BIN, BIN), 10)
    middle = edges[:-1] + BIN / 2
    above, below = (np.histogram(scores[m], edges)[0] for m in (scores >= threshold, scores < threshold))
    top = 1.15 * max(int((above + below)[middle >= lowest].max(initial=1)), 4)
    figure = go.Figure()
    for name, counts, shade in (("from the threshold on", above, colour), ("below", below, BELOW_COLOUR)):
        figure.add_bar(x=middle, y=counts, width=BIN * 0.92, name=name, marker={"color": shade, "line": {"width": 0}},
                       hovertemplate="%{y:,} rows at about %{x:.2f}<extra></extra>")  # fmt: skip
    for place, (name, symbol) in enumerate((("right", "circle"), ("wrong", "x"))):
        at = judged[name]
        depth = np.full(len(at), -top * (0.07 + 0.1 * place))
        figure.add_scatter(x=at, y=depth, mode="markers", name=f"reviewed: {name}",
                           marker={"symbol": symbol, "size": 8, "color": colour if name == "right" else BELOW_COLOUR},
                           hovertemplate=f"{name}, %{{x:.2f}}<extra></extra>")  # fmt: skip
    figure.add_vline(x=threshold, line_width=1.5, line_color=RULE_COLOUR)
    return figure.update_layout(
        barmode="stack", height=height, margin={"l": 44, "r": 8, "t": 30, "b": 34}, bargap=0,
        legend={"orientation": "h", "y": 1.13, "x": 0, "traceorder": "normal"},
        xaxis={"range": [max(0.0, lowest - 0.12), 1], "title": {"text": "probability of the error", "standoff": 4}},
        yaxis={"range": [-top * 0.22, top], "title": {"text": "rows", "standoff": 4}, "tickvals": _ticks(top)},
    )  # fmt: skip


def _ticks(top: float) -> list[int]:
    """Round numbers from 0 on, about four of them.

    >>> _ticks(23)
    [0, 5, 10, 15, 20]
    """
    steps = [m * 10**e for e in range(9) for m in (1, 2, 5)]
    step = next(s for s in steps if s * 5 >= top)
    return list(range(0, int(top) + 1, step))
