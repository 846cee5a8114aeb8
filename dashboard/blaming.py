"""The pieces of the influence page: the map of groups × slices, the rows to blame, what selected rows do."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import charts, deciding, review, services, texts, widgets
from dashboard.services import Blame, JobState, Slice, View
from dashboard.state import State
from demix_core.types import ErrorType

QUESTIONS = {"blame": "Rows to blame", "selection": "What selected rows do"}
TOPS = (20, 100, 500)
TABLE_LINES, TOUCHED_LINES = 100, 6
TABLE_HEIGHT = 300


def job(run: str) -> None:
    """In place of the page as long as nothing is measured: the job, which begins by itself on the first look."""
    status = services.measuring_slices(run)
    if status is None or status.state is JobState.DONE:  # done for an earlier diagnosis
        services.measure_slices(run)
        status = services.measuring_slices(run)
    if status is not None and status.state.active:
        widgets.watch_job("slices", run, services.measuring_slices, services.stop_slices)
        return
    if status is not None and status.state is JobState.FAILED:
        st.error(status.error or texts.JOB_FAILED, icon=":material/error:")
    else:
        widgets.empty("Not measured yet", texts.SLICES_CANCELLED)
    st.button(
        "Measure", type="primary", key="measure_slices", icon=":material/play_arrow:",
        on_click=services.measure_slices, args=(run,),
    )  # fmt: skip


# ---- the map -----------------------------------------------------------------------------------------------------


def divisions(state: State, found: Blame) -> None:
    """How training rows are grouped, and validation rows sliced."""
    chosen = state.influence
    left, right, which = st.columns([1, 1, 1.54], gap="small", vertical_alignment="bottom")
    for place, name, ways, words in (
        (left, "groups", found.groupings, "Training rows by"), (right, "slices", found.slicings, "Validation rows by"),
    ):  # fmt: skip
        key = f"w_{name}"
        place.selectbox(
            words, ways, index=ways.index(getattr(chosen, name)), key=key, format_func=texts.division,
            on_change=lambda name=name, key=key: state.divide(**{name: st.session_state[key]}),
        )  # fmt: skip
    which.segmented_control(
        "Question", list(QUESTIONS), default=chosen.question, required=True, key="w_question",
        format_func=QUESTIONS.__getitem__, label_visibility="collapsed", width="stretch",
        on_change=lambda: state.divide(question=st.session_state["w_question"] or chosen.question),
    )  # fmt: skip


def this_slice(state: State, found: Blame, view: View) -> int:
    """The slice in view: the chosen one, else that with the highest loss."""
    chosen = state.influence.slice
    return chosen if chosen in view.slices else found.pick(view.slices, None)


def matrix(state: State, found: Blame, view: View) -> None:
    """The clustered heat map; a click chooses a slice and a group."""
    slices = [found.means.slices[i] for i in view.slices]
    hover = [
        [texts.cell_words(g.name, len(g.members), s.name, s.rows, float(v)) for s, v in zip(slices, line, strict=True)]
        for g, line in zip(view.groups, view.mean, strict=True)
    ]
    groups = [g.name for g in view.groups]
    at = groups.index(state.influence.group) if state.influence.group in groups else None
    figure = charts.influence_matrix(
        view.mean, [f"{g.name} · {len(g.members):,}" for g in view.groups], [f"{s.name} · {s.rows:,}" for s in slices],
        hover, (at, view.slices.index(this_slice(state, found, view))), widgets.dark(),
    )  # fmt: skip
    key = f"w_matrix_{state.influence.groups}_{state.influence.slices}"

    def click() -> None:
        points = st.session_state[key].selection.points
        if points:
            group, slice_ = divmod(points[0]["point_index"], len(view.slices))
            state.divide(group=groups[group], slice=view.slices[slice_])

    st.plotly_chart(figure, key=key, on_select=click, selection_mode="points", config={"displayModeBar": False})
    st.caption(texts.MATRIX_WORDS)


# ---- rows to blame -----------------------------------------------------------------------------------------------


def to_blame(state: State, found: Blame, view: View) -> None:
    """Choose a slice, see which training rows push against it, and go to them."""
    chosen, here = state.influence, this_slice(state, found, view)
    slices, groups = found.means.slices, {g.name: g for g in view.groups}
    ordered = sorted(view.slices, key=lambda i: -slices[i].loss)
    st.selectbox(
        "Slice of the validation rows, highest loss first", ordered, index=ordered.index(here), key=f"w_slice_{here}",
        format_func=lambda i: texts.slice_words(slices[i].name, slices[i].rows, slices[i].loss, slices[i].right),
        on_change=widgets.changed(f"w_slice_{here}", here, lambda at: state.divide(slice=at)),
    )  # fmt: skip
    among, many, only = st.columns([1.25, 1.4, 1], gap="small", vertical_alignment="bottom")
    names = ["", *groups]
    among.selectbox(
        "Among", names, index=names.index(chosen.group) if chosen.group in names else 0, key=f"w_among_{chosen.group}",
        format_func=lambda name: name or "all training rows",
        on_change=widgets.changed(f"w_among_{chosen.group}", chosen.group, lambda name: state.divide(group=name)),
    )  # fmt: skip
    many.segmented_control(
        "How many", TOPS, default=chosen.top, required=True, key="w_top",
        on_change=lambda: state.divide(top=st.session_state["w_top"] or chosen.top),
    )  # fmt: skip
    only.toggle(
        "Only flagged", chosen.flagged, key="w_only_flagged",
        on_change=lambda: state.divide(flagged=st.session_state["w_only_flagged"]),
    )  # fmt: skip
    rows = found.to_blame(here, chosen.top, groups.get(chosen.group), chosen.flagged)
    blamed(state, found, slices[here], rows)


def blamed(state: State, found: Blame, slice_: Slice, rows: pd.DataFrame) -> None:
    """The ranked rows with their flags, and the way to them."""
    if rows.empty:
        widgets.empty("Nobody to blame", texts.NOBODY_TO_BLAME)
        return
    flagged = int(rows[[k.value for k in ErrorType]].any(axis=1).sum())
    words = texts.BLAMED.format(n=texts.rows(len(rows)), slice=escape(slice_.name), flagged=flagged)
    st.html(f'<div class="dx-small" id="blamed" data-n="{len(rows)}">{words}</div>')
    with st.container(height=TABLE_HEIGHT, key="blame_table"):
        st.html(blame_table(rows, found.explainer.schema.target))
    if widgets.pressed(
        state, st.button, f"Show {texts.these(len(rows))} on the map", "show_blamed", type="primary",
        icon=":material/scatter_plot:", width="stretch",
    ):  # fmt: skip
        deciding.show_rows(state, rows["row_id"].to_numpy())
        widgets.turn_to(state, "review")
    if slice_.one_label:
        st.caption(texts.ONE_LABEL)


def blame_table(rows: pd.DataFrame, target: str) -> str:
    """HTML: row, label, influence on the slice with a bar, on all rows, flags."""
    most = float(rows["influence"].max())
    body = "".join(
        f"<tr><td class='n'>{r['row_id']}</td><td>{escape(review.shown(r['label']))}</td>"
        f"<td>{_push(0, 100 * r['influence'] / most)}</td><td class='n'>{r['influence']:+.3f}</td>"
        f"<td class='n'>{r['overall']:+.3f}</td><td>{flags(r)}</td></tr>"
        for r in rows.head(TABLE_LINES).to_dict("records")
    )
    head = (
        f"<th class='n'>row</th><th>{escape(target)}</th><th colspan='2'>harm to the slice</th>"
        "<th class='n'>to all</th><th>flagged</th>"
    )
    return f'<table class="dx blame"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def flags(row: dict[str, object]) -> str:
    """The row's error types as marks in their colours; a dash for none."""
    kinds = [k for k in ErrorType if row[k.value]]
    marks = (
        f'<span style="color:{widgets.type_colour(k)}" title="{texts.TYPE_NAMES[k]} {row[k.probability_column]:.2f}">'
        f"{widgets.glyph(k)} {k.short}</span>"
        for k in kinds
    )
    return " ".join(marks) or '<span class="dx-muted">–</span>'


def bar(value: float, reach: float) -> str:
    """A number as a bar from the middle: left and blue helps, right and vermilion harms."""
    width = 50 * min(abs(value) / reach, 1.0)
    return _push(50.0, width, "both") if value > 0 else _push(50 - width, width, "both", "help")


def _push(left: float, width: float, frame: str = "", side: str = "harm") -> str:
    return f'<span class="dx-push {frame}"><i class="{side}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'


# ---- the other way round -----------------------------------------------------------------------------------------


def selection(state: State, found: Blame, view: View) -> None:
    """What the rows that are selected on the map do to slices and to single validation rows."""
    if state.selection is None:
        widgets.empty("No rows selected", texts.NO_SELECTION)
        st.page_link("views/review.py", label="Select rows on the map", icon=":material/lasso_select:")
        return
    run, ids = str(state.run), state.selection
    st.html(
        f'<div class="dx-small" id="touching" data-n="{len(ids)}">{texts.TOUCHES.format(n=texts.rows(len(ids)))}</div>'
    )
    on_slices = found.slices_touched(ids)
    ranked = sorted(view.slices, key=lambda i: -on_slices[i])
    st.html(slice_table([found.means.slices[i] for i in ranked], on_slices[ranked]))
    place = st.empty()
    rows = services.touched(run, found, ids, TOUCHED_LINES, lambda f, words: place.progress(min(f, 1.0), text=words))
    place.empty()
    with st.container(height=TABLE_HEIGHT - 80, key="touched_table"):
        for head, part in (("Harmed most", rows[rows["influence"] > 0]), ("Helped most", rows[rows["influence"] < 0])):
            st.html(f'<div class="dx-h">{head} (validation rows)</div>{touched_table(part)}')


def slice_table(slices: list[Slice], influence: np.ndarray) -> str:
    """HTML: each slice with a bar."""
    reach = float(np.abs(influence).max()) or 1.0
    body = "".join(
        f"<tr><td title='{escape(s.name)}'>{escape(s.name)}</td><td>{bar(float(v), reach)}</td>"
        f"<td class='n'>{v:+.3f}</td></tr>"
        for s, v in zip(slices, influence, strict=True)
    )
    return f'<table class="dx slices"><tbody>{body}</tbody></table>'


def touched_table(rows: pd.DataFrame) -> str:
    """HTML: validation rows with the influence on them, the target first."""
    cells = list(rows.columns[2:])
    head = "".join(f"<th title='{escape(n)}'>{escape(n)}</th>" for n in ("row", "influence", *cells))
    body = "".join(
        f"<tr><td>{line[0]}</td><td class='n'>{line[1]:+.3f}</td><td><b>{escape(review.shown(line[2]))}</b></td>"
        + "".join(f"<td title='{escape(review.shown(v))}'>{escape(review.shown(v))}</td>" for v in line[3:])
        + "</tr>"
        for line in rows.itertuples(index=False, name=None)
    )
    width = 130 + 84 * len(cells)
    return f'<table class="dx" style="width:{width}px"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
