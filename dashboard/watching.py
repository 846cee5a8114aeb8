"""A running diagnosis on the screen: one flat fragment that reads the run folder, and what stands when it ends."""

from __future__ import annotations

from html import escape

import streamlit as st

from dashboard import services, texts, widgets
from dashboard.services import JobState, Status
from dashboard.state import get

POLL_SECONDS = 0.7


def instead(name: str | None, title: str) -> None:
    """In place of a page that needs a finished run: the job if there is one, else where to begin."""
    if name is not None and services.status(name) is not None:
        job(name)
        return
    widgets.empty(title, texts.NO_RUN)
    st.page_link("views/data.py", label="Choose data", icon=":material/table_view:")


def job(name: str) -> None:
    """Progress while the job runs, then its end: go on to the review, one sentence, or start again."""
    status = services.status(name)
    if status is None:
        widgets.empty("Not started", texts.NO_RUN)
        return
    with st.container(key="job"):
        progress = st.fragment(_progress, run_every=POLL_SECONDS if status.state.active else None)
        progress(name, status.state)
        if not status.state.active:
            _end(name, status)


def _end(name: str, status: Status) -> None:
    if status.state is JobState.DONE:
        st.success(texts.JOB_DONE, icon=":material/check_circle:")
        st.caption("\n".join(f"- {note}" for note in services.notes(name)))
    elif status.state is JobState.CANCELLED:
        st.info(texts.JOB_CANCELLED, icon=":material/pause_circle:")
    else:
        st.error(status.error or texts.JOB_FAILED, icon=":material/error:")
    _after(name, status)


def _after(name: str, status: Status) -> None:
    with st.container(horizontal=True):
        if status.state is JobState.DONE:
            st.button(
                "Review the suggestions", type="primary", key="to_review", icon=":material/arrow_forward:",
                on_click=get().go, args=("review",),
            )  # fmt: skip
        else:
            st.button("Go on", icon=":material/play_arrow:", key="again", on_click=services.start_again, args=(name,))
        st.button("New diagnosis", key="new_diagnosis", on_click=get().watch, args=(False,))


def _progress(name: str, before: JobState) -> None:
    status = services.status(name)
    if status is None:
        return
    said = (status.message, texts.time_left(status.seconds_left)) if status.state.active else ("",)
    st.progress(min(max(status.overall, 0.0), 1.0), text=" · ".join(word for word in said if word) or None)
    st.html(stage_list(status, services.stages(name)))
    if status.state.active:
        st.button("Cancel", key="cancel", icon=":material/stop:", on_click=services.cancel, args=(name,))
    elif before.active:
        st.rerun()


def stage_list(status: Status, finished: dict[str, float]) -> str:
    """All stages as HTML: done with seconds, the present one with its bar, the rest grey."""
    all_done = status.state is JobState.DONE
    lines = []
    for stage in services.stage_names():
        here = stage == status.stage and not all_done
        done = all_done or (stage in finished and not here)
        share = 1.0 if done else status.fraction if here else 0.0
        mark = "✓" if done else ("▸" if status.state.active else "✕") if here else "·"
        seconds = f"{finished[stage]:.1f} s" if done and stage in finished else f"{share:.0%}" if here else ""
        lines.append(
            f'<div class="dx-stage{"" if done or here else " todo"}"><span>{mark}</span>'
            f"<span><b>{escape(stage.capitalize())}</b> "
            f'<span class="dx-muted">{escape(texts.STAGE_WORDS.get(stage, ""))}</span></span>'
            f'<span class="t"><i style="width:{100 * share:.0f}%"></i></span>'
            f'<span class="dx-muted n">{seconds}</span></div>'
        )
    return f'<div id="stages" data-state="{status.state}">{"".join(lines)}</div>'
