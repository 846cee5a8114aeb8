"""The DEC's formulas against slow oracles, its invariances, its checkpoint, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from demix_core.classifiers import cell_features
from demix_core.classifiers import train as training
from demix_core.classifiers.calibrate import calibrate, measure_trust, probabilities, raw_logits
from demix_core.classifiers.corpus import Example, draw_example, load_example, save_example
from demix_core.classifiers.features import Features, context, set_statistics, with_ranks
from demix_core.classifiers.gathered import gather, make_shape
from demix_core.classifiers.network import Dec, Rows, Shape, load_checkpoint, save_checkpoint
from demix_core.classifiers.objective import cell_bce, centroid_spread, focal_bce, info_nce
from demix_core.classifiers.thresholds import expected_f1_threshold, shift_to_share, threshold, trust
from demix_core.classifiers.train import TrainSettings, learn
from demix_core.errors import InputError
from demix_core.types import no_progress

SHAPE = Shape(
    features=("a", "b", "c"), context=("mean:a", "sd:a"), channels=(0, 1, 3), hidden=8, inducing=4, heads=2,
    side_hidden=8, embedding=8,
)  # fmt: skip
Q = len(cell_features.NAMES)


def some_rows(generator: torch.Generator, cells: int = 5) -> Rows:
    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    return Rows(draw(4, 3), draw(4, 2), draw(4, 12, 6), draw(4, cells, Q), torch.ones(4, cells, dtype=torch.bool))


@pytest.fixture(scope="module")
def example() -> Example:
    """One table of the corpus; drawing it walks through corruption, signals, two fits and influence."""
    return draw_example(0, seed=123)


def test_example_is_whole_and_finite(example: Example, tmp_path: Path) -> None:
    assert example.features.shape[:2] == example.tokens.shape[:2] == (2, len(example.truth))
    assert np.isfinite(example.features).all() and np.isfinite(example.tokens.astype(np.float32)).all()
    assert set(example.models) == {0, 1}
    assert len(set(example.names)) == len(example.names)
    save_example(example, tmp_path / "e.safetensors")
    back = load_example(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(back.tokens, example.tokens)
    assert back.names == example.names and back.groups == example.groups


def test_example_comes_from_its_number_alone(example: Example) -> None:
    again = draw_example(0, seed=123)
    np.testing.assert_array_equal(again.truth, example.truth)
    np.testing.assert_allclose(again.features, example.features, atol=1e-4)


def test_focal_bce_with_gamma_one_by_hand() -> None:
    logits, truth = torch.tensor([[0.3, -1.0, 2.0], [1.2, 0.4, -0.7]]), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    by_hand = 0.0
    for i in range(2):
        for k in range(3):
            p = 1 / (1 + np.exp(-logits[i, k].item()))
            right = p if truth[i, k] else 1 - p
            by_hand += (1 - right) * -np.log(right) / 2
    assert focal_bce(logits, truth).item() == pytest.approx(by_hand, rel=1e-5)


def test_cell_bce_counts_only_cells_that_are_there() -> None:
    logits, wrong = torch.tensor([[0.5, -1.0], [2.0, 9.0]]), torch.tensor([[True, False], [False, True]])
    present = torch.tensor([[True, True], [True, False]])
    p = torch.sigmoid(logits)
    by_hand = -(p[0, 0].log() + (1 - p[0, 1]).log() + (1 - p[1, 0]).log()) / 2
    assert cell_bce(logits, wrong, present).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_info_nce_is_least_for_equal_views() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(16, 8, generator=generator), torch.randn(16, 8, generator=generator)
    assert info_nce(a, a) < info_nce(a, b)
    scores = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T / 0.1
    loops = np.mean([-(scores[i] - scores[i].logsumexp(0))[i].item() for i in range(16)])
    loops = (loops + np.mean([-(scores[:, i] - scores[:, i].logsumexp(0))[i].item() for i in range(16)])) / 2
    assert info_nce(a, b).item() == pytest.approx(loops, rel=1e-5)


def test_centroid_spread_by_hand_and_zero_when_models_agree() -> None:
    z = torch.tensor([[0.0, 0], [2, 0], [0, 4], [5, 5]])
    truth = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    model = torch.tensor([0, 0, 1, 0])
    first, second = np.array([1.0, 0]), np.array([0.0, 4])
    middle = (first + second) / 2
    by_hand = ((first - middle) ** 2).sum() + ((second - middle) ** 2).sum()
    assert centroid_spread(z, truth, model, 2).item() == pytest.approx(by_hand)
    assert centroid_spread(torch.ones(4, 2), truth, model, 2).item() == 0


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_order_of_validation_rows_and_of_columns_does_not_matter(seed: int) -> None:
    torch.manual_seed(0)
    network = Dec(SHAPE).eval()
    generator = torch.Generator().manual_seed(seed)
    rows = some_rows(generator)
    tokens, cells = torch.randperm(12, generator=generator), torch.randperm(5, generator=generator)
    z, wrong = network.embed(rows)
    again, moved = network.embed(replace(rows, tokens=rows.tokens[:, tokens], cells=rows.cells[:, cells]))
    torch.testing.assert_close(z, again, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(wrong[:, cells], moved, atol=1e-5, rtol=1e-4)


def test_padding_of_narrow_tables_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Dec(SHAPE).eval()
    rows = some_rows(torch.Generator().manual_seed(0))
    padded = replace(
        rows,
        cells=torch.cat([rows.cells, torch.full((4, 3, Q), 7.0)], 1),
        present=torch.cat([rows.present, torch.zeros(4, 3, dtype=torch.bool)], 1),
    )
    (z, wrong), (same, more) = network.embed(rows), network.embed(padded)
    torch.testing.assert_close(z, same, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(wrong, more[:, :5], atol=1e-6, rtol=1e-5)
    assert (more[:, 5:].sigmoid() < 1e-9).all()


def test_statistics_do_not_depend_on_order_either() -> None:
    generator = torch.Generator().manual_seed(1)
    tokens, norm = torch.rand(5, 40, 6, generator=generator), torch.ones(5)
    a, b = set_statistics(tokens, norm), set_statistics(tokens[:, torch.randperm(40, generator=generator)], norm)
    np.testing.assert_allclose(a.values, b.values, atol=1e-4)


def test_ranks_keep_absolute_values_and_leave_the_run_alone() -> None:
    features = Features(np.array([[3.0, 1], [1, 1], [2, 1]], np.float32), ("x", "run_y"), ("side", "side"))
    ranked = with_ranks(features)
    assert ranked.names == ("x", "run_y", "x:rank")
    np.testing.assert_allclose(ranked.values[:, 2], [1, 1 / 3, 2 / 3])
    around = context(ranked)
    assert around.names == ("mean:x", "mean:run_y", "sd:x", "sd:run_y")
    np.testing.assert_allclose(around.values, [[2, 1, np.sqrt(2 / 3), 0]], rtol=1e-6)


@given(p=arrays(np.float64, st.integers(1, 12), elements=st.floats(0.001, 0.999)))
@settings(max_examples=60, deadline=None)
def test_threshold_maximises_expected_f1(p: np.ndarray) -> None:
    def expected(t: float) -> float:
        flags = p >= t
        return 2 * p[flags].sum() / (flags.sum() + p.sum())

    best = max(expected(t) for t in p)
    assert expected(expected_f1_threshold(p)) == pytest.approx(best, rel=1e-9)


@given(p=arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 0.2) | st.floats(0, 1)))
@settings(max_examples=200, deadline=None)
def test_nothing_is_flagged_where_probably_none_of_it_is_wrong(p: np.ndarray) -> None:
    best, chosen = expected_f1_threshold(p), threshold(p)
    if 1 - np.prod(1 - p[p >= best]) >= 0.5:
        assert chosen == best
    else:
        assert not (p >= chosen).any()
        assert 0.5 <= chosen <= 1  # of rows to come those that are likely wrong are flagged


@given(share=st.floats(0.02, 0.9), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_told_share_is_met_and_order_kept(share: float, seed: int) -> None:
    p = np.random.default_rng(seed).uniform(0.01, 0.8, (200, 3))
    moved = shift_to_share(p, share)
    assert 1 - np.prod(1 - moved, axis=1).mean() == pytest.approx(share, abs=1e-4)
    assert (np.argsort(moved[:, 0]) == np.argsort(p[:, 0])).all()


def test_estimates_are_means_moved_by_what_was_seen_on_kept_out_tables() -> None:
    p = np.array([0.9, 0.7, 0.2, 0.2])
    told = trust(p, 0.7, np.array([[-0.1, 0.2], [-0.3, 0.4]]))
    assert (told.wrong.value, told.wrong.low, told.wrong.high) == pytest.approx((0.5, 0.4, 0.7))
    assert (told.right.value, told.right.low, told.right.high) == pytest.approx((0.8, 0.5, 1.0))
    assert trust(p, 0.95, np.zeros((2, 2))).right.value == 0


def planted_corpus(folder: Path, rows: int = 400) -> list[Path]:
    """LE shows in a feature, FE in a cell, SC in a token channel."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        truth = rng.random((rows, 3)) < 0.3
        features = rng.normal(size=(2, rows, 4)).astype(np.float32)
        features[:, :, 0] += 3 * truth[:, 0]
        tokens = rng.normal(size=(2, rows, 32, 6))
        tokens[..., 3] -= 1.5 * truth[None, :, None, 2]
        wrong = np.zeros((rows, 5), bool)
        wrong[np.arange(rows), rng.integers(0, 5, rows)] = truth[:, 1]
        cells = rng.normal(size=(rows, 5, Q))
        cells[..., 2] += 4 * wrong
        names, groups = ("f", "g", "h", "run_x"), ("side", "influence", "similarity", "side")
        example = Example(
            features=features, context=rng.normal(size=(2, 2)).astype(np.float32), tokens=tokens.astype(np.float16),
            models=np.array([0, 1]), cells=cells.astype(np.float16), present=np.ones((rows, 5), bool), wrong=wrong,
            truth=truth, names=names, groups=groups, context_names=("mean:f", "mean:g"),
            context_groups=("side", "influence"),
        )  # fmt: skip
        paths.append(folder / f"{i}.safetensors")
        save_example(example, paths[-1])
    return paths


def test_it_learns_from_features_cells_and_tokens_and_survives_the_disk(tmp_path: Path) -> None:
    paths = planted_corpus(tmp_path)
    shape = replace(make_shape(load_example(paths[0]), ()), hidden=16, side_hidden=32, tokens=24)
    corpus, held = gather(paths[:2], shape), gather(paths[2:], shape)
    network = learn(shape, corpus, TrainSettings(epochs=16, batch=64, seed=0), no_progress)
    calibrate(network, held)
    logits = raw_logits(network, held)
    assert all(roc_auc_score(held.truth[:, k], logits[:, k]) > 0.85 for k in range(3))
    p = torch.sigmoid(torch.from_numpy(logits) * network.calibration[:, 0] + network.calibration[:, 1])
    assert p.mean(0).numpy() == pytest.approx(held.truth.mean(0), abs=0.03)
    measure_trust(network, held, probabilities(network, held))
    assert (network.trust[:, :, 0] <= network.trust[:, :, 1]).all() and network.trust.abs().max() < 0.3
    wrong = network.embed(held.rows(0, np.arange(len(held)), slice(24)))[1].detach().numpy()
    guilty = held.truth[:, 1] > 0.5
    assert held.wrong[guilty, wrong[guilty].argmax(1)].mean() > 0.9
    save_checkpoint(network, tmp_path / "dec.safetensors")
    back = load_checkpoint(tmp_path / "dec.safetensors")
    np.testing.assert_array_equal(raw_logits(back, held), logits)


def test_groups_can_be_left_out(tmp_path: Path) -> None:
    example = load_example(planted_corpus(tmp_path, 10)[0])
    shape = make_shape(example, ("influence",))
    assert shape.features == ("f", "h", "run_x") and shape.context == ("mean:f",)
    assert 0 not in shape.channels
    bare = make_shape(example, ("influence", "similarity"))
    assert bare.channels == ()
    paths = planted_corpus(tmp_path, 40)
    learn(bare, gather(paths, bare), TrainSettings(epochs=1, batch=64), no_progress)
    assert make_shape(example, ("context",)).context == () and not make_shape(example, ("cells",)).cells


def test_command_writes_checkpoint_and_card(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(folder: Path, numbers: range, *_: object) -> list[Path]:
        paths = [folder / f"{n}.safetensors" for n in numbers]
        for path in paths:
            save_example(example, path)
        return paths

    monkeypatch.setattr(training, "build_corpus", drawn)
    card = training.train_dec(
        tmp_path, tmp_path / "dec.safetensors", TrainSettings(tables=4, epochs=1, batch=64, held_out=0.5)
    )
    assert (tmp_path / "dec.json").exists() and "--tables 4" in card["command"]
    assert set(card["in_distribution"]["per_type"]) == {"label_error", "feature_error", "spurious"}
    load_checkpoint(tmp_path / "dec.safetensors")


def test_wrong_files_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="not a readable safetensors"):
        load_checkpoint(tmp_path / "a.safetensors")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="not an error classifier"):
        load_checkpoint(tmp_path / "b.safetensors")
    network = Dec(SHAPE)
    with pytest.raises(InputError, match="'a', which this version does not compute"):
        network.pick(Features(np.zeros((1, 1), np.float32), ("z",), ("side",)))
