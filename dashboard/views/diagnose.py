"""Diagnose: model, options, start; the job with its stages, time left and cancel."""

from __future__ import annotations

import streamlit as st

from dashboard import forms, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Diagnose", texts.DIAGNOSE_WORDS)
if state.run is not None and state.watching:
    watching.job(state.run)
    st.stop()
if not state.data.path:
    widgets.empty("No table chosen", texts.NO_DATA_TO_DIAGNOSE)
    st.page_link("views/data.py", label="Choose data", icon=":material/table_view:")
    st.stop()
seen = services.preview(state.data)
left, right = st.columns([1, 2.1], gap="large")
with left:
    st.subheader("From the data page")
    forms.chosen_data(state, seen)
    st.page_link("views/data.py", label="Change", icon=":material/edit:")
with right:
    forms.problems(seen)
    st.subheader("Model and options")
    values = forms.settings_form(services.options())
    own = forms.own_model(state, seen)
    if own.predictions and values.get(("diagnose", "calibrate")):
        st.info(texts.PREDICTIONS_OR_CALIBRATE, icon=":material/info:")
        values["diagnose", "calibrate"] = False
    stopped = bool(seen.problem or own.problem)
    if widgets.pressed(
        state, st.button, "Start the diagnosis", "start", type="primary", disabled=stopped, icon=":material/play_arrow:"
    ):
        settings = services.settings(state.data, values)
        name = services.start(state.data, settings, own.weights, own.predictions)
        state.open_run(name)
        state.watch(True)
        st.rerun()
