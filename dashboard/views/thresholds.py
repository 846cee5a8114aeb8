"""Thresholds: per error type from where on rows are suspected, how many of them are right, and how that is known."""

from __future__ import annotations

import streamlit as st

from dashboard import services, texts, trusting, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Thresholds", texts.THRESHOLDS_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to judge yet")
    st.stop()
run = str(state.run)
kind = trusting.choose_type(state)
if trusting.nothing(run, kind):
    st.stop()
left, right = st.columns([2, 1.15], gap="large")
with left:
    found = trusting.slider(run, kind)
    trusting.picture(run, found)
    trusting.moved(state, run, found)
with right:
    trusting.figures(found)
    trusting.next_sample(state, run, found)
    trusting.planted(run, found)
