"""The decision log: replay, undo out of order, two writers, and files that carry a review to another place."""

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core.decisions import STANDS, DecisionLog, live, others, replay, stood
from demix_core.errors import RunError
from demix_core.types import DecisionKind, Event

WRITERS, ACTS = 3, 30


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "d.sqlite")


def test_reverting_an_early_event_keeps_the_later_ones(log: DecisionLog) -> None:
    bulk = log.accept(range(5), "ann")
    log.reject([2], "ann")
    log.revert(bulk.seq)
    assert {i: s.kind for i, s in log.replay().items()} == {2: DecisionKind.REJECT}
    with pytest.raises(RunError, match="no standing decision"):
        log.revert(bulk.seq)


def test_undo_and_redo_walk_back_and_forth(log: DecisionLog) -> None:
    log.accept([1])
    log.edit(2, "x")
    both = log.replay()
    assert log.undo() and log.undo() and log.undo() is None
    assert log.replay() == {}
    assert log.redo() and log.redo() and log.redo() is None
    assert log.replay() == both
    log.undo()
    log.reject([3])
    assert log.redo() is None


def test_a_review_travels_as_jsonl(log: DecisionLog, tmp_path: Path) -> None:
    first = log.accept([1, 2], "ann", query="a > 1")
    log.edit(2, "\u2028é")
    log.revert(first.seq)
    log.second(DecisionKind.EDIT, 2, "bob", "y", "sure")
    log.export_jsonl(tmp_path / "d.jsonl", "h")
    other = DecisionLog(tmp_path / "other.sqlite")
    with pytest.raises(RunError, match="another table"):
        other.import_jsonl(tmp_path / "d.jsonl", "g")
    assert other.import_jsonl(tmp_path / "d.jsonl", "h") == 4
    assert other.events() == log.events()


def test_two_writers_lose_nothing(tmp_path: Path, log: DecisionLog) -> None:
    def work(start: int) -> None:
        mine = DecisionLog(tmp_path / "d.sqlite")
        for i in range(start, start + 20):
            mine.accept([i])
        mine.close()

    threads = [threading.Thread(target=work, args=(s,)) for s in (0, 100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(log.replay()) == 40


def test_undo_and_redo_are_ones_own_and_anybody_may_revert(log: DecisionLog) -> None:
    ann = log.accept([1], "ann")
    bob = log.reject([1], "bob")
    assert log.undo("ann").reverts == ann.seq and log.undo("ann") is None
    assert log.replay()[1].kind is DecisionKind.REJECT
    assert log.redo("bob") is None
    log.accept([7], "bob")  # no decision of ann's: her redo is not spent
    assert log.redo("ann") and log.replay()[1].seq == bob.seq, "what she did again is older than his"
    log.revert(bob.seq, "ann")
    assert log.replay()[1].seq == ann.seq
    assert log.undo("bob").patch_ids == (7,)


def test_second_opinions_stand_beside_decisions_and_have_an_undo_of_their_own(log: DecisionLog) -> None:
    log.accept([1], "ann")
    log.reject([2], "bob")
    opinion = log.second(DecisionKind.REJECT, 1, "bob")
    assert opinion.kind.second and opinion.kind.verdict is DecisionKind.REJECT
    assert {i: s.kind for i, s in log.replay().items()} == {1: DecisionKind.ACCEPT, 2: DecisionKind.REJECT}
    assert log.undo("bob", second=True).reverts == opinion.seq and log.undo("bob", second=True) is None
    assert log.undo("bob").patch_ids == (2,) and log.redo("bob", second=True).patch_ids == (1,)
    assert opinion.seq in {e.seq for e in live(log.events())}


def test_many_together_leave_what_others_decided_since(log: DecisionLog) -> None:
    log.accept([1], "bob")
    seen = log.newest()
    log.reject([2], "bob")
    log.reject([3], "ann")
    assert set(others(log.events(), "ann", seen)) == {2}
    assert log.together(DecisionKind.ACCEPT, range(1, 5), "ann", seen).patch_ids == (1, 3, 4)
    assert log.together(DecisionKind.REJECT, [2], "ann", seen) is None
    assert stood(log.events(), 2).reviewer == "bob" and stood(log.events(), 9) is None
    assert stood(log.events(), 1, before=log.newest()).reviewer == "bob"


ACT = st.tuples(
    st.sampled_from(["accept", "reject", "edit", "second", "note", "undo", "redo", "undo second", "redo second"]),
    st.sampled_from(["ann", "bob"]),
    st.integers(0, 3),
)


def act(log: DecisionLog, what: str, who: str, patch: int) -> Event | None:
    verb, _, second = what.partition(" ")
    doing: dict[str, Callable[[], Event | None]] = {
        "accept": lambda: log.accept([patch, patch + 1], who),
        "reject": lambda: log.reject([patch], who),
        "edit": lambda: log.edit(patch, f"{who} {patch}", who),
        "note": lambda: log.note([patch], who, "hm"),
        "second": lambda: log.second(DecisionKind.REJECT, patch, who),
        "undo": lambda: log.undo(who, bool(second)),
        "redo": lambda: log.redo(who, bool(second)),
    }
    return doing[verb]()


@settings(deadline=None, max_examples=30)
@given(st.lists(ACT, max_size=14))
def test_nobody_takes_back_what_is_another_s_and_opinions_never_decide(tmp_path_factory, acts) -> None:
    path = tmp_path_factory.mktemp("log") / "d.sqlite"
    with closing(DecisionLog(path)) as log:
        for what, who, patch in acts:
            before = [e for e in live(log.events()) if e.reviewer != who]
            act(log, what, who, patch)
            assert [e for e in live(log.events()) if e.reviewer != who] == before
            states = replay([e for e in log.events() if not e.kind.second])
            assert {i: s.kind for i, s in states.items()} == {i: s.kind for i, s in log.replay().items()}
        with closing(DecisionLog(path)) as fresh:
            assert fresh.events() == log.events() and fresh.replay() == log.replay() == replay(log.events())
            assert fresh.newest() == max((e.seq for e in log.events()), default=0)


def _write_at_once(path: str, who: str, start, told) -> None:
    """In a process of its own: decides, undoes, does again, many at once; tells what was confirmed."""
    with closing(DecisionLog(path)) as log:
        start.wait()
        said = []
        for i in range(ACTS):
            what = ("accept", "edit", "undo", "redo", "second", "reject")[i % 6]
            many = i % 10 == 0
            event = log.together(DecisionKind.ACCEPT, range(99), who, log.newest()) if many else act(log, what, who, i)
            said += [event] if event else []
        told.put((who, said))


def test_several_processes_at_one_log_lose_nothing_and_undo_only_their_own(tmp_path: Path, log: DecisionLog) -> None:
    context = multiprocessing.get_context("spawn")
    start, told = context.Event(), context.Queue()
    names = [f"writer {i}" for i in range(WRITERS)]
    writers = [context.Process(target=_write_at_once, args=(str(tmp_path / "d.sqlite"), n, start, told)) for n in names]
    for writer in writers:
        writer.start()
    start.set()
    confirmed = {}
    while len(confirmed) < WRITERS:
        who, said = told.get(timeout=120)
        confirmed[who] = said
        log.events()  # a reader that looks while others write
    for writer in writers:
        writer.join()
    events = log.events()
    with closing(DecisionLog(tmp_path / "d.sqlite")) as fresh:
        assert events == fresh.events(), "reading bit by bit is reading whole"
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert sorted((e for said in confirmed.values() for e in said), key=lambda e: e.seq) == events
    by_seq = {e.seq: e for e in events}
    assert all(by_seq[e.reverts].reviewer == e.reviewer for e in events if e.reverts is not None)
    assert {i: s.kind for i, s in log.replay().items()} == slow_replay(events)


def slow_replay(events: list[Event]) -> dict[int, DecisionKind]:
    """What stands, told event by event from the beginning each time: an obvious twin of replay."""
    dead = set()
    for e in reversed(events):
        if e.reverts is not None and e.seq not in dead:
            dead.add(e.reverts)
    return {i: e.kind for e in events if e.seq not in dead and e.kind in STANDS for i in e.patch_ids}
