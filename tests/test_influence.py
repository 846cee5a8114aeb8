"""Influence equals a loop over rows in autograd, whatever the block, order, dtype or layer; and retraining agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from demix_core.benchmark import influence as bench
from demix_core.errors import Cancelled, InputError, RunError, StorageError
from demix_core.influence import vectors
from demix_core.influence.layers import DenseFactors, LinearFactors, Scratch
from demix_core.influence.vectors import Factors, factorise, load_factors, profile, save_factors, stream
from demix_core.models.base import build
from demix_core.settings import InfluenceSettings
from demix_core.types import Encoded, Task
from tests import oracles

CLASSES, NUMBERS = Task.CLASSIFICATION, Task.REGRESSION
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows(n: int, d: int, k: int, seed: int = 0) -> Encoded:
    random = np.random.default_rng(seed)
    y = random.normal(size=n).astype(np.float32) if k == 1 else random.integers(0, k, n)
    return Encoded(random.normal(size=(n, d)).astype(np.float32), y)


def task_of(k: int) -> Task:
    return NUMBERS if k == 1 else CLASSES


def split(data: Encoded, m: int) -> tuple[Encoded, Encoded]:
    return Encoded(data.x[m:], data.y[m:]), Encoded(data.x[:m], data.y[:m])


def whole(network, train, held_out, task, kernel="cosine", block=2048, parts=True):
    """phi, last, first and norm of all rows, put together from the blocks."""
    factors = factorise(network, held_out.x, held_out.y, task)
    blocks = list(stream(network, train, task, factors, InfluenceSettings(kernel, block=block), parts=parts))
    assert [b.start for b in blocks] == list(range(0, len(train.y), block)) and blocks[-1].stop == len(train.y)
    return tuple(np.concatenate([getattr(b, n) for b in blocks]) for n in ("phi", "last", "first", "norm"))


def truth(network, train, held_out, task, kernel="cosine", parameters=slice(None)):
    return oracles.influence(network, (train.x, train.y), (held_out.x, held_out.y), task, kernel, parameters)


def fresh(maker) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return maker()


class TestOracle:
    @pytest.mark.parametrize("dtype", list(TOLERANCE))
    @pytest.mark.parametrize("kernel", ["cosine", "dot"])
    @pytest.mark.parametrize("k", [1, 2, 5])
    @pytest.mark.parametrize("name", ["linear", "mlp2", "resnet", "transformer"])
    def test_all_parameters_last_and_first_layer(self, name, k, kernel, dtype):
        network, (train, held_out) = build(name, 6, k).to(dtype), split(rows(40, 6, k), 13)
        phi, last, first, norm = whole(network, train, held_out, task_of(k), kernel, block=11)
        for found, parameters in ((phi, slice(None)), (last, slice(-2, None)), (first, slice(0, 2))):
            expected = truth(network, train, held_out, task_of(k), kernel, parameters)
            np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype])
        gradients = oracles.row_gradients(network, train.x, train.y, task_of(k))
        np.testing.assert_allclose(norm, [float(torch.cat(g).norm()) for g in gradients], rtol=TOLERANCE[dtype])
        assert phi.dtype == last.dtype == norm.dtype == np.dtype(str(dtype).removeprefix("torch."))

    @settings(max_examples=25, deadline=None)
    @given(n=st.integers(1, 9), m=st.integers(1, 9), d=st.integers(1, 70), k=st.integers(1, 6),
           hidden=st.integers(1, 40), block=st.integers(1, 10), seed=st.integers(0, 99))  # fmt: skip
    def test_any_shape(self, n, m, d, k, hidden, block, seed):
        network = fresh(lambda: nn.Sequential(nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, k))).double()
        train, held_out = split(rows(n + m, d, k, seed), m)
        task = NUMBERS if k == 1 else CLASSES
        for kernel in ("cosine", "dot"):
            phi = whole(network, train, held_out, task, kernel, block)[0]
            expected = truth(network, train, held_out, task, kernel)
            np.testing.assert_allclose(phi, expected, atol=1e-9 * max(1.0, np.abs(expected).max()))

    def test_sign_a_copy_of_a_validation_row_helps_it_and_its_contradiction_harms_it(self):
        network, data = build("linear", 6, 2), rows(1, 6, 2)
        both = Encoded(np.repeat(data.x, 2, 0), np.array([data.y[0], 1 - data.y[0]]))
        phi = whole(network, both, data, CLASSES)[0]
        np.testing.assert_allclose(phi[:, 0], [-1, 1], atol=1e-6)

    def test_influence_is_symmetric(self):
        network, data = build("mlp2", 6, 3), rows(20, 6, 3)
        phi = whole(network, data, data, CLASSES)[0]
        np.testing.assert_allclose(phi, phi.T, atol=1e-6)
        np.testing.assert_allclose(np.diag(phi), -1, atol=1e-6)

    def test_dot_is_cosine_times_the_norms(self):
        network, (train, held_out) = build("mlp1", 6, 3), split(rows(30, 6, 3), 10)
        cosine, *_, norm = whole(network, train, held_out, CLASSES)
        dot = whole(network, train, held_out, CLASSES, "dot")[0]
        other = factorise(network, held_out.x, held_out.y, CLASSES).norms.numpy()
        np.testing.assert_allclose(dot, cosine * norm[:, None] * other, atol=1e-4)


class TestIndependence:
    @pytest.mark.parametrize("block", [1, 7, 50, 5000])
    @pytest.mark.parametrize("cells", [1, 64, 1 << 21])
    def test_of_block_and_tile(self, block, cells, monkeypatch):
        network, (train, held_out) = build("mlp2", 6, 3), split(rows(70, 6, 3), 20)
        expected = whole(network, train, held_out, CLASSES)
        monkeypatch.setattr(vectors, "TILE_CELLS", cells)
        for found, wanted in zip(whole(network, train, held_out, CLASSES, block=block), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)

    def test_of_the_number_of_threads_which_is_left_alone(self, monkeypatch):
        monkeypatch.setattr(vectors, "TILE_CELLS", 64)
        network, (train, held_out) = build("mlp2", 6, 3), split(rows(70, 6, 3), 20)
        expected = whole(network, train, held_out, CLASSES, block=30)
        torch.set_num_threads(2)
        try:
            found = whole(network, train, held_out, CLASSES, block=30)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)

    def test_of_row_order(self):
        network, (train, held_out) = build("mlp2", 6, 3), split(rows(70, 6, 3), 20)
        order, columns = np.random.default_rng(1).permutation(50), np.random.default_rng(2).permutation(20)
        shuffled = Encoded(train.x[order], train.y[order]), Encoded(held_out.x[columns], held_out.y[columns])
        expected = whole(network, train, held_out, CLASSES)[0][order][:, columns]
        np.testing.assert_allclose(whole(network, *shuffled, CLASSES)[0], expected, atol=1e-5)

    def test_parts_left_out_change_nothing_else(self):
        network, (train, held_out) = build("mlp2", 6, 3), split(rows(70, 6, 3), 20)
        expected = whole(network, train, held_out, CLASSES)[0]
        phi, last, first, _ = whole(network, train, held_out, CLASSES, parts=False)
        np.testing.assert_allclose(phi, expected, atol=1e-6)
        assert last.shape == first.shape == (50, 0)

    def test_the_networks_mode_and_gradients_are_left_alone(self):
        network = fresh(lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 2))).train()
        train, held_out = split(rows(20, 6, 2), 5)
        assert np.array_equal(whole(network, train, held_out, CLASSES)[0], whole(network, train, held_out, CLASSES)[0])
        assert network.training and all(p.grad is None for p in network.parameters())
        assert not any(module._forward_hooks for module in network.modules())


class TestZeroGradients:
    def test_give_zero_never_nan(self):
        network = nn.Linear(3, 1, bias=False)
        x = np.array([[1, 2, 3], [0, 0, 0], [1, 0, 0]], np.float32)
        data = Encoded(x, np.array([5, 5, float(network.weight[0, 0].detach())], np.float32))
        phi, last, first, norm = whole(network, data, data, NUMBERS)
        for found in (phi, last, first):
            np.testing.assert_allclose(found, np.diag([-1.0, 0, 0]), atol=1e-6)
        assert norm[1] == norm[2] == 0

    def test_a_layer_without_gradient_has_zero_parts(self):
        network = build("mlp2", 4, 2)
        nn.init.constant_(network[0].bias, -1e3)  # every unit of the first layer is off
        _, last, first, _ = whole(network, *split(rows(20, 4, 2), 6), CLASSES)
        assert not first.any() and np.isfinite(last).all() and np.abs(last).max() > 0.5

    def test_tiny_gradients_keep_their_direction(self):
        network = fresh(lambda: nn.Linear(4, 1)).double()
        train, held_out = split(rows(20, 4, 1), 6)
        exact = whole(network, train, held_out, NUMBERS)[0]
        residual = 1e-25  # squares of these underflow in float32
        layers = factorise(network, held_out.x, held_out.y, NUMBERS).layers
        small = [LinearFactors(layer.inputs.float(), (layer.deltas * residual).float()) for layer in layers]
        norms = small[0].squared_norms().sqrt()
        factors = Factors(small, ["Linear"], norms)
        (block,) = stream(network.float(), train, NUMBERS, factors, InfluenceSettings())
        np.testing.assert_allclose(block.phi, exact, atol=1e-5)


class Tokens(nn.Module):
    """A Linear layer at S positions of each row, or one layer called twice, then a head."""

    def __init__(self, positions: int, width: int, hidden: int, k: int, bias: bool = True) -> None:
        super().__init__()
        self.positions, self.each = positions, nn.Linear(width, hidden, bias=bias)
        self.again, self.head = nn.Linear(hidden, hidden), nn.Linear(hidden, k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.tanh(self.each(x.reshape(len(x), self.positions, -1)))
        return self.head(torch.tanh(self.again(torch.tanh(self.again(tokens)))).mean(1))


class TestSeveralPositions:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(("positions", "width", "hidden"), [(2, 30, 40), (6, 2, 3), (3, 4, 40), (1, 5, 6)])
    @pytest.mark.parametrize("kernel", ["cosine", "dot"])
    def test_layers_at_several_positions_and_called_twice(self, positions, width, hidden, bias, kernel):
        network = fresh(lambda: Tokens(positions, width, hidden, 3, bias)).double()
        train, held_out = split(rows(17, positions * width, 3), 6)
        phi = whole(network, train, held_out, CLASSES, kernel, block=5)[0]
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES, kernel), atol=1e-9)

    @pytest.mark.parametrize("s1,s2", [(1, 1), (2, 3), (9, 9)])
    def test_materialised_and_paired_products_agree(self, s1, s2):
        make = torch.Generator().manual_seed(0)

        def factors(b: int, s: int, d: int = 12, k: int = 14) -> LinearFactors:
            return LinearFactors(torch.randn(b, s, d, generator=make), torch.randn(b, s, k, generator=make))

        left, right = factors(8, s1), factors(5, s2)
        assert left._materialise(right) == (s1 == 9)
        out = torch.empty(8, 5)
        left.multiply(right, out, Scratch(torch.empty(8, 5), torch.empty(8, 5)), add=False)
        torch.testing.assert_close(out, left.gradients() @ right.gradients().T, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(left.squared_norms(), left.gradients().double().square().sum(1), rtol=1e-5, atol=0)


class Scale(nn.Module):
    """A custom module with a parameter of its own and a layer inside, which it uses by hand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor, self.inner = nn.Parameter(torch.linspace(1, 2, width)), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * functional.linear(x, self.inner.weight, self.inner.bias)


class Normed(nn.Module):
    """A LayerNorm that sees [positions, width] of each row twice, over the last dimension or both; then a head."""

    def __init__(self, positions: int, width: int, both: bool, bias: bool) -> None:
        super().__init__()
        self.shape, shape = (positions, width), (positions, width) if both else (width,)
        self.norm, self.head = nn.LayerNorm(shape, bias=bias), nn.Linear(positions * width, 3)
        with torch.no_grad():
            self.norm.weight.copy_(torch.linspace(0.5, 2, self.norm.weight.numel()).reshape(self.norm.weight.shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(torch.tanh(self.norm(x.reshape(len(x), *self.shape)))).flatten(1))


class TestLayerNorm:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("both", [True, False])
    @pytest.mark.parametrize("frozen", ["", "norm.weight"])
    def test_has_a_rule_that_agrees_with_autograd(self, both, bias, frozen, recwarn):
        network = fresh(lambda: Normed(3, 4, both, bias)).double()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name != frozen)
        train, held_out = split(rows(17, 12, 3), 6)
        phi = whole(network, train, held_out, CLASSES, block=5)[0]
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES), atol=1e-9)
        assert not [w for w in recwarn if "no rule" in str(w.message)]


class TestOtherModules:
    @pytest.mark.parametrize(
        ("maker", "kind"),
        [(lambda: nn.GroupNorm(2, 8), "GroupNorm"), (lambda: Scale(8), "Scale"), (lambda: nn.PReLU(), "PReLU")],
    )
    def test_fall_back_to_torch_func_with_a_warning(self, maker, kind):
        network = fresh(lambda: nn.Sequential(nn.Linear(5, 8), maker(), nn.ReLU(inplace=True), nn.Linear(8, 3)))
        network, (train, held_out) = network.double(), split(rows(20, 5, 3), 7)
        with pytest.warns(UserWarning, match=rf"'1' \({kind}\)"):
            factors = factorise(network, held_out.x, held_out.y, CLASSES)
        assert isinstance(factors.layers[1], DenseFactors)
        blocks = list(stream(network, train, CLASSES, factors, InfluenceSettings(block=6)))
        phi = np.concatenate([block.phi for block in blocks])
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES), atol=1e-9)

    def test_a_fallback_called_twice_is_summed(self):
        norm = nn.GroupNorm(1, 5)
        network = fresh(lambda: nn.Sequential(norm, nn.Linear(5, 5), norm, nn.Linear(5, 2))).double()
        train, held_out = split(rows(20, 5, 2), 7)
        with pytest.warns(UserWarning, match="GroupNorm"):
            phi = whole(network, train, held_out, CLASSES)[0]
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES), atol=1e-9)

    def test_batch_norm_counts_in_evaluation_mode(self):
        network = fresh(lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))).double().train()
        train, held_out = split(rows(20, 5, 2), 7)
        with pytest.warns(UserWarning, match="BatchNorm1d"):
            phi = whole(network, train, held_out, CLASSES)[0]
        np.testing.assert_allclose(phi, truth(network.eval(), train, held_out, CLASSES), atol=1e-9)

    def test_in_place_activations_do_not_disturb_linear_layers(self):
        network = fresh(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))).double()
        train, held_out = split(rows(20, 5, 2), 7)
        phi = whole(network, train, held_out, CLASSES)[0]
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES), atol=1e-9)

    def test_frozen_parameters_are_left_out(self):
        network = build("mlp2", 5, 2).double()
        network[0].requires_grad_(False)
        network[2].bias.requires_grad_(False)
        network[4].weight.requires_grad_(False)
        train, held_out = split(rows(20, 5, 2), 7)
        phi = whole(network, train, held_out, CLASSES)[0]
        np.testing.assert_allclose(phi, truth(network, train, held_out, CLASSES), atol=1e-9)

    def test_an_unused_layer_changes_nothing(self):
        network = build("mlp2", 5, 2).double()
        train, held_out = split(rows(20, 5, 2), 7)
        expected = whole(network, train, held_out, CLASSES)[0]
        network.spare = nn.Linear(3, 3).double()
        network.forward = lambda x: nn.Sequential(*list(network.children())[:-1])(x)
        np.testing.assert_allclose(whole(network, train, held_out, CLASSES)[0], expected, atol=1e-12)


class Tied(nn.Module):
    """Uses one layer's weight a second time, transposed, behind the back of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.out = nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(functional.linear(torch.tanh(self.down(x)), self.down.weight.T))


class Gathered(nn.Module):
    """Mixes the rows of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x[:1]).expand(len(x), -1)


class TestRefusals:
    @pytest.fixture
    def data(self):
        return split(rows(12, 5, 2), 5)

    def test_weights_used_outside_their_layer(self, data):
        with pytest.raises(InputError, match="'down' act outside their own layer"):
            whole(fresh(Tied), *data, CLASSES)

    def test_one_parameter_in_two_layers(self, data):
        network = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 2))
        network[1].weight = network[0].weight
        with pytest.raises(InputError, match="'0' and '1' share one parameter"):
            whole(network, *data, CLASSES)

    def test_layers_that_do_not_see_every_row(self, data):
        with pytest.raises(InputError, match="'layer' does not keep one row"):
            whole(fresh(Gathered), *data, CLASSES)

    def test_modules_that_return_more_than_a_tensor(self):
        class Recurrent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell = nn.GRU(5, 2, batch_first=True)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.cell(x[:, None])[0][:, 0]

        held_out = rows(5, 5, 2)
        with pytest.warns(UserWarning, match="GRU"), pytest.raises(InputError, match="other than tensors"):
            factorise(Recurrent(), held_out.x, held_out.y, CLASSES)

    def test_nothing_to_train(self, data):
        with pytest.raises(InputError, match="no trainable parameters"):
            whole(build("mlp2", 5, 2).requires_grad_(False), *data, CLASSES)

    def test_no_validation_rows(self):
        with pytest.raises(InputError, match="no validation rows"):
            factorise(build("linear", 5, 2), np.zeros((0, 5), np.float32), np.zeros(0, np.int64), CLASSES)

    def test_unknown_kernel_and_block(self, data):
        network, factors = build("linear", 5, 2), factorise(build("linear", 5, 2), data[1].x, data[1].y, CLASSES)
        with pytest.raises(InputError, match="kernel called 'tangent'"):
            next(stream(network, data[0], CLASSES, factors, InfluenceSettings(kernel="tangent")))
        with pytest.raises(InputError, match="at least 1 row"):
            next(stream(network, data[0], CLASSES, factors, InfluenceSettings(block=0)))

    def test_factors_of_another_model(self, data):
        factors = factorise(build("mlp2", 5, 2), data[1].x, data[1].y, CLASSES)
        with pytest.raises(InputError, match="belong to another model"):
            next(stream(build("linear", 5, 2), data[0], CLASSES, factors, InfluenceSettings()))
        with pytest.raises(InputError, match="belong to another model"):
            next(stream(build("mlp2", 5, 3), data[0], CLASSES, factors, InfluenceSettings()))


class TestStream:
    def test_progress_and_cancel(self):
        network, (train, held_out) = build("linear", 5, 2), split(rows(30, 5, 2), 10)
        factors, seen = factorise(network, held_out.x, held_out.y, CLASSES), []
        blocks = stream(network, train, CLASSES, factors, InfluenceSettings(block=8), lambda f, m: seen.append((f, m)))
        assert len(list(blocks)) == 3
        assert seen == [(0.4, "Influence of 8 of 20 rows"), (0.8, "Influence of 16 of 20 rows"),
                        (1.0, "Influence of 20 of 20 rows")]  # fmt: skip
        blocks = stream(network, train, CLASSES, factors, InfluenceSettings(block=8), should_stop=lambda: True)
        with pytest.raises(Cancelled):
            next(blocks)

    def test_blocks_that_are_kept_are_not_overwritten(self):
        network, (train, held_out) = build("mlp2", 5, 2), split(rows(30, 5, 2), 10)
        factors = factorise(network, held_out.x, held_out.y, CLASSES)
        kept, copied = [], []
        for block in stream(network, train, CLASSES, factors, InfluenceSettings(block=8)):
            kept.append(block.phi)
            copied.append(block.phi.copy())
        np.testing.assert_array_equal(np.concatenate(kept), np.concatenate(copied))

    def test_no_rows_no_blocks(self):
        network, held_out = build("linear", 5, 2), rows(4, 5, 2)
        factors = factorise(network, held_out.x, held_out.y, CLASSES)
        empty = Encoded(np.zeros((0, 5), np.float32), np.zeros(0, np.int64))
        assert list(stream(network, empty, CLASSES, factors, InfluenceSettings())) == []

    @pytest.mark.parametrize("kernel", ["cosine", "dot"])
    def test_profile_is_the_rows_line_of_the_whole(self, kernel):
        network, (train, held_out) = build("mlp2", 5, 3), split(rows(30, 5, 3), 10)
        phi = whole(network, train, held_out, CLASSES, kernel)[0]
        factors = factorise(network, held_out.x, held_out.y, CLASSES)
        for i in (0, 7):
            line = profile(network, train.x[i : i + 1], train.y[i : i + 1], CLASSES, factors, kernel)
            np.testing.assert_allclose(line, phi[i], atol=1e-5)


class TestDisk:
    def test_factors_come_back_as_they_were(self, tmp_path):
        network = fresh(lambda: nn.Sequential(nn.Linear(5, 8), nn.GroupNorm(2, 8), nn.Linear(8, 3)))
        train, held_out = split(rows(20, 5, 3), 7)
        with pytest.warns(UserWarning, match="GroupNorm"):
            factors = factorise(network, held_out.x, held_out.y, CLASSES)
        save_factors(factors, tmp_path / "factors.safetensors")
        again = load_factors(tmp_path / "factors.safetensors")
        assert again.names == factors.names == ["0", "1", "2"]
        one, two = (next(stream(network, train, CLASSES, f, InfluenceSettings())).phi for f in (factors, again))
        np.testing.assert_array_equal(one, two)

    def test_damaged_or_missing_files(self, tmp_path):
        path = tmp_path / "factors.safetensors"
        with pytest.raises(RunError, match="can't be read; diagnose again"):
            load_factors(path)
        network, held_out = build("linear", 5, 2), rows(4, 5, 2)
        save_factors(factorise(network, held_out.x, held_out.y, CLASSES), path)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(RunError, match="can't be read; diagnose again"):
            load_factors(path)

    def test_a_folder_that_does_not_exist(self, tmp_path):
        factors = factorise(build("linear", 5, 2), rows(4, 5, 2).x, rows(4, 5, 2).y, CLASSES)
        with pytest.raises(StorageError, match="can't be written"):
            save_factors(factors, tmp_path / "nowhere" / "factors.safetensors")


PENALTY = 5.0


def objective(weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum of the logistic losses + PENALTY/2 |theta|^2."""
    losses = functional.cross_entropy(functional.linear(x, weight, bias), y, reduction="sum")
    return losses + 0.5 * PENALTY * (weight.square().sum() + bias.square().sum())


def converged(x: torch.Tensor, y: torch.Tensor) -> nn.Linear:
    """The regularised logistic regression of these rows, fitted in float64 until nothing changes."""
    network = nn.Linear(x.shape[1], 2).double()
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = objective(network.weight, network.bias, x, y)
        loss.backward()
        return loss

    optimiser.step(closure)
    return network


def newton_influence(network: nn.Linear, train: Encoded, held_out: Encoded) -> np.ndarray:
    """-sum_j <g_i, H^-1 h_j> with the exact Hessian of the objective, [N]."""
    x, y = torch.as_tensor(train.x), torch.as_tensor(train.y)
    size = network.weight.numel()

    def flat(theta: torch.Tensor) -> torch.Tensor:
        return objective(theta[:size].reshape(network.weight.shape), theta[size:], x, y)

    theta = torch.cat([p.detach().ravel() for p in network.parameters()])
    curvature = torch.autograd.functional.hessian(flat, theta)
    g, h = (
        torch.stack([torch.cat(row) for row in oracles.row_gradients(network, part.x, part.y, CLASSES)])
        for part in (train, held_out)
    )
    return -(g @ torch.linalg.solve(curvature, h.sum(0))).numpy()


def test_influence_predicts_what_retraining_without_a_row_does():
    """Leave-one-out on a convex problem: 80 rows, 20 of them with flipped labels, 60 validation rows.

    phi is the first-order change of the validation loss when a row is weighted up, with the identity in place of the
    inverse Hessian (Koh & Liang 2017, equation 2); leaving a row out changes it the other way. Measured Spearman
    correlation of the summed influence with minus the actual change over 80 retrainings: .975 for our dot kernel,
    .997 with the exact inverse Hessian, which is what the identity gives away.
    """
    random = np.random.default_rng(0)
    x = random.normal(size=(140, 6))
    y = (x[:, 0] + 0.5 * x[:, 1] + 0.5 * random.normal(size=140) > 0).astype(np.int64)
    y[:20] = 1 - y[:20]
    train, held_out = Encoded(x[:80], y[:80]), Encoded(x[80:], y[80:])
    rows_x, rows_y, held_x, held_y = map(torch.as_tensor, (train.x, train.y, held_out.x, held_out.y))
    network = converged(rows_x, rows_y)
    ours = whole(network, train, held_out, CLASSES, "dot")[0].sum(1)

    def validation_loss(model: nn.Linear) -> float:
        return functional.cross_entropy(model(held_x), held_y, reduction="sum").item()

    without = [converged(rows_x[kept], rows_y[kept]) for kept in (torch.arange(80) != i for i in range(80))]
    harm = [validation_loss(network) - validation_loss(model) for model in without]
    assert spearmanr(ours, harm).statistic > 0.95
    assert spearmanr(newton_influence(network, train, held_out), harm).statistic > 0.99


def test_after_a_softmax_one_output_less_is_multiplied():
    _, held_out = split(rows(60, 5, 3), 30)
    network = build("mlp1", 5, 3)
    *_, hidden, last = factorise(network, held_out.x, held_out.y, Task.CLASSIFICATION).layers
    span = last.span()
    assert span.shape == (2, 3)
    torch.testing.assert_close(span @ span.T, torch.eye(2))
    assert isinstance(hidden, LinearFactors) and isinstance(last, LinearFactors)
    torch.testing.assert_close(last.deltas @ span.T @ span, last.deltas)
    assert LinearFactors(last.inputs, torch.randn_like(last.deltas)).span() is None


def test_the_benchmark_agrees_with_torch_func_and_counts_its_work(monkeypatch):
    monkeypatch.setattr(bench, "ADULT_ROWS", 640)
    monkeypatch.setattr(bench, "VALIDATION_ROWS", 48)
    monkeypatch.setattr(bench, "REFERENCE_BLOCK", 32)
    result = bench.run(quick=True, seed=1)
    assert result["max_abs_difference"] < 1e-4
    assert result["operations"] == 2 * 64 * 48 * (107 + 256 + 256 + 128 + 128 + 64 + 64 + 2)
    assert [line["way"] for line in result["table"]] == [
        "per-row gradients (torch.func)", "factored products, all parameters"]  # fmt: skip
    assert result["ratio"] == pytest.approx(result["reference_seconds"] / result["ours_seconds"])
    assert math.isfinite(result["share_of_gemm"])
