"""The log of decisions as a page: which lines are shown, and each with the press that takes it back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import deciding, services, texts, widgets
from dashboard.review import Book
from dashboard.state import State
from demix_core.types import DecisionKind, ErrorType, Event

LINES = 30
"""Lines on a page: each holds two buttons."""


@dataclass(frozen=True)
class Wanted:
    """Which events are shown; empty: all. types: events that touch a suggestion of one of them."""

    reviewers: tuple[str, ...] = ()
    kinds: tuple[DecisionKind, ...] = ()
    types: tuple[ErrorType, ...] = ()
    row: int | None = None


def matching(book: Book, events: Sequence[Event], wanted: Wanted) -> list[Event]:
    """The wanted events, newest first."""

    def touches(event: Event) -> bool:
        at = [book.patch_at[i] for i in event.patch_ids if i in book.patch_at]
        by_type = not wanted.types or any(book.patch_types[i] in wanted.types for i in at)
        return by_type and (wanted.row is None or any(book.row_ids[book.patch_rows[i]] == wanted.row for i in at))

    return [
        event
        for event in reversed(events)
        if (not wanted.reviewers or event.reviewer in wanted.reviewers)
        and (not wanted.kinds or event.kind in wanted.kinds)
        and touches(event)
    ]


def choose(events: Sequence[Event]) -> Wanted:
    """The filters above the lines."""
    by, what, kind, row = st.columns([1.1, 3.5, 2.1, 0.8], gap="small", vertical_alignment="bottom")
    reviewers = by.multiselect("Who", sorted({e.reviewer for e in events}), placeholder="anybody", key="h_who")
    groups = what.pills("What", list(texts.EVENT_GROUPS), selection_mode="multi", key="h_kinds")
    kinds = [DecisionKind(kind) for group in groups for kind in texts.EVENT_GROUPS[group]]
    types = kind.pills(
        "Kind of error", list(ErrorType), selection_mode="multi", key="h_types", format_func=texts.TYPE_NAMES.get
    )
    number = row.number_input("Row", min_value=0, value=None, step=1, placeholder="any", key="h_row")
    return Wanted(tuple(reviewers), tuple(kinds), tuple(types), None if number is None else int(number))


def lines(state: State, book: Book, events: Sequence[Event], standing: Collection[int]) -> None:
    """A page of lines."""
    pages = max(1, -(-len(events) // LINES))
    page = st.pagination(pages, key="h_page") if pages > 1 else 1
    for event in events[(page - 1) * LINES : page * LINES]:
        live = event.seq in standing
        with st.container(key=f"event_{event.seq}"):
            words, when, show, back = st.columns([6, 1.8, 1.1, 1.3], gap="small", vertical_alignment="center")
            words.markdown(widgets.event_words(book, event) + ("" if live else " :gray[· taken back]"))
            when.caption(f"{event.time[:16].replace('T', ' ')} UTC")
            look = {"type": "tertiary", "icon": ":material/visibility:"}
            if widgets.pressed(state, show.button, "Show", f"show_{event.seq}", **look):
                deciding.show_event(state, event)
                widgets.turn_to(state, "review")
            back.button(
                "Take back", key=f"take_back_{event.seq}", disabled=not live, width="stretch",
                on_click=deciding.revert, args=(state, event.seq), help=texts.EVENT_BACK[event.kind],
            )  # fmt: skip


def download(run: str) -> None:
    """The whole log as a file that can be replayed."""
    name = services.export_names(run)["decisions"]
    st.download_button(
        f"Decisions · {name}", lambda: services.decisions_file(run), file_name=name, key="h_download",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
