"""Export: what will change, the files, and the command that does the same."""

from __future__ import annotations

import streamlit as st

from dashboard import exporting, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Export", texts.EXPORT_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to export yet")
    st.stop()
run = str(state.run)
left, right = st.columns([2.1, 1], gap="large")
with right:
    with_weights = exporting.choices()
    exporting.downloads(run, with_weights)
    exporting.report(run)
    exporting.next_round()
with left:
    exporting.diff(services.changes(run))
exporting.command(run, with_weights)
