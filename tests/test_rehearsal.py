"""Planted errors: counted as by hand, found by a real diagnosis, and never taken for another diagnosis'."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_core import work
from demix_core.classifiers.planted import COPIES
from demix_core.cli import main
from demix_core.errors import InputError
from demix_core.pipeline import diagnose
from demix_core.rehearsal import rehearse
from demix_core.store import JobState, Run
from demix_core.trust.limits import diagnosed, write_limit
from demix_core.trust.planted import assess, read
from demix_core.types import ErrorType
from demix_core.update import update
from tests import tiny

LABEL, FEATURE = ErrorType.LABEL, ErrorType.FEATURE


def by_hand() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two copies of four rows, of which the run itself suspects row 3, and the run's own diagnosis."""
    scores = [[0.9, 0.8, 0.3, 0.9], [0.9, 0.2, 0.7, 0.1]]
    planted = [[True, True, True, False], [True, True, False, False]]
    found = pd.DataFrame({
        "copy": np.repeat([0, 1], 4), "row_id": np.tile(np.arange(4), 2),
        "p_label_error": np.ravel(scores).astype(np.float32), "label_error": np.ravel(planted),
        "p_feature_error": np.float32(0.1), "feature_error": False,
    })  # fmt: skip
    return found, pd.DataFrame({"row_id": np.arange(4), "p_label_error": [0.1, 0.1, 0.1, 0.9], "p_feature_error": 0.1})


def test_counts_are_those_made_by_hand() -> None:
    found, diagnosis = by_hand()
    told = assess(found, diagnosis, LABEL, 0.5)
    assert (told.copies, told.planted, told.flagged) == (2, 5, 5)
    assert told.found == pytest.approx(3 / 5) and told.found_range == pytest.approx((1 / 2, 2 / 3))
    # row 3 of the first copy is suspected by the run itself; row 2 of the second by nobody else
    assert told.right == pytest.approx((3 / 5, 3 / 4))


def test_what_can_not_be_told_is_none() -> None:
    found, diagnosis = by_hand()
    told = assess(found, diagnosis, FEATURE, 0.5).to_dict()
    assert told["found"] is None and told["right"] == [None, None] and told["planted"] == 0
    assert json.loads(json.dumps(told)) == told


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rehearsal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
        return diagnose(tiny.table(folder / "t.csv"), folder / "run", settings)


def test_every_planted_row_is_told_and_the_same_again(run: Run) -> None:
    steps: list[float] = []
    found = rehearse(run, lambda share, _: steps.append(share))
    assert steps == sorted(steps) and run.rehearsal.status().state is JobState.DONE
    assert set(found["copy"]) == set(range(COPIES)) and found[[k.value for k in ErrorType]].to_numpy().any(0).all()
    assert found["row_id"].isin(run.diagnosis()["row_id"]).all()
    assert found["p_label_error"].between(0, 1).all()
    pd.testing.assert_frame_equal(read(run), found)
    pd.testing.assert_frame_equal(rehearse(run), found)
    told = [assess(found, run.diagnosis(), LABEL, at).found for at in np.linspace(0, 1, 11)]
    assert told[0] == 1 and told == sorted(told, reverse=True)


def test_a_calibrated_run_is_judged_by_what_it_learnt_and_has_its_own_result(run: Run, tmp_path: Path) -> None:
    plain = rehearse(run)
    settings = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        source, folder = tiny.table(tmp_path / "t.csv"), tmp_path / "run"
        diagnose(source, folder, settings)
        rehearse(Run(folder))
        chosen = replace(settings, diagnose=replace(settings.diagnose, calibrate=True))
        learnt = diagnose(source, folder, chosen)
    assert read(learnt) is None
    found = rehearse(learnt)
    np.testing.assert_array_equal(found["label_error"], plain["label_error"])
    assert not np.allclose(found["p_label_error"], plain["p_label_error"])


def test_an_expected_share_moves_the_copies_as_it_moved_the_run(run: Run, tmp_path: Path) -> None:
    settings = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    told = replace(settings, diagnose=replace(settings.diagnose, expected_error_share=0.05))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        moved = diagnose(tiny.table(tmp_path / "t.csv"), tmp_path / "run", told)

    def shift(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
        odds = [np.log(p / (1 - p)) for p in (a["p_label_error"], b["p_label_error"])]
        return np.asarray(odds[1] - odds[0])

    of_run, of_copies = shift(run.diagnosis(), moved.diagnosis()), shift(rehearse(run), rehearse(moved))
    np.testing.assert_allclose(of_copies, np.median(of_run), atol=1e-3)


def test_the_command_line_tells_the_thresholds_in_force(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_limit(run, LABEL, 0.999)
    try:
        assert main(["rehearse", str(run.path), "--json"]) == 0
    finally:
        write_limit(run, LABEL, None)
    told = {t["error_type"]: t for t in json.loads(capsys.readouterr().out)["types"]}
    assert told["label_error"]["threshold"] == 0.999
    assert told["feature_error"]["threshold"] == diagnosed(run)[FEATURE]
    assert main(["rehearse", str(run.path)]) == 0
    assert "planted into 3 copies" in capsys.readouterr().out


def test_a_run_without_a_model_of_its_own_says_which_one_to_take(run: Run, tmp_path: Path) -> None:
    rows = run.rows().head(30).reset_index()
    rows.to_csv(tmp_path / "new.csv", index=False)
    made = update(run, tmp_path / "new.csv", tmp_path / "new")
    with pytest.raises(InputError, match="try that one"):
        rehearse(made)
