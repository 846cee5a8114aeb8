"""What a newcomer is offered in the sidebar: the tour, and what the words of the field mean."""

from __future__ import annotations

import streamlit as st

from dashboard import components, texts, widgets
from dashboard.services import EXAMPLE_NAME
from dashboard.state import State


def sidebar(state: State, on_review: bool) -> None:
    """Two small buttons; the tour walks over the review, so it goes there first."""
    with st.sidebar, st.container(horizontal=True, key="guide", gap="small"):
        if widgets.pressed(
            state, st.button, "Take the tour", "tour_start", icon=":material/explore:", type="tertiary",
            help=texts.TOUR_HELP,
        ):  # fmt: skip
            state.take_tour()
            if not on_review:
                widgets.turn_to(state, "review")
        with st.popover("Words", icon=":material/menu_book:", key="words", type="tertiary", help=texts.WORDS_HELP):
            st.markdown("\n\n".join(f"**{word}** — {meaning}" for word, meaning in texts.GLOSSARY.items()))


def tour(state: State) -> None:
    """The tour itself, offered by itself on the example."""
    components.tour(
        {
            "offer": state.run == EXAMPLE_NAME,
            "start": state.tours,
            "steps": [{"at": at, "title": title, "text": text} for at, title, text in texts.TOUR],
            "words": texts.TOUR_WORDS,
        }
    )
