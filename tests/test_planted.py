"""Learning from planted errors: it finds errors by itself, keeps the table's own from being taught as clean, stops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from demix_core.benchmark._tables import load
from demix_core.classifiers import planted
from demix_core.classifiers.detect import Case, Detection, Named, detect
from demix_core.classifiers.planted import blend, calibrate, make_case
from demix_core.errors import Cancelled, RunError
from demix_core.pipeline import diagnose
from demix_core.planting import Parts, split_and_plant
from demix_core.settings import DiagnoseSettings, Settings
from demix_core.types import ErrorType
from demix_core.update import update
from tests import tiny

SETTINGS = Settings(seed=4, diagnose=DiagnoseSettings(calibrate=True))


@pytest.fixture(scope="module")
def scene() -> tuple[Case, Parts, Detection]:
    """Some rows of bank marketing with a quarter of wrong labels, and what the shipped classifier says of them."""
    frame, schema = load("bank")
    parts = split_and_plant(frame.sample(2200, random_state=0).reset_index(drop=True), schema, "paper", 0.5, 1)
    case = make_case(parts.train.frame, parts.validation.frame, schema, SETTINGS)
    return case, parts, detect(case, SETTINGS)


def test_errors_are_found_from_planted_ones_alone(
    scene: tuple[Case, Parts, Detection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped classifier is silenced (everything alike), so what is found was learnt here."""
    case, parts, found = scene
    monkeypatch.setattr(planted, "classify", _know_nothing)
    blank = replace(found, probabilities=np.full_like(found.probabilities, 0.1), wrong=np.zeros_like(found.wrong))
    learnt = calibrate(blank, case, parts.validation.frame, SETTINGS)
    truth = parts.train.truth[ErrorType.LABEL.value].to_numpy(bool)
    assert average_precision_score(truth, learnt.probabilities[:, 0]) > 2 * truth.mean()
    again = calibrate(blank, case, parts.validation.frame, SETTINGS)
    np.testing.assert_array_equal(learnt.probabilities, again.probabilities)


def _know_nothing(dec: object, features: object, cells: object, environment: object, rows: object) -> Named:
    n, columns = len(rows.y), cells.own.shape[1]  # type: ignore[attr-defined]
    nothing = np.zeros((n, 64), np.float32), np.full((n, 3), 0.1, np.float32), np.zeros((n, columns), np.float32)
    return Named(*nothing, looks=nothing[2], column_odds=0.0)


def test_flags_follow_the_new_probabilities(scene: tuple[Case, Parts, Detection]) -> None:
    case, parts, found = scene
    told: list[float] = []
    learnt = calibrate(found, case, parts.validation.frame, SETTINGS, lambda share, _: told.append(share))
    assert told == sorted(told) and 0 <= told[0] and told[-1] < 1
    assert not np.allclose(learnt.probabilities, found.probabilities) and learnt.thresholds != found.thresholds
    assert ((learnt.probabilities > 0) & (learnt.probabilities < 1)).all()
    np.testing.assert_array_equal(learnt.wrong, found.wrong)
    share = replace(SETTINGS, diagnose=replace(SETTINGS.diagnose, expected_error_share=0.3))
    moved = calibrate(found, case, parts.validation.frame, share).probabilities
    assert 1 - np.prod(1 - moved, 1).mean() == pytest.approx(0.3, abs=0.01)


def test_own_errors_are_not_taught_as_clean() -> None:
    """Two kinds of rows: nothing is planted into the odd ones, but the shipped classifier calls them wrong."""
    odd = np.arange(400) % 2 == 0
    x = np.stack([odd, np.zeros(400)], 1).astype(np.float32)
    copy = planted.PlantedCopy(x, np.zeros((400, 3)), np.zeros((400, 3), bool), np.arange(400))
    shipped = np.where(odd, 0.9, 0.05)[:, None].repeat(3, 1)
    learnt = planted._learn([copy], x, shipped, SETTINGS)
    np.testing.assert_allclose(learnt[odd], 0.9, atol=0.03)
    np.testing.assert_allclose(learnt[~odd], 0.05, atol=0.03)


def test_it_can_be_stopped(scene: tuple[Case, Parts, Detection]) -> None:
    case, parts, found = scene
    with pytest.raises(Cancelled):
        calibrate(found, case, parts.validation.frame, SETTINGS, should_stop=lambda: True)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_blend_lies_between_and_keeps_what_both_say(a: float, b: float) -> None:
    mixed = float(blend(np.array([a]), np.array([b]))[0])
    assert min(a, b) - 1e-6 <= mixed <= max(a, b) + 1e-6
    assert blend(np.array([a]), np.array([a]))[0] == pytest.approx(a, rel=1e-4)
    assert mixed == pytest.approx(float(blend(np.array([b]), np.array([a]))[0]), rel=1e-5)


def test_a_run_says_that_it_was_calibrated_and_only_then_names_errors_anew(tmp_path: Path) -> None:
    plain = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    chosen = replace(plain, diagnose=replace(plain.diagnose, calibrate=True))
    source = tiny.table(tmp_path / "t.csv")
    before = diagnose(source, tmp_path / "run", plain)
    first, keys = before.diagnosis(), {name: s.key for name, s in before.manifest().stages.items()}
    after = diagnose(source, tmp_path / "run", chosen)
    again = {name: s.key for name, s in after.manifest().stages.items()}
    assert after.json("summary.json")["calibrated"] is True
    assert {name for name in keys if keys[name] != again[name]} == {"detect", "suggest", "map"}
    assert not np.allclose(first["p_label_error"], after.diagnosis()["p_label_error"])
    with pytest.raises(RunError, match="was calibrated"):
        update(after, source, tmp_path / "new")
