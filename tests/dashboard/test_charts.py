"""The charts by their data."""

from __future__ import annotations

import re

import numpy as np
import plotly.graph_objects as go

from dashboard import charts, review


def test_the_profile_splits_same_from_other_and_sorts() -> None:
    influence = np.array([0.5, -0.5, 0.1, -0.9, 0.2], np.float32)
    same = np.array([True, False, True, False, True])
    typical = np.stack([np.linspace(-1, 0, 101), np.linspace(0, 1, 101)])
    figure = charts.influence_profile(influence, same, {"": typical, "label_error": -typical}, dark=False)
    lines = {trace.name: trace for trace in figure.data}
    own = lines["this row, its own label"].y
    assert (np.diff(own) >= 0).all() and np.isclose(own[[0, -1]], [0.1, 0.5]).all()
    assert np.isclose(lines["this row, other labels"].y[0], -0.9)
    assert lines["typical clean, its own label"].y[0] == -1 and lines["typical clean, other labels"].y[-1] == 1
    assert lines["typical label_error, its own label"].y[0] == 1
    assert len({trace.line.dash for trace in figure.data if trace.name.startswith("typical")}) == 2, "a second cue"


def test_no_other_label_leaves_its_side_out() -> None:
    figure = charts.influence_profile(np.zeros(4), np.ones(4, bool), {"": np.zeros((2, 101))}, dark=True)
    assert [trace.name for trace in figure.data] == ["typical clean, its own label", "this row, its own label"]


def test_the_loss_stands_beside_the_median_of_its_label() -> None:
    own, low, median, high = (np.linspace(3, v, 6) for v in (2.0, 0.1, 0.2, 0.4))
    figure = charts.loss_curve(own, low, median, high, kept=3, dark=False)
    lines = {trace.name: trace for trace in figure.data}
    assert np.array_equal(lines["this row"].y, own) and np.array_equal(lines["median"].y, median)
    assert list(lines["this row"].x) == [1, 2, 3, 4, 5, 6] and figure.layout.shapes[0].x0 == 4


def test_a_sample_keeps_all_suspects_and_what_the_filters_let_through() -> None:
    n = 10_000
    marks = np.where(np.arange(n) % 50 == 0, 1, 0).astype(np.uint8)
    marks[7] |= review.FILTERED_BIT
    shown = charts.sampled(marks, 4000)
    assert len(set(shown)) == len(shown) <= 4000
    assert set(np.flatnonzero((marks & 7) == 1)) <= set(shown)
    assert 7 not in shown
    assert len(charts.sampled(marks, 50)) == 50


def a_map(n: int = 300) -> tuple[go.Figure, np.ndarray, np.ndarray]:
    """A map with three traces whose row ids are no positions; figure, row ids, x."""
    r = np.random.default_rng(0)
    marks, ids, x = (np.arange(n) % 3).astype(np.uint8), r.permutation(n) * 10 + 7, r.random(n)
    view = review.Colouring("t", marks & 7, [{"name": c, "colour": "#111111"} for c in "abc"])
    at = charts.sampled(marks, n)
    figure = charts.map_figure((x, r.random(n)), view, marks, ids, at, [f"Row {ids[i]}" for i in at], ids > 100)
    return figure, ids, x


def test_points_of_any_trace_speak_of_their_own_row() -> None:
    """Plotly counts points anew in every trace, and Streamlit merges the counts: only customdata names the row."""
    figure, ids, x = a_map()
    assert len(figure.data) == 3
    points = [
        {"curve_number": c, "point_index": i, "x": trace.x[i], "customdata": trace.customdata[i]}
        for c, trace in enumerate(figure.data)
        for i in range(len(trace.x))
        if trace.x[i] < 0.3
    ]
    assert len({p["point_index"] for p in points}) < len(points), "the trap is set: indices repeat across traces"
    assert charts.chosen_rows(points).tolist() == sorted(ids[x < 0.3])
    assert charts.chosen_rows([{"customdata": [int(ids[0])]}]).tolist() == [ids[0]]
    assert charts.chosen_rows([]).tolist() == []
    for trace in figure.data:
        assert [f"Row {i}" for i in trace.customdata] == list(trace.text)
        assert (trace.customdata[trace.selectedpoints] > 100).all()
        assert len(trace.selectedpoints) == (trace.customdata > 100).sum()


def test_a_page_stands_alone_and_its_words_are_no_markup() -> None:
    figure, _, _ = a_map()
    page = charts.map_page(figure, "<b>run</b>", "50 rows")
    assert page.startswith("<!doctype html>") and "&lt;b&gt;run" in page and "<b>run" not in page
    assert "Plotly.newPlot" in page and "src=" not in page.split("<script")[0]
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']?http""", page), "nothing from the network"


def test_the_influence_map_is_centred_at_zero_and_every_cell_answers() -> None:
    mean = np.array([[-0.2, 0.1, 0.0], [0.05, 0.4, -0.1]])
    hover = [[f"{i}{j}" for j in range(3)] for i in range(2)]
    figure = charts.influence_matrix(mean, ["a", "b"], ["x", "y", "z"], hover, (1, 2), dark=False)
    cells, marks = figure.data
    assert (cells.zmin, cells.zmid, cells.zmax) == (-0.4, 0, 0.4) and np.array_equal(cells.z, mean)
    assert cells.colorscale[0][1] == charts.HELPS and cells.colorscale[2][1] == charts.HARMS
    assert list(zip(marks.y, marks.x, strict=True)) == [divmod(k, 3) for k in range(6)]
    assert list(marks.hovertext) == ["00", "01", "02", "10", "11", "12"]
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 0.5, 1.5)


def test_the_flagged_part_of_the_scores_is_apart_and_every_row_is_drawn_once() -> None:
    scores = np.random.default_rng(0).random(500)
    judged = {"right": scores[:3], "wrong": scores[3:5]}
    figure = charts.score_histogram(scores, 0.65, 0.5, judged, "#D55E00")
    above, below, right, wrong = figure.data
    assert sum(above.y) == (scores >= 0.65).sum() and sum(below.y) == (scores < 0.65).sum()
    assert list(right.x) == list(scores[:3]) and len(wrong.x) == 2 and max(right.y) < 0
    assert figure.layout.yaxis.range[1] >= max(np.add(above.y, below.y)[25:])
