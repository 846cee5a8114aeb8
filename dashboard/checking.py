"""The pieces of the check page: the estimate, the measurement, what each part adds, where, and the ruler itself."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from dashboard import deciding, services, texts, widgets
from dashboard.services import Expected, JobState, Status
from dashboard.state import State
from demix_core.types import ErrorType

RULERS = {"test": "Clean test rows", "validation": "Validation rows", "trusted": "Validation rows that look right"}
SHOWN_SUSPECTS = 12
VERDICTS = {True: ("better", "up"), False: ("worse", "down"), None: ("unclear", "even")}


def expectation(expected: Expected) -> None:
    """The estimate from influence, there at once."""
    words = texts.ESTIMATE_UNKNOWN
    if expected.gain is not None:
        words = texts.ESTIMATE.format(change=f"{-expected.gain:+.4f}")
    more = f" {texts.ESTIMATE_LEFT_OUT.format(n=expected.unknown)}" if expected.unknown else ""
    gain = "" if expected.gain is None else f"{expected.gain:.6f}"
    st.html(
        f'<div class="dx-bar" id="estimate" data-gain="{gain}"><span><b>{expected.changed:,}</b> changes stand.</span>'
        f'<span class="dx-muted">{escape(words + more)}</span></div>'
    )


def start_button(run: str, result: dict[str, Any] | None, fresh: bool) -> None:
    """Measure, or measure again."""
    label = "Measure: train before and after" if result is None else "Measure again"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            label, type="secondary" if fresh else "primary", key="measure", icon=":material/speed:",
            on_click=services.measure, args=(run,), disabled=fresh, help=texts.MEASURE_HELP,
        )  # fmt: skip
        if result is not None and not fresh:
            st.caption(texts.OUT_OF_DATE)


def trouble(status: Status | None) -> None:
    """Why the last measurement has no result."""
    if status is not None and status.state is JobState.FAILED:
        st.error(status.error or texts.JOB_FAILED, icon=":material/error:")
    elif status is not None and status.state is JobState.CANCELLED:
        st.info(texts.MEASURE_CANCELLED, icon=":material/pause_circle:")


def comparison(result: dict[str, Any]) -> None:
    """Before and after on the ruler of the person's choice."""
    rulers = {name: part["metrics"] for name, part in result["parts"].items()}
    if result["ruler"]["suspects"] and result["ruler"]["metrics"]:
        rulers["trusted"] = result["ruler"]["metrics"]
    order = [name for name in RULERS if name in rulers]
    st.subheader("Before and after", anchor=False)
    chosen = st.segmented_control(
        "Measured on", order, default=order[0], required=True, key="w_ruler", format_func=RULERS.__getitem__,
        label_visibility="collapsed",
    )  # fmt: skip
    rows = result["parts"].get(chosen or "", result["parts"]["validation"])["rows"]
    rows -= result["ruler"]["suspects"] if chosen == "trusted" else 0
    st.html(metric_table(rulers[str(chosen)]))
    size = result["rows"]
    words = texts.MEASURED_ON.format(rows=texts.rows(rows), seeds=len(result["seeds"]), model=result["model"], **size)
    st.caption(words + (f" {texts.DIRTY_RULER}" if chosen == "validation" else ""))


def metric_table(metrics: list[dict[str, Any]]) -> str:
    """A line per metric: before, after, the difference with its interval as a bar around zero, and a verdict."""
    head = _head(("Measure", ""), ("Before", "n"), ("After", "n"), ("Difference", "n"), ("95 % interval", ""), ("", ""))
    body = "".join(
        f"<tr data-metric='{m['metric']}' data-after='{m['after']:.6f}'><td>{escape(m['title'])}"
        f" <span class='dx-muted'>{'↑' if m['higher'] else '↓'}</span></td>"
        f"<td class='n'>{m['before']:.4f}</td><td class='n'>{m['after']:.4f}</td>{_difference(m)}</tr>"
        for m in metrics
    )
    return f'<table class="dx" id="metrics">{head}<tbody>{body}</tbody></table>'


def _head(*columns: tuple[str, str]) -> str:
    return "<thead><tr>" + "".join(f'<th class="{css}">{name}</th>' for name, css in columns) + "</tr></thead>"


def _difference(m: dict[str, Any]) -> str:
    """Three cells: difference, interval, verdict."""
    word, css = VERDICTS[m["better"]]
    reach = max(abs(m["low"]), abs(m["high"]), abs(m["delta"]), 1e-12)
    left, right, at = (50 + 48 * v / reach for v in (m["low"], m["high"], m["delta"]))
    bar = (
        f'<span class="dx-interval dx-{css}" title="{m["low"]:+.4f} to {m["high"]:+.4f}"><i class="zero"></i>'
        f'<i class="reach" style="left:{left:.1f}%;width:{max(right - left, 0.5):.1f}%"></i>'
        f'<i class="at" style="left:{at:.1f}%"></i></span>'
    )
    return f"<td class='n'>{m['delta']:+.4f}</td><td>{bar}</td><td class='dx-{css}'>{word}</td>"


def contributions(state: State, result: dict[str, Any], fresh: bool) -> None:
    """What each kind and each batch of decisions adds to the rest, with a button that takes it back."""
    parts = [c for c in result["contributions"] if c["metrics"]]
    if not parts:
        return
    st.subheader("What each part adds to the rest", anchor=False)
    st.caption(texts.CONTRIBUTIONS_WORDS.format(measure=parts[0]["metrics"][0]["title"], ruler=parts[0]["ruler"]))
    standing = services.standing(str(state.run))
    for c in parts:
        m = c["metrics"][0]
        words, bar, button = st.columns([2.2, 2.6, 1], gap="small", vertical_alignment="center")
        if c["kind"] == "type":
            name, gone = widgets.type_name(ErrorType(c["name"])), not services.of_type(str(state.run), c["name"])
        else:
            name, gone = escape(f"Decision {c['name']}"), int(c["name"]) not in standing
        words.html(f'<span>{name} <span class="dx-muted">· {texts.suggestions(c["patches"])}</span></span>')
        bar.html(f'<table class="dx bare"><tr>{_difference(m)}</tr></table>')
        button.button(
            "Taken back" if gone else "Take back", key=f"take_back_{c['kind']}_{c['name']}", disabled=gone,
            on_click=_take_back, args=(state, c), width="stretch",
            type="primary" if m["better"] is False and fresh else "secondary",
        )  # fmt: skip


def _take_back(state: State, part: dict[str, Any]) -> None:
    if part["kind"] == "batch":
        deciding.revert(state, int(part["name"]))
    else:
        ids = services.of_type(str(state.run), part["name"])
        deciding.decide_many(state, "reject", ids, "taken back on the check page")


def slices(result: dict[str, Any]) -> None:
    """Where the model changed most surely."""
    name = "test" if "test" in result["parts"] else "validation"
    found = result["parts"][name]["slices"]
    st.subheader("Where the model changed", anchor=False)
    if not found:
        st.caption("No slice of one column has enough rows to say.")
        return
    head = _head(("Slice", ""), ("Rows", "n"), ("Before", "n"), ("After", "n"), ("", ""))
    body = "".join(
        f"<tr><td>{escape(s['words'])}</td><td class='n'>{s['rows']:,}</td><td class='n'>{s['before']:.3f}</td>"
        f"<td class='n'>{s['after']:.3f}</td><td>{_slice_verdict(s)}</td></tr>"
        for s in found
    )
    st.html(f'<div class="dx-scroll"><table class="dx" id="slices">{head}<tbody>{body}</tbody></table></div>')
    st.caption(texts.SLICES_WORDS)


def _slice_verdict(s: dict[str, Any]) -> str:
    word, css = VERDICTS[None if s["q"] >= 0.05 else s["after"] > s["before"]]
    return f"<span class='dx-{css}'>{word}</span>"


def ruler(result: dict[str, Any]) -> None:
    """Validation rows that look mislabelled themselves."""
    found = result["ruler"]
    st.subheader("Is the ruler straight?", anchor=False)
    if not found["suspects"]:
        st.caption(texts.RULER_STRAIGHT)
        return
    st.caption(texts.RULER_BENT.format(n=texts.rows(found["suspects"])))
    head = _head(("Row", "n"), ("Given", ""), ("Looks like", ""), ("", "n"))
    body = "".join(
        f"<tr><td class='n'>{s['row']}</td><td><del>{escape(s['given'])}</del></td><td>{escape(s['likely'])}</td>"
        f"<td class='n'>{s['certainty']:.2f}</td></tr>"
        for s in found["shown"][:SHOWN_SUSPECTS]
    )
    st.html(f'<div class="dx-scroll"><table class="dx" id="ruler">{head}<tbody>{body}</tbody></table></div>')
