"""The twin's trees against scikit-learn's, what they read of cells against loops, and their place in the classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from demix_core.classifiers import public_tables
from demix_core.classifiers import train as training
from demix_core.classifiers.calibrate import calibrate, raw_logits
from demix_core.classifiers.cell_features import NAMES, OWN
from demix_core.classifiers.corpus import load_example, save_example
from demix_core.classifiers.forest import _GROWING, CELL_NUMBERS, SUSPECT_BY, Forest, describe_cells, fill, grow
from demix_core.classifiers.gathered import gather, make_shape
from demix_core.classifiers.network import Dec, load_checkpoint, save_checkpoint
from demix_core.classifiers.train import TrainSettings, grow_twin
from demix_core.errors import InputError
from tests.test_classifiers import SHAPE, planted_corpus, some_rows


@pytest.mark.parametrize("digits", [6, 0])
def test_trees_say_what_scikit_learns_say(digits: int) -> None:
    """Also where many rows have the same numbers, which is where limits are met exactly."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 7)).round(digits).astype(np.float32)
    truth = np.stack([x[:, 0] * x[:, 1] + rng.normal(size=3000) > 0, x[:, 2] > 1], 1)
    forest = grow(x, truth, 25, seed=3)
    for k in range(2):
        model = HistGradientBoostingClassifier(max_iter=25, random_state=3, **_GROWING).fit(x, truth[:, k])
        np.testing.assert_allclose(forest(torch.from_numpy(x))[:, k], model.decision_function(x), rtol=1e-4, atol=1e-4)
        assert fill(model).leaf.shape == (25, 64)


def test_numbers_between_two_float32_go_the_same_way() -> None:
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    x = np.repeat([[low], [high]], 200, 0)
    forest = grow(x, (x > 1), 3, seed=0)
    below, above = forest(torch.tensor([[low], [high]]))[:, 0]
    assert below < 0 < above


def test_cells_are_described_as_loops_do_and_padding_changes_nothing() -> None:
    rows = some_rows(torch.Generator().manual_seed(5), cells=6)
    present = rows.present.clone()
    present[:, 4:] = False
    present[0, 1:] = False  # one cell alone is its own second
    found = describe_cells(rows.cells, present)
    assert found.shape == (4, CELL_NUMBERS)
    for i in range(4):
        cells = rows.cells[i][present[i]]
        ordered = cells[:, :OWN].sort(0, descending=True).values
        by_hand = [ordered[0], ordered[min(1, len(cells) - 1)], ordered[-1], cells[:, :OWN].mean(0)]
        for name, sign in SUSPECT_BY.items():
            by_hand.append(max(cells, key=lambda cell: sign * cell[NAMES.index(name)].item()))
        np.testing.assert_allclose(found[i], torch.cat(by_hand), atol=1e-6)


def test_twin_is_added_weighed_kept_and_taken_off(tmp_path: Path) -> None:
    paths = planted_corpus(tmp_path)
    shape = replace(make_shape(load_example(paths[0]), ()), hidden=16, side_hidden=32, tokens=24)
    corpus, held = gather(paths[:2], shape), gather(paths[2:], shape)
    torch.manual_seed(0)
    network = Dec(shape).eval()
    alone = raw_logits(network, held)
    grow_twin(network, corpus, TrainSettings(trees=20, seed=0))
    calibrate(network, held)
    both = raw_logits(network, held)
    assert network.forest is not None
    rows = held.rows(0, np.arange(len(held)), slice(24))
    with torch.no_grad():
        twin = network.forest(network.describe(rows)).numpy()
    np.testing.assert_allclose(both, alone + network.forest.weight.numpy() * twin, rtol=1e-4, atol=1e-4)
    ours, theirs = held.truth[:, 0] > 0.5, held.truth[:, 0] < 0.5
    assert twin[ours, 0].mean() > twin[theirs, 0].mean() + 1, "labels show in a feature that trees read"
    save_checkpoint(network, tmp_path / "both.safetensors")
    back = load_checkpoint(tmp_path / "both.safetensors")
    assert back.shape.trees == 20
    np.testing.assert_array_equal(raw_logits(back, held), both)
    back.drop_twin()
    np.testing.assert_allclose(raw_logits(back, held), alone, atol=1e-6)
    save_checkpoint(back, tmp_path / "alone.safetensors")
    assert load_checkpoint(tmp_path / "alone.safetensors").forest is None


def test_a_classifier_without_cells_has_a_twin_all_the_same() -> None:
    network = Dec(replace(SHAPE, cells=False, trees=4))
    rows = some_rows(torch.Generator().manual_seed(1))
    assert isinstance(network.forest, Forest)
    assert network.describe(rows).shape[1] == 3


def test_command_keeps_the_network_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the trees judge alone; tables kept for calibration are chosen by their names."""
    paths = planted_corpus(tmp_path, 120)
    for path, origin in zip(paths, ("a/a, t, broad", "b/b, t, paper", "c/c, t, broad"), strict=True):
        save_example(replace(load_example(path), origin=origin), path)
    monkeypatch.setattr(training, "build_corpus", lambda *_: paths)
    monkeypatch.setattr(public_tables, "is_held_out", lambda origin: origin.startswith("c"))
    torch.manual_seed(1)
    kept = Dec(replace(make_shape(load_example(paths[0]), ()), hidden=16, side_hidden=32, tokens=24)).eval()
    save_checkpoint(kept, tmp_path / "network.safetensors")
    chosen = TrainSettings(tables=3, seed=5, twin_of=str(tmp_path / "network.safetensors"), trees=10)
    card = training.train_dec(tmp_path, tmp_path / "dec.safetensors", chosen)
    assert "--twin-of" in card["command"] and "--epochs" not in card["command"] and card["shape"]["trees"] == 10
    assert card["data"]["network kept"]["checkpoint"] == "network.safetensors"
    both = load_checkpoint(tmp_path / "dec.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), both.parameters(), strict=True))
    training.train_dec(tmp_path, tmp_path / "trees.safetensors", replace(chosen, without=("network",)))
    alone, held = load_checkpoint(tmp_path / "trees.safetensors"), gather(paths[2:], kept.shape)
    rows = held.rows(0, np.arange(len(held)), slice(24))
    assert alone.forest is not None and both.forest is not None
    with torch.no_grad():
        np.testing.assert_allclose(raw_logits(alone, held), both.forest(both.describe(rows)), atol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (TrainSettings(refine="a", twin_of="b"), "not both"),
        (TrainSettings(twin_of="b", without=("cells",)), "only 'network'"),
        (TrainSettings(without=("network",)), "needs --twin-of"),
        (TrainSettings(calibrate="a", refine="b"), "without --refine"),
    ],
)
def test_choices_that_exclude_each_other_get_one_sentence(tmp_path: Path, chosen: TrainSettings, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        training.train_dec(tmp_path, tmp_path / "dec.safetensors", chosen)
