"""What the buttons and keys of the review do: a decision goes to disk first, then the next suggestion comes into view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import components, review, services, texts
from dashboard.review import Book
from dashboard.state import State, get
from demix_core.types import DROP_VALUE, DecisionKind, Event

DONE_WORDS = {
    DecisionKind.ACCEPT: "Accepted", DecisionKind.EDIT: "Edited", DecisionKind.REJECT: "Rejected", DecisionKind.NOTE: "Noted",
}  # fmt: skip


def queue_of(state: State, book: Book, codes: np.ndarray) -> np.ndarray:
    """Positions of the suggestions in the queue, in its order."""
    found = review.passing(book, codes, state.filters, state.selection)
    return review.ordered(book, codes, found, state.sort, state.ascending)


def _open() -> tuple[State, Book, np.ndarray]:
    state = get()
    assert state.run is not None
    return state, services.book(state.run), services.codes(state.run)


def look_at_position(state: State, book: Book, position: int | None) -> None:
    """Brings a suggestion (by position) into view, or nothing."""
    if position is None:
        state.look_at(None, None)
        return
    patch = book.patches.iloc[position]
    state.look_at(int(patch["row_id"]), int(patch["patch_id"]))


def look_at_row(state: State, book: Book, codes: np.ndarray, row_id: int) -> None:
    """Brings a row into view, with its first open suggestion if it has one."""
    mine = np.flatnonzero(book.patches["row_id"].to_numpy() == row_id)
    if not len(mine):
        state.look_at(row_id, None)
        return
    still_open = mine[codes[mine] == 0]
    look_at_position(state, book, int((still_open if len(still_open) else mine)[0]))


def following(order: np.ndarray, here: int | None, keep: np.ndarray, step: int = 1) -> int | None:
    """The next position after `here` in the old order that is still in keep; else the nearest before; else None."""
    left = [int(p) for p in order if p in set(keep.tolist()) or p == here]
    if here is None or here not in left:
        return left[0] if left else None
    at = left.index(here)
    after, before = left[at + 1 :], left[:at][::-1]
    ways = (after, before) if step > 0 else (before, after)
    alive = [p for way in ways for p in way]
    return alive[0] if alive else (here if here in keep else None)


def _position(state: State, book: Book) -> int | None:
    return book.patch_at.get(state.patch) if state.patch is not None else None


def move(step: int) -> None:
    """To the next or the previous suggestion of the queue; stays at its ends."""
    state, book, codes = _open()
    order = queue_of(state, book, codes)
    here = _position(state, book)
    at = np.flatnonzero(order == here) if here is not None else np.array([], int)
    target = int(at[0]) + step if len(at) else 0
    if len(order):
        look_at_position(state, book, int(order[min(max(target, 0), len(order) - 1)]))


def _decide(write: object) -> None:
    state, book, codes = _open()
    here = _position(state, book)
    if here is None:
        return
    order = queue_of(state, book, codes)
    event = write(state.run, state.patch)  # type: ignore[operator]
    state.edit(False)
    state.say(f"{DONE_WORDS[event.kind]}: row {book.patches['row_id'].iloc[here]}.")
    keep = queue_of(state, book, services.codes(str(state.run)))
    look_at_position(state, book, following(order, here, keep))


def accept() -> None:
    """Accepts the suggestion in view."""
    _decide(lambda run, patch: services.accept(run, [patch]))


def reject() -> None:
    """Rejects the suggestion in view."""
    _decide(lambda run, patch: services.reject(run, [patch]))


def save_edit(value: str) -> None:
    """Takes the person's own value for the suggestion in view."""
    _decide(lambda run, patch: services.edit(run, patch, value))


def drop_row() -> None:
    """Leaves the row of the suggestion in view out."""
    save_edit(DROP_VALUE)


def start_edit() -> None:
    """Opens the field for an own value."""
    get().edit(True)


def stop_edit() -> None:
    """Closes it without a decision."""
    get().edit(False)


def decide_many(verb: str, patch_ids: Sequence[int], query: str) -> None:
    """Accepts or rejects many at once, as one event."""
    state, book, _ = _open()
    act = services.accept if verb == "accept" else services.reject
    event = act(str(state.run), patch_ids, query)
    state.say(f"{DONE_WORDS[event.kind]} {texts.suggestions(len(patch_ids))}. Z takes it back.")
    order = queue_of(state, book, services.codes(str(state.run)))
    if _position(state, book) not in order:
        look_at_position(state, book, int(order[0]) if len(order) else None)


def _after_time_travel(event: Event | None, what: str) -> None:
    state, book, codes = _open()
    if event is None:
        state.say(f"Nothing to {what}.")
        return
    state.edit(False)
    state.say(f"{'Took back' if what == 'undo' else 'Did again'}: {texts.suggestions(len(event.patch_ids))}.")
    if len(event.patch_ids) == 1:
        look_at_position(state, book, book.patch_at.get(event.patch_ids[0]))


def undo() -> None:
    """Takes the newest decision back, single or bulk, and shows it."""
    _after_time_travel(services.undo(str(get().run)), "undo")


def redo() -> None:
    """Does the newest undone decision again."""
    _after_time_travel(services.redo(str(get().run)), "redo")


def revert(seq: int) -> None:
    """Takes back one event of the history; later ones stand."""
    services.revert(str(get().run), seq)
    get().say(f"Took back decision {seq}; later ones stand.")


# ---- news from the components ------------------------------------------------------------------------------------

ACTIONS = {
    "a": accept, "e": start_edit, "x": reject, "s": lambda: move(1), "j": lambda: move(1), "k": lambda: move(-1),
    "undo": undo, "redo": redo,
}  # fmt: skip


def on_keys() -> None:
    """Acts upon every press since the last time, in order."""
    for key in get().fresh_keys(st.session_state["keys"].get("pressed")):
        ACTIONS[key]()


def on_selection() -> None:
    """The lasso."""
    news, state = st.session_state["map"].get("selection"), get()
    if not news or not state.fresh("map_selection", int(news["seq"])):
        return
    state_run = services.book(str(state.run))
    if news["token"] != state.token:
        return
    at = components.unpack_bits(news["bits"], len(state_run.diagnosis)) if news["n"] else np.array([], int)
    state.select(state_run.row_ids[at])


def on_picked() -> None:
    """A click on the map."""
    news, (state, book, codes) = st.session_state["map"].get("picked"), _open()
    if news and state.fresh("map_picked", int(news["seq"])):
        look_at_row(state, book, codes, int(news["id"]))


def on_queue_picked() -> None:
    """A click on a line of the queue."""
    news, state = st.session_state["queue"].get("picked"), get()
    if news and state.fresh("queue_picked", int(news["seq"])):
        book = services.book(str(state.run))
        look_at_position(state, book, book.patch_at.get(int(news["id"])))


def on_sorted() -> None:
    """A click on a header of the queue."""
    news, state = st.session_state["queue"].get("sorted"), get()
    if news and state.fresh("queue_sorted", int(news["seq"])):
        state.order(str(news["by"]))


def on_unsupported() -> None:
    """The browser has no WebGL2."""
    get().webgl = not st.session_state["map"].get("unsupported", False)
