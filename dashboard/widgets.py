"""The pieces that the pages are put together from. They draw; what a press does is in deciding.py."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import streamlit as st

from dashboard import components, deciding, palette, review, services, texts
from dashboard.palette import GLYPHS
from dashboard.review import Book
from dashboard.state import ALL_TYPES, STATES, Filters, State
from demix_core.types import DROP_VALUE, ErrorType, Event

QUEUE_HEIGHT, HISTORY_LINES = 188, 100


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def type_colour(kind: ErrorType) -> str:
    """The colour of an error type on the present ground."""
    mark = palette.TYPE_MARKS[kind]
    return mark.dark if dark() and mark.dark else mark.colour


def pill(kind: ErrorType, probability: float) -> str:
    """A type with its shape, colour and probability, as HTML."""
    return (
        f'<span class="dx-pill" style="color:{type_colour(kind)}">{GLYPHS[palette.TYPE_MARKS[kind].shape]} '
        f"{kind.short.capitalize()} <em>{probability:.2f}</em></span>"
    )


def type_name(kind: ErrorType) -> str:
    """A type with its shape in its colour, as HTML."""
    glyph = GLYPHS[palette.TYPE_MARKS[kind].shape]
    return f'<span style="color:{type_colour(kind)}">{glyph}</span> {texts.TYPE_NAMES[kind]}'


def empty(title: str, text: str) -> None:
    """A kind word where there is nothing to show."""
    st.html(f'<div class="dx-empty"><h3>{escape(title)}</h3><p>{escape(text)}</p></div>')


def page_title(title: str, words: str) -> None:
    """Name of a page and what it is for."""
    st.header(title, anchor=False)
    st.caption(words)


# ---- the sidebar -------------------------------------------------------------------------------------------------


def run_picker(state: State, names: list[str]) -> None:
    """Which run is open."""
    if not names:
        return
    at = names.index(state.run) if state.run in names else None
    chosen = st.sidebar.selectbox(
        "Run", names, index=at, key=f"w_run_{state.run}", help="Every run is a folder in the workspace."
    )
    if chosen != state.run:
        state.open_run(chosen)
        st.rerun()


def filter_form(state: State, book: Book) -> None:
    """What the queue shows; in the sidebar."""
    f = state.filters

    def copy() -> None:
        w = st.session_state
        state.filter(
            types=tuple(w.f_types) or ALL_TYPES,
            states=tuple(w.f_states) or STATES,
            least=w.f_least,
            classes=tuple(w.f_classes),
            columns=tuple(w.f_columns),
            search=w.f_search,
        )

    with st.sidebar:
        st.markdown("**Show in the queue**")
        st.pills(
            "Error type",
            ALL_TYPES,
            selection_mode="multi",
            default=f.types,
            key="f_types",
            on_change=copy,
            format_func=texts.TYPE_NAMES.__getitem__,
        )
        st.pills("Decision", STATES, selection_mode="multi", default=f.states, key="f_states", on_change=copy)
        st.slider("Confidence at least", 0.0, 1.0, f.least, 0.01, key="f_least", on_change=copy)
        st.text_input(
            "Search in the rows", f.search, key="f_search", on_change=copy, placeholder="a value or a row number"
        )
        columns = sorted(set(book.patches["column"].dropna()))
        st.multiselect(
            "Column to change", columns, default=f.columns, key="f_columns", on_change=copy, placeholder="any"
        )
        labels = list(book.schema.classes)
        st.multiselect(
            "Label", labels, default=f.classes, key="f_classes", on_change=copy, placeholder="any", disabled=not labels
        )
        if f != Filters():
            st.button("Clear filters", key="clear_filters", on_click=clear_filters, args=(state,), width="stretch")


def clear_filters(state: State) -> None:
    """Everything open is shown again."""
    state.filters = Filters()
    for key in ("f_types", "f_states", "f_least", "f_search", "f_columns", "f_classes"):
        st.session_state.pop(key, None)


# ---- top of the review -------------------------------------------------------------------------------------------


def progress_bar(codes: np.ndarray, message: str) -> None:
    """'12 of 310 decided' with a bar by decision, and what was done last."""
    total = max(len(codes), 1)
    parts = "".join(
        f'<i style="width:{100 * np.count_nonzero(codes == i) / total:.2f}%;'
        f'background:{palette.STATE_COLOURS[s]}" title="{s}"></i>'
        for i, s in enumerate(STATES)
        if i
    )
    counts = " · ".join(
        f"{np.count_nonzero(codes == i):,} {s}" for i, s in enumerate(STATES) if i and np.any(codes == i)
    )
    decided = int(np.count_nonzero(codes))
    st.html(
        f'<div class="dx-bar" id="progress" data-decided="{decided}" data-total="{len(codes)}">'
        f"<span><b>{decided:,}</b> of <b>{len(codes):,}</b> decided</span>"
        f'<span class="track">{parts}</span><span class="dx-muted">{counts}</span>'
        f'<span class="dx-said" role="status">{escape(message)}</span></div>'
    )


def top_bar(state: State, book: Book, codes: np.ndarray) -> None:
    """Counts, undo, redo, history."""
    bar, undo, redo, more, _ = st.columns([5.6, 1, 1, 1.2, 0.3], gap="small", vertical_alignment="center")
    with bar:
        progress_bar(codes, state.message)
    undo.button(
        "Undo", icon=":material/undo:", on_click=deciding.undo, args=(state,), key="undo", help="Z", width="stretch"
    )
    redo.button(
        "Redo",
        icon=":material/redo:",
        on_click=deciding.redo,
        args=(state,),
        key="redo",
        help="Shift+Z or Y",
        width="stretch",
    )
    with more.popover("History", icon=":material/history:", key="history", width="stretch"):
        history(state, book, services.events(str(state.run)), services.standing(str(state.run)))


def history(state: State, book: Book, events: list[Event], standing: set[int]) -> None:
    """The log in sentences, newest first, each with a button that takes it back and keeps the later ones."""
    st.caption(texts.KEYS_HELP)
    if not events:
        st.caption("Nothing is decided yet.")
        return
    with st.container(height=300, border=False):
        for event in events[::-1][:HISTORY_LINES]:
            words, button = st.columns([4, 1.2], gap="small", vertical_alignment="center")
            words.markdown(event_words(book, event) + (" :gray[· taken back]" if event.seq not in standing else ""))
            if deciding.is_decision(event) and event.seq in standing:
                button.button(
                    "Revert",
                    key=f"revert_{event.seq}",
                    on_click=deciding.revert,
                    args=(state, event.seq),
                    width="stretch",
                )


def event_words(book: Book, event: Event) -> str:
    """'7. Accepted 214 suggestions (selection, confidence ≥ 0.80)', '8. Rejected row 12: age 3 → 31'."""
    what = f"{event.seq}. **{texts.EVENT_WORDS[event.kind]}** "
    if event.reverts is not None:
        return what + f"no. {event.reverts}"
    if len(event.patch_ids) != 1:
        return what + texts.suggestions(len(event.patch_ids)) + (f" :gray[({event.query})]" if event.query else "")
    patch = book.patches.iloc[book.patch_at[event.patch_ids[0]]]
    new = patch["new"] if event.value is None else event.value
    change = "leave out" if new == DROP_VALUE else review.change_words(patch["action"], new)
    return what + f"row {patch['row_id']}: {review.column_words(patch['column'], patch['action'])} → `{change}`"


def intro(state: State) -> None:
    """What the map shows and what to do, until dismissed."""
    if not state.intro:
        return
    text, close = st.columns([20, 1], gap="small", vertical_alignment="center")
    text.caption(texts.INTRO)
    close.button(
        "",
        icon=":material/close:",
        key="intro_close",
        type="tertiary",
        help="Don't show this again",
        on_click=state.close_intro,
    )


def keep(state: State, name: str, key: str) -> Any:
    """A callback that copies a widget's value into the state, where it outlives the page."""

    def copy() -> None:
        if st.session_state[key] is not None:
            setattr(state, name, st.session_state[key])

    return copy


# ---- the queue ---------------------------------------------------------------------------------------------------


def page_count(order: np.ndarray) -> int:
    """Pages of the queue, at least one."""
    return max(1, -(-len(order) // deciding.PAGE_ROWS))


def draw_queue(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """One page of the queue, the current line marked."""
    page = min(state.page, page_count(order))
    if state.selection is not None:
        nothing = texts.QUEUE_EMPTY_SELECTION
    else:
        nothing = texts.QUEUE_EMPTY_FILTER if len(book.patches) else texts.QUEUE_EMPTY
    shown = order[(page - 1) * deciding.PAGE_ROWS : page * deciding.PAGE_ROWS]
    components.queue(
        {
            "height": QUEUE_HEIGHT,
            "lines": review.lines(book, codes, shown, dark()),
            "current": state.patch,
            "sort": state.sort,
            "up": state.ascending,
            "empty": nothing,
            "hints": texts.QUEUE_HINTS,
        }
    )


def bulk(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """Decide the whole queue at once, counted first."""
    undecided = order[codes[order] == 0]
    with st.popover(
        f"Decide together: {texts.suggestions(len(undecided))}",
        key="bulk",
        disabled=not len(undecided),
        width="stretch",
    ):
        least = st.slider("Only with a confidence of at least", 0.0, 1.0, state.filters.least, 0.01, key="w_bulk_least")
        chosen = undecided[book.patches["confidence"].to_numpy()[undecided] >= least]
        advised = chosen[book.patches["recommended"].to_numpy(bool)[chosen]]
        if len(advised) and st.toggle(
            f"Only the {len(advised):,} that DeMix recommends", True, key="w_bulk_advised", help=texts.ADVISED_HELP
        ):
            chosen = advised
        kinds = sorted({t.short for t in book.patch_types[chosen]})
        n_rows = len(np.unique(book.patch_rows[chosen]))
        ids = [int(i) for i in book.patches["patch_id"].iloc[chosen]]
        where = "selection" if state.selection is not None else "queue"
        query = f"{where}, confidence ≥ {least:.2f}"
        for verb in ("accept", "reject"):
            st.button(
                texts.bulk_label(verb.capitalize(), len(ids), n_rows, kinds),
                key=f"bulk_{verb}",
                disabled=not ids,
                width="stretch",
                type="primary" if verb == "accept" else "secondary",
                on_click=deciding.decide_many,
                args=(state, verb, ids, query),
            )
        _shared_mistake(state, book, codes)


def _shared_mistake(state: State, book: Book, codes: np.ndarray) -> None:
    """One button for all open suggestions that mend the same mistake as the one in view."""
    if state.patch is None:
        return
    pattern = str(book.patches["pattern"].iloc[book.patch_at[state.patch]])
    same = np.flatnonzero((book.patches["pattern"].to_numpy() == pattern) & (codes == 0)) if pattern else []
    if len(same) > 1:
        ids = [int(i) for i in book.patches["patch_id"].iloc[same]]
        st.divider()
        st.button(
            f"Accept all {len(ids):,} · {pattern}", key="bulk_pattern", width="stretch",
            on_click=deciding.decide_many, args=(state, "accept", ids, pattern), help=texts.PATTERN_HELP,
        )  # fmt: skip


def queue_head(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """What the queue holds, its pages, and the bulk button."""
    words, pages, many = st.columns([5, 3, 4], gap="small", vertical_alignment="center")
    within = f"among {len(state.selection):,} selected rows" if state.selection is not None else "in the queue"
    found = texts.suggestions(len(order))
    words.html(f'<div class="dx-bar" id="queue_head" data-n="{len(order)}"><span><b>{found}</b> {within}</span></div>')
    count = page_count(order)
    if count > 1:
        with pages:  # a key per page, so that J and K can turn it as well
            key = f"w_page_{min(state.page, count)}"
            st.pagination(count, default=min(state.page, count), key=key, on_change=keep(state, "page", key))
    with many:
        bulk(state, book, codes, order)
