"""Review: map, inspector and queue on one screen."""

from __future__ import annotations

import streamlit as st

from dashboard import components, deciding, inspector, mapping, services, texts, watching, widgets
from dashboard.state import get

state = get()
if not services.is_done(state.run):
    widgets.page_title("Review", texts.PROMISE)
    watching.instead(state.run, "Nothing to review yet")
    st.stop()
run = str(state.run)
deciding.hear(state)
book, codes = services.book(run), services.codes(run)
order = deciding.queue_of(state, book, codes)
if state.row is None and len(order):
    deciding.look_at_position(state, book, int(order[0]))

widgets.filter_form(state, book)
components.keys(f"edit {state.edits}" if state.editing else "", state.key_nonce, state.key_seq)
with st.container(key="review_page", gap="small"):
    widgets.top_bar(state, book, codes)
    widgets.intro(state)
    left, right = st.columns([1.42, 1], gap="small")
    with left:
        mapping.draw(state, book, codes)
    with right, st.container(key="inspector"):
        inspector.inspector(state, book, codes)
    widgets.queue_head(state, book, codes, order)
    widgets.draw_queue(state, book, codes, order)
