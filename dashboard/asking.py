"""What a key asks on the review: a note on the row in view, which row to go to, which cell is wrong there."""

from __future__ import annotations

import streamlit as st

from dashboard import deciding, review, services, texts, widgets
from dashboard.review import Book
from dashboard.state import State


def dialog(state: State) -> None:
    """The open question, if there is one; Esc closes it."""
    if not state.asking:
        return
    questions = {
        "note": (f"Note on row {state.row}", _note),
        "jump": ("Go to a row", _jump),
        "correct": (f"Correct row {state.row}", _correct),
    }
    title, body = questions[state.asking]
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


def _correct(state: State) -> None:
    book, row = services.book(str(state.run)), int(state.row or 0)
    cells, suspects = book.rows.loc[row], list(book.diagnosis.iloc[book.row_at[row]]["suspect_columns"])
    names = [*suspects, *(name for name in cells.index if name not in suspects)]
    column = str(st.selectbox("Which cell is wrong?", names, key=f"w_correct_{state.edits}"))
    with st.container(key="correct_box"), st.form("correct", border=False, enter_to_submit=True):
        typed = _right_value(state, book, column, str(cells[column]))
        save, drop = st.columns(2, gap="small")
        buttons = {
            "correct_save": (save.form_submit_button, "Save"),
            "correct_drop": (drop.form_submit_button, "Leave the row out"),
        }
        wanted = widgets.pressed_of(state, buttons, type="primary", width="stretch")
    problem = deciding.correct(state, column, typed) if wanted == "correct_save" else ""
    if wanted == "correct_drop":
        deciding.leave_out(state)
    if problem:
        st.error(problem, icon=":material/error:")
    elif wanted:
        st.rerun()
    st.caption(texts.CORRECTION_WORDS)


def _right_value(state: State, book: Book, column: str, now: str) -> str:
    """A field that holds the cell as it is; a label is chosen among the classes."""
    label = texts.RIGHT_VALUE.format(column=column, now=review.shown(now))
    if column == book.schema.target and book.schema.classes:
        others = [name for name in book.schema.classes if name != now.strip()]
        return str(st.selectbox(label, others, key=f"w_right_{state.edits}_{column}"))
    return str(st.text_input(label, now, key=f"w_right_{state.edits}_{column}"))
