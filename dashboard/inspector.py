"""The row in view: what is suspected, the suggestion, the three buttons always at one place, and the evidence below."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import charts, deciding, palette, review, services, texts
from dashboard.review import Book
from dashboard.services import Explanation
from dashboard.state import STATES, State
from dashboard.widgets import empty, keep, pill, type_colour
from demix_core.types import ErrorType, Event

CARD_HEIGHT, PANEL_HEIGHT = 122, 228
MOST_CLASSES = 8
PANELS = ("Cells", "Why", "Influence", "Similar rows")


def inspector(state: State, book: Book, codes: np.ndarray) -> None:
    """The whole right side of the review."""
    if state.row is None:
        empty("No row chosen", "Click a row on the map or a line of the queue.")
        return
    patch = None if state.patch is None else book.patches.iloc[book.patch_at[state.patch]]
    title(state, book, codes)
    with st.container(height=CARD_HEIGHT, key="decide_card"):
        if patch is None:
            st.html(f'<div class="dx-why">{texts.ROW_WITHOUT_SUGGESTION}</div>')
        elif state.editing:
            edit_form(state, book, patch)
        else:
            just_decided(state)
            suggestion(book, patch)
    decide_buttons(state, deciding.may_decide(state))
    st.segmented_control(
        "Evidence",
        PANELS,
        default=state.panel,
        required=True,
        key="w_panel",
        on_change=keep(state, "panel", "w_panel"),
        label_visibility="collapsed",
        width="stretch",
    )
    with st.container(height=PANEL_HEIGHT, key="panel_body"):
        DRAW[state.panel](book, state.row)


def title(state: State, book: Book, codes: np.ndarray) -> None:
    """Which row, what is suspected, how sure, and what was decided."""
    row = book.diagnosis.iloc[book.row_at[int(state.row or 0)]]
    kinds = [t for t in ErrorType if row[t.value]]
    pills = " ".join(pill(t, float(row[t.probability_column])) for t in kinds) or f"<small>{texts.ROW_CLEAN}</small>"
    code = 0 if state.patch is None else codes[book.patch_at[state.patch]]
    decided = f'<small class="dx-decided">{STATES[code]}{_by_whom(state)}</small>' if code else ""
    st.html(
        f'<div class="dx-title" id="inspector" data-row="{state.row}" data-patch="{state.patch}">'
        f"Row {state.row} {pills} {decided}</div>"
    )


def _others_decision(state: State) -> Event | None:
    """The decision that stands for the suggestion in view, if it is somebody else's and no secret."""
    if state.patch is None or state.blind:
        return None
    found = services.decided_by(services.log(str(state.run)), state.patch)
    return None if found is None or found.reviewer == state.reviewer else found


def _by_whom(state: State) -> str:
    other = _others_decision(state)
    return f" by {escape(other.reviewer)}" if other else ""


def just_decided(state: State) -> None:
    """A line of text when somebody else has decided this suggestion while it was in view here."""
    other = _others_decision(state)
    if other is not None and other.seq > state.looked:
        words = texts.JUST_DECIDED.format(who=other.reviewer, what=texts.EVENT_WORDS[other.kind].lower())
        st.html(f'<div class="dx-news" id="just_decided" role="status">{escape(words)}</div>')


# ---- the decision ------------------------------------------------------------------------------------------------


def suggestion(book: Book, patch: pd.Series) -> None:
    """Old to new, and why in a sentence."""
    what = texts.ACTION_WORDS[patch["action"]]
    named = review.column_words(patch["column"], patch["action"], patch["partner"])
    column = f" <b>{escape(named)}</b>" if patch["action"] in ("impute", "swap") else ""
    sign = "⇄" if patch["action"] == "swap" else "→"
    old = "" if patch["action"] in ("drop", "reweight") else f"<del>{escape(review.shown(patch['old']))}</del> {sign} "
    new = escape(review.change_words(patch["action"], patch["new"]))
    mine = book.patches["patch_id"][book.patches["row_id"] == patch["row_id"]].tolist()
    which = f"<small>{mine.index(patch['patch_id']) + 1} of {len(mine)} for this row</small>" if len(mine) > 1 else ""
    st.html(
        f'<div class="dx-change"><span class="what">{what}{column}</span><span>{old}<ins>{new}</ins></span>'
        f"{which}</div>"
        f'<div class="dx-why" title="{escape(patch["reason"])}">{escape(patch["reason"])}</div>'
    )


def edit_form(state: State, book: Book, patch: pd.Series) -> None:
    """The field for an own value; Enter saves. A label is chosen among the classes."""
    start = str(patch["new"])
    with st.container(key="edit_box"), st.form("edit", border=False, enter_to_submit=True):
        if patch["action"] == "relabel" and book.schema.classes:
            classes = list(book.schema.classes)
            at = classes.index(start) if start in classes else 0
            value: Any = st.selectbox("The right label", classes, index=at, label_visibility="collapsed")
        elif patch["action"] == "reweight":
            value = _own_weight(patch, float(start))
        else:
            value = _own_value(patch, start)
        save, drop, cancel = st.columns(3, gap="small")
        saved = save.form_submit_button("Save", type="primary", key="edit_save", width="stretch")
        dropped = drop.form_submit_button("Leave row out", key="edit_drop", width="stretch")
        cancelled = cancel.form_submit_button("Cancel", key="edit_cancel", width="stretch")
    refused = services.refused(book.name, int(patch["patch_id"]), str(value)) if saved else ""
    if refused:
        st.error(refused, icon=":material/error:")
        return
    if saved:
        deciding.save_edit(state, str(value))
    elif dropped:
        deciding.drop_row(state)
    elif cancelled:
        state.edit(False)
    if saved or dropped or cancelled:
        st.rerun()


def _own_weight(patch: pd.Series, start: float) -> float:
    """A number, beside it the weight that balances the groups of the shortcut."""
    balanced = [float(text) for text, _ in json.loads(patch["alternatives"])]
    if not balanced:
        return float(st.number_input("The right weight", 0.0, 1000.0, start, 0.1, label_visibility="collapsed"))
    field, others = st.columns([1, 1.6], gap="small", vertical_alignment="center")
    value = float(field.number_input("The right weight", 0.0, 1000.0, start, 0.1, label_visibility="collapsed"))
    chosen = others.pills(
        "Other weights", balanced, label_visibility="collapsed", key=f"w_other_{patch['patch_id']}",
        format_func=lambda weight: texts.BALANCED_WEIGHT.format(weight=weight),
    )  # fmt: skip
    return float(chosen) if chosen is not None and value == start else value


def _own_value(patch: pd.Series, start: str) -> str:
    """A field, beside it the other likely values; a chosen one counts unless the field was changed."""
    likely = {str(text): p for text, p in json.loads(patch["alternatives"])}
    if not likely:
        label = texts.OWN_VALUE_OF_SWAP.format(**patch) if patch["action"] == "swap" else "The right value"
        shown = "visible" if patch["action"] == "swap" else "collapsed"
        return str(st.text_input(label, start, label_visibility=shown))
    field, others = st.columns([1, 1.6], gap="small", vertical_alignment="center")
    value = str(field.text_input("The right value", start, label_visibility="collapsed"))
    chosen = others.pills(
        "Other values", list(likely), label_visibility="collapsed", key=f"w_other_{patch['patch_id']}",
        format_func=lambda text: (text or "empty") + (f" · {likely[text]:.2f}" if likely[text] is not None else ""),
    )  # fmt: skip
    return str(chosen) if chosen is not None and value == start else value


def decide_buttons(state: State, enabled: bool) -> None:
    """Accept, edit, reject."""
    places = st.columns(3, gap="small")
    for place, (word, key) in zip(
        places,
        (("Accept", "A"), ("Edit", "E"), ("Reject", "X")),
        strict=True,
    ):
        place.button(
            f"{word} :gray[{key}]" if word != "Accept" else f"{word} {key}",
            type="primary" if word == "Accept" else "secondary",
            key=word.lower(),
            on_click=deciding.ACTIONS[key.lower()],
            args=(state,),
            disabled=not enabled,
            width="stretch",
            help=f"Key {key}",
        )


# ---- the evidence ------------------------------------------------------------------------------------------------


def cells(book: Book, row_id: int) -> None:
    """The row as a table: target first, then suspect cells, flagged in words, with the suggested value."""
    st.html(cells_table(book, row_id))


def cells_table(book: Book, row_id: int) -> str:
    """HTML of the row's cells."""
    mine = book.patches[book.patches["row_id"] == row_id]
    new = {p.column: review.shown(p.new) for p in mine.itertuples() if p.column}
    new |= {p.partner: review.shown(p.old) for p in mine.itertuples() if p.partner}
    found = book.diagnosis.iloc[book.row_at[row_id]]
    suspects, target = set(found["suspect_columns"]), book.schema.target
    row = book.rows.loc[row_id]
    names = sorted(book.rows.columns, key=lambda c: (c != target, c not in suspects and c not in new))
    body = "".join(
        _cell_line(
            n,
            review.shown(row[n]),
            new.get(n, ""),
            n == target,
            _flag(n, target, bool(found["label_error"]), suspects, new),
        )
        for n in names
    )
    head = "<thead><tr><th>Column</th><th>Value</th><th>Suggested</th><th style='width:70px'></th></tr></thead>"
    return f'<table class="dx">{head}<tbody>{body}</tbody></table>'


def _flag(name: str, target: str, wrong_label: bool, suspects: set[str], new: dict[str, str]) -> str:
    if name == target:
        return "label?" if wrong_label else ""
    return "suspect" if name in suspects or name in new else ""


def _cell_line(name: str, value: str, new: str, is_target: bool, flag: str) -> str:
    css = ("target " if is_target else "") + {"label?": "wrong", "suspect": "suspect"}.get(flag, "")
    mark = f'<span class="flag">⚑ {flag}</span>' if flag else ""
    return (
        f'<tr class="{css}"><th title="{escape(name)}">{escape(name)}</th>'
        f'<td title="{escape(value)}">{escape(value)}</td>'
        f'<td title="{escape(new)}"><b>{escape(new)}</b></td><td>{mark}</td></tr>'
    )


def bars(items: list[tuple[str, float, str, float | None]]) -> str:
    """Probabilities as bars with numbers, as HTML. items: (name, probability, colour, threshold or None)."""
    lines = ""
    for name, p, colour, threshold in items:
        tick = (
            f'<u style="left:{100 * threshold:.1f}%" title="threshold {threshold:.2f}"></u>'
            if threshold is not None
            else ""
        )
        lines += (
            f'<span>{escape(name)}</span><span class="t">'
            f'<i style="width:{100 * min(p, 1):.1f}%;background:{colour}"></i>{tick}</span><b>{p:.2f}</b>'
        )
    return f'<div class="dx-probs">{lines}</div>'


def why(book: Book, row_id: int) -> None:
    """One sentence per suspected type, then the probabilities."""
    explained, thresholds = services.explain(book.name, row_id), services.thresholds(book.name)
    sentences = "".join(
        f"<p><b>{texts.TYPE_NAMES[kind]}.</b> {escape(text)}</p>" for kind, text in explained.why.items()
    )
    types = [(texts.TYPE_NAMES[t], explained.probabilities[t], type_colour(t), thresholds.get(t)) for t in ErrorType]
    st.html(
        f'<div class="dx-why-list">{sentences or texts.ROW_CLEAN}</div>'
        f'<div class="dx-h">{texts.TYPES_HEAD}</div>{bars(types)}{likelihoods(explained)}'
    )


def likelihoods(explained: Explanation) -> str:
    """What the model and the other rows (out of fold) make of the target, as HTML."""
    classes = explained.likelihoods
    if classes and isinstance(classes[0].value, float):
        said = texts.PREDICTION.format(given=explained.given, model=classes[0].value, other=classes[0].out_of_fold)
        return f'<div class="dx-h">{said}</div>'
    ranked = sorted(classes, key=lambda c: -c.out_of_fold)[:MOST_CLASSES]
    grey, blue = palette.CLEAN.colour, charts.SAME_COLOUR
    items = [
        (
            f"{c.value}{' (given)' if c.value == explained.given else ''}",
            c.out_of_fold,
            blue if c.value == explained.given else grey,
            None,
        )
        for c in ranked
    ]
    return f'<div class="dx-h">{texts.CLASSES_HEAD}</div>{bars(items)}'


def influence(book: Book, row_id: int) -> None:
    """The row's effect on the validation rows: profile, most harmed, most helped."""
    explained = services.explain(book.name, row_id)
    st.html(
        f'<div class="dx-small">{texts.PROFILE_WORDS.format(same=charts.SAME_COLOUR, other=charts.OTHER_COLOUR)}</div>'
    )
    figure = charts.influence_profile(explained.profile, explained.same_class, explained.typical)
    st.plotly_chart(figure, key="influence", config={"displayModeBar": False})
    for head, places in (("It harms most", explained.harmed), ("It helps most", explained.helped)):
        held = services.validation_rows(book.name, places)
        st.html(
            f'<div class="dx-h">{head} (validation rows)</div>'
            f"{other_rows(book, row_id, held, explained.profile[list(places)])}"
        )


def similar(book: Book, row_id: int) -> None:
    """The training rows that are most alike."""
    nearest = book.rows.loc[list(services.explain(book.name, row_id).neighbours)]
    st.html(f'<div class="dx-h">{texts.NEAREST_HEAD}</div>{other_rows(book, row_id, nearest)}')


def other_rows(book: Book, row_id: int, frame: pd.DataFrame, influence: np.ndarray | None = None) -> str:
    """Other rows as HTML: id, influence if given, label, cells; cells equal to this row's are grey. frame: index id."""
    own, target = book.rows.loc[row_id], book.schema.target
    names = [target, *(c.name for c in book.schema.features)]
    measure = [] if influence is None else ["influence"]
    head = "".join(f'<th title="{escape(n)}">{escape(n)}</th>' for n in ["row", *measure, *names])
    body = ""
    for i, (other_id, other) in enumerate(frame.iterrows()):
        number = "" if influence is None else f'<td class="n">{influence[i]:+.3f}</td>'
        body += (
            f"<tr><td>{other_id}</td>{number}{''.join(_other_cell(other[n], own[n], n == target) for n in names)}</tr>"
        )
    width = 46 + 62 * len(measure) + 84 * len(names)
    return f'<table class="dx" style="width:{width}px"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _other_cell(value: object, own: object, is_target: bool) -> str:
    text = escape(review.shown(value))
    css = "same" if str(value) == str(own) and not is_target else ""
    return f'<td class="{css}" title="{text}">{f"<b>{text}</b>" if is_target else text}</td>'


DRAW: dict[str, Any] = {"Cells": cells, "Why": why, "Influence": influence, "Similar rows": similar}
