"""One map and one button over the same points, ours or st.plotly_chart: `streamlit run` it, then ?kind=ours&n=50000.

What Python knows stands in #out: script runs, the turn of the colours, how many rows are selected and the sum of their
ids, and the seconds that this run of the script took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `streamlit run` puts only this file's folder there

from dashboard import charts, components, palette

CLASSES, HEIGHT = 4, 560
COLOURS = palette.CATEGORY_COLOURS[:CLASSES]


@st.cache_resource
def points(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, row ids that are no positions, class of n points in twelve heaps."""
    r = np.random.default_rng(0)
    centres = r.normal(0, 4, (12, 2))
    xy = (centres[r.integers(0, 12, n)] + r.normal(0, 0.8, (n, 2))).astype(np.float32)
    return xy[:, 0], xy[:, 1], np.arange(n) * 2 + 1, r.integers(0, CLASSES, n).astype(np.uint8)


@st.cache_resource
def packed(n: int) -> bytes:
    """What our map is sent once."""
    x, y, ids, group = points(n)
    chance = np.zeros(3 * n, np.uint8)
    words = {"target": "class", "names": [f"class {c}" for c in range(CLASSES)], "said": {}}
    return components.pack_feed(n, (x, y), ids, group.astype(np.float32), chance, words)


@st.cache_resource(max_entries=2)
def figure(n: int, turn: int) -> go.Figure:
    """The same points in Plotly, a trace per class."""
    x, y, ids, group = points(n)
    shown = (group + turn) % CLASSES
    traces = [
        go.Scattergl(
            x=x[shown == c], y=y[shown == c], customdata=ids[shown == c], mode="markers", name=f"class {c} turn {turn}",
            marker={"size": 4, "color": COLOURS[c]}, hoverinfo="skip",
        )
        for c in range(CLASSES)
    ]  # fmt: skip
    return go.Figure(traces).update_layout(height=HEIGHT, dragmode="lasso", margin=dict.fromkeys("lrtb", 0))


def ours(n: int, turn: int) -> np.ndarray:
    """Draws our map; the ids of the selected rows."""
    _, _, ids, group = points(n)
    news = st.session_state.get("map") or {}
    legend = [{"name": f"class {c}", "colour": COLOURS[c], "dark": None, "shape": 1} for c in range(CLASSES)]
    head: dict[str, Any] = {
        "run": "bench", "feed": n, "token": 1, "height": HEIGHT, "title": f"turn {turn}", "label": "", "note": "",
        "legend": legend, "ramp": None, "low": "", "high": "", "types": ["", "", ""], "current": -1, "bits": "",
        "facts": "", "file": "map.png",
    }  # fmt: skip
    held = (st.session_state.get("map_feed") or {}).get("held") == n
    components.feed(components.pack_held(n, n) if held else packed(n))
    components.scatter(components.pack_colours(head, (group + turn) % CLASSES, np.full(n, 1, np.uint8)), HEIGHT)
    chosen = news.get("selection")
    return ids[components.unpack_bits(chosen["bits"], n)] if chosen else ids[:0]


def plotly(n: int, turn: int) -> np.ndarray:
    """Draws st.plotly_chart; the ids of the selected rows."""
    event = st.plotly_chart(figure(n, turn), key="plot", on_select="rerun", selection_mode=("lasso", "box"))
    return charts.chosen_rows(event["selection"]["points"])


begin = time.perf_counter()
st.session_state.setdefault("turn", 0)
st.session_state["runs"] = st.session_state.get("runs", 0) + 1
if st.button("recolour"):
    st.session_state["turn"] += 1
n, turn = int(st.query_params["n"]), st.session_state["turn"]
selected = (ours if st.query_params["kind"] == "ours" else plotly)(n, turn)
st.html(
    f'<div id="out" data-runs="{st.session_state["runs"]}" data-turn="{turn}" data-n="{len(selected)}" '
    f'data-sum="{int(selected.sum())}" data-seconds="{time.perf_counter() - begin:.4f}"></div>'
)
