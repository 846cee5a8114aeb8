"""The address carries the whole screen there and back, and survives anybody's text."""

from __future__ import annotations

from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st

from dashboard import address
from dashboard.state import ALL_TYPES, LARGEST_FIRST, STATES, Filters, State
from demix_core.sift import Condition

LETTERS = "abü &=%+#?[]\"',;:/\\\n\x1f日"
TEXTS = st.text(LETTERS, min_size=1, max_size=8)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
CONDITIONS = st.one_of(
    st.builds(Condition, TEXTS, st.lists(TEXTS | st.just(""), min_size=1, max_size=3).map(tuple)),
    st.builds(Condition, TEXTS, st.just(()), NUMBERS, st.none() | NUMBERS),
    st.builds(Condition, TEXTS, st.just(()), st.none(), NUMBERS),
)
TUPLES = st.lists(TEXTS, max_size=3).map(tuple)
FILTERS = st.builds(
    Filters,
    types=st.sets(st.sampled_from(ALL_TYPES), min_size=1).map(lambda s: tuple(t for t in ALL_TYPES if t in s)),
    states=st.sets(st.sampled_from(STATES), min_size=1).map(lambda s: tuple(t for t in STATES if t in s)),
    least=st.integers(0, 100).map(lambda i: i / 100),
    classes=TUPLES, columns=TUPLES, search=TEXTS | st.just(""), reviewers=TUPLES,
    where=st.lists(CONDITIONS, max_size=3).map(tuple),
)  # fmt: skip
SCREENS = st.builds(
    State, run=st.just("a"), filters=FILTERS, sort=st.sampled_from([*LARGEST_FIRST, "row", "type"]),
    ascending=st.booleans(), page=st.integers(1, 99), row=st.none() | st.integers(0, 10**7),
    patch=st.none() | st.integers(0, 10**7), colour=TEXTS, projection=st.sampled_from(["umap", "tsne"]), panel=TEXTS,
    selection_key=st.sampled_from(["", "0123456789"]),
)  # fmt: skip
SHOWN = (
    "run", "filters", "sort", "ascending", "page", "row", "patch", "colour", "projection", "panel", "selection_key",
)  # fmt: skip


@given(SCREENS)
def test_a_link_brings_the_screen_back(state: State) -> None:
    given_ = parse_qs(address.query(state), keep_blank_values=True)
    fresh = State()
    fresh.arrive(given_["run"][0])
    address.restore(fresh, given_)
    assert {name: getattr(fresh, name) for name in SHOWN} == {name: getattr(state, name) for name in SHOWN}


@given(st.dictionaries(
    st.sampled_from(["type", "decision", "least", "where", "sort", "page", "row", "patch", "find", "label", "colour"]),
    st.lists(TEXTS | st.sampled_from(["", "[]", "[1]", '["a", {}]', "nan", "inf", "-1", "1e400"]), max_size=3),
))  # fmt: skip
def test_nonsense_in_the_address_is_passed_over(given_: dict[str, list[str]]) -> None:
    state = State()
    address.restore(state, given_)
    assert state.filters.types and state.filters.states and 0 <= state.filters.least <= 1 and state.page >= 1
    address.query(state)


def test_the_first_look_needs_no_more_than_the_run() -> None:
    assert address.query(State(run="my run")) == "run=my+run"
    assert address.query(State()) == ""
