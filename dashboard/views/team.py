"""Team: who decided what, the blind second review, agreement, conflicts."""

from __future__ import annotations

import streamlit as st

from dashboard import services, teamwork, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Team", texts.TEAM_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nobody has decided anything yet")
    st.stop()
run = str(state.run)
teamwork.page(state, services.book(run), services.team(run))
