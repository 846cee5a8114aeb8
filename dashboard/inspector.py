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
from dashboard.services import Distribution, Explanation, Training
from dashboard.state import STATES, State
from dashboard.widgets import changed, dark, empty, glyph, keep, pill, pressed_of, type_colour
from demix_core.types import ErrorType, Event

CARD_HEIGHT, PANEL_HEIGHT = 122, 228
MOST_CLASSES = 8
PANELS = ("Cells", "Why", "Influence", "Similar rows", "History")


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
            suggestions(state, book, codes)
            suggestion(book, patch)
            as_taught(state, book)
    decide_buttons(state)
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
        if state.panel == PANELS[0] and not state.blind:
            st.button(
                "Correct a cell :gray[C]", key="correct", type="tertiary", icon=":material/edit_note:",
                on_click=deciding.ask_correction, args=(state,), help=texts.CORRECT_HELP,
            )  # fmt: skip


def title(state: State, book: Book, codes: np.ndarray) -> None:
    """Which row, what is suspected, how sure, and what was decided."""
    row = book.diagnosis.iloc[book.row_at[int(state.row or 0)]]
    kinds = [t for t in ErrorType if row[t.value]]
    pills = " ".join(pill(t, float(row[t.probability_column])) for t in kinds) or f"<small>{texts.ROW_CLEAN}</small>"
    code = 0 if state.patch is None else codes[book.patch_at[state.patch]]
    said = texts.BY_HAND if state.patch in book.own and STATES[code] == "accepted" else STATES[code]
    decided = f'<small class="dx-decided">{said}{_by_whom(state)}</small>' if code else ""
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


def suggestions(state: State, book: Book, codes: np.ndarray) -> None:
    """Where a row has several suggestions: all of them to choose from, each by its type and what it changes."""
    row = state.row
    mine = np.flatnonzero(book.patches["row_id"].to_numpy() == row)
    if len(mine) < 2:
        return
    words = {int(book.patches["patch_id"].iloc[i]): _short(book, int(i), STATES[codes[i]]) for i in mine}
    key = f"w_patch_{state.patch}"
    st.segmented_control(
        "Suggestions for this row", list(words), default=state.patch, required=True, key=key,
        format_func=words.__getitem__, label_visibility="collapsed", width="stretch",
        on_change=changed(key, state.patch, lambda patch: state.look_at(row, int(patch))),
    )  # fmt: skip


def _short(book: Book, at: int, decided: str) -> str:
    """'■ hours', '● y ✓'."""
    patch, kind = book.patches.iloc[at], book.patch_types[at]
    mark = {"open": "", "rejected": " ✕"}.get(decided, " ✓")
    shape = palette.GLYPHS[palette.TYPE_MARKS[kind].shape]
    return f"{shape} {review.column_words(patch['column'], patch['action'], patch['partner'])}{mark}"


def suggestion(book: Book, patch: pd.Series) -> None:
    """Old to new, and why in a sentence."""
    what = texts.ACTION_WORDS[patch["action"]]
    named = review.column_words(patch["column"], patch["action"], patch["partner"])
    column = f" <b>{escape(named)}</b>" if patch["action"] in ("impute", "swap") else ""
    sign = "⇄" if patch["action"] == "swap" else "→"
    old = "" if patch["action"] in ("drop", "reweight") else f"<del>{escape(review.shown(patch['old']))}</del> {sign} "
    new = escape(review.change_words(patch["action"], patch["new"]))
    st.html(
        f'<div class="dx-change"><span class="what">{what}{column}</span><span>{old}<ins>{new}</ins></span></div>'
        f'<div class="dx-why" title="{escape(patch["reason"])}">{escape(patch["reason"])}</div>'
    )


def as_taught(state: State, book: Book) -> None:
    """How likely the row's error is by the verdicts so far, while the queue is in that order."""
    lessons = deciding.taught_in(state)
    if lessons is None or state.patch is None:
        return
    at = book.patch_at[state.patch]
    lesson, before = lessons.lessons[book.patch_types[at]], float(book.patches["confidence"].iloc[at])
    words = texts.TAUGHT_ROW.format(after=lessons.after[at], before=before, n=lesson.right + lesson.wrong)
    st.html(f'<div class="dx-small" id="as_taught">{words}</div>')


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
        buttons = {
            "edit_save": (save.form_submit_button, "Save"),
            "edit_drop": (drop.form_submit_button, "Leave row out"),
            "edit_cancel": (cancel.form_submit_button, "Cancel"),
        }
        wanted = pressed_of(state, buttons, type="primary", width="stretch")
    if not wanted:
        return
    if wanted == "edit_save":
        own, refused = services.own_value(book.name, int(patch["patch_id"]), str(value))
        if refused:
            st.error(refused, icon=":material/error:")
            return
        deciding.save_edit(state, own)
    elif wanted == "edit_drop":
        deciding.drop_row(state)
    else:
        state.edit(False)
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


def decide_buttons(state: State) -> None:
    """Accept, edit, reject; where nothing is suggested, a cell of one's own choice can be edited."""
    may = deciding.may_decide(state)
    enabled = {"Accept": may, "Edit": may or (state.patch is None and not state.blind), "Reject": may}
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
            disabled=not enabled[word],
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
    flags = {n: _flag(n, target, bool(found["label_error"]), suspects, new) for n in names}
    body = "".join(_cell_line(book, n, str(row[n]), new.get(n, ""), n == target, flags[n]) for n in names)
    head = (
        "<thead><tr><th>Column</th><th>Value</th><th>Suggested</th><th style='width:80px'>In the column</th>"
        "<th style='width:76px'></th></tr></thead>"
    )
    return f'<table class="dx">{head}<tbody>{body}</tbody></table>'


def _flag(name: str, target: str, wrong_label: bool, suspects: set[str], new: dict[str, str]) -> str:
    if name == target:
        return "label?" if wrong_label else ""
    return "suspect" if name in suspects or name in new else ""


def _cell_line(book: Book, name: str, value: str, new: str, is_target: bool, flag: str) -> str:
    """A line of the table; a flagged cell also has its column's picture, and below it the picture in words."""
    css = ("target " if is_target else "") + {"label?": "wrong", "suspect": "suspect"}.get(flag, "")
    mark = f'<span class="flag">⚑ {flag}</span>' if flag else ""
    picture = words = ""
    if flag:
        column, other = services.distribution(book.name, name), "" if new == review.shown("") else new
        picture = spark(column, value, other)
        words = f'<tr class="{css} said"><td colspan="5">{escape(column.reading(value, other))}</td></tr>'
    shown = escape(review.shown(value))
    return (
        f'<tr class="{css}"><th title="{escape(name)}">{escape(name)}</th><td title="{shown}">{shown}</td>'
        f'<td title="{escape(new)}"><b>{escape(new)}</b></td><td>{picture}</td><td>{mark}</td></tr>{words}'
    )


def spark(column: Distribution, value: str, new: str) -> str:
    """A column as small bars, as HTML: the row's value filled in vermilion, the suggested one framed in blue."""
    top, own, other = float(column.shares.max(initial=0)) or 1.0, column.bar(value), column.bar(new) if new else None
    bars = "".join(
        f'<i class="{" ".join(name for name, at in (("own", own), ("new", other)) if at == k)}" '
        f'style="height:{_height(share / top)}px"></i>'
        for k, share in enumerate(column.shares)
    )
    return f'<span class="dx-spark" title="{texts.SPARK_WORDS}">{bars}</span>'


def _height(share: float) -> int:
    return round(18 * share) if share >= 0.1 else 2 if share else 0


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
    """The row's effect on the validation rows: one sentence, the profile, most harmed, most helped."""
    explained = services.explain(book.name, row_id)
    kinds = [t for t in ErrorType if t.value in explained.typical_of]
    typical = " ".join(f"{glyph(t)} {t.short}" for t in kinds)
    words = f"{texts.harm_words(*_harms(explained))} {texts.PROFILE_WORDS.format(typical=typical)}"
    st.html(f'<div class="dx-small">{words}</div>')
    figure = charts.influence_profile(explained.profile, explained.same_class, explained.typical_of, dark())
    st.plotly_chart(figure, key="influence", config={"displayModeBar": False})
    for head, places in (("It harms most", explained.harmed), ("It helps most", explained.helped)):
        held = services.validation_rows(book.name, places)
        st.html(
            f'<div class="dx-h">{head} (validation rows)</div>'
            f"{other_rows(book, row_id, held, explained.profile[list(places)])}"
        )


def _harms(explained: Explanation) -> tuple[float | None, float | None]:
    """Share of the validation rows with its own label that it harms, and that a typical clean row does."""
    same, clean = explained.profile[explained.same_class], explained.typical_of.get("")
    return (
        float((same > 0).mean()) if len(same) else None,
        float((clean[0] > 0).mean()) if clean is not None and len(same) else None,
    )


def similar(book: Book, row_id: int) -> None:
    """The training rows that are most alike, with its label and with others."""
    explained = services.explain(book.name, row_id)
    st.html(f'<div class="dx-small">{texts.crowd_words(explained.crowd)}</div>')
    for head, ids in (("With its label", explained.same_label), ("With another label", explained.other_label)):
        if ids:
            st.html(f'<div class="dx-h">{head}</div>{other_rows(book, row_id, book.rows.loc[list(ids)])}')


def history(book: Book, row_id: int) -> None:
    """What was decided about it, and how its loss went in training."""
    mine = set(book.patches["patch_id"][book.patches["row_id"] == row_id])
    events = [e for e in services.events(book.name) if mine.intersection(e.patch_ids)]
    standing = services.standing(book.name) if events else set()
    lines = "".join(
        f"<li>{escape(decided_words(book, e, mine))}{'' if e.seq in standing else texts.TAKEN_BACK}</li>"
        for e in events
    )
    said = f"<ol>{lines}</ol>" if lines else texts.UNDECIDED
    training(services.explain(book.name, row_id).training)
    st.html(f'<div class="dx-small" id="row_history" data-n="{len(events)}">{said}</div>')


def training(found: Training | None) -> None:
    """The row's loss over the epochs, in a sentence and a picture."""
    if found is None:
        st.html(f'<div class="dx-small">{texts.NO_TRAINING}</div>')
        return
    st.html(f'<div class="dx-small">{texts.loss_words(found.above, len(found.own))}</div>')
    figure = charts.loss_curve(found.own, found.low, found.median, found.high, found.kept, dark())
    st.plotly_chart(figure, key="losses", config={"displayModeBar": False})


def decided_words(book: Book, event: Event, mine: set[int]) -> str:
    """'2026-11-24 12:01, dashboard: accepted y → no (with 13 others)'."""
    at = [book.patch_at[i] for i in event.patch_ids if i in mine]
    changes = []
    for i in at:
        patch = book.patches.iloc[i]
        named = review.column_words(patch["column"], patch["action"], patch["partner"])
        changes.append(f"{named} → {review.decided_change(patch, event)}")
    others = len(event.patch_ids) - len(at)
    more = f" (with {others:,} other{'' if others == 1 else 's'})" if others else ""
    verb = texts.EVENT_WORDS[event.kind].lower()
    return f"{event.time[:16].replace('T', ' ')}, {event.reviewer}: {verb} {', '.join(changes)}{more}"


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


DRAW: dict[str, Any] = {"Cells": cells, "Why": why, "Influence": influence, "Similar rows": similar, "History": history}
