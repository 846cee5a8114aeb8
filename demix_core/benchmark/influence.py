"""How fast influence is against per-row gradients, in the same process: DESIGN section 9, first line.

The public reference makes each row's whole gradient with torch.func, normalises it and multiplies it with the
validation rows' gradients. It is timed on a few of its blocks and scaled up linearly to N rows; ours runs in full.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from demix_core.influence.vectors import factorise, stream
from demix_core.models.base import row_loss
from demix_core.models.training import fit
from demix_core.settings import FitSettings, InfluenceSettings
from demix_core.types import Encoded, Task

ADULT_ROWS, ADULT_INPUTS = 24_374, 107  # Adult's training rows after paper-protocol injection, and encoded columns
VALIDATION_ROWS = 2048
REFERENCE_BLOCK = 1024  # rows per call of vmap(grad), as published
_TASK = Task.CLASSIFICATION


def run(*, quick: bool = False, seed: int = 0) -> dict[str, Any]:
    """Measure and compare on synthetic data of Adult's encoded size, with mlp1.

    quick: a tenth of the rows and one repeat. The result can be written as JSON; "table" holds its lines.
    """
    rows = ADULT_ROWS // 10 if quick else ADULT_ROWS
    repeats = 1 if quick else 3
    data, validation = _synthetic(rows, seed), _synthetic(VALIDATION_ROWS, seed + 1)
    settings = FitSettings(epochs=2)
    network = fit(data, validation, _TASK, 2, settings, seed).network
    assert isinstance(network, nn.Module)
    ours = _median([lambda: _ours(network, data, validation)] * repeats)
    reference, difference = _reference(network, data, validation, repeats)
    gemm = _gemm_rate(rows, repeats)
    operations = 2 * rows * VALIDATION_ROWS * _widths(network)
    rate = operations / ours
    return {
        "name": "influence", "rows": rows, "validation_rows": VALIDATION_ROWS, "inputs": ADULT_INPUTS,
        "model": "mlp1", "threads": torch.get_num_threads(), "seed": seed, "repeats": repeats,
        "ours_seconds": ours, "reference_seconds": reference, "ratio": reference / ours,
        "max_abs_difference": difference, "operations": operations,
        "cost": "2 N M sum_l (D_l + K_l)", "gemm_gflops": gemm / 1e9, "our_gflops": rate / 1e9,
        "share_of_gemm": rate / gemm,
        "reference_note": f"timed on whole blocks of {REFERENCE_BLOCK} rows, scaled linearly to all rows",
        "table": [
            _line("per-row gradients (torch.func)", reference, 1.0),
            _line("factored products, all parameters", ours, reference / ours),
        ],
    }  # fmt: skip


def _line(way: str, seconds: float, times: float) -> dict[str, Any]:
    return {"way": way, "seconds": round(seconds, 3), "times as fast": round(times, 1)}


def _synthetic(rows: int, seed: int) -> Encoded:
    """A noisy half-space: x float32 [rows, ADULT_INPUTS], y in {0, 1}."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, ADULT_INPUTS)).astype(np.float32)
    noise = 3.0 * random.normal(size=rows)
    return Encoded(x, (x[:, :10].sum(1) + noise > 0).astype(np.int64))


def _median(calls: list[Callable[[], object]]) -> float:
    """Median seconds of these calls."""
    seconds = []
    for call in calls:
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _ours(network: nn.Module, data: Encoded, validation: Encoded) -> float:
    """The whole job, the validation rows' factors included; blocks are looked at and forgotten."""
    factors = factorise(network, validation.x, validation.y, _TASK)
    blocks = stream(network, data, _TASK, factors, InfluenceSettings(), parts=False)
    return sum(float(block.phi[0, 0]) for block in blocks)


def _reference(network: nn.Module, data: Encoded, validation: Encoded, repeats: int) -> tuple[float, float]:
    """(Seconds for all rows, largest difference to ours on the timed rows) of per-row gradients by torch.func."""
    one_row = _gradient_function(network)
    begin = time.perf_counter()
    against = torch.cat([one_row(*_block(validation, at)) for at in range(0, VALIDATION_ROWS, REFERENCE_BLOCK)])
    once = time.perf_counter() - begin
    seconds, difference = [], 0.0
    for repeat in range(max(2, repeats)):
        at = repeat * REFERENCE_BLOCK
        begin = time.perf_counter()
        phi = -one_row(*_block(data, at)) @ against.T
        seconds.append(time.perf_counter() - begin)
        difference = max(difference, _difference(network, data, validation, at, phi))
    return once + statistics.median(seconds) * len(data.y) / REFERENCE_BLOCK, difference


def _difference(network: nn.Module, data: Encoded, validation: Encoded, at: int, phi: torch.Tensor) -> float:
    part = slice(at, at + REFERENCE_BLOCK)
    factors = factorise(network, validation.x, validation.y, _TASK)
    rows = Encoded(data.x[part], data.y[part])
    block = next(stream(network, rows, _TASK, factors, InfluenceSettings(), parts=False))
    return float(np.abs(block.phi - phi.numpy()).max())


def _block(data: Encoded, at: int) -> tuple[torch.Tensor, torch.Tensor]:
    part = slice(at, at + REFERENCE_BLOCK)
    return torch.as_tensor(data.x[part]), torch.as_tensor(data.y[part])


def _gradient_function(network: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """(x [B, D], y [B]) -> normalised gradients [B, P], one row at a time inside vmap."""
    parameters = {name: p.detach() for name, p in network.named_parameters()}

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return row_loss(torch.func.functional_call(network, parameters, x[None]), y[None], _TASK)[0]

    per_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def normalised(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        flat = torch.cat([g.flatten(1) for g in per_row(parameters, x, y).values()], 1)
        return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)

    return normalised


def _widths(network: nn.Module) -> int:
    """sum_l (D_l + K_l) over the Linear layers."""
    return sum(m.in_features + m.out_features for m in network.modules() if isinstance(m, nn.Linear))


def _gemm_rate(rows: int, repeats: int) -> float:
    """Operations per second of plain matrix products of the size that a block has, the best of several."""
    depth = 512
    left, right = torch.ones(min(rows, 2048), depth), torch.ones(depth, VALIDATION_ROWS)
    out = torch.empty(len(left), VALIDATION_ROWS)
    seconds = [_median([lambda: torch.mm(left, right, out=out)] * 5) for _ in range(2 + repeats)]
    return 2 * len(left) * depth * VALIDATION_ROWS / min(seconds)
