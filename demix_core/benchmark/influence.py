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

    Ours, a block of the reference and a plain matrix product take turns, so that a disturbance meets all three;
    the figures are medians. quick: a tenth of the rows and one repeat. The result can be written as JSON; "table"
    holds its lines.
    """
    rows = ADULT_ROWS // 10 if quick else ADULT_ROWS
    repeats = 1 if quick else 3
    data, validation = _synthetic(rows, seed), _synthetic(VALIDATION_ROWS, seed + 1)
    network = fit(data, validation, _TASK, 2, FitSettings(epochs=2), seed).network
    assert isinstance(network, nn.Module)
    reference = _Reference(network, validation)
    block = Encoded(data.x[:REFERENCE_BLOCK], data.y[:REFERENCE_BLOCK])
    difference = float(np.abs(_ours(network, block, validation)[0] - reference.influence(block).numpy()).max())
    multiply, multiplied = _matrix_product(rows)
    ours, of_block, of_product = _take_turns(
        [lambda: _ours(network, data, validation), lambda: reference.influence(block), multiply], repeats
    )
    theirs = reference.seconds + of_block * rows / REFERENCE_BLOCK
    operations, gemm = 2 * rows * VALIDATION_ROWS * _widths(network), multiplied / of_product
    return {
        "name": "influence", "rows": rows, "validation_rows": VALIDATION_ROWS, "inputs": ADULT_INPUTS,
        "model": "mlp1", "threads": torch.get_num_threads(), "seed": seed, "repeats": repeats,
        "ours_seconds": ours, "reference_seconds": theirs, "ratio": theirs / ours,
        "max_abs_difference": difference, "cost": "2 N M sum_l (D_l + K_l)", "operations": operations,
        "gemm_gflops": gemm / 1e9, "our_gflops": operations / ours / 1e9, "share_of_gemm": operations / ours / gemm,
        "reference_note": f"timed on blocks of {REFERENCE_BLOCK} rows and scaled linearly to all rows",
        "table": [_line("per-row gradients (torch.func)", theirs, 1.0),
                  _line("factored products, all parameters", ours, theirs / ours)],
    }  # fmt: skip


def _line(way: str, seconds: float, times: float) -> dict[str, Any]:
    return {"way": way, "seconds": round(seconds, 3), "times as fast": round(times, 1)}


def _synthetic(rows: int, seed: int) -> Encoded:
    """A noisy half-space: x float32 [rows, ADULT_INPUTS], y in {0, 1}."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, ADULT_INPUTS)).astype(np.float32)
    noise = 3.0 * random.normal(size=rows)
    return Encoded(x, (x[:, :10].sum(1) + noise > 0).astype(np.int64))


def _take_turns(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each call, after one untimed round."""
    seconds: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, times in zip(calls, seconds, strict=True):
            begin = time.perf_counter()
            call()
            if repeat:
                times.append(time.perf_counter() - begin)
    return [statistics.median(times) for times in seconds]


def _ours(network: nn.Module, data: Encoded, validation: Encoded) -> list[np.ndarray]:
    """The whole job, the validation rows' factors included. Only the first block is kept: [B, M]."""
    factors = factorise(network, validation.x, validation.y, _TASK)
    kept: list[np.ndarray] = []
    for block in stream(network, data, _TASK, factors, InfluenceSettings(), parts=False):
        kept = kept or [block.phi]
    return kept


class _Reference:
    """The public reference's way; seconds: what the validation rows' gradients took, once."""

    def __init__(self, network: nn.Module, validation: Encoded) -> None:
        self._gradients = _gradient_function(network)
        begin = time.perf_counter()
        starts = range(0, len(validation.y), REFERENCE_BLOCK)
        parts = [slice(start, start + REFERENCE_BLOCK) for start in starts]
        self._against = torch.cat([self._of(Encoded(validation.x[part], validation.y[part])) for part in parts])
        self.seconds = time.perf_counter() - begin

    def influence(self, block: Encoded) -> torch.Tensor:
        """phi [B, M] of a block of rows."""
        return -self._of(block) @ self._against.T

    def _of(self, rows: Encoded) -> torch.Tensor:
        return self._gradients(torch.as_tensor(rows.x), torch.as_tensor(rows.y))


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


def _matrix_product(rows: int) -> tuple[Callable[[], object], int]:
    """(A call that multiplies matrices of the size of a block, the operations it takes)."""
    height, depth = min(rows, 2048), 512
    left, right = torch.ones(height, depth), torch.ones(depth, VALIDATION_ROWS)
    out = torch.empty(height, VALIDATION_ROWS)
    times = 20  # long enough to measure

    def multiply() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    return multiply, times * 2 * height * depth * VALIDATION_ROWS
