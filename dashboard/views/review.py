"""Review: map, inspector and queue on one screen."""

from __future__ import annotations

import streamlit as st

from dashboard import (
    asking,
    components,
    deciding,
    guide,
    inspector,
    mapping,
    services,
    sifting,
    texts,
    watching,
    widgets,
)
from dashboard.state import get

state = get()
if not services.is_done(state.run):
    components.address(deciding.whereabouts(state))
    widgets.page_title("Review", texts.PROMISE)
    watching.instead(state.run, "Nothing to review yet")
    st.stop()
run = str(state.run)
deciding.settle(state, services.book(run), inspector.PANELS)
deciding.hear(state)
book, codes = services.book(run), deciding.codes_of(state)
order = deciding.queue_of(state, book, codes)
if state.row is None and len(order):
    deciding.look_at_position(state, book, int(order[0]))

components.address(deciding.whereabouts(state))
if state.blind:
    st.sidebar.info(texts.BLIND_WORDS.format(who=texts.plain(state.reviewer)), icon=":material/visibility_off:")
else:
    sifting.sidebar(state, book, codes)
components.keys(deciding.field_wanted(state), state.key_nonce, state.key_seq, True, texts.SHEET)
asking.dialog(state)
guide.tour(state)
with st.container(key="review_page", gap="small"):
    widgets.top_bar(state, book, codes)
    widgets.intro(state)
    left, right = st.columns([1.42, 1], gap="small")
    with left:
        mapping.draw(state, book, codes)
    with right, st.container(key="inspector"):
        inspector.inspector(state, book, codes)
    widgets.queue_head(state, book, codes, order)
    widgets.newly_likely(state)
    widgets.draw_queue(state, book, codes, order)
