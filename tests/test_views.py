"""Saved views and kept selections: written whole, read back, never in each other's way."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core import views
from demix_core.errors import RunError
from demix_core.store import Run


def test_a_view_is_kept_replaced_and_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert views.saved_views(run) == {}
    assert views.save_view(run, "  old & rich/é  ", {"type": ["label"], "least": ["0.5"]}) == "old & rich/é"
    views.save_view(run, "a", {})
    views.save_view(run, "old & rich/é", {"sort": ["gain"]})
    assert views.saved_views(Run(tmp_path)) == {"a": {}, "old & rich/é": {"sort": ["gain"]}}
    views.delete_view(run, "old & rich/é")
    views.delete_view(run, "never there")
    assert list(views.saved_views(run)) == ["a"]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["", "   ", "x" * (views.LONGEST_NAME + 1)])
def test_a_name_that_can_not_be_used_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="needs a name"):
        views.save_view(Run(tmp_path), name, {})
    assert views.saved_views(Run(tmp_path)) == {}


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"name": "x"}', '{"name": "x", "view": 3}', '{"name": "x", "view": {"a": 1}}']
)
def test_a_damaged_view_does_not_close_the_review(damage: str, tmp_path: Path) -> None:
    views.save_view(Run(tmp_path), "good", {"type": ["label"]})
    (tmp_path / "views" / "bad.json").write_text(damage)
    assert list(views.saved_views(Run(tmp_path))) == ["good"]


def test_two_people_who_save_at_once_lose_nothing(tmp_path: Path) -> None:
    def work(who: str) -> None:
        for i in range(10):
            views.save_view(Run(tmp_path), f"{who} {i}", {"find": [who]})

    threads = [threading.Thread(target=work, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(views.saved_views(Run(tmp_path))) == 20


@given(rows=st.sets(st.integers(0, 5000), min_size=1))
def test_a_selection_comes_back_by_its_key(rows: set[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    run = Run(tmp_path_factory.mktemp("run"))
    key = views.keep_selection(run, np.array(list(rows)))
    found = views.selection(run, key)
    assert found is not None and found.tolist() == sorted(rows)
    assert views.keep_selection(run, np.array(sorted(rows))) == key, "the same rows have the same key"


@pytest.mark.parametrize("key", ["", "../../etc", "0" * 10, "ABCDEFABCD", "0" * 64])
def test_a_key_that_is_none_selects_nothing(key: str, tmp_path: Path) -> None:
    assert views.selection(Run(tmp_path), key) is None


def test_old_selections_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "KEPT_SELECTIONS", 3)
    keys = [views.keep_selection(Run(tmp_path), np.array([i])) for i in range(5)]
    assert [views.selection(Run(tmp_path), k) is not None for k in keys] == [False, False, True, True, True]
