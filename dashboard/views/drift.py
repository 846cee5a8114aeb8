"""Drift: does a new batch act on the model as the training rows do, and which columns and rows make the difference."""

from __future__ import annotations

import streamlit as st

from dashboard import drifting, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Drift", texts.DRIFT_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to compare yet")
    st.stop()
run = str(state.run)
found, status = services.drifted(run), services.comparing(run)
left, right = st.columns([1, 2.1], gap="large")
with left:
    if status is not None and status.state.active:
        widgets.watch_job("comparing", run, services.comparing, services.stop_comparing)
    else:
        drifting.choice(run, found is not None)
        drifting.trouble(status)
with right:
    if found is None:
        widgets.empty("Not compared yet", texts.NOT_COMPARED)
        st.stop()
    drifting.verdict(found)
    drifting.columns(found)
    drifting.rows(found)
