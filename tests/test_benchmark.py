"""The detection benchmark's own arithmetic, and each peer on a table where it must see something."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from demix_core.benchmark import architectures, calibration, detect, grades, probe, raha
from demix_core.benchmark._peers import PEERS
from demix_core.benchmark._tables import ASSETS, load
from demix_core.benchmark.real import TARGETS, tally
from demix_core.benchmark.repair import (
    ALTERNATIVES,
    CLEAN,
    CLEANLAB,
    DROPPED,
    FOR_TREES,
    NOTHING,
    ORACLE,
    OURS,
    PAPER,
    REVIEWED,
    SUREST,
    TREES,
    Scene,
    arms,
    by_trees,
    make_scene,
    report,
    reviewed,
    same,
)
from demix_core.classifiers.detect import Case
from demix_core.classifiers.features import set_statistics
from demix_core.classifiers.planted import make_case
from demix_core.errors import InputError
from demix_core.evaluation.arms import Arm, truth
from demix_core.evaluation.two_samples import holm
from demix_core.planting import Parts, split_and_plant
from demix_core.settings import Settings
from demix_core.types import ErrorType
from demix_core.work import cell_texts


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.fixture(scope="module", params=["bank", "air"])
def planted(request: pytest.FixtureRequest) -> tuple[Case, Parts]:
    """1,500 rows of a table, with the paper's errors; one classification, one regression."""
    frame, schema = load(request.param)
    parts = split_and_plant(frame.sample(1500, random_state=0).reset_index(drop=True), schema, "paper", 0.5, 1)
    return make_case(parts.train.frame, parts.validation.frame, schema, Settings()), parts


@pytest.mark.parametrize("kind", ErrorType)
def test_peers_score_every_row(planted: tuple[Case, Parts], kind: ErrorType) -> None:
    case, _ = planted
    for name, find in PEERS[kind].items():
        found = find(case, 0)
        assert found.scores.shape == (len(case.frame),) and np.isfinite(found.scores).all(), name
        assert len(np.unique(found.scores)) > 1, name
        assert found.flags is None or found.flags.dtype == bool, name


def test_labels_are_what_label_peers_see(planted: tuple[Case, Parts]) -> None:
    case, parts = planted
    wrong = parts.train.truth[ErrorType.LABEL.value].to_numpy(bool)
    for name, find in PEERS[ErrorType.LABEL].items():
        scores = find(case, 0).scores
        assert scores[wrong].mean() > scores[~wrong].mean(), name


# ---- repair ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["bank", "air"])
def scene(request: pytest.FixtureRequest) -> Scene:
    frame, schema = load(request.param)
    parts = split_and_plant(frame.sample(1500, random_state=0).reset_index(drop=True), schema, "paper", 0.5, 1)
    return make_scene(parts, schema, Settings())


def test_clean_rows_are_the_dirty_ones_without_the_planted_errors(scene: Scene) -> None:
    truth, target = scene.parts.train.truth, scene.schema.target
    differs = scene.dirty != scene.clean
    for column in scene.dirty:  # 278.0 is 278
        rows = differs[column].to_numpy().nonzero()[0]
        values = zip(scene.dirty[column].iloc[rows], scene.clean[column].iloc[rows], strict=True)
        differs.loc[rows, column] = [not same(a, b) for a, b in values]
    touched = truth["columns"].str.split("|").map(set).to_numpy()
    for column in scene.dirty:
        if column != target:
            assert not (differs[column] & ~np.array([column in t for t in touched])).any(), column
    assert not (differs[target] & ~truth["label_error"]).any()
    assert (differs[target] == truth["label_error"]).mean() > 0.99, "a number may be moved to where it was"


def test_arms_do_what_they_say(scene: Scene) -> None:
    made = {arm.name: arm for arm in arms(scene, 0)}
    asked = [f"{reviewed(n)}{how}" for n in REVIEWED for how in ("", SUREST)]
    assert set(made) == {NOTHING, CLEAN, ORACLE, OURS, PAPER, DROPPED, CLEANLAB, *asked}
    n, flags, target = len(scene.dirty), scene.flags, scene.schema.target
    assert made[NOTHING].frame.equals(scene.dirty) and made[CLEAN].frame.equals(scene.clean)
    assert len(made[DROPPED].frame) == n - flags.any(1).sum()
    binary = len(scene.schema.classes) == 2
    assert len(made[PAPER].frame) == n - (flags[:, 1] if binary else flags[:, :2].any(1)).sum()
    if binary:
        kept = made[PAPER].frame
        assert ((kept[target] != scene.dirty.loc[kept.index, target]) == flags[kept.index, 0]).all()
    touched = {p.row_id for p in scene.patches if p.recommended}
    differs = (made[OURS].frame != scene.dirty).any(axis=1).to_numpy()
    assert set(np.flatnonzero(differs)) <= touched
    weights = made[OURS].weights
    assert weights is None or set(np.flatnonzero(weights != 1)) <= touched
    for name in asked:
        frame = made[name].frame
        changed = (frame != scene.dirty).to_numpy()
        if scene.schema.classes:
            labels = frame.columns.get_loc(target)
            assert (frame == scene.clean).to_numpy()[changed[:, labels], labels].all(), "only right labels are accepted"


def test_boosted_trees_are_trained_on_an_arm_and_its_weights(scene: Scene) -> None:
    test, y = cell_texts(scene.parts.test), truth(cell_texts(scene.parts.test), scene.schema)
    arm = Arm("clean", scene.clean)
    p = by_trees(arm, scene.schema, test, 0)
    if scene.schema.classes:
        assert p.sum(1) == pytest.approx(1) and roc_auc_score(y, p[:, 1]) > 0.75
    else:
        assert np.corrcoef(p[:, 0], y)[0, 1] > 0.9
    heavy = np.where(np.arange(len(scene.clean)) < 200, 1.0, 1e-6)
    few = by_trees(replace(arm, weights=heavy), scene.schema, test, 0)
    assert np.abs(few - p).mean() > 0.01 * p.std()
    if scene.schema.classes:  # where a repair dropped every row of the other class
        left = arm.frame[arm.frame[scene.schema.target] == scene.schema.classes[1]]
        assert (by_trees(replace(arm, frame=left), scene.schema, test, 0) == [0.0, 1.0]).all()


def test_a_reviewer_takes_right_values_and_leaves_wrong_ones(scene: Scene) -> None:
    for patch in scene.patches[:300]:
        if (
            patch.column is not None
            and scene.dirty.at[patch.row_id, patch.column] == scene.clean.at[patch.row_id, patch.column]
        ):
            assert not scene.right(patch)


def test_the_report_reckons_gain_gap_and_significance_from_the_runs() -> None:
    score = {NOTHING: 0.5, CLEAN: 0.7, ORACLE: 0.7, OURS: 0.6, PAPER: 0.4, DROPPED: 0.45, CLEANLAB: 0.55,
             **{reviewed(n): 0.6 for n in REVIEWED}}  # fmt: skip
    facts = {"relabels": 10.0, "relabels right": 0.9, "numeric error": 1.0, "numeric error of the median": 2.0,
             "categories right": 0.6, "modes right": 0.3, "expected gain": 0.1}  # fmt: skip
    tables = ("adult", "bank", "credit", "x", "y", "z")
    lines = [
        {"table": t, "protocol": "paper", "alpha": 0.5, "seed": s, "model": "mlp1", "arm": arm,
         "f1": value + 0.01 * s + 0.001 * i, "auc": 0.5, **(facts if arm == OURS else {})}
        for i, t in enumerate(tables) for s in (0, 1) for arm, value in score.items()
    ]  # fmt: skip
    of_trees = {OURS: 0.7, CLEAN: 0.75}
    shared = [line for line in lines if line["arm"] in FOR_TREES]
    trees = [line | {"model": TREES, "f1": of_trees.get(str(line["arm"]), 0.6)} for line in shared]
    made = report(pd.DataFrame(lines + trees))
    assert {line["arm"]: line["gain %"] for line in made["trees"]} == {
        arm: pytest.approx({OURS: 16.67, CLEAN: 25}.get(arm, 0), abs=0.01) for arm in FOR_TREES
    }
    assert {line["against"] for line in made["trees_significance"]} == set(ALTERNATIVES)
    by_arm = {line["arm"]: line for line in made["table"]}
    assert by_arm[NOTHING]["gain %"] == 0 and by_arm[CLEAN]["share of the gap"] == 1
    assert by_arm[OURS]["share of the gap"] == pytest.approx(0.5) and by_arm[OURS]["gain %"] == pytest.approx(
        19.7, abs=0.3
    )
    assert by_arm[PAPER]["tables worse"] == 6 and by_arm[OURS]["tables worse"] == 0
    against = {line["against"]: line for line in made["significance"] if line["over"] == "all conditions"}
    assert set(against) == set(ALTERNATIVES) and all(line["won"] == 6 and line["p"] < 0.05 for line in against.values())
    assert made["values"][0]["relabels right"] == pytest.approx(0.9)
    assert made["values"][0]["numeric error / median's"] == pytest.approx(0.5)


# ---- real errors -------------------------------------------------------------------------------------------------


def test_cells_are_tallied_one_by_one() -> None:
    clean = pd.DataFrame({"a": ["1", "2", "3", "4"], "y": ["u", "v", "u", "v"]})
    dirty = clean.copy()
    dirty.loc[0, "a"], dirty.loc[1, "a"], dirty.loc[2, "y"], dirty.loc[3, "a"] = "9", "8", "v", "7"
    patches = pd.DataFrame(
        [(0, "impute", "a", "1"), (1, "impute", "a", "5"), (1, "relabel", "y", "u"), (2, "reweight", None, "2"),
         (3, "impute", "a", "4")],
        columns=["row_id", "action", "column", "new"],
    )  # fmt: skip
    for name in TARGETS:
        pair = [pd.read_parquet(ASSETS / "benchmark" / f"{name}_{side}.parquet") for side in ("dirty", "clean")]
        assert pair[0].shape == pair[1].shape and TARGETS[name] in pair[0] and (pair[0] != pair[1]).any(axis=None)
    found = tally(dirty, clean, [0, 1, 2], patches)
    assert (found.wrong, found.named, found.hits, found.mended) == (3, 3, 2, 1)
    line = found.line()
    assert line["detect F1"] == pytest.approx(2 / 3, abs=1e-3)
    assert line["repair precision"] == pytest.approx(1 / 3, abs=1e-3)


class FakeRaha(ModuleType):
    """A package that finds one of two wrong cells and mends what it is told of."""

    def __init__(self) -> None:
        super().__init__("raha")
        self.told: list[dict[tuple[int, int], str]] = []
        self.budgets: list[int] = []
        outer = self

        class Data:
            def __init__(self, table: dict[str, str]) -> None:
                self.dirty, self.clean = (pd.read_csv(table[key], dtype=str) for key in ("path", "clean_path"))
                assert len(self.dirty) == len(self.clean) > 0 and table["name"] == "hospital"
                self.detected_cells: dict[tuple[int, int], str] = {}

            def get_actual_errors_dictionary(self) -> dict[tuple[int, int], str]:
                return {(0, 0): "x", (1, 0): "y"}

            def get_data_cleaning_evaluation(self, found: dict[tuple[int, int], str]) -> list[float]:
                share = len(found) / 2
                return [1.0, share, share + 0.1, 0.9, share, share + 0.2]

        class Detection:
            LABELING_BUDGET = 0

            def run(self, table: dict[str, str]) -> dict[tuple[int, int], str]:
                print("noise")
                outer.budgets.append(self.LABELING_BUDGET)
                return {(0, 0): "JUST A DUMMY VALUE"}

        class Correction:
            LABELING_BUDGET, SAVE_RESULTS = 0, True

            def run(self, data: Any) -> dict[tuple[int, int], str]:
                assert not self.SAVE_RESULTS
                outer.told.append(data.detected_cells)
                outer.budgets.append(self.LABELING_BUDGET)
                return data.detected_cells

        self.Dataset, self.Detection, self.Correction = Data, Detection, Correction


def test_raha_and_baran_are_run_and_scored_by_their_own_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = FakeRaha()
    monkeypatch.setitem(sys.modules, "raha", package)
    found, both, told = raha.run(quick=True)["table"]
    assert (found["system"], found["recall"], found["F1"]) == ("Raha: cells found", 0.5, 0.6)
    assert (both["precision"], both["F1"], told["recall"], told["F1 sd"]) == (0.9, 0.7, 1.0, 0.0)
    assert [len(cells) for cells in package.told] == [1, 2] and set(package.budgets) == {raha.LABELLED}
    assert capsys.readouterr().out == ""


def test_raha_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "raha", None)
    with pytest.raises(InputError, match="pip install raha"):
        raha.run(quick=True)


def test_means_over_runs_of_raha_are_per_table_and_system() -> None:
    runs = pd.DataFrame(
        [{"table": t, "system": s, "run": k, "precision": 1.0, "recall": 0.5, "F1": f}
         for t, s, f0 in (("a", "u", 0.2), ("a", "v", 0.6)) for k, f in enumerate((f0, f0 + 0.2))]
    )  # fmt: skip
    first, second = raha.report(runs)["table"]
    assert (first["F1"], first["F1 sd"], second["F1"]) == (0.3, 0.141, 0.7)


def grades_table(n: int = 300) -> pd.DataFrame:
    """Exams, and letters by their mean; every tenth is noisy."""
    exams = np.random.default_rng(0).integers(40, 100, (n, 3))
    letters = np.array(list("FDCBA"))[np.clip(exams.mean(1) // 10 - 5, 0, 4).astype(int)]
    noisy = np.where(np.arange(n) % 10 == 0, np.where(letters == "A", "F", "A"), letters)
    named = pd.DataFrame(exams, columns=["exam_1", "exam_2", "exam_3"])
    return named.assign(stud_ID=[f"{i:06x}" for i in range(n)], letter_grade=letters, noisy_letter_grade=noisy)


def test_student_grades_are_split_without_their_truth_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grades, "FILE", tmp_path / "grades.csv")
    with pytest.raises(InputError, match="get them from https:"):
        grades.run(quick=True)
    grades_table().to_csv(grades.FILE, index=False)
    schema, train, held = grades.split(grades.read(), 0)
    assert (len(train.rows), len(held.rows)) == (240, 60)
    assert set(train.rows) == {"exam_1", "exam_2", "exam_3", "noisy_letter_grade"} == {c.name for c in schema.columns}
    ours = next(line for line in grades._one(0) if line["method"] == grades.OURS)
    assert ours["AP"] > 0.8 and ours["relabels right"] > 0.7


def test_a_line_of_grades_is_what_scikit_learn_says() -> None:
    wrong = np.array([True, True, False, False, False])
    line = grades.score("x", wrong, np.array([0.9, 0.2, 0.5, 0.1, 0.0]), np.array([True, False, True, False, False]))
    assert (line["precision"], line["recall"], line["F1"], line["told"]) == (0.5, 0.5, 0.5, 0.5)
    assert line["AP"] == pytest.approx((1 + 2 / 3) / 2)
    runs = pd.DataFrame(
        [line | {"method": m, "seed": s, "AP": ap} for s in range(6) for m, ap in (("DeMix", 0.9), ("y", 0.5))]
    )
    ours, theirs = grades.report(runs)["table"]
    assert ours["AP"] == "0.900 ± 0.000" and ours["p"] is None and theirs["p"] == round(2 / 2**6, 4)


def test_architectures_are_compared_within_the_same_table_and_seed() -> None:
    runs = [
        {"table": t, "alpha": 0.5, "seed": s, "model": m, "kind": kind.short, "F1": base + more + s / 100,
         "AP": np.nan if kind is ErrorType.FEATURE else base + more}
        for t, base in (("a", 0.4), ("b", 0.8)) for s in (1, 2) for m, more in (("mlp1", 0.0), ("new", 0.1))
        for kind in ErrorType
    ]  # fmt: skip
    first, second = architectures.report(pd.DataFrame(runs))["table"]
    assert (first["model"], first["seen"], first["F1 less mlp1's"], first["p"]) == ("mlp1", True, 0.0, None)
    assert (second["model"], second["seen"], second["F1 less mlp1's"]) == ("new", False, 0.1)
    assert second["runs"] == 4 and second["mean F1"] == pytest.approx(0.715) and second["mean AP"] == pytest.approx(0.7)


def test_the_architectures_called_seen_are_those_on_the_shipped_classifiers_card() -> None:
    card = json.loads((ASSETS / "dec.json").read_text(encoding="utf-8"))
    assert card["data"]["task_models"] == list(architectures.SEEN)


def test_probe_finds_what_a_line_can_find_and_nothing_in_noise() -> None:
    rng = np.random.default_rng(0)
    by_chance = []
    for seed in range(20):
        truth = rng.random((400, 2)) < 0.2
        x = rng.normal(size=(400, 6))
        x[:, 1] += 2 * truth[:, 0]
        seen, unseen = probe.probe(x, truth, 99, seed)
        assert seen["AP"] > 0.6 and seen["p"] == pytest.approx(1 / 100)
        assert unseen["AP shuffled"] == pytest.approx(0.2, abs=0.08)
        by_chance.append(unseen["p"] <= 0.05)
    assert sum(by_chance) <= 4  # more than that: once in 400 such tests
    scores = rng.normal(size=(400, 2))
    ours = probe.average_precisions(scores, truth)
    assert ours == pytest.approx([average_precision_score(truth[:, k], scores[:, k]) for k in (0, 1)])


def test_probe_reads_the_papers_channels_alone() -> None:
    token, norm = torch.rand(5, 40, 6), torch.rand(5)
    found = probe.paper_statistics(set_statistics(token, norm))
    token[:, :, 1:3], norm[:] = 0.0, 9.0  # last and first layer, gradient norm: ours on top
    assert found.shape[1] > 20 and np.array_equal(found, probe.paper_statistics(set_statistics(token, norm)))


def test_calibration_compares_the_same_runs_with_and_without() -> None:
    runs = [
        {
            "table": table, "protocol": "paper", "alpha": 0.5, "seed": seed, "method": method, "kind": kind,
            "F1": 0.5 + gain * (method == calibration.CALIBRATED), "told": 0.6, "AP": 0.6,
        }
        for table, gain in (("bank", 0.1), ("air", 0.3))
        for seed in (1, 2, 3)
        for method in (detect.OURS, calibration.CALIBRATED)
        for kind in ("LE", "FE", "SC")
    ]  # fmt: skip
    found = calibration.report(pd.DataFrame(runs))
    without, learnt = found["table"]
    assert (without["mean F1"], learnt["mean F1"]) == (".500 ±.000", ".700 ±.000")
    of_f1, of_ap = found["significance"]
    assert of_f1["mean difference"] == pytest.approx(0.2) and of_f1["wins"] == of_f1["runs"] == 6
    assert of_f1["p over runs"] == pytest.approx(2 / 2**6) and of_ap["p over runs, Holm"] == 1.0
