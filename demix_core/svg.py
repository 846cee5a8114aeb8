"""A figure of figures.py as a still SVG picture: where no script draws it, in notebooks, mails and on paper.

Lines and marks only. Texts and axes take the colour of the text around, so that it fits light and dark ground.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from demix_core.figures import Figure
from demix_core.markup import Html, node

WIDTH, HEIGHT, MARGIN, LEGEND = 720, 320, 40, 22
TICKS = 5
WORD_WIDTH = 5.6
"""Of a letter of the legend, in pixels, on average."""


def picture(figure: Figure, width: int = WIDTH, height: int = HEIGHT, label: str = "") -> Html:
    """Inline SVG, as wide as the place that holds it, at most `width` pixels. label: what a screen reader says.

    >>> line = {"x": [0, 100], "y": [-1, 1], "mode": "lines", "name": "a", "line": {"color": "#000", "width": 2}}
    >>> print(picture({"data": [line], "layout": {}}))
    <svg ...<path d="M40.0 280.0L700.0 30.0" fill="none" stroke="#000" stroke-width="2"></path>...
    """
    axes = figure["layout"].get("xaxis", {}).get("visible", True)
    left, bottom = (MARGIN, MARGIN) if axes else (8, 8)
    box = (left, LEGEND + 8, width - (20 if axes else 8), height - bottom)
    traces = figure["data"]
    x, y = (_limits([t[k] for t in traces]) for k in "xy")
    drawn = [_trace(t, _scaled(t["x"], x, box[0], box[2]), _scaled(t["y"], y, box[3], box[1])) for t in traces]
    parts = [*(_axes(x, y, box) if axes else ()), *drawn, *_legend(traces)]
    return node(
        "svg", *parts, xmlns=None, viewBox=f"0 0 {width} {height}", role="img", aria_label=label or None,
        width="100%", style=f"max-width:{width}px;height:auto;font:11px sans-serif",
    )  # fmt: skip


def _limits(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    known = [v for part in values for v in part]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 1, high + 1)


def _scaled(values: Sequence[float], limits: tuple[float, float], start: float, end: float) -> np.ndarray:
    share = (np.asarray(values, float) - limits[0]) / (limits[1] - limits[0])
    return np.asarray(start + share * (end - start))


def _trace(trace: dict[str, Any], x: np.ndarray, y: np.ndarray) -> Html:
    if trace["mode"] == "lines":
        line = trace["line"]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
        dotted = "2 3" if line.get("dash") else None
        return node(
            "path", d=path, fill="none", stroke=line["color"], stroke_width=line["width"], stroke_dasharray=dotted
        )
    marker = trace["marker"]
    shape = _shape(marker["symbol"], marker["size"] / 2)
    path = "".join(f"M{a:.1f} {b:.1f}{shape}" for a, b in zip(x, y, strict=True))
    return node("path", d=path, fill=marker["color"], fill_opacity=marker["opacity"])


def _shape(symbol: str, r: float) -> str:
    """One mark around the current point, as a relative path."""
    return {
        "square": f"m{-r:g} {-r:g}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        "triangle-up": f"m0 {-r:g}l{r:g} {2 * r:g}h{-2 * r:g}z",
        "diamond": f"m0 {-r:g}l{r:g} {r:g}l{-r:g} {r:g}l{-r:g} {-r:g}z",
        "circle": f"m{-r:g} 0a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0z",
    }[symbol]


def _axes(x: tuple[float, float], y: tuple[float, float], box: tuple[float, float, float, float]) -> list[Html]:
    """Round ticks, and the line of zero."""
    left, top, right, bottom = box
    made = []
    for value in ticks(*x):
        at = float(_scaled([value], x, left, right)[0])
        made.append(_text(f"{value:g}", at, bottom + 16, "middle"))
    for value in ticks(*y):
        at = float(_scaled([value], y, bottom, top)[0])
        made += [_text(f"{value:g}", left - 6, at + 4, "end"), _rule(left, right, at, 0.15)]
    if y[0] < 0 < y[1]:
        made.append(_rule(left, right, float(_scaled([0.0], y, bottom, top)[0]), 0.6))
    return made


def ticks(low: float, high: float) -> list[float]:
    """Three to nine round numbers between two others.

    >>> ticks(-0.96, 0.94), ticks(0, 100)
    ([-0.5, 0.0, 0.5], [0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    """
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _rule(left: float, right: float, at: float, opacity: float) -> Html:
    return node("path", d=f"M{left:.1f} {at:.1f}H{right:.1f}", stroke="currentColor", stroke_opacity=opacity)


def _text(words: str, x: float, y: float, anchor: str) -> Html:
    return node("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="currentColor")


def _legend(traces: Sequence[dict[str, Any]]) -> list[Html]:
    made, at = [], 8.0
    for trace in traces:
        if trace["mode"] == "lines":
            made.append(_trace(trace, np.array([at, at + 16]), np.array([LEGEND / 2, LEGEND / 2])))
        else:
            solid = trace | {"marker": trace["marker"] | {"opacity": 1, "size": 8}}
            made.append(_trace(solid, np.array([at + 8]), np.array([LEGEND / 2])))
        made.append(_text(trace["name"], at + 22, LEGEND / 2 + 4, "start"))
        at += 40 + WORD_WIDTH * len(trace["name"])
    return made
