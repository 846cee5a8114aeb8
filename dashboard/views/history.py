"""History: every decision and note in a sentence, who and when, and each can be taken back."""

from __future__ import annotations

import streamlit as st

from dashboard import history, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("History", texts.HISTORY_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing has happened yet")
    st.stop()
if state.blind:
    widgets.empty("Hidden in a blind review", texts.HISTORY_BLIND)
    st.stop()
run = str(state.run)
events = services.events(run)
if not events:
    widgets.empty("Nothing is decided yet", texts.HISTORY_EMPTY)
    st.page_link("views/review.py", label="Review", icon=":material/rate_review:")
    st.stop()
book, codes = services.book(run), services.codes(run)
widgets.progress_bar(codes, state.message)
found = history.matching(book, events, history.choose(events))
left, right = st.columns([3, 1.4], gap="small", vertical_alignment="center")
count = f"<span><b>{len(found):,}</b> of {len(events):,} lines</span>"
left.html(f'<div class="dx-bar" id="history" data-n="{len(found)}">{count}</div>')
with right:
    history.download(run)
if not found:
    widgets.empty("Nothing to show", texts.HISTORY_NONE)
history.lines(state, book, found, services.standing(run))
