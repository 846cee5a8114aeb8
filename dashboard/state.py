"""What one browser tab is looking at. Decisions are not here: they are on disk before the screen says so."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st

from demix_core.sift import Condition
from demix_core.types import ErrorType

KEY = "demix"
LONGEST_NAME = 40
ALL_TYPES = tuple(ErrorType)
STATES = ("open", "accepted", "edited", "rejected")
DRAWN = "drawn"
"""The order of the queue that a sample for review comes in: the selection's own."""

MOST_MISSES = 5
"""A browser that does not see the page after so many times will not see it the next time either."""

LARGEST_FIRST = ("confidence", "uncertainty", "gain", "benefit", "taught")
"""Orders of the queue that begin with the largest value."""


@dataclass(frozen=True)
class Filters:
    """Which suggestions the queue shows. columns: only changes of these; classes: only these labels; empty: all.

    where: conditions on the row's cells, all must hold; reviewers: whose decision stands.
    """

    types: tuple[ErrorType, ...] = ALL_TYPES
    states: tuple[str, ...] = ("open",)
    least: float = 0.0
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    search: str = ""
    where: tuple[Condition, ...] = ()
    reviewers: tuple[str, ...] = ()

    @property
    def about_rows(self) -> bool:
        """Whether clean rows are filtered as well (class, cells and search speak of rows)."""
        return bool(self.classes or self.search or self.where)


@dataclass(frozen=True)
class DataChoice:
    """The table that a new diagnosis would start from, and what the person corrected. Paths are texts."""

    path: str = ""
    validation: str = ""
    test: str = ""
    target: str = ""
    task: str = "auto"
    kinds: tuple[tuple[str, str], ...] = ()
    share: float = 0.2


@dataclass(frozen=True)
class InfluenceChoice:
    """What the influence page shows. groups, slices: how rows are divided; slice: position among the slices that were
    measured, None: the one with the highest loss; group: only rows of it are blamed, '': all; question: blame a slice's
    rows, or look at what selected rows do.
    """

    question: str = "blame"
    groups: str = "type"
    slices: str = "worst"
    slice: int | None = None
    group: str = ""
    top: int = 20
    flagged: bool = False


@dataclass
class State:
    """One tab. Views call the transitions below and never assign.

    reviewer: who sits here, named: by the person rather than by default; drawn, looked: the newest event of the log
    when the screen was last drawn, and when the present suggestion came into view; scripts: how often it was drawn;
    beat: the pulse that the last script heard; behind: the script that the browser had not seen by the last beat;
    misses: how often running the page was drawn again for that; blind: the review shows the person's part of a second
    review, and none of the decisions; lost: why the run that the address named can't be shown;
    settled: the version of the run that all this was last made to fit.
    """

    run: str | None = None
    lost: str = ""
    reviewer: str = ""
    named: bool = False
    drawn: int = 0
    scripts: int = 0
    beat: int = 0
    behind: int = 0
    misses: int = 0
    looked: int = 0
    blind: bool = False
    patch: int | None = None
    row: int | None = None
    selection: np.ndarray | None = None
    selection_key: str = ""
    token: int = 1
    filters: Filters = field(default_factory=Filters)
    colour: str = "Error type"
    projection: str = "umap"
    panel: str = "Cells"
    sort: str = "benefit"
    ascending: bool = False
    page: int = 1
    editing: bool = False
    edits: int = 0
    asking: str = ""
    intro: bool = True
    webgl: bool = True
    fed: int = 0
    key_nonce: str = ""
    key_seq: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    data: DataChoice = field(default_factory=DataChoice)
    influence: InfluenceChoice = field(default_factory=InfluenceChoice)
    message: str = ""
    watching: bool = False
    tours: int = 0
    bulks: int = 0
    presses: set[str] = field(default_factory=set)
    going: str = ""
    refusal: str = ""
    settled: int | None = None
    lock: Any = field(default_factory=threading.RLock, repr=False, compare=False)
    """Streamlit may start the next script while the last one is still ending: only one of them acts at a time."""

    # ---- who --------------------------------------------------------------------------------------------------
    def name(self, reviewer: str, by_hand: bool = True) -> None:
        """Who decides in this tab; an empty name changes nothing."""
        wanted = " ".join(reviewer.split())[:LONGEST_NAME]
        if wanted:
            self.reviewer, self.named = wanted, by_hand

    def draw(self, newest: int) -> None:
        """The screen is about to show everything up to this event of the log."""
        self.drawn = newest
        self.scripts += 1

    def hear_beat(self, beat: int) -> None:
        """The script answers this beat of the pulse with a whole page."""
        self.beat = beat

    def missed(self, script: int) -> bool:
        """Whether the page is to be drawn again, as the browser has seen no later script than this one: at the second
        beat that says so, for the first may have crossed the page on its way; and not for ever.
        """
        if script >= self.scripts:
            self.behind = self.misses = 0
            return False
        first, self.behind = self.behind != self.scripts, self.scripts
        self.misses += not first
        return not first and self.misses <= MOST_MISSES

    def go_blind(self, on: bool) -> None:
        """Into the blind second review, or out of it: the review begins anew, with nothing in view."""
        if on != self.blind:
            self.blind, self.filters, self.message, self.editing = on, Filters(), "", False
            self.row = self.patch = None
            self.clear_selection()

    # ---- runs and data ------------------------------------------------------------------------------------
    def open_run(self, run: str | None) -> None:
        """Another run: everything that spoke of the old one is forgotten."""
        if run == self.run:
            return
        self.run, self.lost = run, ""
        self.patch = self.row = self.selection = None
        self.selection_key, self.settled = "", None
        self.token += 1
        self.filters, self.influence = Filters(), InfluenceChoice()
        self.colour, self.page, self.editing, self.message = "Error type", 1, False, ""
        self.drawn, self.looked, self.blind = 0, 0, False
        self.watching = run is not None

    def arrive(self, run: str | None) -> None:
        """The first look of this tab, by the address or by default."""
        self.open_run(run)

    def lose(self, why: str) -> None:
        """The run that was asked for is not there; '' when the person has read so."""
        self.lost = why

    def divide(self, **changes: Any) -> None:
        """Another look at influence: other groups forget the chosen group, other slices the chosen slice."""
        if changes.get("slices", self.influence.slices) != self.influence.slices:
            changes.setdefault("slice", None)
        if changes.get("groups", self.influence.groups) != self.influence.groups:
            changes.setdefault("group", "")
        self.influence = replace(self.influence, **changes)

    def watch(self, on: bool) -> None:
        """Whether the diagnose page shows the run's job or the form for a new one."""
        self.watching = on

    def show_map(self, method: str) -> None:
        """One of the projections."""
        self.projection = method

    # ---- presses and pages: what Streamlit forgets when another message interrupts the script ---------------------
    def press(self, key: str) -> None:
        """A button was pressed; who acts on it takes it."""
        self.presses.add(key)

    def take_press(self, key: str) -> bool:
        """Whether this button was pressed and nobody has acted on it yet."""
        held = key in self.presses
        self.presses.discard(key)
        return held

    def forget_presses(self) -> None:
        """The script came to its end: what nobody took by now is for nobody."""
        self.presses.clear()

    def go(self, page: str) -> None:
        """To this page, as the script begins next; '': the page has come up."""
        self.going = page

    def take_tour(self) -> None:
        """The guided tour begins (again)."""
        self.tours += 1

    def close_intro(self) -> None:
        """The newcomer has read it."""
        self.intro = False

    def choose_data(self, path: str) -> None:
        """Another table: what was corrected for the old one is forgotten."""
        if path != self.data.path:
            self.data = DataChoice(path=path)
            self.watching = False

    def take_data(self, choice: DataChoice) -> None:
        """A table with everything that was said about it before."""
        self.data, self.watching = choice, False

    def correct_data(self, **changes: Any) -> None:
        """The person's own word on the table: target, task, kinds, share, validation, test."""
        if changes.get("target", self.data.target) != self.data.target:
            changes.setdefault("task", "auto")
        self.data = replace(self.data, **changes)

    # ---- where the person looks ---------------------------------------------------------------------------
    def look_at(self, row: int | None, patch: int | None) -> None:
        """Another row (and the suggestion on it, if any) in the inspector."""
        if (row, patch) != (self.row, self.patch):
            self.editing, self.asking, self.looked = False, "", self.drawn
        self.row, self.patch = row, patch

    def select(self, row_ids: np.ndarray | None) -> None:
        """The lasso's rows; None or empty: no selection."""
        self.selection = None if row_ids is None or not len(row_ids) else row_ids
        self.selection_key = ""
        self.page = 1

    def name_selection(self, key: str) -> None:
        """Under which key the run folder keeps the selected rows, for a link."""
        self.selection_key = key

    def clear_selection(self) -> None:
        """No selection, and the map is told so."""
        self.select(None)
        self.token += 1

    def select_on_map(self, row_ids: np.ndarray) -> None:
        """A selection that Python makes (rows of one shortcut, for instance): the map is told."""
        self.select(row_ids)
        self.token += 1

    def take_sample(self, kind: ErrorType, row_ids: np.ndarray, states: tuple[str, ...]) -> None:
        """The queue holds these rows' suggestions of one type, in the order of the rows."""
        self.filters = Filters(types=(kind,), states=states)
        self.select_on_map(row_ids)
        self.sort, self.ascending = DRAWN, False

    def filter(self, **changes: Any) -> None:
        """Narrows or widens the queue."""
        self.filters = replace(self.filters, **changes)
        self.page = 1

    def show_view(self, filters: Filters, sort: str, ascending: bool) -> None:
        """Another view of the queue: filters and order together."""
        self.filters, self.sort, self.ascending, self.page, self.refusal = filters, sort, ascending, 1, ""

    def order(self, by: str) -> None:
        """Sorts the queue; the same column again turns it around."""
        by = "taught" if (by, self.sort) == ("confidence", "taught") else by  # what the column shows in that order
        self.ascending = not self.ascending if by == self.sort else by not in LARGEST_FIRST
        self.sort, self.page = by, 1

    def turn(self, page: int) -> None:
        """Another page of the queue."""
        self.page = page

    def edit(self, on: bool) -> None:
        """Opens or closes the field for an own value."""
        self.editing = on and self.patch is not None
        self.edits += int(self.editing)

    def ask(self, what: str) -> None:
        """Opens the field for a 'note', for a row to 'jump' to, or to 'correct' a cell; '': closes it."""
        self.asking = what
        self.edits += int(bool(what))

    def end_bulk(self) -> None:
        """A bulk decision is made: its window closes, or the next press would decide what is left as well."""
        self.bulks += 1

    def say(self, message: str) -> None:
        """One line about what has just been done."""
        self.message = message

    def refuse(self, why: str) -> None:
        """Why the name of a view was not taken."""
        self.refusal = why

    def holds(self, version: int) -> None:
        """Which version of the map's positions this tab's browser holds; 0: none."""
        self.fed = version

    # ---- news from the components, each to be heard once ------------------------------------------------------
    def fresh(self, source: str, seq: int) -> bool:
        """Whether this message of a component is yet to be acted upon; who has acted says so by heard."""
        return seq > self.seen.get(source, 0)

    def heard(self, source: str, seq: int) -> None:
        """This message has been acted upon."""
        self.seen[source] = seq

    def fresh_keys(self, pressed: dict[str, Any] | None) -> list[tuple[int, str]]:
        """(sequence number, key) of the presses not yet acted upon, oldest first; who acts sets key_seq."""
        if not pressed:
            return []
        if pressed["nonce"] != self.key_nonce:
            self.key_nonce, self.key_seq = pressed["nonce"], 0
        return [(int(seq), str(key)) for seq, key in pressed["queue"] if seq > self.key_seq]


def get() -> State:
    """This tab's state, made on first use."""
    if KEY not in st.session_state:
        st.session_state[KEY] = State()
    state: State = st.session_state[KEY]
    return state
