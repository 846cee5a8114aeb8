"""The pieces of the team page: who decided what, drawing a second review, how far two people agree, conflicts."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from dashboard import deciding, review, services, texts, widgets
from dashboard.review import Book
from dashboard.services import Agreement, Draw, Pair, Share, Team
from dashboard.state import State
from demix_core.errors import InputError
from demix_core.types import DROP_VALUE, DecisionKind, ErrorType, Event

DRAW, LARGEST_DRAW, SHOWN_CONFLICTS = 30, 1000, 50


def people(found: list[Share]) -> None:
    """Who decided how many, as it stands."""
    st.subheader(texts.PEOPLE_HEAD, anchor=False)
    if not found:
        st.caption(texts.NOBODY_DECIDED)
        return
    body = "".join(
        f"<tr data-reviewer='{escape(p.reviewer, quote=True)}'><td title='{escape(p.reviewer, quote=True)}'>"
        f"{escape(p.reviewer)}</td><td class='n'>{p.accepted:,}</td><td class='n'>{p.edited:,}</td>"
        f"<td class='n'>{p.rejected:,}</td><td class='n'>{p.second:,}</td></tr>"
        for p in found
    )
    head = _head(("Reviewer", ""), ("Accepted", "n"), ("Edited", "n"), ("Rejected", "n"), ("Again", "n"))
    st.html(f'<table class="dx" id="people">{head}<tbody>{body}</tbody></table>')


def _head(*columns: tuple[str, str]) -> str:
    return "<thead><tr>" + "".join(f'<th class="{css}">{name}</th>' for name, css in columns) + "</tr></thead>"


# ---- the second review -------------------------------------------------------------------------------------------


def second_review(state: State) -> None:
    """The form for a new sample, the samples there are, and the button into one's own."""
    st.subheader(texts.SECOND_HEAD, anchor=False)
    st.caption(texts.SECOND_WORDS)
    _draw_form(state)
    drawn = services.team(str(state.run)).draws
    left = sum(len(made.patch_ids) - judged for made, judged in drawn if made.reviewer == state.reviewer)
    if left and widgets.pressed(
        state, st.button, f"Judge {texts.suggestions(left)} blind", "start_blind", type="primary",
        icon=":material/visibility_off:",
    ):  # fmt: skip
        state.go_blind(True)
        widgets.turn_to(state, "review")
    for made, judged in drawn:
        st.progress(judged / max(len(made.patch_ids), 1), text=_draw_words(made, judged))


def _draw_words(made: Draw, judged: int) -> str:
    by = "" if made.drawn_by in ("", made.reviewer) else f", drawn by {texts.plain(made.drawn_by)}"
    counted = f"{judged:,} of {len(made.patch_ids):,} judged"
    return f"**{texts.plain(made.reviewer)}**: {counted} :gray[({made.made[:10]}{by})]"


def _draw_form(state: State) -> None:
    with st.form("draw_second", border=False):
        who, size, press = st.columns([2, 1.2, 1], gap="small", vertical_alignment="bottom")
        name = who.text_input("Second reviewer", state.reviewer, key=f"w_second_{state.reviewer}")
        many = size.number_input("Suggestions", 1, LARGEST_DRAW, DRAW, key="w_second_size")
        drawn = widgets.pressed(state, press.form_submit_button, "Draw", "draw_second", width="stretch")
    if not drawn:
        return
    try:
        made = services.draw_second(str(state.run), str(name), int(many), state.drawn, state.reviewer)
    except InputError as error:
        st.warning(str(error), icon=":material/info:")
        return
    st.toast(texts.DRAWN.format(who=texts.plain(made.reviewer), n=texts.suggestions(len(made.patch_ids))))


# ---- agreement ---------------------------------------------------------------------------------------------------


def agreement(found: list[Agreement]) -> None:
    """κ in words, then by error type."""
    st.subheader(texts.AGREEMENT_HEAD, anchor=False, help=texts.KAPPA_HELP)
    whole = found[0]
    if not whole.pairs:
        st.caption(texts.NOTHING_TWICE)
        return
    kappa = "" if whole.kappa is None else f"{whole.kappa:.4f}"
    words = whole.words[:1].upper() + whole.words[1:]
    st.html(
        f'<div class="dx-bar" id="agreement" data-pairs="{whole.pairs}" data-same="{whole.same}" data-kappa="{kappa}">'
        f"<span><b>{escape(words)}.</b></span></div>"
    )
    head = _head(("", ""), ("Judged twice", "n"), ("The same", "n"), ("κ", "n"), ("95 % interval", ""), ("", ""))
    st.html(f'<table class="dx" id="kappas">{head}<tbody>{"".join(_line(a) for a in found)}</tbody></table>')


def _line(a: Agreement) -> str:
    name = "All" if a.name == "all" else widgets.type_name(ErrorType(a.name))
    counts = f"<td>{name}</td><td class='n'>{a.pairs:,}</td><td class='n'>{a.same:,}</td>"
    if a.kappa is None or a.low is None or a.high is None:
        return f"<tr>{counts}<td class='n'>–</td><td></td><td></td></tr>"
    left, right, at = (50 + 48 * v for v in (a.low, a.high, a.kappa))
    bar = (
        f'<span class="dx-interval" title="{a.low:.2f} to {a.high:.2f}"><i class="zero"></i>'
        f'<i class="reach" style="left:{left:.1f}%;width:{max(right - left, 0.5):.1f}%"></i>'
        f'<i class="at" style="left:{at:.1f}%"></i></span>'
    )
    interval = f"<td class='n dx-muted'>{a.low:.2f} to {a.high:.2f}</td>"
    return f"<tr>{counts}<td class='n'><b>{a.kappa:.2f}</b></td><td>{bar}</td>{interval}</tr>"


# ---- conflicts ---------------------------------------------------------------------------------------------------


def conflicts(state: State, book: Book, found: list[Pair]) -> None:
    """Both opinions with their reasons, and a button to take either or to look at the row."""
    st.subheader(f"{texts.CONFLICTS_HEAD}: {len(found):,}" if found else texts.CONFLICTS_HEAD, anchor=False)
    if not found:
        st.caption(texts.NO_CONFLICTS)
        return
    st.text_input(texts.CONFLICT_REASON, key="w_reason", max_chars=300)
    for pair in found[:SHOWN_CONFLICTS]:
        patch = book.patches.iloc[book.patch_at[pair.patch_id]]
        key = f"{pair.patch_id}_{pair.second.seq}"
        with st.container(key=f"conflict_{key}"):
            words, first, second, look = st.columns([4.6, 1.5, 1.5, 0.9], gap="small", vertical_alignment="center")
            words.html(_conflict_words(pair, patch))
            for place, event, which in ((first, pair.first, "first"), (second, pair.second, "second")):
                place.button(
                    f"As {texts.plain(event.reviewer)}", key=f"take_{which}_{key}", width="stretch",
                    on_click=settle, args=(state, pair, which == "second"),
                )  # fmt: skip
            if widgets.pressed(state, look.button, "Open", f"open_{key}", width="stretch"):
                state.go_blind(False)
                deciding.look_at_position(state, book, book.patch_at[pair.patch_id])
                widgets.turn_to(state, "review")
    if len(found) > SHOWN_CONFLICTS:
        st.caption(f"{len(found) - SHOWN_CONFLICTS:,} more; they come up as these are decided.")


def _conflict_words(pair: Pair, patch: pd.Series) -> str:
    old = "" if patch["action"] in ("drop", "reweight") else f"<del>{escape(review.shown(patch['old']))}</del> → "
    new = escape(review.change_words(patch["action"], patch["new"]))
    column = escape(review.column_words(patch["column"], patch["action"]))
    said = " · ".join(_said(event) for event in (pair.first, pair.second))
    return (
        f'<div class="dx-conflict"><div>Row {patch["row_id"]} · {widgets.type_name(pair.error_type)} · {column} '
        f"{old}<ins>{new}</ins></div><div>{said}</div></div>"
    )


def _said(event: Event) -> str:
    """'<b>Ann</b> edited to 40 (a typo)', as HTML."""
    verdict = {DecisionKind.ACCEPT: "accepted", DecisionKind.REJECT: "rejected"}.get(event.kind.verdict, "")
    if not verdict:
        verdict = "left the row out" if event.value == DROP_VALUE else f"edited to {escape(review.shown(event.value))}"
    reason = f' <span class="dx-muted">({escape(event.reason)})</span>' if event.reason else ""
    return f"<b>{escape(event.reviewer)}</b> {verdict}{reason}"


def settle(state: State, pair: Pair, second: bool) -> None:
    """Decides a conflict as one of the two said, unless somebody has just done so."""
    run, reason = str(state.run), str(st.session_state.get("w_reason") or "")
    row = services.book(run).patches["row_id"].iloc[services.book(run).patch_at[pair.patch_id]]
    open_ones = {(p.patch_id, p.second.seq) for p in services.team(run).conflicts}
    if (pair.patch_id, pair.second.seq) not in open_ones:
        st.toast(texts.RESOLVED_BEFORE.format(row=row))
        return
    services.resolve(run, pair, second, state.reviewer, reason)
    said = pair.second if second else pair.first
    st.toast(texts.RESOLVED.format(row=row, who=texts.plain(said.reviewer)))
    st.session_state["w_reason"] = ""


def page(state: State, book: Book, team: Team) -> None:
    """All of it: agreement and conflicts on the left, people and the second review on the right."""
    left, right = st.columns([1.6, 1], gap="large")
    with left:
        agreement(team.agreement)
        conflicts(state, book, team.conflicts)
    with right:
        people(team.people)
        second_review(state)
