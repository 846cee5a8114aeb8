"""Every registered model trains, remembers its losses and survives the disk; bad weights get one sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from demix_core.errors import Cancelled, InputError, StorageError
from demix_core.influence.vectors import factorise, stream
from demix_core.models import training
from demix_core.models.base import MODELS, build, origin
from demix_core.models.losses import row_loss
from demix_core.models.training import fit, load_weights, predict, row_losses, save_weights
from demix_core.settings import FitSettings, InfluenceSettings
from demix_core.types import Encoded, Task
from tests import oracles

CLASSES, NUMBERS = Task.CLASSIFICATION, Task.REGRESSION


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy(rows: int, classes: int, seed: int = 0) -> Encoded:
    """Well separated clouds, one a class; classes = 1: a linear target."""
    random = np.random.default_rng(seed)
    if classes == 1:
        x = random.normal(size=(rows, 4)).astype(np.float32)
        return Encoded(x, (x[:, 0] - 0.5 * x[:, 1]).astype(np.float32))
    y = random.integers(0, classes, rows)
    centres = 4.0 * np.eye(classes, 4)
    return Encoded((centres[y] + random.normal(size=(rows, 4))).astype(np.float32), y.astype(np.int64))


def quick(model: str = "linear", **changes) -> FitSettings:
    return replace(FitSettings(model=model, epochs=20, batch_size=32, learning_rate=1e-2), **changes)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("classes", [1, 2, 3])
class TestEveryModel:
    def task(self, classes: int) -> Task:
        return NUMBERS if classes == 1 else CLASSES

    def test_learns_a_separable_toy(self, name, classes):
        train, held_out = toy(240, classes), toy(100, classes, seed=1)
        fitted = fit(train, held_out, self.task(classes), classes, quick(name), seed=3)
        outputs = predict(fitted.network, held_out.x, self.task(classes))
        assert outputs.shape == (100, classes) and outputs.dtype == np.float32
        if classes == 1:
            assert np.square(outputs[:, 0] - held_out.y).mean() < 0.1 * held_out.y.var()
        else:
            assert (outputs.argmax(1) == held_out.y).mean() > 0.9
            np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-5)

    def test_row_losses_average_to_the_batch_loss(self, name, classes):
        data, network = toy(50, classes), build(name, 4, classes, seed=1)
        outputs, y = network(torch.as_tensor(data.x)).detach(), torch.as_tensor(data.y)
        whole = 0.5 * functional.mse_loss(outputs[:, 0], y) if classes == 1 else functional.cross_entropy(outputs, y)
        assert row_losses(network, data, self.task(classes)).mean() == pytest.approx(float(whole), rel=1e-5)

    def test_influence_equals_the_loop_over_rows(self, name, classes):
        data, network = toy(24, classes), build(name, 4, classes, seed=2)
        task, train, held_out = self.task(classes), (data.x[8:], data.y[8:]), (data.x[:8], data.y[:8])
        factors = factorise(network, *held_out, task)
        (block,) = stream(network, Encoded(*train), task, factors, InfluenceSettings())
        np.testing.assert_allclose(block.phi, oracles.influence(network, train, held_out, task), atol=1e-5)

    def test_survives_the_disk(self, name, classes, tmp_path):
        network, x = build(name, 4, classes, seed=5), toy(9, classes).x
        save_weights(network, tmp_path / "model.safetensors")
        loaded = load_weights(name, 4, classes, tmp_path / "model.safetensors")
        task = self.task(classes)
        np.testing.assert_array_equal(predict(loaded.network, x, task), predict(network, x, task))
        assert loaded.losses.size == 0 and math.isnan(loaded.validation_loss) and loaded.architecture == name


def test_the_registered_models_have_their_widths():
    assert {"linear", "mlp1", "mlp2", "resnet", "transformer"} <= set(MODELS)
    widths = {n: [m.out_features for m in build(n, 7, 3).modules() if isinstance(m, nn.Linear)] for n in MODELS}
    assert widths["linear"] == [3] and widths["mlp1"] == [256, 128, 64, 3] and widths["mlp2"] == [64, 32, 3]


def test_an_unknown_model_is_named_with_the_choices():
    with pytest.raises(InputError, match=r"'mlp9'.*linear"):
        fit(toy(20, 2), toy(20, 2), CLASSES, 2, quick("mlp9"), seed=0)


class TestFit:
    def test_same_seed_same_weights_other_seed_other_weights(self):
        def weights(seed: int) -> torch.Tensor:
            return fit(toy(80, 2), toy(40, 2, 1), CLASSES, 2, quick("mlp2"), seed).network[0].weight

        assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))

    def test_leaves_the_global_random_state_alone(self):
        torch.manual_seed(9)
        expected = torch.rand(3)
        torch.manual_seed(9)
        state = np.random.get_state()[1].copy()  # noqa: NPY002  the legacy state is what must not move
        fit(toy(40, 2), toy(20, 2, 1), CLASSES, 2, quick(), seed=0)
        assert torch.equal(torch.rand(3), expected)
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    def test_keeps_the_best_epoch_and_stops_early(self):
        random = np.random.default_rng(0)
        noise = Encoded(random.normal(size=(60, 4)).astype(np.float32), random.integers(0, 2, 60))
        other = Encoded(random.normal(size=(60, 4)).astype(np.float32), random.integers(0, 2, 60))
        fitted = fit(noise, other, CLASSES, 2, quick("mlp1", patience=2, epochs=40), seed=0)
        assert len(fitted.losses) == fitted.epoch + 3 < 40
        assert row_losses(fitted.network, other, CLASSES).mean() == pytest.approx(fitted.validation_loss, rel=1e-5)

    def test_losses_are_those_of_the_training_forward_pass_in_row_order(self):
        data = toy(30, 2)
        fitted = fit(data, toy(20, 2, 1), CLASSES, 2, quick(epochs=2, batch_size=30), seed=4)
        start = build("linear", 4, 2, seed=4)
        assert fitted.losses.shape == (2, 30) and fitted.losses.dtype == np.float32
        np.testing.assert_allclose(fitted.losses[0], row_losses(start, data, CLASSES), rtol=1e-5)

    def test_every_row_is_visited_in_every_epoch_when_batches_do_not_divide(self):
        fitted = fit(toy(53, 3), toy(20, 3, 1), CLASSES, 3, quick(epochs=3, batch_size=10), seed=4)
        assert np.isfinite(fitted.losses).all() and (fitted.losses > 0).all()

    def test_progress_rises_to_one_at_batch_level(self):
        seen: list[float] = []
        fit(toy(40, 2), toy(20, 2, 1), CLASSES, 2, quick(epochs=2, batch_size=10), 0, lambda f, m: seen.append(f))
        assert seen == sorted(seen) and seen[-1] == 1 and len(seen) >= 8

    def test_stops_within_a_batch_when_asked(self):
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            return len(asked) == 3

        with pytest.raises(Cancelled):
            fit(toy(40, 2), toy(20, 2, 1), CLASSES, 2, quick(batch_size=10), 0, should_stop=stop)
        assert len(asked) == 3

    def test_divergence_is_one_sentence_with_the_remedy(self):
        far = Encoded(toy(40, 1).x * np.float32(1e18), toy(40, 1).y)
        with pytest.raises(InputError, match=r"diverged in epoch 1.*lower the learning rate"):
            fit(far, far, NUMBERS, 1, quick("mlp2", learning_rate=1e6), seed=0)

    @pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}])
    def test_settings_out_of_range(self, changes):
        with pytest.raises(InputError, match="must be"):
            fit(toy(20, 2), toy(20, 2), CLASSES, 2, quick(**changes), seed=0)

    def test_empty_parts_and_broken_inputs(self):
        empty = Encoded(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        with pytest.raises(InputError, match="no validation rows"):
            fit(toy(20, 2), empty, CLASSES, 2, quick(), seed=0)
        broken = replace(toy(20, 2), x=np.full((20, 4), np.nan, np.float32))
        with pytest.raises(InputError, match="training rows hold values that are not numbers"):
            fit(broken, toy(20, 2), CLASSES, 2, quick(), seed=0)


class TestImbalance:
    def test_common_classes_are_not_weighted(self):
        assert training._class_weights(torch.tensor([0] * 18 + [1] * 2), 2) is None

    def test_rare_classes_weigh_by_inverse_root_of_share_with_mean_one(self):
        y = torch.tensor([0] * 96 + [1] * 4)
        weights = training._class_weights(y, 2)
        assert float(weights[1] / weights[0]) == pytest.approx(math.sqrt(24), rel=1e-5)
        assert float(weights[y].mean()) == pytest.approx(1, rel=1e-5)

    def test_a_class_without_rows_changes_nothing(self):
        assert training._class_weights(torch.tensor([0, 1] * 10), 3) is None

    def test_probabilities_stay_honest_at_ten_percent(self):
        random = np.random.default_rng(0)
        y = (random.random(2000) < 0.1).astype(np.int64)
        data = Encoded(random.normal(size=(2000, 4)).astype(np.float32), y)
        fitted = fit(data, data, CLASSES, 2, quick(epochs=5), seed=0)
        assert predict(fitted.network, data.x, CLASSES)[:, 1].mean() == pytest.approx(y.mean(), abs=0.02)


class TestWeights:
    @pytest.fixture
    def saved(self, tmp_path):
        path = tmp_path / "model.safetensors"
        save_weights(build("mlp2", 4, 2), path)
        return path

    @pytest.mark.parametrize(
        ("wanted", "sentence"),
        [(("mlp1", 4, 2), "belong to a 'mlp2'"), (("mlp2", 5, 2), "should be 64 x 5 and is 64 x 4"),
         (("mlp2", 4, 3), "should be 3")],
    )  # fmt: skip
    def test_another_architecture_or_shape(self, saved, wanted, sentence):
        with pytest.raises(InputError, match=sentence):
            load_weights(*wanted, saved)

    def test_foreign_safetensors_without_our_metadata_are_welcome(self, saved):
        tensors = load_file(saved)
        save_file(tensors, saved)
        assert torch.equal(load_weights("mlp2", 4, 2, saved).network[0].weight, tensors["0.weight"])

    def test_missing_and_surplus_tensors(self, saved):
        tensors = load_file(saved)
        del tensors["0.bias"]
        save_file(tensors, saved)
        with pytest.raises(InputError, match=r"'0\.bias' should be 64 and is absent"):
            load_weights("mlp2", 4, 2, saved)

    def test_values_that_are_not_numbers(self, saved):
        tensors = load_file(saved)
        tensors["2.bias"][1] = math.nan
        save_file(tensors, saved)
        with pytest.raises(InputError, match=r"NaN or infinite values \(in '2\.bias'\)"):
            load_weights("mlp2", 4, 2, saved)

    @pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x80\x04pickled", b"PK\x03\x04" * 20])
    def test_not_a_safetensors_file(self, tmp_path, content):
        path = tmp_path / "weights.bin"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.bin is not a safetensors file"):
            load_weights("mlp2", 4, 2, path)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(InputError, match=r"absent\.safetensors can't be read"):
            load_weights("mlp2", 4, 2, tmp_path / "absent.safetensors")

    def test_a_folder_that_does_not_exist(self, tmp_path):
        with pytest.raises(StorageError, match="can't be written"):
            save_weights(build("linear", 4, 2), tmp_path / "nowhere" / "model.safetensors")

    def test_a_network_made_elsewhere_is_refused(self, tmp_path):
        assert origin(nn.Linear(2, 2)) is None
        with pytest.raises(InputError, match="made elsewhere"):
            save_weights(nn.Linear(2, 2), tmp_path / "model.safetensors")


def test_row_loss_of_regression_is_half_the_squared_error():
    losses = row_loss(torch.tensor([[1.0], [0.0]]), torch.tensor([3.0, 0.5], dtype=torch.float64), NUMBERS)
    torch.testing.assert_close(losses, torch.tensor([2.0, 0.125]))


def test_the_kept_epoch_is_the_one_of_the_least_criterion() -> None:
    r = np.random.default_rng(0)
    data = Encoded(r.normal(size=(200, 3)).astype(np.float32), r.integers(0, 2, 200))
    wanted = iter([3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    seen: list[np.ndarray] = []

    def criterion(p: np.ndarray) -> float:
        seen.append(p)
        return next(wanted)

    settings = FitSettings(model="linear", epochs=7, patience=3, batch_size=64)
    kept = fit(data, data, Task.CLASSIFICATION, 2, settings, 0, criterion=criterion)
    assert (kept.epoch, kept.validation_loss, len(seen)) == (2, 1.0, 6)
    assert np.allclose(predict(kept.network, data.x, Task.CLASSIFICATION), seen[2], atol=1e-6)
