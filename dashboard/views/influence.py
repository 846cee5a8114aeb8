"""Influence: which groups of training rows help or harm which validation rows, and which rows to blame."""

from __future__ import annotations

import streamlit as st

from dashboard import blaming, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Influence", texts.INFLUENCE_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to look at yet")
    st.stop()
run = str(state.run)
found = services.blame(run)
if found is None:
    blaming.job(run)
    st.stop()
blaming.divisions(state, found)
shown = services.view(run, found, state.influence.groups, state.influence.slices)
left, right = st.columns([1.3, 1], gap="medium")
with left:
    blaming.matrix(state, found, shown)
with right:
    if state.influence.question == "blame":
        blaming.to_blame(state, found, shown)
    else:
        blaming.selection(state, found, shown)
