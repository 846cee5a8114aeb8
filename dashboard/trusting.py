"""The pieces of the Thresholds page: the slider on the probabilities, what the reviewed rows say, the next sample."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import charts, deciding, services, texts, widgets
from dashboard.services import Look
from dashboard.state import ALL_TYPES, State
from demix_core.trust.evidence import OPEN, RIGHT, WRONG
from demix_core.trust.words import between, how, interval, shares
from demix_core.types import ErrorType

SAMPLE = 30
"""Rows of one press of the button: an interval of about ± 0.15, in ten minutes."""

STEP = 0.01


def choose_type(state: State) -> ErrorType:
    """Which error type the page speaks of; the one that the queue shows, if it is only one."""
    first = state.filters.types[0] if len(state.filters.types) == 1 else ALL_TYPES[0]
    chosen = st.segmented_control(
        "Error type", ALL_TYPES, default=first, key="w_trust_type", required=True, label_visibility="collapsed",
        format_func=texts.TYPE_NAMES.__getitem__,
    )  # fmt: skip
    return ErrorType(chosen)


def slider(run: str, kind: ErrorType) -> Look:
    """The threshold; one above the diagnosis' own is kept in the run, one below is only looked at."""
    now, key = services.look(run, kind), f"w_threshold_{run}_{kind.value}"

    def keep() -> None:
        at = float(st.session_state[key])
        services.move_threshold(run, kind, at if at >= now.diagnosed + STEP / 2 else None)

    at = st.slider(
        f"Suspect a row from this probability of a {texts.TYPE_NAMES[kind].lower()} on",
        0.0, 1.0, now.evidence.threshold, STEP, key=key, on_change=keep,
    )  # fmt: skip
    lower = at < now.diagnosed - STEP / 2
    return services.look(run, kind, at) if lower else services.look(run, kind)


def picture(run: str, found: Look) -> None:
    """The distribution of the probabilities with what was said of which."""
    kind, said = found.evidence.error_type, services.suspects(run)[found.evidence.error_type]
    judged = {name: said.pool.scores[said.pool.judged == v] for name, v in (("right", RIGHT), ("wrong", WRONG))}
    lowest = float(said.pool.scores.min(initial=found.diagnosed))
    st.plotly_chart(
        charts.score_histogram(said.scores, found.evidence.threshold, lowest, judged, widgets.type_colour(kind)),
        key="trust_chart", config={"displayModeBar": False},
    )  # fmt: skip


def moved(state: State, run: str, found: Look) -> None:
    """What a moved threshold does, and the way below the diagnosis' own."""
    at, kind = found.evidence.threshold, found.evidence.error_type
    if at < found.diagnosed - STEP / 2:
        st.caption(texts.THRESHOLD_BELOW.format(made=found.diagnosed, at=at))
        label = f"Suggest again from {at:.2f} on"
        if widgets.pressed(state, st.button, label, "suggest_from", icon=":material/refresh:"):
            services.suggest_from(run, kind, at)
            widgets.turn_to(state, "diagnose")
    elif found.yours is not None:
        hidden = int((services.suspects(run)[kind].pool.scores < at).sum())
        st.caption(texts.THRESHOLD_KEPT.format(n=texts.rows(hidden), at=at))


def figures(found: Look) -> None:
    """Count, precision, what is kept, how common the error is; each with its interval and where it comes from."""
    e = found.evidence
    bare = e.flagged - e.suggested
    count = texts.number(e.flagged) + (f" ({bare:,} without a suggestion)" if bare else "")
    lines = (
        ("Rows from here on", count, ""),
        ("Right among them", interval(e.precision), ""),
        ("… at any threshold", interval(e.everywhere), texts.EVERYWHERE_HELP),
        ("Right rows kept", interval(e.kept), texts.KEPT_HELP),
        ("Share of the table, at least", interval(e.found), texts.FOUND_HELP),
    )
    st.html(
        f'<div id="evidence" data-type="{e.error_type.value}" data-rows="{e.flagged}" data-reviewed="{e.reviewed}" '
        f'data-sampled="{e.sampled}" data-low="{e.precision.low:.4f}" data-high="{e.precision.high:.4f}">'
        f'{band(found)}<table class="dx" style="table-layout:auto;margin-top:8px">{_figure_rows(lines)}</table></div>'
    )
    st.markdown(how(e))
    st.caption(texts.RECALL_UNKNOWN.format(at=found.diagnosed))


def band(found: Look) -> str:
    """The precision and its interval as a bar, as HTML."""
    share, colour = found.evidence.precision, widgets.type_colour(found.evidence.error_type)
    tick = "" if share.value is None else f'<u style="left:{100 * share.value:.1f}%"></u>'
    width = 100 * (share.high - share.low)
    shade = f"left:{100 * share.low:.1f}%;width:{width:.1f}%;background:{colour};opacity:.45"
    return (
        f'<div class="dx-probs" style="grid-template-columns:1fr"><div class="t" role="img" '
        f'aria-label="Precision {escape(interval(share))}"><i style="{shade}"></i>{tick}</div></div>'
    )


def planted(run: str, found: Look) -> None:
    """What this threshold finds of errors planted into copies of the table, and the way to plant them."""
    st.subheader("Planted errors", anchor=False, help=texts.PLANTED_HELP)
    status = services.rehearsing(run)
    if status is not None and status.state.active:
        widgets.watch_job("rehearsing", run, services.rehearsing, services.stop_rehearsing)
        return
    e = found.evidence
    known = services.planted(run, e.error_type, e.threshold)
    if known is None:
        st.caption(texts.PLANTED_NONE)
    else:
        _planted_figures(known)
    if status is not None and status.state is services.JobState.FAILED:
        st.error(status.error or texts.JOB_FAILED, icon=":material/error:")
    if known is None:
        st.button("Plant errors into copies of the table", key="rehearse", icon=":material/science:", width="stretch",
                  on_click=services.rehearse, args=(run,))  # fmt: skip


def _planted_figures(known: services.Rehearsed) -> None:
    lines = (
        ("Planted", texts.number(known.planted), texts.PLANTED_COUNT_HELP.format(copies=known.copies)),
        ("Found from here on", shares(known.found, known.found_range), texts.PLANTED_FOUND_HELP),
        ("Right among the flags", between(*known.right), texts.PLANTED_RIGHT_HELP),
    )
    st.html(
        f'<div id="planted" data-planted="{known.planted}" data-found="{known.found:.4f}">'
        f'<table class="dx" style="table-layout:auto">{_figure_rows(lines)}</table></div>'
    )


def _figure_rows(lines: Sequence[tuple[str, str, str]]) -> str:
    """Name, figure and what it means, as table rows."""
    return "".join(
        f'<tr title="{escape(about)}"><th>{escape(name)}{" (?)" if about else ""}</th><td class="n">{value}</td></tr>'
        for name, value, about in lines
    )


def next_sample(state: State, run: str, found: Look) -> None:
    """One press brings rows drawn at random into the review."""
    kind = found.evidence.error_type
    pool = services.suspects(run)[kind].pool
    waiting, free = services.waiting(run, kind), int(((pool.judged == OPEN) & ~pool.drawn).sum())
    label = f"Go on with the {texts.rows(waiting).replace('row', 'sampled row')} left"
    if not waiting:
        label = f"Review {min(SAMPLE, max(free, 1))} sampled row{'' if free == 1 else 's'} to sharpen this"
    if widgets.pressed(
        state, st.button, label, "review_sample", type="primary", icon=":material/casino:", help=texts.SAMPLE_HELP,
        disabled=not (waiting or free), width="stretch",
    ):  # fmt: skip
        deciding.review_sample(state, kind, SAMPLE)
        widgets.turn_to(state, "review")


def nothing(run: str, kind: ErrorType) -> bool:
    """Whether there is nothing to judge; it says so."""
    if len(services.suspects(run)[kind].pool.row_ids):
        return False
    widgets.empty(texts.TYPE_NAMES[kind], texts.NOTHING_SUGGESTED)
    return True
