"""From a file to a finished run: complete, repeatable, resumable, and only what changed is redone."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from demix_core import work
from demix_core.errors import Cancelled, InputError, RunError, StorageError
from demix_core.explain import Explainer
from demix_core.pipeline import diagnose, file_hash, stages_of
from demix_core.settings import FitSettings, InfluenceSettings, LoadSettings, MapSettings, Settings
from demix_core.stages import Stage, stage_keys
from demix_core.store import JobState, Run
from demix_core.summary import read_truth, score
from demix_core.types import ErrorType
from tests import tiny

STAGES = ["load", "fit", "signals", "detect", "suggest", "map"]
CONTRACT = {
    "manifest.json", "status.json", "schema.json", "rows.parquet", "split.parquet", "validation.parquet",
    "encoder.json", "model.safetensors", "factors.safetensors", "losses.npy", "embedding.npy", "typical.npy",
    "diagnosis.parquet", "patches.parquet", "map_tsne.parquet", "summary.json", "signals", "input",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Maps by principal components, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings, Run]:
    """A finished run: (table, settings, run). Tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("made")
    table = tiny.table(folder / "people.csv")
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
    return table, settings, diagnose(table, folder / "run", settings)


@pytest.fixture
def copied(made, tmp_path: Path) -> tuple[Path, Settings, Run]:
    """The same, free to be changed."""
    table, settings, run = made
    shutil.copytree(run.path, tmp_path / "run")
    return table, settings, Run(tmp_path / "run")


def results(run: Run) -> list[pd.DataFrame]:
    return [run.diagnosis(), run.patches(), run.projection("tsne"), run.validation(), run.rows()]


def same(a: Run, b: Run) -> bool:
    return all(x.equals(y) for x, y in zip(results(a), results(b), strict=True))


def test_all_files_of_the_contract_are_there_and_nothing_half_written(made) -> None:
    _, _, run = made
    names = {p.name for p in run.path.iterdir()}
    assert names >= CONTRACT
    assert not [n for n in names if n.endswith(".tmp")]
    status = run.status()
    assert (status.state, status.overall, status.seconds_left, status.stage) == (JobState.DONE, 1.0, 0.0, "map")


def test_diagnosis_speaks_of_every_training_row_in_the_named_columns(made) -> None:
    _, _, run = made
    diagnosis, split = run.diagnosis(), run.split()
    wanted = ["row_id", "p_label_error", "p_feature_error", "p_spurious", "label_error", "feature_error", "spurious"]
    assert list(diagnosis.columns)[:10] == [*wanted, "suspect_columns", "x", "y"]
    assert diagnosis["row_id"].tolist() == split.loc[split["part"] == "train", "row_id"].tolist()
    assert sorted(split["row_id"]) == list(range(240))
    thresholds = run.summary()["thresholds"]
    for kind in ErrorType:
        p = diagnosis[kind.probability_column]
        assert p.between(0, 1).all()
        assert (diagnosis[kind.value] == (p >= thresholds[kind.value])).all()
        told = run.summary()["estimated"][kind.value]
        assert told["wrong"]["value"] == pytest.approx(p.mean(), abs=1e-5)
        assert told["right"]["value"] == pytest.approx(p[diagnosis[kind.value]].mean(), abs=1e-5)
    assert diagnosis[["x", "y"]].notna().all().all()
    assert len(run.validation()) == run.array("typical.npy").shape[0] * 24 == 48


def test_patches_speak_of_flagged_rows_and_their_present_cells(made) -> None:
    _, _, run = made
    patches, rows, diagnosis = run.patches(), run.rows(), run.diagnosis().set_index("row_id")
    assert patches["patch_id"].tolist() == list(range(len(patches))) and len(patches)
    for patch in patches.itertuples():
        assert diagnosis.at[patch.row_id, patch.error_type]
        if patch.column is not None:
            assert rows.at[patch.row_id, patch.column] == patch.old != patch.new
        assert 0 <= patch.confidence <= diagnosis.at[patch.row_id, f"p_{patch.error_type}"] + 1e-6
    relabelled = patches[patches["action"] == "relabel"]
    assert set(relabelled["new"]) <= set(run.schema().classes)


def test_summary_says_what_it_cost_and_on_what(made) -> None:
    table, settings, run = made
    summary = run.summary()
    assert list(summary["stages"]) == STAGES
    assert all(s["seconds"] >= 0 and s["peak_mb"] > 10 for s in summary["stages"].values())
    assert summary["inputs"]["train"]["sha256"] == file_hash(table) == file_hash(run.input_path())
    assert summary["rows"] == summary["fitting"]["rows"] == 192
    assert summary["counts"] == {k.value: int(run.diagnosis()[k.value].sum()) for k in ErrorType}
    assert Settings.from_dict(run.manifest().settings) == settings


def test_a_second_run_is_the_same_and_a_repeated_one_does_nothing(made, tmp_path: Path) -> None:
    table, settings, run = made
    again = diagnose(table, tmp_path / "other", settings)
    assert same(run, again)
    before = {p: p.stat().st_mtime_ns for p in again.path.rglob("*.parquet")}
    stages = again.manifest().stages
    diagnose(table, again.path, settings)
    assert again.manifest().stages == stages
    assert {p: p.stat().st_mtime_ns for p in again.path.rglob("*.parquet")} == before


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"map": MapSettings(method="tsne")}, []),
        ({"influence": InfluenceSettings(kernel="dot")}, ["detect", "suggest", "map"]),
        ({"fit": FitSettings(model="linear", epochs=2, batch_size=64)}, ["fit", "detect", "suggest", "map"]),
        ({"load": LoadSettings(kinds={"hours": "ignore"})}, STAGES),
        ({"seed": 1}, STAGES),
    ],
)
def test_a_changed_setting_redoes_only_what_depends_on_it(copied, change: dict[str, object], redone: list[str]) -> None:
    table, settings, run = copied
    before = run.manifest().stages
    diagnose(table, run.path, replace(settings, **change))
    after = run.manifest().stages
    assert [name for name in STAGES if after[name].key != before[name].key] == redone
    assert list(run.summary()["stages"]) and set(after) == set(STAGES)


def test_a_threshold_set_by_hand_redoes_the_suggestions_only(copied) -> None:
    table, settings, run = copied
    before, p = run.manifest().stages, run.diagnosis()["p_label_error"]
    given = {"label_error": float(p.sort_values().iloc[-5])}
    diagnose(table, run.path, replace(settings, diagnose=replace(settings.diagnose, thresholds=given)))
    after = run.manifest().stages
    assert [name for name in STAGES if after[name].key != before[name].key] == ["suggest", "map"]
    assert run.diagnosis()["label_error"].sum() == 5 and run.summary()["counts"]["label_error"] == 5
    assert run.summary()["thresholds"]["label_error"] == run.summary()["thresholds_by_hand"]["label_error"]
    assert "by hand" in run.summary()["thresholds_chosen"]


def test_of_types_whose_flags_are_mostly_faint_it_is_told(copied) -> None:
    table, settings, run = copied
    given = replace(settings.diagnose, expected_error_share=0.1, thresholds={"spurious": 0.001, "label_error": 0.999})
    again = diagnose(table, run.path, replace(settings, diagnose=given))
    p, notes = again.diagnosis()["p_spurious"], " ".join(again.summary()["notes"])
    faint, every = int(((p >= 0.001) & (p < 1 / 3)).sum()), int((p >= 0.001).sum())
    which = f"All {every:,}" if faint == every else f"{faint:,} of the {every:,}"
    assert faint > every / 2 and f"{which} rows flagged as spurious are faint suspicions" in notes
    assert "flagged as label" not in notes


def test_another_table_redoes_everything_and_puts_decisions_aside(copied, tmp_path: Path) -> None:
    _, settings, run = copied
    (run / "decisions.sqlite").write_text("a log")
    other = tiny.table(tmp_path / "other.csv", n=200, seed=5)
    diagnose(other, run.path, settings)
    assert len(run.rows()) == 200
    assert not (run / "decisions.sqlite").exists() and (run / "decisions.1.sqlite").read_text() == "a log"


def test_unchanged_patches_keep_their_decisions(copied) -> None:
    table, settings, run = copied
    (run / "decisions.sqlite").write_text("a log")
    (run / "patches.parquet").touch()
    (run / "model.safetensors").unlink()
    diagnose(table, run.path, settings)
    assert (run / "decisions.sqlite").read_text() == "a log"


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_lost_is_made_again_the_same(made, copied, stage: str) -> None:
    """Each stage is redone from what the earlier ones left on disk: the same as from memory."""
    table, settings, run = copied
    for output in run.manifest().stages[stage].outputs:
        target = run / output
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    diagnose(table, run.path, settings)
    assert same(made[2], run)


class StopAt:
    """Says stop from the k-th question on."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_cancel_at_any_batch_leaves_a_run_that_goes_on_to_the_same_end(made, tmp_path: Path) -> None:
    table, settings, run = made
    stopped = 0
    for questions in (0, 3, 8, 15, 60, 180, 250):
        try:
            diagnose(table, tmp_path / "run", settings, should_stop=StopAt(questions))
        except Cancelled:
            stopped += 1
            assert Run(tmp_path / "run").status().state is JobState.CANCELLED
    assert stopped >= 4
    assert same(run, diagnose(table, tmp_path / "run", settings))


def test_cancel_file_stops_the_job(made, tmp_path: Path) -> None:
    table, settings, _ = made
    run = Run(tmp_path / "run")
    told: list[float] = []

    def progress(fraction: float, message: str) -> None:
        told.append(fraction)
        if fraction > 0.1:
            run.request_cancel()

    with pytest.raises(Cancelled, match="goes on from there"):
        diagnose(table, run.path, settings, progress=progress)
    assert run.status().state is JobState.CANCELLED and run.status().error is None
    assert told == sorted(told)
    diagnose(table, run.path, settings)
    assert run.status().state is JobState.DONE


@pytest.mark.parametrize("writes", [0, 3, 9, 16, 24])
def test_disk_that_fills_up_while_diagnosing_is_a_sentence_and_loses_nothing(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    table, settings, run = made
    rename, left = Path.replace, [writes]

    def full(source: Path, target: Path) -> Path:
        if target.name != "status.json":
            left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        diagnose(table, tmp_path / "run", settings)
    monkeypatch.setattr(Path, "replace", rename)
    assert not list((tmp_path / "run").glob("**/.*.tmp"))
    again = diagnose(table, tmp_path / "run", settings)
    assert same(run, again) and again.status().state is JobState.DONE


def test_native_cells_of_parquet_are_encoded_alike_from_the_runs_texts(made, tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    frame = pd.DataFrame({
        "count": pd.array(r.integers(0, 50, 120), dtype="Int64"), "share": r.normal(size=120),
        "kind": pd.Categorical(r.choice(["u", "v"], 120)), "row_id": r.integers(0, 9, 120),
        "time": pd.date_range("2024-01-01", periods=120, freq="h"), "flag": r.random(120) < 0.5,
    })  # fmt: skip
    frame["y"] = (frame["share"] > 0).astype(int)
    frame.loc[::17, "count"], frame.loc[::13, "share"] = pd.NA, np.nan
    frame.to_parquet(tmp_path / "t.parquet")
    run = diagnose(tmp_path / "t.parquet", tmp_path / "run", made[1])
    explainer, job = Explainer(run), work.Work(run, made[1])
    for place, row_id in enumerate(run.diagnosis()["row_id"]):
        x, y = explainer.encoded(int(row_id))
        assert np.array_equal(x[0], job.train.x[place]) and y[0] == job.train.y[place]


def test_progress_never_goes_back_and_ends_near_one(made, tmp_path: Path) -> None:
    table, settings, _ = made
    told: list[float] = []
    diagnose(table, tmp_path / "run", settings, progress=lambda fraction, message: told.append(fraction))
    shares = [stage.share for stage in stages_of(work.Work(Run(tmp_path / "run"), settings))]
    assert told == sorted(told) and told[0] == 0
    assert told[-1] == pytest.approx(1 - shares[-1] / sum(shares)), "where the silent map begins"


def test_own_validation_and_own_weights(made, tmp_path: Path) -> None:
    table, settings, first = made
    held = tiny.table(tmp_path / "held.csv", n=60, seed=9)
    run = diagnose(table, tmp_path / "run", settings, validation=held)
    assert len(run.diagnosis()) == 240 and len(run.validation()) == 60
    assert run.rows().index.tolist() == run.diagnosis()["row_id"].tolist()
    weights = tmp_path / "mine.safetensors"
    shutil.copy(first / "model.safetensors", weights)
    again = diagnose(table, tmp_path / "again", settings, weights=weights)
    assert again.summary()["model"]["own_weights"] is True
    mine, kept = load_file(weights), load_file(again / "model.safetensors")
    assert all(torch.equal(mine[name], kept[name]) for name in mine)


def test_regression_runs_to_its_end(made, tmp_path: Path) -> None:
    _, settings, _ = made
    r = np.random.default_rng(0)
    x = r.normal(size=150)
    frame = pd.DataFrame(
        {"x": x.round(3), "z": r.choice(["u", "v"], 150), "price": (100 + 20 * x + r.normal(size=150)).round(2)}
    )
    frame.to_csv(tmp_path / "prices.csv", index=False)
    run = diagnose(tmp_path / "prices.csv", tmp_path / "run", settings)
    patches = run.patches()
    relabelled = patches[patches["action"] == "relabel"]
    assert relabelled["new"].str.fullmatch(r"-?\d+\.\d{2}").all() and len(relabelled)
    explained = Explainer(run).row(int(run.diagnosis()["row_id"][0]))
    assert len(explained.likelihoods) == 1 and 0 < explained.likelihoods[0].out_of_fold < 250


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(map=MapSettings(method="lsd")), "'method' can't be 'lsd'; choose one of umap, tsne"),
        (Settings(fit=FitSettings(model="gpt")), "no model called 'gpt'"),
        (Settings(load=LoadSettings(kinds={"age": "colour"})), "'age' can't be of kind 'colour'"),
        (Settings(load=LoadSettings(validation_share=0.9)), "'validation_share' must lie between 0.05 and 0.5"),
    ],
)
def test_impossible_choices_are_told_before_anything_is_written(
    made, tmp_path: Path, settings: Settings, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        diagnose(made[0], tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_failures_are_told_in_the_status(made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no train file"):
        diagnose(tmp_path / "nothing.csv", tmp_path / "run", made[1])
    status = Run(tmp_path / "run").status()
    assert status.state is JobState.FAILED and "no train file" in status.error


def test_folder_of_another_version_is_left_alone(copied) -> None:
    table, settings, run = copied
    text = (run / "manifest.json").read_text().replace('"schema_version": 1', '"schema_version": 2')
    (run / "manifest.json").write_text(text)
    with pytest.raises(RunError, match="another version"):
        diagnose(table, run.path, settings)
    assert (run / "manifest.json").read_text() == text


def test_keys_change_with_parents_and_settings() -> None:
    def nothing(progress: object, should_stop: object) -> tuple[str, ...]:
        return ()

    stages = [Stage("a", "", 1, (), nothing), Stage("b", "", 1, ("a",), nothing), Stage("c", "", 1, (), nothing)]
    one = stage_keys(stages, {"a": [1], "b": [], "c": []})
    two = stage_keys(stages, {"a": [2], "b": [], "c": []})
    assert (one["a"] != two["a"], one["b"] != two["b"], one["c"] == two["c"]) == (True, True, True)


def test_scores_by_their_definition(tmp_path: Path) -> None:
    diagnosis = pd.DataFrame(
        {"row_id": [3, 1], "label_error": [True, True], "feature_error": False, "spurious": [False, True]}
    )
    truth = pd.DataFrame(
        {"row_id": [1, 2, 3], "label_error": [1, 1, 0], "feature_error": [0, 0, 0], "spurious": [1, 0, 1]}
    )
    truth.to_csv(tmp_path / "t.csv", index=False)
    label, feature, spurious = score(diagnosis, read_truth(tmp_path / "t.csv"))
    assert (label.precision, label.recall, label.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert (feature.f1, feature.wrong) == (0.0, 0)
    assert (spurious.precision, spurious.recall) == (1.0, 0.5)
    with pytest.raises(InputError, match="not speak of every row"):
        score(diagnosis.assign(row_id=[3, 9]), read_truth(tmp_path / "t.csv"))
