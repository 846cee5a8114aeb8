"""The map on the review page: what it is coloured by, how it was drawn, the map itself, and what is saved of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from dashboard import cards, charts, components, review, services, texts
from dashboard.cards import Card
from dashboard.review import Book, Colouring
from dashboard.state import State
from dashboard.widgets import keep

MAP_HEIGHT = 400
METHODS = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
Places = tuple[np.ndarray, np.ndarray]
"""x, y float32 [N], in the order of the diagnosis."""


def draw(state: State, book: Book, codes: np.ndarray) -> None:
    """Controls and map."""
    drawn = services.projections(book.name)
    if state.projection not in drawn:
        state.show_map(drawn[0])
    states = review.row_states(book, codes)
    view = _colouring(book, states, state.colour)
    marks = review.marks(book, states, review.visible_rows(book, codes, state.filters))
    xy = services.projection(book.name, state.projection)
    controls(state, book, drawn, lambda: page(state, book, view, marks, xy))
    if state.webgl:
        show(state, book, view, marks, xy)
    else:
        without_webgl(state, book, view, marks, xy)


# ---- controls ----------------------------------------------------------------------------------------------------


def controls(state: State, book: Book, drawn: list[str], page: Callable[[], str]) -> None:
    """Colour by, which projection (one that is not drawn yet is drawn on request), and a menu. page: the saved map."""
    choices = review.colour_choices(book.schema)
    left, middle, right = st.columns([2.5, 2.7, 0.75], gap="small")
    left.selectbox(
        "Colour by",
        choices,
        index=choices.index(state.colour),
        key="w_colour",
        on_change=keep(state, "colour", "w_colour"),
        format_func=lambda c: f"Colour by {c[:1].lower()}{c[1:]}",
        label_visibility="collapsed",
    )

    def change() -> None:
        method = st.session_state["w_projection"]
        if method not in drawn:
            services.draw_map(book.name, method)
        state.show_map(method)

    middle.segmented_control(
        "Projection",
        list(METHODS),
        default=state.projection,
        key="w_projection",
        required=True,
        on_change=change,
        format_func=lambda m: METHODS[m] + ("" if m in drawn else " …"),
        label_visibility="collapsed",
        help=texts.MAP_HELP,
    )
    with right.popover("More", key="map_menu", help=texts.MAP_MORE):
        st.caption(facts(book, state.projection))
        st.download_button(
            "Save as a page (HTML)",
            page,
            file_name=f"demix-{book.name}-{state.projection}.html",
            mime="text/html",
            key="save_page",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
            help=texts.PAGE_HELP.format(most=texts.number(charts.PAGE_POINTS)),
        )
        st.caption(texts.MAP_HANDS)


def facts(book: Book, method: str) -> str:
    """How the map was drawn, in one or two sentences."""
    found = services.projection_facts(book.name, method)
    if found is None:
        return texts.MAP_FACTS_UNKNOWN.format(method=METHODS[method])
    shown = ", ".join(f"{texts.MAP_PARAMETERS.get(k, k)} {v:g}" if isinstance(v, int | float)
                      else f"{texts.MAP_PARAMETERS.get(k, k)} {v}" for k, v in found["parameters"].items())  # fmt: skip
    said = texts.MAP_FACTS.format(method=METHODS[found["method"]], parameters=shown, seed=found["seed"])
    if found["fitted_rows"] == found["rows"]:
        return said
    return f"{said} {texts.MAP_SAMPLED.format(**{k: v for k, v in found.items() if isinstance(v, int)})}"


# ---- the map -----------------------------------------------------------------------------------------------------


def _colouring(book: Book, states: np.ndarray, by: str) -> Colouring:
    return review.colouring(book, states, by) if by == "Decision" else _fixed_colouring(book.version, by, book)


@st.cache_resource(max_entries=4, show_spinner=False)
def _fixed_colouring(version: int, by: str, _book: Book) -> Colouring:
    return review.colouring(_book, np.zeros(0), by)


@st.cache_resource(max_entries=2, show_spinner=False)
def _card(version: int, _book: Book) -> Card:
    return cards.card_of(_book)


@st.cache_resource(max_entries=2, show_spinner=False)
def _feed(version: int, _book: Book, _xy: Places) -> bytes:
    card = _card(_book.version, _book)
    words = {"target": card.target, "names": card.names, "said": card.said}
    return components.pack_feed(version, _xy, _book.row_ids, card.label, card.chance, words)


def feed_version(book: Book, method: str) -> int:
    """A number that stands for this run's places by this method."""
    return zlib.crc32(f"{book.version} {method}".encode()) & 0x7FFFFFFF


def show(state: State, book: Book, view: Colouring, marks: np.ndarray, xy: Places) -> None:
    """The map with its legend, selection and the ring around the current row."""
    version = feed_version(book, state.projection)
    selected = None if state.selection is None else review.in_rows(book, state.selection)
    head = {
        "run": book.name,
        "feed": version,
        "token": state.token,
        "height": MAP_HEIGHT,
        "title": view.title,
        "label": texts.MAP_LABEL,
        "note": f"{texts.rows(len(marks))}",
        "legend": view.legend,
        "ramp": view.ramp,
        "low": view.low,
        "high": view.high,
        "types": list(texts.TYPE_NAMES.values()),
        "current": book.row_at.get(state.row, -1) if state.row is not None else -1,
        "bits": components.pack_bits(selected) if selected is not None else "",
        "facts": f"{book.name} · coloured by {view.title} · {facts(book, state.projection)}",
        "file": f"demix-{book.name}-{state.projection}.png",
    }
    held = state.fed == version
    components.feed(components.pack_held(version, len(marks)) if held else _feed(version, book, xy))
    components.scatter(components.pack_colours(head, view.colour, marks), MAP_HEIGHT)


# ---- in Plotly: without WebGL2, and as a page of its own ---------------------------------------------------------


def without_webgl(state: State, book: Book, view: Colouring, marks: np.ndarray, xy: Places) -> None:
    """A smaller map for browsers without WebGL2; lasso, box and click work, and speak of row ids."""
    at = charts.sampled(marks, charts.FALLBACK_POINTS)
    st.caption(texts.NO_WEBGL.format(shown=texts.number(len(at)), all=texts.number(len(marks))))
    figure = _figure(state, book, view, marks, xy, at)

    def chosen() -> None:
        points = st.session_state["map_plotly"]["selection"]["points"]
        state.select_on_map(charts.chosen_rows(points))

    st.plotly_chart(
        figure.update_layout(height=MAP_HEIGHT - 30), key="map_plotly", on_select=chosen,
        selection_mode=("points", "box", "lasso"), config={"displaylogo": False, "scrollZoom": True},
    )  # fmt: skip


def page(state: State, book: Book, view: Colouring, marks: np.ndarray, xy: Places) -> str:
    """The map as a page that needs no network and no DeMix; sampled above PAGE_POINTS rows, which it says."""
    at = charts.sampled(marks, charts.PAGE_POINTS)
    shown = f"{texts.number(len(at))} of {texts.rows(len(marks))}"
    if len(at) < np.count_nonzero((marks & review.FILTERED_BIT) == 0):
        shown = texts.PAGE_SAMPLED.format(shown=shown)
    figure = _figure(state, book, view, marks, xy, at, go.Scattergl)
    line = f"{shown} · coloured by {view.title} · {facts(book, state.projection)}"
    return charts.map_page(figure, f"DeMix · {book.name}", line)


def _figure(
    state: State, book: Book, view: Colouring, marks: np.ndarray, xy: Places, at: np.ndarray, trace: type = go.Scatter
) -> go.Figure:
    selected = None if state.selection is None else review.in_rows(book, state.selection)
    words = cards.lines(_card(book.version, book), book.row_ids, at)
    return charts.map_figure(xy, view, marks, book.row_ids, at, words, selected, trace)
