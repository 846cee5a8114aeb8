"""The pieces that the pages are put together from. They draw; what a press does is in deciding.py."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import charts, components, deciding, palette, review, texts
from dashboard.review import Book
from dashboard.state import STATES, State
from demix_core.types import ErrorType

MAP_HEIGHT, QUEUE_HEIGHT, PAGE_ROWS = 392, 196, 200
SHAPE_SVG = (
    '<circle cx="6" cy="6" r="3"/>', '<circle cx="6" cy="6" r="5"/>', '<rect x="1.5" y="1.5" width="9" height="9"/>',
    '<path d="M6 1 11 10.5H1Z"/>', '<path d="M6 .5 11.5 6 6 11.5 .5 6Z"/>',
)  # fmt: skip
SCALE_WORDS = {"umap": "UMAP", "tsne": "t-SNE"}


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def type_colour(kind: ErrorType) -> str:
    """The colour of an error type on the present ground."""
    mark = palette.TYPE_MARKS[kind]
    return mark.dark if dark() and mark.dark else mark.colour


def pill(kind: ErrorType, probability: float) -> str:
    """A type with its shape, colour and probability, as HTML."""
    shape = SHAPE_SVG[palette.TYPE_MARKS[kind].shape]
    return (
        f'<span class="dx-pill" style="color:{type_colour(kind)}"><svg viewBox="0 0 12 12">{shape}</svg>'
        f"{texts.TYPE_NAMES[kind]} <em>{probability:.2f}</em></span>"
    )


def empty(title: str, text: str) -> None:
    """A kind word where there is nothing to show."""
    st.html(f'<div class="dx-empty"><h3>{escape(title)}</h3><p>{escape(text)}</p></div>')


# ---- top of the review -------------------------------------------------------------------------------------------


def progress_bar(codes: np.ndarray, message: str) -> None:
    """'12 of 310 decided' with a bar by decision, and what was done last."""
    total = max(len(codes), 1)
    parts = "".join(
        f'<i style="width:{100 * np.count_nonzero(codes == i) / total:.2f}%;background:{palette.STATE_COLOURS[s]}" title="{s}"></i>'
        for i, s in enumerate(STATES)
        if i
    )
    counts = " · ".join(f"{np.count_nonzero(codes == i):,} {s}" for i, s in enumerate(STATES) if i and np.any(codes == i))
    decided = int(np.count_nonzero(codes))
    st.html(
        f'<div class="dx-bar" id="progress" data-decided="{decided}" data-total="{len(codes)}">'
        f"<span><b>{decided:,}</b> of <b>{len(codes):,}</b> decided</span>"
        f'<span class="track">{parts}</span><span class="dx-muted">{counts}</span>'
        f'<span class="dx-said" role="status">{escape(message)}</span></div>'
    )


def top_bar(state: State, codes: np.ndarray) -> None:
    """Counts, undo, redo, history."""
    bar, undo, redo = st.columns([6, 1, 1], gap="small", vertical_alignment="center")
    with bar:
        progress_bar(codes, state.message)
    undo.button("Undo", icon=":material/undo:", on_click=deciding.undo, key="undo", help="Z", width="stretch")
    redo.button("Redo", icon=":material/redo:", on_click=deciding.redo, key="redo", help="Shift+Z or Y", width="stretch")


def intro(state: State) -> None:
    """What the map shows and what to do, until dismissed."""
    if not state.intro:
        return
    text, close = st.columns([20, 1], gap="small", vertical_alignment="center")
    text.caption(texts.INTRO)
    close.button(
        "", icon=":material/close:", key="intro_close", type="tertiary", help="Don't show this again",
        on_click=lambda: setattr(state, "intro", False),
    )  # fmt: skip


# ---- the map -----------------------------------------------------------------------------------------------------


def _keep(state: State, name: str, key: str) -> Any:
    def copy() -> None:
        if st.session_state[key] is not None:
            setattr(state, name, st.session_state[key])

    return copy


def map_controls(state: State, book: Book, methods: list[str]) -> None:
    """Colour by, and which projection."""
    choices = review.colour_choices(book.schema)
    left, right = st.columns([3, 2], gap="small")
    left.selectbox(
        "Colour by", choices, index=choices.index(state.colour), key="w_colour", on_change=_keep(state, "colour", "w_colour"),
        format_func=lambda c: f"Colour by {c[:1].lower()}{c[1:]}", label_visibility="collapsed",
    )  # fmt: skip
    if state.projection not in methods:
        state.projection = methods[0]
    right.segmented_control(
        "Projection", methods, default=state.projection, key="w_projection", format_func=SCALE_WORDS.__getitem__,
        on_change=_keep(state, "projection", "w_projection"), label_visibility="collapsed",
        help="Two ways to lay rows of similar effect near each other.",
    )  # fmt: skip


def draw_map(state: State, book: Book, codes: np.ndarray, xy: tuple[np.ndarray, np.ndarray]) -> None:
    """The map with its legend, selection and the ring around the current row."""
    states = review.row_states(book, codes)
    view = review.colouring(book, states, state.colour)
    marks = review.marks(book, states, review.visible_rows(book, codes, state.filters))
    version = (book.version + len(state.projection)) & 0x7FFFFFFF
    if not state.webgl:
        st.caption(texts.NO_WEBGL.format(shown=texts.number(min(len(marks), charts.FALLBACK_POINTS)), all=texts.number(len(marks))))
        st.plotly_chart(charts.map_fallback(xy, view, marks, book.row_ids, MAP_HEIGHT - 30), key="map_plotly")
        return
    selected = None if state.selection is None else review.in_rows(book, state.selection)
    head = {
        "run": book.name, "feed": version, "token": state.token, "height": MAP_HEIGHT, "title": view.title,
        "label": "Map of all training rows. Drag to select, scroll to zoom.", "note": f"{texts.rows(len(marks))}",
        "legend": view.legend, "ramp": view.ramp, "low": view.low, "high": view.high, "shapes": review.shape_names(),
        "current": book.row_at.get(state.row, -1) if state.row is not None else -1,
        "bits": components.pack_bits(selected) if selected is not None else "",
    }  # fmt: skip
    components.feed(components.pack_positions(version, *xy, book.row_ids))
    components.scatter(
        components.pack_colours(head, view.colour, marks), MAP_HEIGHT,
        deciding.on_selection, deciding.on_picked, deciding.on_unsupported,
    )  # fmt: skip


# ---- the inspector -----------------------------------------------------------------------------------------------


def inspector_title(state: State, book: Book, codes: np.ndarray) -> None:
    """Which row, what is suspected, how sure."""
    row = book.diagnosis.iloc[book.row_at[int(state.row or 0)]]
    kinds = [t for t in ErrorType if row[t.value]]
    pills = " ".join(pill(t, row[t.probability_column]) for t in kinds) or f'<small>{texts.ROW_CLEAN}</small>'
    decided = ""
    if state.patch is not None and codes[book.patch_at[state.patch]]:
        decided = f"<small>{STATES[codes[book.patch_at[state.patch]]]}</small>"
    st.html(f'<div class="dx-title" id="inspector" data-row="{state.row}" data-patch="{state.patch}">Row {state.row} {pills} {decided}</div>')


def suggestion(patch: Any) -> None:
    """Old to new, and why in a sentence."""
    what = texts.ACTION_WORDS[patch["action"]]
    column = f" of <b>{escape(patch['column'])}</b>" if isinstance(patch["column"], str) and patch["action"] == "impute" else ""
    old = "" if patch["action"] in ("drop", "reweight") else f"<del>{escape(review.shown(patch['old']))}</del> → "
    new = escape(review.change_words(patch["action"], patch["new"]))
    st.html(
        f'<div class="dx-change"><span class="what">{what}{column}</span><span>{old}<ins>{new}</ins></span></div>'
        f'<div class="dx-why">{escape(patch["reason"])}</div>'
    )


def edit_form(book: Book, patch: Any) -> None:
    """The field for an own value; Enter saves."""
    with st.container(key="edit_box"), st.form("edit", border=False, enter_to_submit=True):
        label_classes = list(book.schema.classes) if patch["action"] == "relabel" else []
        start = str(patch["new"])
        if label_classes:
            value = st.selectbox("The right label", label_classes, index=label_classes.index(start) if start in label_classes else 0)
        else:
            value = st.text_input("The right value" if patch["column"] else "The right weight", start)
        save, drop, cancel = st.columns(3, gap="small")
        saved = save.form_submit_button("Save", type="primary", key="edit_save", width="stretch")
        dropped = drop.form_submit_button("Drop the row", key="edit_drop", width="stretch")
        cancelled = cancel.form_submit_button("Cancel", key="edit_cancel", width="stretch")
    if saved:
        deciding.save_edit(str(value))
    elif dropped:
        deciding.drop_row()
    elif cancelled:
        deciding.stop_edit()
    if saved or dropped or cancelled:
        st.rerun()


def decide_buttons(enabled: bool) -> None:
    """The three buttons, always at the same place."""
    a, e, x = st.columns(3, gap="small")
    off = not enabled
    a.button("Accept  ·  A", type="primary", key="accept", on_click=deciding.accept, disabled=off, width="stretch")
    e.button("Edit  ·  E", key="edit", on_click=deciding.start_edit, disabled=off, width="stretch")
    x.button("Reject  ·  X", key="reject", on_click=deciding.reject, disabled=off, width="stretch")


def cells_table(book: Book, row_id: int) -> str:
    """The row as a table: suspect cells first, flagged in words, with the suggested value."""
    mine = book.patches[book.patches["row_id"] == row_id]
    new = {p.column: review.shown(p.new) for p in mine.itertuples() if isinstance(p.column, str) and p.column}
    suspects = set(book.diagnosis["suspect_columns"].iloc[book.row_at[row_id]])
    cells = book.rows.loc[row_id]
    target = book.schema.target
    wrong_label = bool(book.diagnosis["label_error"].iloc[book.row_at[row_id]])
    names = sorted(book.rows.columns, key=lambda c: (c != target, c not in suspects and c not in new))
    body = ""
    for name in names:
        flag = "label?" if name == target and wrong_label else "suspect" if name in suspects or name in new and name != target else ""
        css = ("target " if name == target else "") + ("wrong" if flag == "label?" else "suspect" if flag else "")
        mark = f'<span class="flag">⚑ {flag}</span>' if flag else ""
        body += (
            f'<tr class="{css}"><th title="{escape(name)}">{escape(name)}</th><td title="{escape(review.shown(cells[name]))}">'
            f"{escape(review.shown(cells[name]))}</td><td>{escape(new.get(name, ''))}</td><td>{mark}</td></tr>"
        )
    head = "<thead><tr><th>Column</th><th>Value</th><th>Suggested</th><th></th></tr></thead>"
    return f'<table class="dx">{head}<tbody>{body}</tbody></table>'


# ---- the queue ---------------------------------------------------------------------------------------------------


def draw_queue(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """One page of the queue; the page that holds the current suggestion unless the person turned it."""
    pages = max(1, -(-len(order) // PAGE_ROWS))
    page = min(state.page, pages)
    if state.selection is not None:
        nothing = texts.QUEUE_EMPTY_SELECTION
    else:
        nothing = texts.QUEUE_EMPTY_FILTER if len(book.patches) else texts.QUEUE_EMPTY
    shown = order[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    components.queue(
        {
            "height": QUEUE_HEIGHT, "lines": review.lines(book, codes, shown), "current": state.patch, "sort": state.sort,
            "up": state.ascending, "empty": nothing,
        },
        deciding.on_queue_picked, deciding.on_sorted,
    )  # fmt: skip


def bulk(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """Decide the whole queue at once, counted first."""
    undecided = order[codes[order] == 0]
    with st.popover(f"Decide together: {texts.suggestions(len(undecided))}", key="bulk", disabled=not len(undecided), width="stretch"):
        least = st.slider("Only with a confidence of at least", 0.0, 1.0, state.filters.least, 0.01, key="w_bulk_least")
        chosen = undecided[book.patches["confidence"].to_numpy()[undecided] >= least]
        kinds = sorted({t.short for t in book.patch_types[chosen]})
        n_rows = len(np.unique(book.patch_rows[chosen]))
        ids = [int(i) for i in book.patches["patch_id"].iloc[chosen]]
        where = "selection" if state.selection is not None else "queue"
        query = f"{where}, confidence ≥ {least:.2f}"
        for verb in ("accept", "reject"):
            st.button(
                texts.bulk_label(verb.capitalize(), len(ids), n_rows, kinds), key=f"bulk_{verb}", disabled=not ids, width="stretch",
                type="primary" if verb == "accept" else "secondary", on_click=deciding.decide_many, args=(verb, ids, query),
            )  # fmt: skip


def queue_head(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """What the queue holds, its pages, and the bulk button."""
    words, pages, many = st.columns([5, 3, 4], gap="small", vertical_alignment="center")
    within = f" in {texts.rows(len(state.selection))} selected" if state.selection is not None else ""
    words.html(f'<div class="dx-bar"><span><b>{len(order):,}</b> in the queue{within}</span></div>')
    if len(order) > PAGE_ROWS:
        with pages:
            st.pagination(-(-len(order) // PAGE_ROWS), key="w_page", on_change=_keep(state, "page", "w_page"))
    with many:
        bulk(state, book, codes, order)


def history(events: pd.DataFrame) -> None:
    """The log, newest first."""
    st.dataframe(events, hide_index=True)


def inspector(state: State, book: Book, codes: np.ndarray) -> None:
    """The row in view: title, suggestion, the three buttons, then the evidence."""
    if state.row is None:
        empty("No row chosen", "Click a row on the map or in the queue.")
        return
    inspector_title(state, book, codes)
    patch = None if state.patch is None else book.patches.iloc[book.patch_at[state.patch]]
    with st.container(height=128, key="decide_card"):
        if patch is None:
            st.html('<div class="dx-why">Nothing is suggested for this row.</div>')
        elif state.editing:
            edit_form(book, patch)
        else:
            suggestion(patch)
    decide_buttons(patch is not None)
    with st.container(height=220, key="panel_body"):
        st.html(cells_table(book, state.row))
