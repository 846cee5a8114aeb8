"""A model of the person's own, brought as a file of its predictions, and the network that stands in for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix_core.errors import InputError
from demix_core.modalities.predictions import covered, read_predictions
from demix_core.models.stand_in import Answers, alike, fit_stand_in, learned_by_heart
from demix_core.models.training import fit, predict
from demix_core.pipeline import diagnose
from demix_core.rounds import next_round
from demix_core.settings import FitSettings, Settings
from demix_core.types import Column, ColumnKind, Encoded, Schema, Task
from tests import tiny

CLASSES = Schema((Column("x", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("no", "yes"))
THREE = Schema((Column("x", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("a", "b", "c"))
NUMBERS = Schema((Column("x", ColumnKind.NUMERIC),), "y", Task.REGRESSION, ())


def file(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


# ---- the file -----------------------------------------------------------------------------------------------------


def test_a_column_per_class_in_any_order_with_others_between(tmp_path):
    path = file(tmp_path, "c,note,a, b \n0.2,x,0.5,0.3\n0,y,0,1\n")
    assert read_predictions(path, THREE, 2).tolist() == [[0.5, 0.3, 0.2], [0, 1, 0]]


def test_of_two_classes_one_column_is_enough(tmp_path):
    assert read_predictions(file(tmp_path, "yes\n0.25\n1\n"), CLASSES, 2) == pytest.approx(
        np.array([[0.75, 0.25], [0, 1]])
    )


def test_row_ids_say_which_rows_and_the_others_and_empty_lines_have_none(tmp_path):
    found = read_predictions(file(tmp_path, "row_id,no,yes\n3,0.5,0.5\n0,1,0\n2,,\n"), CLASSES, 5)
    assert np.isnan(found[[1, 2, 4]]).all() and found[[3, 0]].tolist() == [[0.5, 0.5], [1, 0]]


def test_rounded_probabilities_are_made_to_add_up(tmp_path):
    assert read_predictions(file(tmp_path, "a,b,c\n0.33,0.33,0.33\n"), THREE, 1).sum() == pytest.approx(1)


def test_numbers_and_the_index_that_pandas_writes(tmp_path):
    frame = pd.DataFrame({"guess": [1.5, np.nan, -2]})
    frame.to_csv(tmp_path / "mine.csv")
    assert read_predictions(tmp_path / "mine.csv", NUMBERS, 3)[:, 0] == pytest.approx([1.5, np.nan, -2], nan_ok=True)


def test_classes_may_be_numbers(tmp_path):
    digits = Schema((Column("x", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("0", "1"))
    assert read_predictions(file(tmp_path, "0,1\n0.9,0.1\n"), digits, 1) == pytest.approx(np.array([[0.9, 0.1]]))


def test_a_parquet_file_with_classes_that_are_numbers(tmp_path):
    digits = Schema((Column("x", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("0", "1"))
    pd.DataFrame({"0": [0.9], "1": [0.1]}).to_parquet(tmp_path / "mine.parquet")
    assert read_predictions(tmp_path / "mine.parquet", digits, 1) == pytest.approx(np.array([[0.9, 0.1]]))


@pytest.mark.parametrize(
    ("text", "schema", "said"),
    [
        ("no,yes\n0.5,0.5\n", CLASSES, "has 1 lines for the 2 rows of the table; give one for each"),
        ("a,b\n1,0\n0,1\n", THREE, "no column 'c'; give a column of probabilities for each class of 'y'"),
        ("no,yes\n0.5,0.5\n3.2,-1\n", CLASSES, r"its line 2 \(below the header\) adds up to 2.2"),
        ("no,yes\n0.5,0.5\n1.5,-0.5\n", CLASSES, "its line 2"),
        ("no,yes\n0.5,\n1,0\n", CLASSES, "its line 1 .* lacks a value"),
        ("no,yes\nhigh,0.5\n1,0\n", CLASSES, "has 'high' in 'no', which is no number"),
        ("row_id,no,yes\n0,1,0\n0,1,0\n", CLASSES, "two lines for row 0"),
        ("row_id,no,yes\n2,1,0\n", CLASSES, "a row '2'; 'row_id' must lie between 0 and 1"),
        ("row_id,no,yes\n0.5,1,0\n", CLASSES, "a row '0.5'"),
        ("low,high\n1,2\n1,2\n", NUMBERS, "has 2 columns besides 'row_id'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, text, schema, said):
    with pytest.raises(InputError, match=rf"mine\.csv.*{said}"):
        read_predictions(file(tmp_path, text), schema, 2)


def test_too_few_rows_with_predictions(tmp_path):
    answers = np.full((10, 2), np.nan)
    answers[:4] = 0.5
    with pytest.raises(InputError, match=r"mine\.csv has predictions for 4 of the 10 training rows"):
        covered(answers, np.arange(10), "mine.csv")
    covered(answers, np.arange(8), "mine.csv")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_every_probability_comes_back(tmp_path_factory, p):
    path = tmp_path_factory.mktemp("p") / "mine.csv"
    pd.DataFrame({"no": 1 - np.array(p), "yes": p}).to_csv(path, index=False)
    assert read_predictions(path, CLASSES, len(p))[:, 1] == pytest.approx(np.array(p))


# ---- the network --------------------------------------------------------------------------------------------------


def toy(n: int, seed: int, task: Task) -> Encoded:
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, 4)).astype(np.float32)
    score = x[:, 0] - x[:, 1]
    return Encoded(x, (score > 0).astype(np.int64) if task is Task.CLASSIFICATION else score, ("a", "b", "c", "d"))


SHORT = FitSettings(model="linear", epochs=4, batch_size=32)


@pytest.mark.parametrize("task", list(Task))
def test_a_teacher_that_gives_the_labels_teaches_what_labels_teach(task):
    train, held = toy(200, 0, task), toy(60, 1, task)
    outputs = 2 if task is Task.CLASSIFICATION else 1
    teacher = (
        np.eye(2, dtype=np.float32)[train.y] if task is Task.CLASSIFICATION else train.y[:, None].astype(np.float32)
    )
    plain = fit(train, held, task, outputs, SHORT, 0)
    teacher[::3] = np.nan  # these keep their label
    taught = fit(train, held, task, outputs, SHORT, 0, teacher=teacher)
    assert taught.epoch == plain.epoch and taught.losses == pytest.approx(plain.losses, abs=1e-5)
    for mine, theirs in zip(taught.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("task", list(Task))
def test_the_stand_in_answers_as_the_other_model_does_and_keeps_the_losses_of_the_labels(task):
    train, held = toy(600, 0, task), toy(200, 1, task)

    def other(x: np.ndarray) -> np.ndarray:  # has nothing to do with the labels
        score = (2 * x[:, 2] + x[:, 3]).astype(np.float32)
        p = 1 / (1 + np.exp(-score))
        return np.stack([1 - p, p], 1) if task is Task.CLASSIFICATION else score[:, None]

    settings = FitSettings(model="linear", epochs=60, batch_size=32, learning_rate=0.02)
    model = fit_stand_in(train, held, task, Answers(other(train.x), other(held.x)), settings, 0)
    assert alike(model, held.x, other(held.x), task) > 0.95
    assert predict(model.network, held.x, task) == pytest.approx(other(held.x), abs=0.1)
    low, high = np.quantile(model.losses[-1], [0.05, 0.95])
    assert high > 2 * low and model.losses[-1].mean() > 0.5, "labels are as good as noise to it"


def test_how_alike_is_measured_where_there_are_answers():
    train = toy(50, 0, Task.CLASSIFICATION)
    model = fit(train, train, Task.CLASSIFICATION, 2, SHORT, 0)
    own = predict(model.network, train.x, Task.CLASSIFICATION)
    assert alike(model, train.x, own, Task.CLASSIFICATION) == 1
    flipped = own[:, ::-1].copy()
    flipped[10:] = np.nan
    assert alike(model, train.x, flipped, Task.CLASSIFICATION) == 0
    assert np.isnan(alike(model, train.x, np.full_like(own, np.nan), Task.CLASSIFICATION))


def test_predictions_of_rows_learned_by_heart_are_noticed():
    r = np.random.default_rng(0)
    y = r.integers(0, 2, 400)
    right = np.eye(2)[y]
    honest = np.where((r.random(400) < 0.2)[:, None], right[:, ::-1], right)
    assert learned_by_heart(right, honest, y, Task.CLASSIFICATION)
    assert not learned_by_heart(honest, honest, y, Task.CLASSIFICATION)
    numbers = r.normal(size=(400, 1))
    noisy = numbers + r.normal(size=(400, 1))
    assert learned_by_heart(numbers + 0.01, noisy, numbers[:, 0], Task.REGRESSION)
    assert not learned_by_heart(noisy, noisy, numbers[:, 0], Task.REGRESSION)


# ---- a whole diagnosis --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Settings, Path]:
    """(table, settings, predictions of both classes for all rows)."""
    folder = tmp_path_factory.mktemp("predictions")
    table = tiny.table(folder / "people.csv")
    p = 1 / (1 + np.exp(-(pd.read_csv(table)["age"] - 45) / 5))
    pd.DataFrame({"low": 1 - p, "high": p}).to_csv(folder / "mine.csv", index=False)
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"), fit=FitSettings(model="mlp2", epochs=40))
    return table, settings, folder / "mine.csv"


def test_a_diagnosis_by_predictions_says_how_well_it_could_follow(made, tmp_path):
    table, settings, mine = made
    run = diagnose(table, tmp_path / "run", settings, predictions=mine)
    found = run.json("fit.json")["stands_in"]
    assert found["rows"] == len(run.diagnosis()) and found["on_validation"] and found["alike"] > 0.85
    summary = run.summary()
    assert summary["model"]["stands_in"] == found
    assert any("stands in for your own model: it gives the same answer on" in note for note in summary["notes"])
    assert not any("cross_val_predict" in note for note in summary["notes"])
    before = run.array("losses.npy")
    assert "stands_in" not in diagnose(table, tmp_path / "run", settings).json("fit.json"), "without: fitted anew"
    assert run.array("losses.npy").shape != before.shape or not np.array_equal(run.array("losses.npy"), before)


def test_the_labels_themselves_as_predictions_are_called_learned_by_heart(made, tmp_path):
    table, settings, _ = made
    labels = pd.get_dummies(pd.read_csv(table)["income"]).astype(float)
    labels.to_csv(tmp_path / "heart.csv", index=False)
    notes = diagnose(table, tmp_path / "run", settings, predictions=tmp_path / "heart.csv").summary()["notes"]
    assert any("cross_val_predict" in note for note in notes)


def test_validation_rows_of_their_own_file_have_no_predictions(made, tmp_path):
    table, settings, mine = made
    held = tiny.table(tmp_path / "held.csv", n=60, seed=9)
    run = diagnose(table, tmp_path / "run", settings, validation=held, predictions=mine)
    assert not run.json("fit.json")["stands_in"]["on_validation"]
    assert any("of the training rows" in note for note in run.summary()["notes"])


def test_numbers_are_followed_too(made, tmp_path):
    r = np.random.default_rng(0)
    x = r.normal(size=200)
    frame = pd.DataFrame({"x": x.round(3), "z": r.choice(["u", "v"], 200), "price": (100 + 20 * x).round(2)})
    frame.to_csv(tmp_path / "prices.csv", index=False)
    pd.DataFrame({"prediction": 100 - 20 * x}).to_csv(tmp_path / "mine.csv", index=False)
    run = diagnose(tmp_path / "prices.csv", tmp_path / "run", made[1], predictions=tmp_path / "mine.csv")
    assert run.json("fit.json")["stands_in"]["alike"] > 0.8
    assert any("follows its predictions with R²" in note for note in run.summary()["notes"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": Path("mine.safetensors")}, "either weights or predictions"),
        ({"calibrate": True}, "planted errors, which a file of predictions can't show"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_written(made, tmp_path, change, said):
    from dataclasses import replace

    table, settings, mine = made
    if change.pop("calibrate", False):
        settings = replace(settings, diagnose=replace(settings.diagnose, calibrate=True))
    with pytest.raises(InputError, match=said):
        diagnose(table, tmp_path / "run", settings, predictions=mine, **change)
    assert not (tmp_path / "run").exists()


def test_a_file_that_does_not_fit_fails_with_the_name_the_person_gave(made, tmp_path):
    table, settings, _ = made
    short = file(tmp_path, "low,high\n0.5,0.5\n")
    with pytest.raises(InputError, match=r"^mine\.csv has 1 lines for the 240 rows"):
        diagnose(table, tmp_path / "run", settings, predictions=short)
    assert "mine.csv has 1 lines" in (diagnose_status(tmp_path / "run") or "")


def diagnose_status(path: Path) -> str | None:
    from demix_core.store import Run

    status = Run(path).status()
    return status.error if status is not None else None


def test_the_next_round_leaves_predictions_out_and_says_so(made, tmp_path):
    table, settings, mine = made
    run = diagnose(table, tmp_path / "run", settings, predictions=mine)
    with_changes = run.patches()
    log = run.decisions()
    log.accept([int(with_changes[with_changes["action"] != "reweight"]["patch_id"].iloc[0])], "Ada")
    log.close()
    start = next_round(run, tmp_path / "run-round-2")
    assert start.predictions_left_out and start.weights is None
