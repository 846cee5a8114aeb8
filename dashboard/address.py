"""The screen as an address: everything that a copied link must carry, written from the state and read back.

Only what differs from the first look is written. What is read may be anybody's text: nonsense is passed over here, and
what the run does not know is dropped by deciding.settle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dashboard.state import ALL_TYPES, STATES, Filters, State
from demix_core.sift import Condition

Parameters = dict[str, list[str]]
SHORT = {t.short: t for t in ALL_TYPES}


def of_queue(filters: Filters, sort: str, ascending: bool) -> Parameters:
    """What the queue shows and how it is sorted; also what a saved view holds."""
    plain = State()
    found: Parameters = {}
    if filters.types != ALL_TYPES:
        found["type"] = [t.short for t in filters.types]
    if filters.states != Filters().states:
        found["decision"] = list(filters.states)
    if filters.least:
        found["least"] = [f"{filters.least:g}"]
    for name, values in (("label", filters.classes), ("column", filters.columns), ("reviewer", filters.reviewers)):
        if values:
            found[name] = list(values)
    if filters.where:
        found["where"] = [_of_condition(c) for c in filters.where]
    if filters.search:
        found["find"] = [filters.search]
    if (sort, ascending) != (plain.sort, plain.ascending):
        found["sort"] = [f"{sort} up" if ascending else sort]
    return found


def read_queue(given: Mapping[str, Sequence[str]]) -> tuple[Filters, str, bool]:
    """(filters, sort, ascending) of such parameters; what makes no sense is as if it were not there."""
    plain = State()
    types = tuple(SHORT[t] for t in given.get("type", ()) if t in SHORT)
    states = tuple(s for s in STATES if s in given.get("decision", ()))
    conditions = (_condition(text) for text in given.get("where", ()))
    filters = Filters(
        types=types or ALL_TYPES,
        states=states or Filters().states,
        least=min(max(_number(given, "least", 0.0), 0.0), 1.0),
        classes=tuple(given.get("label", ())),
        columns=tuple(given.get("column", ())),
        search=_text(given, "find"),
        where=tuple(c for c in conditions if c is not None),
        reviewers=tuple(given.get("reviewer", ())),
    )
    sort, _, direction = _text(given, "sort").partition(" ")
    return filters, sort or plain.sort, direction == "up"


def of_screen(state: State) -> Parameters:
    """The whole screen of a tab."""
    plain, found = State(), {"run": [state.run]} if state.run else {}
    found |= of_queue(state.filters, state.sort, state.ascending)
    for name, value, usual in (
        ("page", state.page, plain.page), ("row", state.row, None), ("patch", state.patch, None),
        ("colour", state.colour, plain.colour), ("map", state.projection, plain.projection),
        ("panel", state.panel, plain.panel), ("selected", state.selection_key, ""), ("blind", int(state.blind), 0),
    ):  # fmt: skip
        if value != usual:
            found[name] = [str(value)]
    return found


def query(state: State) -> str:
    """What stands behind the question mark of the address."""
    return urlencode(of_screen(state), doseq=True)


def restore(state: State, given: Mapping[str, Sequence[str]]) -> None:
    """Brings a fresh tab to where the address says; state.run is open already."""
    state.show_view(*read_queue(given))
    row, patch = (_number(given, name, math.nan) for name in ("row", "patch"))
    state.look_at(_whole(row), _whole(patch))
    state.turn(max(_whole(_number(given, "page", 1)) or 1, 1))
    state.colour = _text(given, "colour") or state.colour
    state.projection = _text(given, "map") or state.projection
    state.panel = _text(given, "panel") or state.panel
    state.selection_key = _text(given, "selected")
    state.go_blind(_text(given, "blind") == "1")


def _text(given: Mapping[str, Sequence[str]], name: str) -> str:
    values = given.get(name, ())
    return values[-1] if values else ""


def _number(given: Mapping[str, Sequence[str]], name: str, otherwise: float) -> float:
    try:
        value = float(_text(given, name))
    except ValueError:
        return otherwise
    return value if math.isfinite(value) else otherwise


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) and value >= 0 else None


def _of_condition(condition: Condition) -> str:
    what: list[Any] = [list(condition.values)] if condition.values else [condition.low, condition.high]
    return json.dumps([condition.column, *what], ensure_ascii=False)


def _condition(text: str) -> Condition | None:
    """Of '["age", 17, 30]' or '["sex", ["f"]]'."""
    try:
        column, *what = json.loads(text)
        if len(what) == 1:
            return Condition(str(column), tuple(str(v) for v in what[0]))
        low, high = (None if v is None else float(v) for v in what)
    except (ValueError, TypeError):
        return None
    return Condition(str(column), (), low, high)
