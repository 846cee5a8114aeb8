"""One rule per layer type: per-row gradients as small factors, and the products of two sets of them.

The gradient of row i with respect to a Linear layer's weight (bias: a constant 1 appended to the input) is
sum_s outer(delta_is, a_is) over the S positions at which the layer sees the row. A layer that is called several
times just has more positions, so shared layers are summed before any product. Parameters with requires_grad=False
are left out. Other modules that own parameters keep their gradients in full: LayerNorm's are written down, those of
the rest come from torch.func.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from demix_core.errors import InputError
from demix_core.models.base import row_loss
from demix_core.types import Task

_PRODUCT_COST = 96
"""What writing, reading and multiplying two tiles costs, in columns of a matrix product (measured on two cores)."""
_SPAN_OUTPUTS = 64
"""Layers with more outputs are not searched for a smaller span: only a softmax's is known beforehand (K - 1)."""
_SPAN_ROUNDING = 1e-12
"""Squared size, as a share of the largest, below which a direction is float32 rounding."""


@dataclass
class Scratch:
    """Two buffers [R, M] that every product of a tile goes through; they stay in the cache."""

    left: torch.Tensor
    right: torch.Tensor

    def rows(self, count: int) -> Scratch:
        """The first `count` rows of both."""
        return Scratch(self.left[:count], self.right[:count])


class LayerFactors(Protocol):
    """The gradients of B rows with respect to one layer."""

    @property
    def width(self) -> int:
        """P: the number of the layer's trainable parameters."""

    def __getitem__(self, rows: slice) -> LayerFactors:
        """The same for some of the rows."""

    def squared_norms(self) -> torch.Tensor:
        """Squared gradient norm of each row, float64 [B]."""

    def scaled(self, scale: torch.Tensor) -> LayerFactors:
        """Every row's gradient times its own number; scale: float64 [B]."""

    def gradients(self) -> torch.Tensor:
        """The gradients themselves, [B, P]."""

    def span(self) -> torch.Tensor | None:
        """Orthonormal rows [R, K] that hold every output gradient of these rows, if R < K; else None."""

    def packed(self, span: torch.Tensor | None) -> LayerFactors:
        """The same in the form whose products with rows within span are fastest; never depends on B or S."""

    def multiply(self, other: LayerFactors, out: torch.Tensor, scratch: Scratch, add: bool) -> None:
        """out [B, M] = (or, with add, +=) inner products with the M rows of other."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """What must be stored to make the factors again."""


@dataclass(frozen=True)
class LinearFactors:
    """Of a Linear layer. inputs: [B, S, D] (D with the 1 for the bias); deltas: output gradients [B, S, K]."""

    inputs: torch.Tensor
    deltas: torch.Tensor

    @property
    def width(self) -> int:
        return self.inputs.shape[2] * self.deltas.shape[2]

    def __getitem__(self, rows: slice) -> LinearFactors:
        return LinearFactors(self.inputs[rows], self.deltas[rows])

    def squared_norms(self) -> torch.Tensor:
        """sum_st (a_s . a_t)(delta_s . delta_t), in float64: small deltas would underflow when squared."""
        if self.inputs.shape[1] == 1:
            return (_norms(self.inputs) * _norms(self.deltas)).square()
        inputs, deltas = self.inputs.double(), self.deltas.double()
        return ((inputs @ inputs.mT) * (deltas @ deltas.mT)).sum((1, 2)).clamp_(min=0)

    def scaled(self, scale: torch.Tensor) -> LinearFactors:
        return LinearFactors(self.inputs, self.deltas * scale.to(self.deltas.dtype)[:, None, None])

    def gradients(self) -> torch.Tensor:
        return torch.einsum("bsk,bsd->bkd", self.deltas, self.inputs).flatten(1)

    def span(self) -> torch.Tensor | None:
        k = self.deltas.shape[2]
        if not 1 < k <= _SPAN_OUTPUTS:
            return None
        deltas = self.deltas.flatten(0, 1).double()
        sizes, axes = torch.linalg.eigh(deltas.T @ deltas)
        kept = sizes > _SPAN_ROUNDING * sizes[-1]
        return None if kept.all() else axes[:, kept].T.to(self.deltas.dtype)

    def packed(self, span: torch.Tensor | None) -> LayerFactors:
        short = self if span is None else LinearFactors(self.inputs, self.deltas @ span.T)
        d, k = short.inputs.shape[2], short.deltas.shape[2]
        return DenseFactors(short.gradients()) if d * k <= d + k + _PRODUCT_COST else short

    def multiply(self, other: LayerFactors, out: torch.Tensor, scratch: Scratch, add: bool) -> None:
        assert isinstance(other, LinearFactors)
        if self._materialise(other):
            return DenseFactors(self.gradients()).multiply(DenseFactors(other.gradients()), out, scratch, add)
        for s in range(self.inputs.shape[1]):
            for t in range(other.inputs.shape[1]):
                torch.mm(self.inputs[:, s], other.inputs[:, t].T, out=scratch.left)
                torch.mm(self.deltas[:, s], other.deltas[:, t].T, out=scratch.right)
                if add or s or t:
                    out.addcmul_(scratch.left, scratch.right)
                else:
                    torch.mul(scratch.left, scratch.right, out=out)

    def _materialise(self, other: LinearFactors) -> bool:
        """Whether full gradients cost fewer operations than pairs of positions (DESIGN section 3)."""
        (b1, s1, d), (b2, s2, _), k = self.inputs.shape, other.inputs.shape, self.deltas.shape[2]
        return b1 * b2 * s1 * s2 * (d + k) >= (b1 * s1 + b2 * s2) * d * k + b1 * b2 * d * k

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"inputs": self.inputs, "deltas": self.deltas}


@dataclass(frozen=True)
class DenseFactors:
    """Of any other module: the gradient itself. rows: [B, P]."""

    rows: torch.Tensor

    @property
    def width(self) -> int:
        return self.rows.shape[1]

    def __getitem__(self, rows: slice) -> DenseFactors:
        return DenseFactors(self.rows[rows])

    def squared_norms(self) -> torch.Tensor:
        return _norms(self.rows).square()

    def scaled(self, scale: torch.Tensor) -> DenseFactors:
        return DenseFactors(self.rows * scale.to(self.rows.dtype)[:, None])

    def gradients(self) -> torch.Tensor:
        return self.rows

    def span(self) -> torch.Tensor | None:
        return None

    def packed(self, span: torch.Tensor | None) -> LayerFactors:
        return self

    def multiply(self, other: LayerFactors, out: torch.Tensor, scratch: Scratch, add: bool) -> None:
        assert isinstance(other, DenseFactors)
        if add:
            out.addmm_(self.rows, other.rows.T)
        else:
            torch.mm(self.rows, other.rows.T, out=out)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"rows": self.rows}


def _norms(tensor: torch.Tensor) -> torch.Tensor:
    """The norm of each row, float64 [B], without a copy in float64."""
    return torch.linalg.vector_norm(tensor.flatten(1), dim=1, dtype=torch.float64)


def restore(tensors: dict[str, torch.Tensor]) -> LayerFactors:
    """The inverse of LayerFactors.tensors()."""
    return DenseFactors(tensors["rows"]) if "rows" in tensors else LinearFactors(**tensors)


@dataclass(frozen=True)
class Site:
    """A module whose trainable parameters are handled by one rule."""

    name: str
    module: nn.Module

    @property
    def is_linear(self) -> bool:
        """Exactly nn.Linear: a subclass may compute something else."""
        return type(self.module) is nn.Linear

    @property
    def has_rule(self) -> bool:
        """Whether its gradients are written down here."""
        return self.is_linear or type(self.module) is nn.LayerNorm

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters that count: those with requires_grad."""
        return tuple(p for p in self.module.parameters() if p.requires_grad)

    @property
    def width(self) -> int:
        """P: how many numbers they are."""
        return sum(p.numel() for p in self.parameters)


def sites(network: nn.Module, warn: bool = False) -> tuple[Site, ...]:
    """Every module that owns trainable parameters, in the order of the network's definition.

    warn: warn about modules without a rule of their own. InputError: nothing to train, or one parameter held by
    two modules, whose gradients would have to be summed across layers.
    """
    found = tuple(site for site in _walk("", network, set()) if site.parameters)
    if not found:
        raise InputError("The model has no trainable parameters, so no row can influence it; unfreeze its weights.")
    owners: dict[int, str] = {}
    for site in found:
        for parameter in site.parameters:
            if (first := owners.setdefault(id(parameter), site.name)) != site.name:
                raise InputError(
                    f"The layers '{first}' and '{site.name}' share one parameter; "
                    "call one layer twice instead, so that its influence can be summed."
                )
        if warn and not site.has_rule:
            kind = type(site.module).__name__
            warnings.warn(f"'{site.name}' ({kind}) has no rule of its own: slow per-row gradients.", stacklevel=3)
    return found


def _walk(name: str, module: nn.Module, seen: set[int]) -> Iterator[Site]:
    """Depth first; a module that holds parameters itself is one site together with all that is inside it."""
    if id(module) in seen:
        return
    seen.add(id(module))
    if type(module) is nn.Linear or next(module.parameters(recurse=False), None) is not None:
        yield Site(name or type(module).__name__, module)
        return
    for child_name, child in module.named_children():
        yield from _walk(f"{name}.{child_name}" if name else child_name, child, seen)


@dataclass
class _Call:
    """One call of a site in the forward pass: what went in (a copy) and what came out."""

    site: int
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor


def record(
    network: nn.Module, found: Sequence[Site], x: torch.Tensor, y: torch.Tensor, task: Task, verify: bool = False
) -> list[LayerFactors]:
    """Factors of every site for these rows, from one forward and one backward of the sum of their losses.

    x: [B, D]; y: [B]. With verify, the factors are summed and compared with the gradients of autograd, which
    shows whether a parameter is used outside its own layer or rows depend on each other (InputError).
    """
    calls: list[_Call] = []
    with torch.enable_grad(), _listening(found, calls):
        loss = row_loss(network(x), y, task).sum()
        wanted = [call.output for call in calls]
        parameters: list[torch.Tensor] = [p for site in found for p in site.parameters] if verify else []
        gradients = torch.autograd.grad(loss, wanted + parameters, allow_unused=True)
    deltas = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, gradients, strict=False)]
    layers = [_factors(i, site, calls, deltas, len(x)) for i, site in enumerate(found)]
    if verify:
        _verify(found, layers, gradients[len(wanted) :])
    return layers


@contextmanager
def _listening(found: Sequence[Site], calls: list[_Call]) -> Iterator[None]:
    handles = [
        site.module.register_forward_hook(_hook(i, site, calls), with_kwargs=True) for i, site in enumerate(found)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(index: int, site: Site, calls: list[_Call]) -> Callable[..., torch.Tensor]:
    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> torch.Tensor:
        inputs = (*args, *kwargs.values()) if site.is_linear else args
        if (kwargs and not site.is_linear) or not all(isinstance(v, torch.Tensor) for v in (*inputs, output)):
            raise InputError(
                f"The module '{site.name}' ({type(module).__name__}) takes or returns something other than tensors, "
                "so its influence can't be measured; write it with nn.Linear layers."
            )
        calls.append(_Call(index, tuple(v.detach().clone() for v in inputs), output))
        return output.clone()  # what follows may work in place

    return keep


def _factors(index: int, site: Site, calls: list[_Call], deltas: list[torch.Tensor], rows: int) -> LayerFactors:
    """The factors of one site from all its calls; no calls give zeros."""
    mine = [(call, delta) for call, delta in zip(calls, deltas, strict=True) if call.site == index]
    if any(len(delta) != rows for _, delta in mine):
        raise InputError(f"The layer '{site.name}' does not keep one row per training row as its first dimension.")
    if isinstance(site.module, nn.Linear) and site.is_linear:
        weight = site.module.weight
        inputs = [_positions(call.inputs[0]) for call, _ in mine] or [weight.new_zeros(rows, 1, weight.shape[1])]
        outputs = [_positions(delta) for _, delta in mine] or [weight.new_zeros(rows, 1, weight.shape[0])]
        return LinearFactors(_with_bias(site.module, torch.cat(inputs, 1)), torch.cat(outputs, 1).detach())
    if isinstance(site.module, nn.LayerNorm) and site.has_rule:
        gradients = [_norm_gradients(site.module, call.inputs[0], delta) for call, delta in mine]
    else:
        gradients = [_per_row_gradients(site, call, delta) for call, delta in mine]
    nothing = site.parameters[0].new_zeros(rows, site.width)
    return DenseFactors(torch.stack([*gradients, nothing]).sum(0).detach())


def _positions(tensor: torch.Tensor) -> torch.Tensor:
    """[B, ..., D] -> [B, S, D]; S = 1 for [B, D]."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1]) if len(tensor) else tensor.reshape(0, 1, -1)


def _with_bias(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """Inputs as the trainable parameters see them: the weight sees the input, the bias a constant 1."""
    seen = [inputs] if layer.weight.requires_grad else []
    if layer.bias is not None and layer.bias.requires_grad:
        seen.append(inputs.new_ones(*inputs.shape[:2], 1))
    return torch.cat(seen, 2)


def _norm_gradients(layer: nn.LayerNorm, inputs: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """[B, P]: for y = weight * n(x) + bias the gradients are delta * n(x) and delta, summed over positions."""
    plain = nn.functional.layer_norm(inputs, layer.normalized_shape, None, None, layer.eps)
    parts = [
        term.reshape(len(inputs), -1, parameter.numel()).sum(1)
        for parameter, term in ((layer.weight, deltas * plain), (layer.bias, deltas))
        if parameter is not None and parameter.requires_grad
    ]
    return torch.cat(parts, 1)


def _per_row_gradients(site: Site, call: _Call, deltas: torch.Tensor) -> torch.Tensor:
    """The gradient of each row with respect to a module's parameters, [B, P], by torch.func on that module alone."""
    named = {name: p for name, p in site.module.named_parameters() if p.requires_grad}

    def one_row(inputs: tuple[torch.Tensor, ...], delta: torch.Tensor) -> dict[str, torch.Tensor]:
        def forward(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.func.functional_call(site.module, parameters, tuple(v[None] for v in inputs))

        pull_back = torch.func.vjp(forward, {name: p.detach() for name, p in named.items()})[1]
        return pull_back(delta[None])[0]

    gradients = torch.func.vmap(one_row)(call.inputs, deltas)
    return torch.cat([gradients[name].flatten(1) for name in named], 1)


def _verify(found: Sequence[Site], layers: list[LayerFactors], gradients: Sequence[torch.Tensor | None]) -> None:
    """InputError unless the factors sum to the gradients of autograd, site by site."""
    left = iter(gradients)
    for site, layer in zip(found, layers, strict=True):
        truth = [torch.zeros_like(p) if (g := next(left)) is None else g for p in site.parameters]
        rows, terms = _sum(layer)
        if not torch.allclose(rows, _as_factored(layer, truth), rtol=0.0, atol=1e-4 * float(terms)):
            raise InputError(
                f"The parameters of '{site.name}' act outside their own layer, or rows depend on each other there, "
                "so its influence can't be measured row by row; use the layer's own forward pass only."
            )


def _sum(layer: LayerFactors) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed gradient, and the sum of its terms' sizes: the measure of what rounding may do."""
    if isinstance(layer, LinearFactors):
        inputs, deltas = layer.inputs.flatten(0, 1), layer.deltas.flatten(0, 1)
        return deltas.T @ inputs, (deltas.abs().T @ inputs.abs()).max()
    rows = layer.gradients()
    return rows.sum(0), rows.abs().sum(0).max()


def _as_factored(layer: LayerFactors, truth: list[torch.Tensor]) -> torch.Tensor:
    """The gradients of a site side by side as its factors have them: [K, D (+ 1)] of a Linear layer, else [P]."""
    if isinstance(layer, LinearFactors):
        return torch.cat([g if g.ndim == 2 else g[:, None] for g in truth], 1)
    return torch.cat([g.ravel() for g in truth])
