"""Data: which table, which target, which columns, what is held out; problems told at once."""

from __future__ import annotations

import streamlit as st

from dashboard import forms, services, texts, widgets
from dashboard.state import get

state = get()
widgets.page_title("Data", texts.DATA_WORDS)
left, right = st.columns([1, 2.1], gap="large")
with left:
    forms.source(state)
if not state.data.path:
    known = services.table_of(state.run) if state.run is not None else None
    with right:
        if known is None:
            widgets.empty("No table yet", texts.NO_DATA)
        else:
            forms.table_of_run(state, *known)
    st.stop()
seen = services.preview(state.data)
with right:
    forms.problems(seen)
    if seen.columns:
        tabs = st.tabs(["Columns", "First rows"]) if seen.schema is not None else [None, st.container()]
        if seen.schema is not None:
            with tabs[0]:
                forms.column_kinds(state, seen)
        with tabs[1]:
            forms.preview_table(seen)
with left:
    if seen.columns:
        forms.target_and_task(state, seen)
        forms.held_out(state)
    if widgets.pressed(
        state, st.button, "Go on to Diagnose", "to_diagnose", type="primary", disabled=bool(seen.problem),
        width="stretch",
    ):  # fmt: skip
        widgets.turn_to(state, "diagnose")
