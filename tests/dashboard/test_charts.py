"""The charts by their data."""

from __future__ import annotations

import numpy as np

from dashboard import charts, review


def test_the_profile_splits_same_from_other_and_sorts() -> None:
    influence = np.array([0.5, -0.5, 0.1, -0.9, 0.2], np.float32)
    same = np.array([True, False, True, False, True])
    typical = np.stack([np.linspace(-1, 0, 101), np.linspace(0, 1, 101)])
    figure = charts.influence_profile(influence, same, typical)
    lines = {trace.name: trace for trace in figure.data}
    own = lines["this row, same class"].y
    assert (np.diff(own) >= 0).all() and np.isclose(own[[0, -1]], [0.1, 0.5]).all()
    assert np.isclose(lines["this row, other classes"].y[0], -0.9)
    assert lines["typical row, same class"].y[0] == -1 and lines["typical row, other classes"].y[-1] == 1


def test_no_other_class_leaves_its_lines_out() -> None:
    figure = charts.influence_profile(np.zeros(4), np.ones(4, bool), np.zeros((2, 101)))
    assert [trace.name for trace in figure.data] == ["typical row, same class", "this row, same class"]


def test_the_fallback_shows_all_suspects_and_carries_row_ids() -> None:
    n = 10_000
    r = np.random.default_rng(0)
    marks = np.where(np.arange(n) % 50 == 0, 1, 0).astype(np.uint8)
    marks[7] |= review.FILTERED_BIT
    view = review.Colouring("t", marks & 7, [{"colour": "#111111"}, {"colour": "#222222"}])
    ids = np.arange(n) + 100
    figure = charts.map_fallback((r.random(n), r.random(n)), view, marks, ids, 300)
    shown = set(figure.data[0].customdata.tolist())
    assert len(shown) <= charts.FALLBACK_POINTS
    assert set(ids[(marks & 7) == 1]) <= shown
    assert ids[7] not in shown
