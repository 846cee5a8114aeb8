"""The sidebar of the review: what the queue shows, in which order, and the saved views of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from dashboard import address, deciding, services, texts
from dashboard.review import Book
from dashboard.state import ALL_TYPES, DRAWN, STATES, Filters, State
from demix_core.errors import RunError
from demix_core.sift import Condition
from demix_core.types import ColumnKind

MOST_VALUES = 300
"""Distinct values of a column that are offered; the frequent ones first."""


def told(key: str, value: Any) -> str:
    """The widget's key, its value being the state's whoever changed it: a hand, a link, a saved view, another run."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key


def sidebar(state: State, book: Book, codes: np.ndarray) -> None:
    """All of it."""
    with st.sidebar:
        st.markdown("**Show in the queue**", help=texts.QUEUE_HELP)
        saved_views(state, book)
        common(state, book, codes)
        with st.expander(texts.more_filters(_more_count(state.filters)), key="more_filters"):
            rare(state, book)
        if state.filters != Filters():
            st.button(
                "Clear filters", key="clear_filters", on_click=deciding.clear_filters, args=(state,), width="stretch"
            )


def common(state: State, book: Book, codes: np.ndarray) -> None:
    """The filters that everybody uses; counts are of the whole table, whatever is filtered."""
    f, w = state.filters, st.session_state
    by_type = {t: int(np.count_nonzero(book.patch_types == t)) for t in ALL_TYPES}
    st.pills(
        "Error type", ALL_TYPES, selection_mode="multi", key=told("f_types", list(f.types)),
        on_change=lambda: state.filter(types=tuple(w.f_types) or ALL_TYPES),
        format_func=lambda t: f"{texts.TYPE_NAMES[t]} {by_type[t]:,}",
    )  # fmt: skip
    for said in filter(None, (texts.mostly_faint(kind, *book.faint(kind)) for kind in ALL_TYPES)):
        st.caption(f"{said}.", help=texts.FAINT_WORDS)
    by_state = np.bincount(codes, minlength=len(STATES))
    st.pills(
        "Decision", STATES, selection_mode="multi", key=told("f_states", list(f.states)),
        on_change=lambda: state.filter(states=tuple(w.f_states) or STATES),
        format_func=lambda s: f"{s} {by_state[STATES.index(s)]:,}",
    )  # fmt: skip
    st.slider(
        "Confidence at least", 0.0, 1.0, step=0.01, key=told("f_least", f.least),
        on_change=lambda: state.filter(least=w.f_least), help=texts.CONFIDENCE_HELP,
    )  # fmt: skip
    st.text_input(
        "Search in the rows", key=told("f_search", f.search), placeholder="a value or a row number",
        on_change=lambda: state.filter(search=w.f_search),
    )  # fmt: skip


def rare(state: State, book: Book) -> None:
    """The other filters: column to change, label, cells, reviewer."""
    f, w = state.filters, st.session_state
    columns = sorted(set(book.patches["column"].dropna()))
    st.multiselect(
        "Column to change", columns, key=told("f_columns", list(f.columns)), placeholder="any",
        on_change=lambda: state.filter(columns=tuple(w.f_columns)),
    )  # fmt: skip
    if book.schema.classes:
        st.multiselect(
            "Label", book.schema.classes, key=told("f_classes", list(f.classes)), placeholder="any",
            on_change=lambda: state.filter(classes=tuple(w.f_classes)),
        )  # fmt: skip
    cells(state, book)
    reviewers = sorted({*services.deciders(book.name).values(), *f.reviewers})
    st.multiselect(
        "Decided by", reviewers, key=told("f_reviewers", list(f.reviewers)), placeholder="anybody",
        disabled=not reviewers, help=texts.REVIEWER_HELP,
        on_change=lambda: deciding.filter_reviewers(state, tuple(w.f_reviewers)),
    )  # fmt: skip


# ---- cells -------------------------------------------------------------------------------------------------------


def cells(state: State, book: Book) -> None:
    """Conditions on cells: the present ones, each with a press taken away, and the editor of one column's."""
    where = {c.column: c for c in state.filters.where}
    names = [c.name for c in book.schema.columns]
    column = st.selectbox(
        "Cells of a column", names, index=None, key="f_where_column", placeholder="any", help=texts.CELLS_HELP
    )
    if column is not None:
        given = where.get(column, Condition(column))
        if book.schema.kind(column) is ColumnKind.NUMERIC:
            _range(state, book, given)
        else:
            _values(state, book, given)
    if where:
        kept = st.pills(
            "Conditions", list(where), selection_mode="multi", key=told("f_where", list(where)),
            format_func=lambda name: f"{texts.condition(where[name])} ✕", label_visibility="collapsed",
        )  # fmt: skip
        if len(kept) < len(where):
            state.filter(where=tuple(where[name] for name in kept))
            st.rerun()


def _range(state: State, book: Book, given: Condition) -> None:
    low, high = book.reach(given.column)
    left, right = st.columns(2, gap="small")
    keys = tuple(f"f_where_{side}_{given.column}" for side in ("low", "high"))
    for place, side, key, value, hint in (
        (left, "From", keys[0], given.low, low), (right, "To", keys[1], given.high, high)
    ):  # fmt: skip
        place.number_input(
            side, key=told(key, value), placeholder=f"{hint:g}", step=None,
            on_change=lambda: _condition(
                state, Condition(given.column, (), st.session_state[keys[0]], st.session_state[keys[1]])
            ),
        )  # fmt: skip


def _values(state: State, book: Book, given: Condition) -> None:
    counts = book.rows[given.column].loc[book.row_ids].fillna("").astype(str).value_counts()
    options = list(dict.fromkeys([*counts.index[:MOST_VALUES], *given.values]))
    key = f"f_where_values_{given.column}"
    st.multiselect(
        "Values", options, key=told(key, list(given.values)), placeholder="any", label_visibility="collapsed",
        format_func=lambda v: f"{v or '(empty)'} · {counts.get(v, 0):,}",
        on_change=lambda: _condition(state, Condition(given.column, tuple(st.session_state[key]))),
    )  # fmt: skip


def _condition(state: State, condition: Condition) -> None:
    others = tuple(c for c in state.filters.where if c.column != condition.column)
    state.filter(where=others if condition.empty else (*others, condition))


def _more_count(f: Filters) -> int:
    return len(f.where) + sum(bool(v) for v in (f.columns, f.classes, f.reviewers))


# ---- saved views -------------------------------------------------------------------------------------------------


def saved_views(state: State, book: Book) -> None:
    """Choose one, keep the present one, forget the chosen one."""
    views = services.saved_views(book.name)
    present = address.of_queue(state.filters, state.sort, state.ascending)
    chosen = next((name for name, view in views.items() if view == present), None)
    field, more = st.columns([3.4, 1], gap="small", vertical_alignment="bottom")
    field.selectbox(
        "Saved view", list(views), index=None, key=told("f_view", chosen), help=texts.VIEWS_HELP,
        placeholder="choose one" if views else "none saved yet",
        on_change=lambda: deciding.show_view(state, views.get(st.session_state.f_view, {})),
    )  # fmt: skip
    with more.popover("", icon=":material/bookmark_add:", key="views", help="Save or delete a view", width="stretch"):
        with st.form("save_view", border=False, clear_on_submit=True):
            st.text_input("Name of this view", placeholder="such as: young and rich", key="f_view_name")
            st.form_submit_button(
                "Save filters and order", key="view_save", type="primary", width="stretch",
                on_click=_save_view, args=(state, book.name, present),
            )  # fmt: skip
        if state.refusal:
            st.error(state.refusal)
        if chosen is not None:
            st.button(
                f"Delete '{chosen}'", key="view_delete", icon=":material/delete:", width="stretch",
                on_click=services.delete_view, args=(book.name, chosen),
            )  # fmt: skip


def _save_view(state: State, run: str, present: dict[str, list[str]]) -> None:
    """As the form is sent: the script that follows may be interrupted, and the form's field is emptied."""
    try:
        kept = services.save_view(run, st.session_state.f_view_name, present)
    except RunError as error:
        state.refuse(str(error))
    else:
        state.refuse("")
        state.say(f"View '{kept}' is saved.")


# ---- order -------------------------------------------------------------------------------------------------------

ORDERS = {
    "Most useful first": ("benefit", False),
    "Surest first": ("confidence", False),
    "Most informative first": ("uncertainty", False),
    "Largest gain first": ("gain", False),
    "By row number": ("row", True),
    "At random, to teach": ("random", False),
}


TAUGHT = {
    "Likeliest, as you taught": ("taught", False),
    "Least likely, as you taught": ("taught", True),
}
"""Offered once something was decided."""


def order_box(state: State) -> None:
    """In which order the queue comes; a click on a head of the table sorts as well."""
    orders, now = dict(ORDERS), (state.sort, state.ascending)
    if not state.blind and services.may_teach(str(state.run)):
        orders |= TAUGHT
    if state.sort == "taught":
        now = deciding.order_of(state)
    if now not in orders.values():
        orders["As drawn" if state.sort == DRAWN else f"By {state.sort} {'↑' if state.ascending else '↓'}"] = now
    name = next(name for name, order in orders.items() if order == now)
    st.selectbox(
        "Order", list(orders), key=told("w_order", name), label_visibility="collapsed", help=texts.ORDER_HELP,
        on_change=lambda: state.show_view(state.filters, *orders[st.session_state.w_order]),
    )  # fmt: skip
