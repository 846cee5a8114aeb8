"""The two questions that a key asks on the review: a note on the row in view, and which row to go to."""

from __future__ import annotations

import streamlit as st

from dashboard import deciding, services, texts, widgets
from dashboard.state import State


def dialog(state: State) -> None:
    """The open question, if there is one; Esc closes it."""
    if not state.asking:
        return
    title, body = {"note": (f"Note on row {state.row}", _note), "jump": ("Go to a row", _jump)}[state.asking]
    st.dialog(title, on_dismiss=lambda: state.ask(""))(body)(state)


def _note(state: State) -> None:
    book = services.book(str(state.run))
    with st.container(key="note_box"), st.form("note", border=False, enter_to_submit=True):
        text = st.text_input("What should be remembered?", help=texts.NOTE_HELP)
        saved = widgets.pressed(
            state, st.form_submit_button, "Save the note", "note_save", type="primary", width="stretch"
        )
    if saved:
        deciding.note(state, str(text))
        st.rerun()
    if state.blind:
        return
    mine = {int(i) for i in book.patches.loc[book.patches["row_id"] == state.row, "patch_id"]}
    found = [event for event in services.events(book.name) if mine & set(event.patch_ids)]
    if found:
        st.caption("Before, on this row:")
        st.markdown("\n".join(f"- {widgets.event_words(book, event)}" for event in found[:-11:-1]))


def _jump(state: State) -> None:
    with st.container(key="jump_box"), st.form("jump", border=False, enter_to_submit=True):
        text = st.text_input("Row number", placeholder="as in your file, counted from 0")
        wanted = widgets.pressed(state, st.form_submit_button, "Go", "jump_go", type="primary", width="stretch")
    if wanted:
        problem = deciding.jump(state, str(text))
        if problem:
            st.error(problem, icon=":material/error:")
        else:
            st.rerun()
