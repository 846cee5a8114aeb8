"""What is said of one row: the same as the streamed influence, in words that fit the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from demix_core import work
from demix_core.classifiers.environment import subset
from demix_core.errors import InputError, RunError
from demix_core.explain import Explainer
from demix_core.influence.vectors import factorise, stream
from demix_core.pipeline import diagnose
from demix_core.settings import InfluenceSettings, Settings
from demix_core.store import Run
from demix_core.types import ErrorType
from demix_core.work import Work
from tests import tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Explainer, Settings]]:
    folder = tmp_path_factory.mktemp("explained")
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        yield Explainer(diagnose(tiny.table(folder / "t.csv"), folder / "run", settings)), settings


def test_profile_is_the_row_of_the_streamed_influence(made) -> None:
    explainer, settings = made
    again = Work(explainer.run, settings)
    measured = subset(again.validation, again.detection.validation_rows)
    factors = factorise(again.fitted.network, measured.x, measured.y, again.schema.task)
    (block,) = stream(again.fitted.network, again.train, again.schema.task, factors, InfluenceSettings())
    for place in (0, 17, 191):
        found = explainer.row(int(explainer.diagnosis["row_id"][place]))
        np.testing.assert_allclose(found.profile, block.phi[place], atol=1e-5)
        assert np.array_equal(found.same_class, measured.y == again.train.y[place])


def test_helped_and_harmed_are_the_strongest_of_their_sign(made) -> None:
    explainer, _ = made
    for row_id in explainer.diagnosis["row_id"][:20]:
        found = explainer.row(int(row_id))
        order = np.argsort(found.profile, kind="stable")
        assert list(found.helped) == [j for j in order[:5] if found.profile[j] < 0]
        assert all(found.profile[j] > 0 for j in found.harmed)
        assert sorted(found.profile[list(found.harmed)], reverse=True) == [found.profile[j] for j in found.harmed]


def test_neighbours_are_the_nearest_other_training_rows(made) -> None:
    explainer, _ = made
    embedding, ids = explainer.run.array("embedding.npy"), explainer.diagnosis["row_id"].to_numpy()
    for place in (0, 50):
        slow = sorted(
            (float(np.linalg.norm(embedding[i] - embedding[place])), i) for i in range(len(ids)) if i != place
        )
        found = explainer.row(int(ids[place]))
        far = {int(ids[i]): distance for distance, i in slow}
        assert [far[i] for i in found.neighbours] == pytest.approx([d for d, _ in slow[:5]])
        assert int(ids[place]) not in found.neighbours


def test_nearest_rows_of_either_label_and_how_many_agree(made) -> None:
    explainer, _ = made
    embedding, ids = explainer.run.array("embedding.npy"), explainer.diagnosis["row_id"].to_numpy()
    labels = explainer.rows["income"].loc[ids].to_numpy()
    for place in (0, 50):
        distance = np.square(embedding - embedding[place]).sum(1)
        found = explainer.row(int(ids[place]))
        for ids_found, agrees in ((found.same_label, True), (found.other_label, False)):
            others = [i for i in range(len(ids)) if (labels[i] == labels[place]) == agrees and i != place]
            wanted = sorted(distance[others])[:5]
            assert [distance[list(ids).index(i)] for i in ids_found] == pytest.approx(wanted)
        near = sorted((distance[i], i) for i in range(len(ids)) if i != place)[:20]
        assert found.crowd == pytest.approx(np.mean([labels[i] == labels[place] for _, i in near]))


def test_the_loss_is_the_rows_own_beside_its_class(made) -> None:
    explainer, _ = made
    losses, ids = explainer.run.array("losses.npy"), explainer.diagnosis["row_id"].to_numpy()
    mine = (explainer.rows["income"].loc[ids] == explainer.rows.at[ids[7], "income"]).to_numpy()
    found = explainer.row(int(ids[7])).training
    assert np.array_equal(found.own, losses[:, 7])
    np.testing.assert_allclose(found.median, np.median(losses[:, mine], 1), rtol=1e-6)
    np.testing.assert_allclose(found.high, np.percentile(losses[:, mine], 75, axis=1), rtol=1e-6)
    assert found.kept == explainer.run.json("fit.json")["epoch"]


def test_typical_lines_are_medians_over_rows_of_the_type(made) -> None:
    explainer, _ = made
    line = explainer.diagnosis.iloc[7]
    found = explainer.row(int(line["row_id"]))
    label = explainer.rows.at[int(line["row_id"]), "income"]
    for name, curves in found.typical_of.items():
        flags = explainer.diagnosis[[k.value for k in ErrorType]]
        mask = flags[name] if name else ~flags.any(axis=1)
        mask &= (explainer.rows["income"].loc[explainer.diagnosis["row_id"]] == label).to_numpy()
        chosen = explainer.diagnosis["row_id"][mask]
        assert 5 <= len(chosen) <= 199  # all of them are in the sample
        profiles = [explainer.row(int(i)) for i in chosen[:100]]
        for side, same in ((0, True), (1, False)):
            sorted_ = [np.sort(p.profile[p.same_class == same]) for p in profiles]
            at = np.linspace(0, len(sorted_[0]) - 1, 101).round().astype(int)
            np.testing.assert_allclose(curves[side], np.median([v[at] for v in sorted_], 0), atol=1e-5)
    assert found.typical_of


def test_every_flag_has_a_sentence_and_the_cells_are_the_files(made) -> None:
    explainer, _ = made
    rows = explainer.run.rows()
    for line in explainer.diagnosis.head(40).itertuples():
        found = explainer.row(int(line.row_id))
        assert set(found.why) == {kind for kind in ErrorType if getattr(line, kind.value)} == set(found.flagged)
        assert all(sentence.endswith(".") for sentence in found.why.values())
        assert found.cells == rows.loc[line.row_id].to_dict() and found.given == found.cells["income"]
        assert [s.column for s in found.suspects] == line.suspect_columns or not line.feature_error
        assert sum(p.model for p in found.likelihoods) == pytest.approx(1, abs=1e-5)
        assert found.typical.shape == (2, 101)


def test_it_can_be_written_as_json(made) -> None:
    explainer, _ = made
    found = explainer.row(int(explainer.diagnosis["row_id"][3]))
    back = json.loads(json.dumps(found.to_dict()))
    assert back["row_id"] == found.row_id and len(back["profile"]) == 48


def test_rows_that_were_not_diagnosed_are_told_apart(made) -> None:
    explainer, _ = made
    split = explainer.run.split()
    held = int(split.loc[split["part"] == "validation", "row_id"].iloc[0])
    with pytest.raises(InputError, match=f"Row {held} was held out"):
        explainer.row(held)
    with pytest.raises(InputError, match="no row 240; row ids go from 0 to 239"):
        explainer.row(240)


def test_run_without_its_factors_is_told(made, tmp_path: Path) -> None:
    explainer, _ = made
    shutil.copytree(explainer.run.path, tmp_path / "run")
    (tmp_path / "run" / "factors.safetensors").unlink()
    with pytest.raises(RunError, match=r"factors.safetensors can't be read"):
        Explainer(Run(tmp_path / "run")).row(int(explainer.diagnosis["row_id"][0]))
