"""Check: what the decisions do to the model, estimated at once and measured on request."""

from __future__ import annotations

import streamlit as st

from dashboard import checking, deciding, services, texts, watching, widgets
from dashboard.state import get

state = get()
widgets.page_title("Check", texts.CHECK_WORDS)
if not services.is_done(state.run):
    watching.instead(state.run, "Nothing to check yet")
    st.stop()
run = str(state.run)
expected, status = services.expected(run), services.measuring(run)
result = services.measured(run, expected.key)
if not expected.changed:
    ids = services.recommended(run)
    widgets.empty("Nothing is accepted yet", texts.NOTHING_TO_CHECK)
    with st.container(horizontal=True):
        if ids:
            st.button(
                f"Accept the {texts.suggestions(len(ids))} that DeMix is surest of", type="primary",
                key="accept_recommended", on_click=deciding.decide_many, args=(state, "accept", ids, "recommended"),
            )  # fmt: skip
        st.page_link("views/review.py", label="Review one by one", icon=":material/rate_review:")
    st.stop()
checking.expectation(expected)
if status is not None and status.state.active:
    widgets.watch_job("measuring", run, services.measuring, services.stop_measuring)
    st.stop()
fresh = result is not None and result["key"] == expected.key
checking.trouble(status)
checking.start_button(run, result, fresh)
if result is not None:
    with st.container(key="measured" if fresh else "measured_before"):
        left, right = st.columns([1.5, 1], gap="large")
        with left:
            checking.comparison(result)
            checking.contributions(state, result, fresh)
        with right:
            checking.slices(result)
            checking.ruler(result)
