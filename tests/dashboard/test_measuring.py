"""`bench map` measures what it says: the same rows in Python as on the map, for ours and for Plotly, on tiny tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix_core.benchmark import map as bench
from demix_core.store import Run
from demix_core.types import ErrorType

ROWS = 300


@pytest.mark.browser
def test_both_maps_recolour_and_hand_python_the_rows_in_the_lasso() -> None:
    with bench.serving(bench.SCRIPT) as served, bench.browsing() as browser:
        ours = bench.Tab(browser, served, "ours", ROWS)
        assert ours.recolour() > 0 and ours.out("turn") == 1
        whole, after = ours.lasso()
        assert whole > after > 0
        ours.agrees()
        assert ours.own(ours.recolour) > 0
        ours.close()
        theirs = bench.Tab(browser, served, "plotly", ROWS)
        assert theirs.recolour() > 0
        theirs.lasso()
        n, total = theirs.page.evaluate(
            """() => { const ids = document.querySelector('.js-plotly-plot')._fullData.flatMap(
            (t) => [...(t.selectedpoints || [])].map((i) => t.customdata[i]));
            return [ids.length, ids.reduce((a, b) => a + b)]; }"""
        )
        assert (n, total) == (theirs.out("n"), theirs.out("sum"))
        theirs.close()


def test_every_decision_of_the_rerun_benchmark_is_on_disk() -> None:
    found = bench.after_decisions(ROWS, 0)
    assert found["failed"] == 0 and found["decided"] == len(found["wall"]) == len(found["cpu"]) == 3 * bench.REPEATS


def test_the_synthetic_run_is_a_run(tmp_path: Path) -> None:
    run = bench.make(tmp_path / "run", ROWS)
    assert Run.open(run.path).schema().target in run.rows()
    diagnosis, patches = run.diagnosis(), run.patches()
    flagged = diagnosis[[t.value for t in ErrorType]].any(axis=1)
    assert set(patches["row_id"]) == set(diagnosis.loc[flagged, "row_id"])
    assert len(patches) == int(ROWS * 0.05) and patches["patch_id"].is_unique
