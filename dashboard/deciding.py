"""What the buttons, keys and clicks of the review do: a decision goes to disk first, then the next suggestion comes.

Streamlit may end a script at any call into it when the next event has come. So every function takes the state, asks for
all it needs first, and then writes and moves on in one go: an act either has not begun or is carried through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from dashboard import address, components, review, services, texts
from dashboard.review import Book
from dashboard.state import DRAWN, STATES, Filters, State
from demix_core.errors import InputError
from demix_core.types import DROP_VALUE, DecisionKind, ErrorType, Event
from demix_core.views import View

PAGE_ROWS = 200
"""Lines on a page of the queue: drawn at once, small to send."""

ENOUGH = 30
"""Decisions from which the queue is worth sorting as they teach (bench lessons)."""


def codes_of(state: State) -> np.ndarray:
    """uint8 [P]: what stands decided; in a blind second review only what this person has said in it."""
    run = str(state.run)
    return services.blind_codes(run, state.reviewer) if state.blind else services.codes(run)


def to_judge(state: State, book: Book) -> np.ndarray:
    """Positions of the suggestions that the blind second review puts before this person."""
    ids = services.assigned(str(state.run), state.reviewer)
    return np.array([book.patch_at[i] for i in ids if i in book.patch_at], dtype=np.int64)


def may_decide(state: State) -> bool:
    """Whether the suggestion in view is this person's to decide; in a blind review only the drawn ones are."""
    if state.patch is None:
        return False
    return not state.blind or state.patch in services.assigned(str(state.run), state.reviewer)


def queue_of(state: State, book: Book, codes: np.ndarray) -> np.ndarray:
    """Positions of the suggestions in the queue, in its order."""
    found = _passing(state, book, codes)
    if state.sort == DRAWN and state.selection is not None:
        return review.as_selected(book, found, state.selection)
    if not state.blind:
        found = found[services.above_thresholds(book.name)[found]]
    by, ascending = order_of(state)
    lessons = taught_in(state)
    return review.ordered(book, codes, found, by, ascending, None if lessons is None else lessons.after)


def taught_in(state: State) -> services.Taught | None:
    """What verdicts teach, where the queue is in the order of that."""
    return services.taught(str(state.run)) if order_of(state)[0] == "taught" else None


def order_of(state: State) -> tuple[str, bool]:
    """(by, ascending): the order asked for, but where there is nothing to go by the usual one."""
    if state.sort == "taught":  # a second reviewer must not learn what the first one said
        lacking = state.blind or services.taught(str(state.run)) is None
    else:
        lacking = state.sort == DRAWN
    return (State.sort, State.ascending) if lacking else (state.sort, state.ascending)


def _passing(state: State, book: Book, codes: np.ndarray) -> np.ndarray:
    deciders = services.deciders(book.name) if state.filters.reviewers else None
    found = review.passing(book, codes, state.filters, state.selection, deciders)
    return np.intersect1d(found, to_judge(state, book)) if state.blind else found


def hidden_of(state: State, book: Book, codes: np.ndarray) -> int:
    """How many suggestions of the queue the person's thresholds hide."""
    if state.blind or (state.sort == DRAWN and state.selection is not None):
        return 0
    return int((~services.above_thresholds(book.name)[_passing(state, book, codes)]).sum())


def decided_or_not(state: State, book: Book, codes: np.ndarray) -> np.ndarray:
    """Positions of all suggestions that the queue would hold if nothing were decided."""
    return queue_of(replace(state, filters=replace(state.filters, states=STATES)), book, codes)


def review_sample(state: State, kind: ErrorType, count: int) -> None:
    """Brings rows drawn at random into the queue: what is left of the last sample, else a fresh one."""
    rows = np.array(services.sample(str(state.run), kind, count), np.int64)
    state.go_blind(False)
    book, codes = _open(state)
    mine = np.isin(book.patches["row_id"].to_numpy(), rows) & (book.patches["error_type"] == kind.value).to_numpy()
    state.take_sample(kind, rows, STATES if codes[mine].any() else ("open",))
    order = queue_of(state, book, codes)
    look_at_position(state, book, int(order[0]) if len(order) else None)


def show_view(state: State, view: View) -> None:
    """Filters and order of a saved view."""
    filters, sort, ascending = address.read_queue(view)
    state.show_view(filters, sort, ascending)
    state.settled = None


def clear_filters(state: State) -> None:
    """Everything open is shown again, in the same order."""
    state.show_view(Filters(), state.sort, state.ascending)


def filter_reviewers(state: State, names: tuple[str, ...]) -> None:
    """Only what these have decided; open suggestions are nobody's, so the decided ones are shown."""
    states = STATES[1:] if names and state.filters.states == Filters().states else state.filters.states
    state.filter(reviewers=names, states=states)


def settle(state: State, book: Book, panels: Sequence[str]) -> None:
    """After an arrival by a link, or when suggestions were made anew: what this run does not know is dropped, kept rows
    are selected again. Once for each version of the run.
    """
    if state.settled == book.version:
        return
    f, names = state.filters, {c.name for c in book.schema.columns}
    state.filters = replace(
        f,
        where=tuple(c for c in f.where if c.column in names),
        columns=tuple(c for c in f.columns if c in set(book.patches["column"].dropna())),
        classes=tuple(c for c in f.classes if c in book.schema.classes),
    )
    if state.sort not in (*review.SORTS, DRAWN):
        state.sort, state.ascending = State.sort, State.ascending
    state.colour = state.colour if state.colour in review.colour_choices(book.schema) else State.colour
    state.panel = state.panel if state.panel in panels else State.panel
    at = book.patch_at.get(state.patch) if state.patch is not None else None
    if at is not None and state.row in (None, book.patches["row_id"].iloc[at]):
        look_at_position(state, book, at)
    elif state.row is not None and state.row in book.row_at:
        look_at_row(state, state.row)
    else:
        state.look_at(None, None)
    if state.selection is None and state.selection_key:
        _select_again(state, book)
    state.settled = book.version


def _select_again(state: State, book: Book) -> None:
    key, page = state.selection_key, state.page
    kept = services.kept_selection(book.name, key)
    rows = None if kept is None else kept[np.isin(kept, book.row_ids)]
    state.select_on_map(rows if rows is not None else np.array([], np.int64))
    state.turn(page)
    if state.selection is None:
        state.say(texts.LINK_SELECTION_GONE)
    else:
        state.name_selection(key)


def whereabouts(state: State) -> str:
    """The address of the screen as it stands; selected rows are kept on disk first, so that a link can name them."""
    if state.selection is not None and not state.selection_key:
        state.name_selection(services.keep_selection(str(state.run), state.selection))
    return address.query(state)


def _open(state: State) -> tuple[Book, np.ndarray]:
    return services.book(str(state.run)), codes_of(state)


# ---- moving ------------------------------------------------------------------------------------------------------


def look_at_position(state: State, book: Book, position: int | None) -> None:
    """Brings a suggestion (by position) into view, or nothing."""
    if position is None:
        state.look_at(None, None)
        return
    patch = book.patches.iloc[position]
    state.look_at(int(patch["row_id"]), int(patch["patch_id"]))


def look_at_row(state: State, row_id: int) -> None:
    """Brings a row into view, with its first open suggestion if it has one."""
    book, codes = _open(state)
    mine = np.flatnonzero(book.patches["row_id"].to_numpy() == row_id)
    drawn = np.intersect1d(mine, to_judge(state, book)) if state.blind else mine
    mine = drawn if len(drawn) else mine
    if not len(mine):
        state.look_at(row_id, None)
        return
    still_open = mine[codes[mine] == 0]
    look_at_position(state, book, int((still_open if len(still_open) else mine)[0]))


def order_with(state: State, book: Book, codes: np.ndarray, here: int) -> np.ndarray:
    """The queue, with the suggestion in view at its old place where somebody else has just decided it."""
    order = queue_of(state, book, codes)
    if here < 0 or here in order:
        return order
    as_seen = codes.copy()
    as_seen[here] = 0
    return queue_of(state, book, as_seen)


def following(order: np.ndarray, here: int, alive: np.ndarray) -> int | None:
    """Where to go from `here`: the next of the old order that is still alive, else the nearest before, else None.

    >>> following(np.array([5, 7, 9]), 7, np.array([5, 9])), following(np.array([5, 7]), 7, np.array([5]))
    (9, 5)
    """
    at = np.flatnonzero(order == here)
    start = int(at[0]) if len(at) else -1
    left = np.isin(order, alive) & (order != here)
    after, before = np.flatnonzero(left[start + 1 :]), np.flatnonzero(left[: max(start, 0)])
    if len(after):
        return int(order[start + 1 + after[0]])
    return int(order[before[-1]]) if len(before) else None


def move(state: State, step: int) -> None:
    """To the next (1) or the previous (-1) suggestion of the queue; stays at its ends."""
    book, codes = _open(state)
    here = book.patch_at.get(state.patch if state.patch is not None else -1, -1)
    order = order_with(state, book, codes, here)
    if not len(order):
        return
    at = np.flatnonzero(order == here)
    target = min(max(int(at[0]) + step if len(at) else 0, 0), len(order) - 1)
    look_at_position(state, book, int(order[target]))
    state.turn(target // PAGE_ROWS + 1)


# ---- deciding ----------------------------------------------------------------------------------------------------


def _decide(state: State, kind: DecisionKind, value: str | None = None) -> None:
    """Where to go is found first, so that nothing can come between the decision on disk and the next row in view."""
    if state.patch is None:
        return
    if not may_decide(state):
        state.say(texts.NOT_DRAWN)
        return
    book, codes = _open(state)
    log, here = services.log(str(state.run)), book.patch_at[state.patch]
    order = order_with(state, book, codes, here)
    after = codes.copy()
    after[here] = STATES.index(review.KIND_TO_STATE[kind])
    alive = queue_of(state, book, after)
    target, row = following(order, here, alive), state.row
    at = np.flatnonzero(alive == target)
    event = _write(state, kind, state.patch, value)
    before = None if state.blind else services.decided_by(log, state.patch, event.seq)
    look_at_position(state, book, target if target is not None else here)
    if order_of(state)[0] == "taught":  # in another order by this very decision
        at = np.flatnonzero(queue_of(state, book, after) == target)
    state.turn(int(at[0]) // PAGE_ROWS + 1 if len(at) else 1)
    state.edit(False)
    state.say(f"{texts.EVENT_WORDS[event.kind]}: row {row}.{_in_place_of(state, before)}{_enough(state)}")


def _write(state: State, kind: DecisionKind, patch: int, value: str | None) -> Event:
    """The decision, or the second opinion, on disk."""
    run, who = str(state.run), state.reviewer
    if state.blind:
        return services.opine(run, kind, patch, who, value)
    if kind is DecisionKind.EDIT:
        return services.edit(run, patch, str(value), who)
    return (services.accept if kind is DecisionKind.ACCEPT else services.reject)(run, [patch], who=who)


def _in_place_of(state: State, before: Event | None) -> str:
    """Whose decision has just been replaced, where it was somebody else's."""
    if before is None or before.reviewer == state.reviewer:
        return ""
    return " " + texts.IN_PLACE_OF.format(who=before.reviewer, what=texts.EVENT_WORDS[before.kind].lower())


def _enough(state: State) -> str:
    """Said once: that the decisions so far can sort the queue."""
    if state.blind or state.sort == "taught" or services.judged(str(state.run)) != ENOUGH:
        return ""
    return f" {texts.TAUGHT_NEWS.format(n=ENOUGH)}" if services.may_teach(str(state.run)) else ""


def accept(state: State) -> None:
    """Accepts the suggestion in view."""
    _decide(state, DecisionKind.ACCEPT)


def reject(state: State) -> None:
    """Rejects the suggestion in view."""
    _decide(state, DecisionKind.REJECT)


def save_edit(state: State, value: str) -> None:
    """Takes the person's own value for the suggestion in view."""
    _decide(state, DecisionKind.EDIT, value)


def drop_row(state: State) -> None:
    """Leaves the row of the suggestion in view out."""
    save_edit(state, DROP_VALUE)


def decide_many(state: State, verb: str, patch_ids: Sequence[int], query: str) -> None:
    """Accepts or rejects many at once, as one event; what others have decided since the screen was drawn is left."""
    event = services.together(str(state.run), verb, patch_ids, query, state.drawn, state.reviewer)
    state.end_bulk()
    done = 0 if event is None else len(event.patch_ids)
    left = texts.LEFT_TO_OTHERS.format(n=texts.suggestions(len(patch_ids) - done)) if done < len(patch_ids) else ""
    said = f"{texts.EVENT_WORDS[event.kind]} {texts.suggestions(done)}; Z takes it back." if event else ""
    state.say(f"{said} {left}".strip())
    book, codes = _open(state)
    order = queue_of(state, book, codes)
    if state.patch is None or book.patch_at[state.patch] not in order:
        look_at_position(state, book, int(order[0]) if len(order) else None)


def undo(state: State) -> None:
    """Takes this person's newest decision back, single or bulk, and shows a single one."""
    book = services.book(str(state.run))
    event = services.undo(str(state.run), state.reviewer, state.blind)
    state.edit(False)
    state.say(texts.NOTHING_TO_UNDO if event is None else f"Took back {texts.suggestions(len(event.patch_ids))}.")
    if event is not None and len(event.patch_ids) == 1:
        _show(state, book, event)


def _show(state: State, before: Book, event: Event) -> None:
    """The row of a single decision just taken back, with its suggestion, if there still is one."""
    at = before.patch_at.get(event.patch_ids[0])
    if at is not None:
        look_at_position(state, before, at)
        still_there(state, services.book(str(state.run)))


def redo(state: State) -> None:
    """Does this person's newest undone decision again, and goes on as that decision did."""
    book, codes = _open(state)
    order = queue_of(state, book, codes)
    event = services.redo(str(state.run), state.reviewer, state.blind)
    state.edit(False)
    state.say(texts.NOTHING_TO_REDO if event is None else f"Did again {texts.suggestions(len(event.patch_ids))}.")
    if event is not None and len(event.patch_ids) == 1:
        here = book.patch_at.get(event.patch_ids[0])
        if here is None:  # a correction, which is in the book by now
            book = services.book(str(state.run))
            look_at_position(state, book, book.patch_at.get(event.patch_ids[0]))
            return
        target = following(order, here, queue_of(state, book, codes_of(state)))
        look_at_position(state, book, here if target is None else target)


def edit(state: State) -> None:
    """Opens the field for an own value; where nothing is suggested, the question which cell is wrong."""
    if state.patch is None:
        ask_correction(state)
    else:
        state.edit(True)


def ask_correction(state: State) -> None:
    """Opens the question which cell of the row in view is wrong, and what is right."""
    if state.blind:
        state.say(texts.NO_CORRECTION_BLIND)
    elif state.row is not None:
        state.ask("correct")


def correct(state: State, column: str, typed: str) -> str:
    """Writes the person's own value into a cell of the row in view; what is wrong with the value, or ''."""
    row = int(state.row or 0)
    try:
        event = services.correct(str(state.run), row, column, typed, state.reviewer)
    except InputError as error:
        return str(error)
    _corrected(state, event, texts.CORRECTED.format(row=row, column=column, value=review.shown(typed)))
    return ""


def leave_out(state: State) -> None:
    """Leaves the row in view out of the cleaned table."""
    event = services.leave_out(str(state.run), int(state.row or 0), state.reviewer)
    _corrected(state, event, texts.CORRECTED_OUT.format(row=state.row))


def _corrected(state: State, event: Event, said: str) -> None:
    state.look_at(state.row, event.patch_ids[0])
    state.ask("")
    state.say(said)


def still_there(state: State, book: Book) -> None:
    """A correction that somebody has taken back is no longer in view; its row is."""
    if state.patch is not None and state.patch not in book.patch_at:
        look_at_row(state, int(state.row or 0))


def ask_note(state: State) -> None:
    """Opens the field for a note on the suggestion in view."""
    if state.patch is None:
        state.say(texts.NOTHING_TO_NOTE)
    else:
        state.ask("note")


def note(state: State, text: str) -> None:
    """Keeps a remark on the suggestion in view; an empty one is none."""
    if state.patch is not None and text.strip():
        services.note(str(state.run), state.patch, text.strip(), state.reviewer)
        state.say(f"{texts.EVENT_WORDS['note']}: row {state.row}.")
    state.ask("")


def jump(state: State, text: str) -> str:
    """To the row of that number; what is wrong with the number, or ''."""
    book = services.book(str(state.run))
    digits = text.strip().replace(",", "")
    if not digits.isdigit() or int(digits) not in book.row_at:
        return texts.NO_SUCH_ROW.format(text=text.strip() or "(nothing)")
    look_at_row(state, int(digits))
    _turn_to_it(state, book)
    state.ask("")
    return ""


def _turn_to_it(state: State, book: Book) -> None:
    """The queue's page on which the suggestion in view stands, if it stands there."""
    order = queue_of(state, book, codes_of(state))
    at = np.flatnonzero(order == book.patch_at.get(-1 if state.patch is None else state.patch, -1))
    if len(at):
        state.turn(int(at[0]) // PAGE_ROWS + 1)


def show_event(state: State, event: Event) -> None:
    """Selects the rows of an event, so that the review shows them whatever was decided."""
    book = services.book(str(state.run))
    state.go_blind(False)
    at = [book.patch_at[i] for i in event.patch_ids if i in book.patch_at]
    state.show_view(Filters(states=STATES), state.sort, state.ascending)
    state.select_on_map(np.unique(book.row_ids[book.patch_rows[at]]))
    look_at_position(state, book, at[0] if at else None)


def revert(state: State, seq: int) -> None:
    """Takes back one event of the history; later ones stand."""
    services.revert(str(state.run), seq, state.reviewer)
    state.say(f"Took back decision {seq}; later ones stand.")


# ---- news from the components ------------------------------------------------------------------------------------

ACTIONS: dict[str, Callable[[State], None]] = {
    "a": accept,
    "e": edit,
    "c": ask_correction,
    "x": reject,
    "s": lambda state: move(state, 1),
    "j": lambda state: move(state, 1),
    "k": lambda state: move(state, -1),
    "undo": undo,
    "redo": redo,
    "n": ask_note,
    "g": lambda state: state.ask("jump"),
}


def hear(state: State) -> None:
    """Acts upon everything the components have said since the last time, each thing once."""
    still_there(state, services.book(str(state.run)))
    keys, at_map, at_queue, fed = (st.session_state.get(name) or {} for name in ("keys", "map", "queue", "map_feed"))
    with state.lock:
        for seq, key in state.fresh_keys(keys.get("pressed")):
            ACTIONS[key](state)  # ended early it has changed nothing, and the press is still to be heard
            state.key_seq = seq
        state.holds(fed.get("held", state.fed))
        state.webgl = state.webgl and not at_map.get("unsupported", False)
        for source, news, act in (
            ("selection", at_map.get("selection"), _lasso),
            ("map", at_map.get("picked"), lambda state, news: look_at_row(state, int(news["id"]))),
            ("queue", at_queue.get("picked"), _queue_picked),
            ("sorted", at_queue.get("sorted"), lambda state, news: state.order(str(news["by"]))),
        ):
            if news and state.fresh(source, int(news["seq"])):
                act(state, news)  # as with the keys: ended early, it is heard by the next script
                state.heard(source, int(news["seq"]))


def _lasso(state: State, news: dict[str, Any]) -> None:
    book = services.book(str(state.run))
    if news["run"] == book.name and news["token"] == state.token:
        at = components.unpack_bits(news["bits"], len(book.diagnosis)) if news["n"] else np.array([], int)
        chosen = book.row_ids[at] if len(at) else None
        order = queue_of(replace(state, selection=chosen), book, codes_of(state))
        state.select(chosen)
        if len(at) and len(order):
            look_at_position(state, book, int(order[0]))


def show_rows(state: State, row_ids: np.ndarray) -> None:
    """Makes these rows the selection of the review, as if a lasso had been drawn around them."""
    book, codes = _open(state)
    order = queue_of(replace(state, selection=row_ids), book, codes)
    if len(order):
        look_at_position(state, book, int(order[0]))
    else:
        look_at_row(state, int(row_ids[0]))
    state.select_on_map(row_ids)


def _queue_picked(state: State, news: dict[str, Any]) -> None:
    book = services.book(str(state.run))
    look_at_position(state, book, book.patch_at.get(int(news["id"])))


def is_decision(event: Event) -> bool:
    """Whether an event decides something (and may be taken back by hand)."""
    return event.kind not in (DecisionKind.REVERT, DecisionKind.NOTE)


def field_wanted(state: State) -> str:
    """Which field the keyboard should be in: 'edit 3', 'note 4', 'jump 5', 'correct 6'; numbers make each one new."""
    what = "edit" if state.editing else state.asking
    return f"{what} {state.edits}" if what else ""
