"""Rounds: the cleaned table diagnosed again, and what changed in what is flagged."""

from __future__ import annotations

import streamlit as st

from dashboard import repeating, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Rounds", texts.ROUNDS_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to compare yet")
    st.stop()
run = str(state.run)
left, right = st.columns([1, 2.1], gap="large")
with left:
    repeating.start(state, run)
    repeating.later(state, run)
with right:
    found = services.compared(run)
    if found is None:
        widgets.empty("This is the first round", texts.FIRST_ROUND)
        st.stop()
    repeating.rounds(services.chain(run))
    repeating.change(found)
    repeating.new_rows(state, found)
