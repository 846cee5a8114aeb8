"""Influence as a view: the same as two loops of autograd, the same as single profiles, kept, stopped, asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core import work
from demix_core.blame import measure as measuring
from demix_core.blame.measure import folder, load, measure
from demix_core.blame.parts import by_type, by_value, clusters, what_is_special, worst
from demix_core.blame.view import Blame, in_order, row_numbers
from demix_core.errors import Cancelled, InputError
from demix_core.explain import Explainer
from demix_core.pipeline import diagnose
from demix_core.settings import InfluenceSettings, LoadSettings
from demix_core.store import JobState, Run
from demix_core.types import Column, ColumnKind, ErrorType, Task
from tests import oracles, tiny


def diagnosed(folder: Path, **changes: object) -> Run:
    chosen = tiny.settings(tiny.classifier(folder / "dec.safetensors"), **changes)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        return diagnose(tiny.table(folder / "t.csv"), folder / "run", chosen)


@pytest.fixture(scope="module")
def blame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blame]:
    """Of a run whose influence comes in blocks of 50 rows."""
    run = diagnosed(tmp_path_factory.mktemp("blamed"), influence=InfluenceSettings(block=50))
    yield Blame(Explainer(run), measure(run))


@pytest.fixture(scope="module")
def phi(blame: Blame) -> np.ndarray:
    """[N, M] by two loops of autograd."""
    explainer = blame.explainer
    train = explainer.encoder.transform(explainer.rows.loc[explainer.diagnosis["row_id"]])
    held = explainer.encoder.transform(explainer.run.validation())
    both = (train.x, train.y), (held.x, held.y)
    return oracles.influence(explainer.network, *both, Task.CLASSIFICATION)


def masks(frame: pd.DataFrame, known: pd.DataFrame) -> dict[str, np.ndarray]:
    """The parts of the tiny table by pandas alone; known: the training rows."""
    age, quarters = frame["age"].astype(float), known["age"].astype(float).quantile([0.25, 0.5, 0.75])
    low, middle, high = (f"{q:.6g}" for q in quarters)
    cut = np.searchsorted(quarters, age)
    ages = (f"age ≤ {low}", f"{low} < age ≤ {middle}", f"{middle} < age ≤ {high}", f"age > {high}")
    found = {name: cut == k for k, name in enumerate(ages)}
    found |= {f"job = {v}": (frame["job"] == v).to_numpy() for v in ("clerk", "smith", "baker")}
    return found | {f"income = {v}": (frame["income"] == v).to_numpy() for v in ("high", "low")}


def test_means_over_slices_are_those_of_autograd(blame: Blame, phi: np.ndarray) -> None:
    explainer = blame.explainer
    held = explainer.run.validation()
    wanted = masks(held, explainer.rows.loc[explainer.diagnosis["row_id"]])
    x = torch.as_tensor(explainer.encoder.transform(held).x)
    right = explainer.network(x).argmax(1).numpy() == explainer.target_ids
    wanted |= {"the model is right": right, "the model is wrong": ~right}
    names = [s.name for s in blame.means.slices]
    assert set(wanted) <= set(names) and blame.means.phi.shape == (len(names), 192)
    for name, mask in wanted.items():
        at = names.index(name)
        np.testing.assert_allclose(blame.means.phi[at], phi[:, mask].mean(1), atol=2e-6)
        assert blame.means.slices[at].rows == mask.sum()
        assert blame.means.slices[at].right == pytest.approx(right[mask].mean())


@pytest.mark.parametrize("groups", ["age", "job", "label"])
def test_a_view_is_the_mean_of_its_block(blame: Blame, phi: np.ndarray, groups: str) -> None:
    explainer = blame.explainer
    train = explainer.rows.loc[explainer.diagnosis["row_id"]]
    down, across = masks(train, train), masks(explainer.run.validation(), train)
    view = blame.view(groups, "job")
    word = "income" if groups == "label" else groups
    assert {g.name for g in view.groups} == {name for name in down if word in name}
    for group, line in zip(view.groups, view.mean, strict=True):
        for at, mean in zip(view.slices, line, strict=True):
            block = phi[np.ix_(down[group.name], across[blame.means.slices[at].name])]
            assert mean == pytest.approx(block.mean(), abs=2e-6)


def test_a_mean_is_the_mean_of_the_explained_profile(blame: Blame) -> None:
    explainer = blame.explainer
    names, jobs = [s.name for s in blame.means.slices], explainer.run.validation()["job"].to_numpy()
    for place in (0, 60, 191):
        profile = explainer.row(int(explainer.diagnosis["row_id"][place])).profile
        assert blame.means.phi[names.index("job = smith"), place] == pytest.approx(
            profile[jobs == "smith"].mean(), abs=1e-5
        )


def test_every_grouping_holds_every_row_once(blame: Blame) -> None:
    assert blame.groupings == ("type", "label", "clusters", "column:age", "column:job", "column:hours")
    for by in blame.groupings:
        places = np.concatenate([g.members for g in blame.groups(by)])
        assert sorted(places) == list(range(192)), by
    weights = [len(g.members) for g in blame.view("type", "label").groups]
    average = np.average(blame.view("type", "label").mean, axis=0, weights=weights)
    np.testing.assert_allclose(sorted(average), sorted(blame.means.phi[blame.slices("label")].mean(1)), atol=1e-6)


def test_rows_to_blame_are_the_most_harmful_of_those_asked_for(blame: Blame) -> None:
    at = blame.slices("job")[0]
    phi, diagnosis = np.asarray(blame.means.phi[at]), blame.explainer.diagnosis
    found = blame.to_blame(at, 10)
    slow = sorted((-phi[i], int(diagnosis["row_id"][i])) for i in range(192) if phi[i] > 0)[:10]
    assert found["row_id"].tolist() == [row for _, row in slow]
    assert found["influence"].tolist() == pytest.approx([-v for v, _ in slow])
    group = blame.groups("label")[0]
    some = blame.to_blame(at, 192, among=group, flagged=True)
    flags = some[[k.value for k in ErrorType]].to_numpy(bool)
    assert len(some) and flags.any(1).all() and set(some["label"]) == {group.name.removeprefix("income = ")}
    assert (some["influence"] > 0).all() and len(some) < len(blame.to_blame(at, 192))


def test_what_chosen_rows_do_is_the_mean_of_their_profiles(blame: Blame, phi: np.ndarray) -> None:
    ids = blame.explainer.diagnosis["row_id"].to_numpy()
    chosen = [int(ids[i]) for i in (3, 90, 7, 91)]
    wanted = phi[[3, 90, 7, 91]].mean(0)
    np.testing.assert_allclose(blame.touched(chosen), wanted, atol=2e-6)
    rows = blame.touched_rows(chosen, 4)
    harmed, helped = rows[rows["influence"] > 0], rows[rows["influence"] < 0]
    assert harmed["influence"].tolist() == pytest.approx(sorted(wanted[wanted > 0])[::-1][:4], abs=2e-6)
    assert helped["influence"].tolist() == pytest.approx(sorted(wanted[wanted < 0])[:4], abs=2e-6)
    held = blame.explainer.run.validation()
    assert rows["job"].tolist() == held.loc[rows["validation_id"], "job"].tolist() and list(rows)[2] == "income"
    slices = blame.slices_touched(chosen)
    assert slices == pytest.approx(blame.means.phi[:, [3, 90, 7, 91]].mean(1), abs=1e-6)


def test_questions_that_can_not_be_answered_get_one_sentence(blame: Blame) -> None:
    with pytest.raises(InputError, match="divided by 'shoes'; choose one of type, label, clusters, age, job, hours"):
        blame.view("shoes", "label")
    with pytest.raises(InputError, match="There is no slice 'x' here; choose a number from 1 to 2"):
        blame.pick(blame.slices("income"), "x")
    with pytest.raises(InputError, match="no row 240; row ids go from 0 to 239"):
        blame.touched([240])
    held = blame.explainer.run.split().query("part == 'validation'")["row_id"]
    with pytest.raises(InputError, match="held-out rows influence nothing"):
        blame.touched([int(held.iloc[0])])
    with pytest.raises(InputError, match="no list of row numbers"):
        row_numbers("4 to 7")


def test_a_slice_is_picked_by_name_number_or_loss(blame: Blame) -> None:
    worst_ones, slices = blame.slices("worst"), blame.means.slices
    assert blame.pick(worst_ones, slices[worst_ones[1]].name) == blame.pick(worst_ones, "2") == worst_ones[1]
    several = [i for i in worst_ones if not slices[i].one_label]
    assert blame.pick(worst_ones, None) == max(several, key=lambda i: slices[i].loss)
    assert all(slices[i].one_label for i in blame.slices("label")) and not slices[blame.slices("job")[0]].one_label


def test_it_is_measured_once_and_anew_after_another_diagnosis(
    blame: Blame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = diagnosed(tmp_path)
    first = measure(run)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "stream", None)  # it would be called
        again = measure(run)
    assert np.array_equal(first.phi, again.phi) and first.slices == again.slices
    np.testing.assert_allclose(first.phi, blame.means.phi, atol=2e-6)  # whatever the size of the blocks
    before, manifest = folder(run), run.path / "manifest.json"
    content = json.loads(manifest.read_text())
    content["stages"]["detect"]["key"] = "another"
    manifest.write_text(json.dumps(content))
    assert folder(run) != before and load(run) is None


def test_cancelled_leaves_nothing_half_done(tmp_path: Path) -> None:
    run = diagnosed(tmp_path, influence=InfluenceSettings(block=20))
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        measure(run, should_stop=lambda: next(asked))
    assert load(run) is None and run.blame.status().state is JobState.CANCELLED
    assert not list(run.blame.path.glob("**/*.npy"))
    assert len(measure(run).slices) and run.blame.status().state is JobState.DONE


def test_a_table_of_numbers_is_cut_by_its_errors(tmp_path: Path) -> None:
    run = diagnosed(tmp_path, load=LoadSettings(target="age", task="regression"))
    blame = Blame(Explainer(run), measure(run))
    by_error = [blame.means.slices[i] for i in blame.slices("correctness")]
    assert by_error[0].name == "the model's smallest errors" and len(by_error) == 4
    assert [s.loss for s in by_error] == sorted(s.loss for s in by_error)
    assert all(s.right is None and not s.one_label for s in blame.means.slices)
    assert len(blame.slices("label")) == len(blame.groups("label")) == 4


# ---- parts -------------------------------------------------------------------------------------------------------

CELLS = st.lists(st.sampled_from(["1", "2.5", "", "9", "-3", "n/a", "x", "1e3", "2020-01-05", "y", "z"]), min_size=1)


@settings(deadline=None)
@given(CELLS, CELLS, st.sampled_from(sorted(ColumnKind)))
def test_the_parts_of_a_column_hold_every_row_once(train: list[str], rows: list[str], kind: str) -> None:
    parts = by_value(Column("c", ColumnKind(kind)), pd.Series(train, dtype=object), pd.Series(rows, dtype=object))
    assert sorted(np.concatenate([p.members for p in parts])) == list(range(len(rows)))
    assert len({p.name for p in parts}) == len(parts)


def test_values_beyond_the_most_frequent_go_together() -> None:
    texts = pd.Series([v for k, v in enumerate("abcdefgh") for _ in range(20 - k)], dtype=object)
    names = [p.name for p in by_value(Column("c", ColumnKind.CATEGORICAL), texts, texts)]
    assert names == [*(f"c = {v}" for v in "abcdef"), "c: other values"]


def test_types_are_exclusive() -> None:
    flags = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    parts = by_type(pd.DataFrame(flags, columns=[k.value for k in ErrorType]))
    assert [(p.name, p.members.tolist()) for p in parts] == [
        ("flagged label error", [1]), ("flagged feature error", [2]), ("flagged spurious", [4]),
        ("flagged for several", [3]), ("looks clean", [0]),
    ]  # fmt: skip


def test_the_worst_slices_are_bad_large_and_each_once() -> None:
    loss = np.r_[np.full(50, 2.0), np.full(50, 0.1), np.full(3, 9.0), np.full(97, 1.0)]
    at = np.arange(200)
    texts = np.select([at < 50, at < 100, at < 103], ["bad", "good", "few"], "fair").astype(object)
    parts = by_value(Column("c", ColumnKind.CATEGORICAL), pd.Series(texts), pd.Series(texts))
    twice = by_value(Column("d", ColumnKind.CATEGORICAL), pd.Series(texts), pd.Series(texts))
    found = worst([*parts, *twice], loss)
    assert [parts[i].name for i in found] == ["c = bad", "c = fair", "c = good"]


def test_clusters_are_numbered_by_size_and_named_by_what_is_special() -> None:
    r = np.random.default_rng(0)
    centre = np.repeat([0.0, 50.0, 100.0], [60, 30, 10])
    codes = clusters(r.normal(centre[:, None], 0.1, (100, 4)).astype(np.float32), seed=0)
    sizes = np.bincount(codes)
    assert (np.diff(sizes) <= 0).all() and sizes.sum() == 100
    assert all(len(set(centre[codes == k])) == 1 for k in range(len(sizes)))
    texts = pd.Series(np.where(centre == 100, "rare", "usual"), dtype=object)
    ways = [by_value(Column("c", ColumnKind.CATEGORICAL), texts, texts)]
    assert what_is_special(np.arange(90, 100), ways, 100) == "c = rare 100%"


def test_neighbours_in_the_order_are_alike() -> None:
    profiles = np.array([[0.0, 0.0], [9.0, 9.0], [0.1, 0.0], [9.1, 9.0], [0.2, 0.1]])
    order = in_order(profiles)
    assert sorted(order) == list(range(5))
    assert {*order[:3]} in ({0, 2, 4}, {1, 3, order[2]}) and abs(order.index(1) - order.index(3)) == 1
