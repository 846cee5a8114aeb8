"""The decision log: replay, undo out of order, two writers, and files that carry a review to another place."""

import threading
from pathlib import Path

import pytest

from demix_core.decisions import DecisionLog
from demix_core.errors import RunError
from demix_core.types import DecisionKind


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
    log.export_jsonl(tmp_path / "d.jsonl", "h")
    other = DecisionLog(tmp_path / "other.sqlite")
    with pytest.raises(RunError, match="another table"):
        other.import_jsonl(tmp_path / "d.jsonl", "g")
    assert other.import_jsonl(tmp_path / "d.jsonl", "h") == 3
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
