"""The notebook's view of a run: tables that count right, HTML that is escaped, figures that Jupyter shows by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix_core import work
from demix_core.diagnosis import PLOTLY, Diagnosis, Drawing, Row
from demix_core.errors import InputError, RunError
from demix_core.pipeline import diagnose
from demix_core.svg import ticks
from demix_core.types import ErrorType
from tests import tiny

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Diagnosis]:
    """Of a table with a column that is called like one of ours, and hostile texts."""
    folder = tmp_path_factory.mktemp("notebook")
    frame = pd.read_csv(tiny.table(folder / "t.csv"))
    frame["job"] = frame["job"].replace("clerk", EVIL)
    frame = frame.rename(columns={"hours": "probability", "age": f"{EVIL}age"})
    frame.to_csv(folder / "t.csv", index=False)
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        yield Diagnosis(diagnose(folder / "t.csv", folder / "run", settings))


def elements(html: str) -> list[str]:
    """The names of all elements."""
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return seen


def test_the_summary_counts_what_the_run_holds(found: Diagnosis) -> None:
    summary, counts = found.summary(), found.run.summary()["counts"]
    assert summary["rows"].to_dict() == counts
    assert summary["suggestions"].sum() == len(found.patches)
    assert summary.loc["spurious", "recommended"] == counts["spurious"]


@pytest.mark.parametrize("word", ["label", "feature_error", ErrorType.SPURIOUS])
def test_flagged_rows_of_a_type_are_those_of_the_diagnosis_surest_first(found: Diagnosis, word: str) -> None:
    kind = next(k for k in ErrorType if word in (k.value, k.short))
    table = found.table.set_index("row_id")
    sure = table.loc[table[kind.value] & (table[kind.probability_column] >= 0.5), kind.probability_column]
    shown = found.flagged(word, min_confidence=0.5)
    assert sorted(shown.index) == sorted(sure.index) and shown["probability"].is_monotonic_decreasing
    np.testing.assert_allclose(shown["probability"], sure.loc[shown.index], atol=1e-4)
    cells = found.run.rows().loc[shown.index]
    assert shown["job"].tolist() == cells["job"].tolist()
    assert shown["probability_cell"].tolist() == cells["probability"].tolist(), "the person's own column"


def test_flagged_without_a_type_is_any_of_them(found: Diagnosis) -> None:
    flags = found.table[[k.value for k in ErrorType]].any(axis=1)
    assert sorted(found.flagged().index) == sorted(found.table.loc[flags, "row_id"])


def test_wrong_words_get_one_sentence(found: Diagnosis, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'typo' is no error type; write one of label, feature, spurious"):
        found.flagged("typo")
    with pytest.raises(InputError, match="between 0 and 1, not 7"):
        found.flagged("label", min_confidence=7)
    with pytest.raises(RunError, match="no run folder"):
        Diagnosis(tmp_path / "nowhere")


def test_a_row_is_an_explanation_with_a_card(found: Diagnosis) -> None:
    ids = {kind: int(found.flagged(kind).index[0]) for kind in ErrorType if len(found.flagged(kind))}
    for kind, row_id in ids.items():
        row = found.row(row_id)
        assert isinstance(row, Row) and row.to_dict() == found.explainer.row(row_id).to_dict()
        card = row._repr_html_()
        assert "script" not in elements(card) and f"Row {row_id}" in card and row.why[kind].split("'")[0][:12] in card
        assert elements(card).count("tr") == len(row.cells) + len(row.likelihoods) + 2


def test_what_is_drawn_is_a_bundle_that_notebooks_show(found: Diagnosis) -> None:
    row_id = int(found.flagged().index[0])
    for drawing in (found.profile(row_id), found.map()):
        bundle = drawing._repr_mimebundle_()
        assert set(bundle) == {PLOTLY, "text/html", "text/plain"}
        assert go.Figure(json.loads(json.dumps(bundle[PLOTLY], allow_nan=False))).data
        assert {"svg", "path"} <= set(elements(bundle["text/html"])) and "script" not in elements(bundle["text/html"])
        assert set(drawing._repr_mimebundle_(include=["text/html"])) == {"text/html"}
        assert PLOTLY not in drawing._repr_mimebundle_(exclude=[PLOTLY])
    mine = found.map().figure_json()
    mine["data"].clear()
    assert found.map().figure_json()["data"], "a copy"


def test_the_profile_is_the_rows_own(found: Diagnosis) -> None:
    row_id = int(found.flagged().index[0])
    figure, row = found.profile(row_id).figure_json(), found.row(row_id)
    lines = {trace["name"]: trace["y"] for trace in figure["data"]}
    same = row.profile[row.same_class]
    assert lines["this row, same class"][0] == pytest.approx(same.min(), abs=1e-4)
    assert lines["this row, same class"][100] == pytest.approx(same.max(), abs=1e-4)
    np.testing.assert_allclose(lines["typical row, other classes"], row.typical[1], atol=1e-4)


def test_the_still_picture_has_every_mark_and_line(found: Diagnosis) -> None:
    drawing = found.map()
    assert isinstance(drawing, Drawing)
    marks = sum(part.count("M") for part in drawing.still.split(' d="')[1:])
    traces = drawing.figure["data"]
    assert marks == len(found.table) + len(traces), "and one a name in the legend"


def test_the_whole_diagnosis_as_html(found: Diagnosis) -> None:
    html = found._repr_html_()
    assert "script" not in elements(html) and "<svg" not in html
    shown = sum(min(4, n) for n in found.patches["error_type"].value_counts())
    assert elements(html).count("tr") == 1 + shown
    for kind in ErrorType:
        assert f"<b>{found.table[kind.value].sum():,}</b>" in html


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_inside(low: float, span: float) -> None:
    made = ticks(low, low + span)
    assert 2 <= len(made) <= 9
    slack = 1e-6 * (abs(low) + span)
    assert made[0] >= low - slack and made[-1] <= low + span + slack
    gaps = np.diff(made)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-4, atol=1e-9)
