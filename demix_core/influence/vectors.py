"""Influence of every training row on every validation row, streamed block by block.

phi_ij = -<g_i, h_j> / (|g_i| |h_j|) over all trainable parameters (DESIGN section 3): negative = row i helps
validation row j. The norms and the sign are folded into the factors, so a block costs its products and nothing more:
about 2 N M sum_l (D_l + K_l) operations, memory O(block x M + factors of V).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from demix_core.errors import Cancelled, InputError, RunError, StorageError
from demix_core.influence.layers import LayerFactors, Scratch, Site, record, restore, sites
from demix_core.models.base import target_tensor
from demix_core.settings import InfluenceSettings
from demix_core.types import Encoded, Progress, ShouldStop, Task, never_stop, no_progress

TILE_CELLS = 1 << 20
"""Cells of a product tile, 4 MiB in float32: large enough for the matrix product, small enough to share out."""


@dataclass(frozen=True)
class Factors:
    """Gradients of M validation rows in factored form.

    layers: one per module with trainable parameters, in order; names: theirs; norms: |h_j| over all of them,
    float64 [M].
    """

    layers: list[LayerFactors]
    names: list[str]
    norms: torch.Tensor

    def __getitem__(self, rows: slice) -> Factors:
        """The same for some of the rows."""
        return Factors([layer[rows] for layer in self.layers], self.names, self.norms[rows])


@dataclass(frozen=True)
class InfluenceBlock:
    """Training rows start to stop - 1 against all M validation rows.

    phi: [B, M] in [-1, 1] (kernel dot: unbounded); last, first: the same over the last and the first layer alone
    (empty [B, 0] when parts are left out); norm: |g_i|, [B]. dtype: the network's, float32 as a rule.
    """

    start: int
    stop: int
    phi: np.ndarray
    last: np.ndarray
    first: np.ndarray
    norm: np.ndarray


def factorise(network: nn.Module, x: np.ndarray, y: np.ndarray, task: Task) -> Factors:
    """Factors of the validation rows x [M, D], y [M] under the network as it is (evaluation mode).

    Warns once for each module without a rule of its own. InputError: no rows, or a module whose parameters act
    outside it, found by comparing the sum of the factors with the gradient of autograd.
    """
    if len(x) == 0:
        raise InputError("There are no validation rows to measure influence on; hold out at least one.")
    found = sites(network, warn=True)
    layers = _record(network, found, x, y, task, verify=True)
    return Factors(layers, [site.name for site in found], _total(layers).sqrt())


def stream(
    network: nn.Module,
    data: Encoded,
    task: Task,
    reference: Factors,
    settings: InfluenceSettings,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    parts: bool = True,
) -> Iterator[InfluenceBlock]:
    """Influence of the rows of data on the reference rows, in blocks of settings.block rows, in order.

    The blocks' numbers do not depend on their size but for rounding. parts=False leaves out last and first.
    InputError: unknown kernel, block below 1, or factors of another model. Cancelled: asked to stop.
    """
    if settings.block < 1:
        raise InputError(f"The block must hold at least 1 row, not {settings.block}.")
    found = sites(network)
    _check_same(found, reference)
    like = found[0].parameters[0]
    against = _Against(_like(reference, like), settings.kernel, parts)
    n = len(data.y)
    with _workers(like.device, against.tiles(min(n, settings.block))) as run_all:
        for start in range(0, n, settings.block):
            if should_stop():
                raise Cancelled("Measuring influence was cancelled.")
            stop = min(start + settings.block, n)
            layers = _record(network, found, data.x[start:stop], data.y[start:stop], task)
            yield against.block(start, layers, run_all)
            progress(stop / n, f"Influence of {stop:,} of {n:,} rows")


def profile(
    network: nn.Module, x_row: np.ndarray, y_row: np.ndarray, task: Task, reference: Factors, kernel: str = "cosine"
) -> np.ndarray:
    """One row's influence on all M validation rows, [M]; x_row: [1, D], y_row: [1]."""
    data = Encoded(x_row, np.atleast_1d(y_row))
    settings = InfluenceSettings(kernel=kernel, block=1)
    return next(stream(network, data, task, reference, settings, parts=False)).phi[0]


def _record(
    network: nn.Module, found: tuple[Site, ...], x: np.ndarray, y: np.ndarray, task: Task, verify: bool = False
) -> list[LayerFactors]:
    """Factors of these rows on the device and in the dtype of the network, which is left in its own mode."""
    like = found[0].parameters[0]
    rows = torch.as_tensor(x).to(like.device, like.dtype)
    was_training = network.training
    network.eval()
    try:
        return record(network, found, rows, target_tensor(y, rows, task), task, verify)
    finally:
        network.train(was_training)


def _total(layers: list[LayerFactors]) -> torch.Tensor:
    """Squared gradient norms over all layers, float64 [B]."""
    return torch.stack([layer.squared_norms() for layer in layers]).sum(0)


def _inverse(norms: torch.Tensor) -> torch.Tensor:
    """1/norm, and 0 where the norm is 0 or too small to divide by in float32."""
    return torch.where(norms > torch.finfo(torch.float32).tiny, 1.0 / norms, 0.0)


def _check_same(found: tuple[Site, ...], reference: Factors) -> None:
    wanted = [f"{site.name}: {site.width}" for site in found]
    given = [f"{name}: {layer.width}" for name, layer in zip(reference.names, reference.layers, strict=True)]
    if wanted != given:
        raise InputError(
            f"The stored factors belong to another model (layers and their parameters {', '.join(given)}; "
            f"this one has {', '.join(wanted)}); measure influence anew."
        )


def _like(reference: Factors, like: torch.Tensor) -> Factors:
    """The factors on the device and in the dtype of the network (those from disk are on the CPU)."""
    layers = [
        restore({key: tensor.to(like.device, like.dtype) for key, tensor in layer.tensors().items()})
        for layer in reference.layers
    ]
    return Factors(layers, reference.names, reference.norms.to(like.device))


RunAll = Callable[[Callable[[slice], None], list[slice]], None]
"""Calls the first for each of the second, in any order, and returns when all are done."""


def _one_by_one(work: Callable[[slice], None], tiles: list[slice]) -> None:
    for tile in tiles:
        work(tile)


@contextmanager
def _workers(device: torch.device, tiles: list[slice]) -> Iterator[RunAll]:
    """As many workers of one thread each as torch has threads, for products on the CPU.

    A tile for each thread instead of all threads for each tile: no thread waits for another after every product,
    which on a busy machine costs more than the products.
    """
    threads = min(torch.get_num_threads(), len(tiles))
    if threads < 2 or device.type != "cpu":
        yield _one_by_one
        return
    everyone, before = Barrier(threads), torch.get_num_threads()
    with ThreadPoolExecutor(threads, "influence", torch.set_num_threads, (1,)) as pool:
        list(pool.map(lambda _: everyone.wait(), range(threads)))  # all have started with one thread of their own,
        torch.set_num_threads(before)  # so that threads started later get torch's number again

        def side_by_side(work: Callable[[slice], None], tiles: list[slice]) -> None:
            for _ in pool.map(work, tiles):
                pass  # asking for the results raises what a worker raised

        yield side_by_side


class _Against:
    """The reference side of the products, made ready once for all blocks."""

    def __init__(self, reference: Factors, kernel: str, parts: bool) -> None:
        if kernel not in ("cosine", "dot"):
            raise InputError(f"There is no kernel called '{kernel}'; choose cosine or dot.")
        self.cosine, self.parts = kernel == "cosine", parts
        norms = reference.norms
        scale = _inverse(norms) if self.cosine else torch.ones_like(norms)
        # <g, h> sees of g only what lies in the span of the h: after a softmax that is one dimension less.
        self.spans = [layer.span() for layer in reference.layers]
        self.layers = [layer.scaled(-scale).packed(s) for layer, s in zip(reference.layers, self.spans, strict=True)]
        self.last = self._part_scale(reference.layers[-1], norms)
        self.first = self._part_scale(reference.layers[0], norms)
        self.rows = len(norms)

    def _part_scale(self, layer: LayerFactors, norms: torch.Tensor) -> torch.Tensor:
        """What turns a part of the cosine over all layers into the cosine over one layer; float64 [B]."""
        return norms * _inverse(layer.squared_norms().sqrt())

    def tiles(self, rows: int) -> list[slice]:
        """The rows of a block, cut so that a product tile stays in the cache."""
        height = max(1, TILE_CELLS // self.rows)
        return [slice(top, min(top + height, rows)) for top in range(0, rows, height)]

    def block(self, start: int, layers: list[LayerFactors], run_all: RunAll) -> InfluenceBlock:
        """All products of one block of rows."""
        norms = _total(layers).sqrt()
        scale = _inverse(norms) if self.cosine else torch.ones_like(norms)
        scaled = [layer.scaled(scale).packed(span) for layer, span in zip(layers, self.spans, strict=True)]
        last_scale, first_scale = self._part_scale(layers[-1], norms), self._part_scale(layers[0], norms)
        like = next(iter(layers[0].tensors().values()))
        width = self.rows if self.parts else 0
        phi, last, first = (like.new_empty(len(norms), columns) for columns in (self.rows, width, width))

        def multiply(tile: slice) -> None:
            self._tile([layer[tile] for layer in scaled], phi[tile], last[tile], first[tile])
            if self.cosine and self.parts:
                _rescale(last[tile], last_scale[tile], self.last)
                _rescale(first[tile], first_scale[tile], self.first)

        run_all(multiply, self.tiles(len(norms)))
        arrays = [tensor.cpu().numpy() for tensor in (phi, last, first, norms.to(like.dtype))]
        return InfluenceBlock(start, start + len(norms), *arrays)

    def _tile(self, layers: list[LayerFactors], phi: torch.Tensor, last: torch.Tensor, first: torch.Tensor) -> None:
        scratch = Scratch(torch.empty_like(phi), torch.empty_like(phi))
        final = len(layers) - 1
        for i, (layer, other) in enumerate(zip(layers, self.layers, strict=True)):
            part = {0: first, final: last}.get(i) if self.parts else None
            if part is None:
                layer.multiply(other, phi, scratch, add=i > 0)
                continue
            layer.multiply(other, part, scratch, add=False)
            if i == 0:
                phi.copy_(part)
            else:
                phi.add_(part)
        if self.parts and final == 0:
            first.copy_(last)
        if self.cosine:
            phi.clamp_(-1, 1)


def _rescale(part: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> None:
    """part [B, M] times rows [B] and columns [M], in place; the ratios are finite in part's dtype."""
    part.mul_(rows.clamp(max=1e30).to(part.dtype)[:, None]).mul_(columns.clamp(max=1e30).to(part.dtype)).clamp_(-1, 1)


def save_factors(factors: Factors, path: Path) -> None:
    """Write factors and norms as safetensors. StorageError: the file can't be written."""
    tensors = {"norms": factors.norms.cpu()}
    for i, layer in enumerate(factors.layers):
        tensors |= {f"{i}.{key}": tensor.cpu().contiguous() for key, tensor in layer.tensors().items()}
    try:
        Path(path).write_bytes(save(tensors, {"names": json.dumps(factors.names)}))
    except OSError as error:
        raise StorageError(f"The influence factors can't be written to {path} ({error.strerror}).") from error


def load_factors(path: Path) -> Factors:
    """The inverse of save_factors. RunError: missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            names = json.loads((file.metadata() or {})["names"])
        layers = [
            restore({key.split(".", 1)[1]: t for key, t in tensors.items() if key.startswith(f"{i}.")})
            for i in range(len(names))
        ]
        return Factors(layers, names, tensors["norms"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"The influence factors in {Path(path).name} can't be read; diagnose again.") from error
