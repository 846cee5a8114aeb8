"""How surprising is each cell, given the others in its row, and which value would be likely instead?

One masked network over the binned table (all columns at once): any subset of columns is hidden, and the hidden ones
are predicted. The label is a column too, but hidden whenever cells are judged, so that a wrong label blames no cell.
Cost: 2·N·(H² + H·T) flops a pass, T = all bins together; E training passes and one pass per column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from demix_core.errors import Cancelled
from demix_core.signals.binning import Binned, Cut, bin_column, bin_target, target_codes
from demix_core.signals.placing import NEW, others
from demix_core.types import Progress, Schema, ShouldStop, never_stop, no_progress

HIDDEN = 128
BATCH = 512
STEPS_AT_LEAST = 160
EPOCHS = 8
FLOOR = 1e-6
PASS_ROWS = 8192


@dataclass(frozen=True)
class CellModel:
    """What the masked network says of every cell.

    surprise: float32 [N, F] nats above the expected (−log p minus the entropy); lift: float32 [N, F] log p(value | rest
    of the row) − log p(value), nats; suggestion: object [N, F] cell texts; certainty: float32 [N, F] probability of the
    suggested bin; label_surprise: float32 [N] −log p(label | cells); label_shift: float32 [N, F] how much
    label_surprise rises when a column is hidden (> 0: the column explains it); label_without: float32 [N, R]
    label_surprise with the columns of each of R rules hidden; codes: int64 [N, F] the binned table; sizes: its bins.
    """

    surprise: np.ndarray
    lift: np.ndarray
    suggestion: np.ndarray
    certainty: np.ndarray
    label_surprise: np.ndarray
    label_shift: np.ndarray
    label_without: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray


class MaskedNetwork(nn.Module):
    """Sum of one embedding per column (or its mask), one residual layer, a softmax over each column's bins."""

    def __init__(self, sizes: list[int], generator: torch.Generator) -> None:
        super().__init__()
        self.total, self.count = sum(sizes), len(sizes)
        self.embedding = nn.EmbeddingBag(self.total + self.count, HIDDEN, mode="sum")
        self.hidden = nn.Linear(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, self.total)
        scale = 1 / np.sqrt(HIDDEN)
        nn.init.normal_(self.embedding.weight, std=1 / np.sqrt(self.count), generator=generator)
        for layer in (self.hidden, self.out):
            nn.init.uniform_(layer.weight, -scale, scale, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs: int64 [B, F+1] global codes -> logits [B, T]."""
        return self.out(self.describe(inputs))

    def describe(self, inputs: torch.Tensor) -> torch.Tensor:
        """[B, F+1] -> [B, H], what all columns' softmaxes read."""
        h = F.relu(self.embedding(inputs))
        return F.relu(h + self.hidden(h))


class _Masked:
    """A binned table as tensors, with the network that is, or was, fitted to it. A code of `size` counts as hidden."""

    def __init__(self, codes: np.ndarray, sizes: Sequence[int], network: MaskedNetwork) -> None:
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self.codes = torch.from_numpy(codes)
        self.sizes = torch.tensor(list(sizes))
        self.offsets = torch.from_numpy(starts[:-1])
        self.masks = int(starts[-1]) + torch.arange(len(sizes))
        self.parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self.members = torch.block_diag(*(torch.ones(int(size), 1) for size in sizes))  # [T, F + 1]: whose bin it is
        self.network = network

    @classmethod
    def fitted(cls, binned: list[Binned], seed: int, progress: Progress, should_stop: ShouldStop) -> _Masked:
        """The network learns the table."""
        sizes, generator = [b.size for b in binned], torch.Generator().manual_seed(seed)
        masked = cls(np.stack([b.codes for b in binned], 1), sizes, MaskedNetwork(sizes, generator))
        masked._fit(generator, progress, should_stop)
        return masked

    def _fit(self, generator: torch.Generator, progress: Progress, should_stop: ShouldStop) -> None:
        n, columns = self.codes.shape
        per_epoch = -(-n // BATCH)
        steps = max(STEPS_AT_LEAST, EPOCHS * per_epoch)
        optimiser = torch.optim.Adam(self.network.parameters(), 2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
        order = torch.randperm(n, generator=generator)
        for step in range(steps):
            if should_stop():
                raise Cancelled("Stopped while learning what cells look like.")
            at = (step % per_epoch) * BATCH
            rows = order[at : at + BATCH]
            codes = self.codes[rows]
            rate = torch.rand(len(rows), 1, generator=generator) * 0.6 + 0.05
            hidden = torch.rand(len(rows), columns, generator=generator) < rate
            given = codes + self.offsets
            loss = self._loss(self.network(torch.where(hidden, self.masks, given)), given, hidden)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 20 == 0:
                progress(step / steps, "Learning what cells look like")
            if at + BATCH >= n:
                order = torch.randperm(n, generator=generator)

    def _loss(self, logits: torch.Tensor, given: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the hidden cells, mean per column, summed; every column's softmax in one product."""
        logits = logits - logits.detach().amax(1, keepdim=True)
        total = (logits.exp() @ self.members).clamp(min=1e-30).log()  # [B, F + 1]
        each = (total - logits.gather(1, given)) * hidden
        return (each.sum(0) / hidden.sum(0).clamp(min=1)).sum()

    @torch.no_grad()
    def log_probabilities(self, column: int, *also_hidden: int) -> torch.Tensor:
        """[N, size of column] with that column, and others if asked, hidden. Only its own softmax is computed."""
        inputs = torch.where(self.codes < self.sizes, self.codes + self.offsets, self.masks)
        for j in (column, *also_hidden):
            inputs[:, j] = self.masks[j]
        weight, bias = self.network.out.weight[self.parts[column]], self.network.out.bias[self.parts[column]]
        parts = [F.linear(self.network.describe(part), weight, bias) for part in inputs.split(PASS_ROWS)]
        return torch.cat(parts).log_softmax(1)


def fit_cells(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    rules: Sequence[tuple[str, ...]] = (),
) -> CellModel:
    """Learn the table's own regularities and judge every feature cell against them. rules: columns of R rules."""
    return learn_cells(frame, schema, seed, progress, should_stop, rules)[0]


def learn_cells(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    rules: Sequence[tuple[str, ...]] = (),
) -> tuple[CellModel, CellReference]:
    """fit_cells, with what it learned for rows to come."""
    binned = [bin_column(frame[c.name], c.kind) for c in schema.features]
    binned.append(bin_target(frame[schema.target], schema))
    masked = _Masked.fitted(binned, seed, lambda f, m: progress(0.7 * f, m), should_stop)
    places = {c.name: j for j, c in enumerate(schema.features)}
    hidden = tuple(tuple(places[c] for c in r) for r in rules)
    shares = np.stack([np.bincount(b.codes, minlength=b.size)[b.codes] / len(frame) for b in binned[:-1]], 1)
    bins = [Bins.of(b) for b in binned]
    cells = _judge(masked, bins, shares, hidden, lambda f, m: progress(0.7 + 0.3 * f, m), should_stop)
    weights = tuple(tensor.numpy() for tensor in masked.network.state_dict().values())
    return cells, CellReference(tuple(bins), weights, hidden)


@dataclass(frozen=True)
class Bins:
    """One column's bins without its rows, see Binned."""

    cut: Cut
    values: tuple[str, ...]
    ordered: bool
    far: np.ndarray

    @classmethod
    def of(cls, binned: Binned) -> Bins:
        """The bins of a binned column."""
        return cls(binned.cut, binned.values, binned.ordered, binned.far)


@dataclass(frozen=True)
class CellReference:
    """What fit_cells learned: the bins of every feature and, last, of the target; the network's weights, in the order
    of its state; hidden: for each rule the places of its columns.
    """

    bins: tuple[Bins, ...]
    weights: tuple[np.ndarray, ...]
    hidden: tuple[tuple[int, ...], ...]

    def place(self, frame: pd.DataFrame, schema: Schema, table: CellModel, where: np.ndarray) -> CellModel:
        """Of rows to come. table: that of the run's rows; where: int64 [m], see placing.

        A cell whose bin holds no row of the table was as likely as one row in all.
        """
        sizes = [b.cut.size for b in self.bins]
        network = MaskedNetwork(sizes, torch.Generator())
        names = network.state_dict().keys()
        network.load_state_dict({n: torch.from_numpy(w) for n, w in zip(names, self.weights, strict=True)})
        columns = [b.cut.codes(frame[c.name]) for b, c in zip(self.bins, schema.features, strict=False)]
        shares = []
        for j, (now, size) in enumerate(zip(columns, sizes, strict=False)):
            count = others(table.codes[:, j], size, where, now)
            seen = np.bincount(table.codes[:, j], minlength=size + 1) > 0
            columns[j] = np.where(seen[now], now, size)
            shares.append((count + 1) / (len(table.codes) + (where == NEW)))
        label = target_codes(self.bins[-1].cut, frame[schema.target], schema)
        masked = _Masked(np.stack([*columns, label], 1), sizes, network)
        return _judge(masked, self.bins, np.stack(shares, 1), self.hidden)


def _judge(
    masked: _Masked,
    bins: Sequence[Bins],
    shares: np.ndarray,
    rules: Sequence[tuple[int, ...]],
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> CellModel:
    """Every cell against the network. shares: float [n, F], of the rows that hold the same code."""
    label, codes = len(bins) - 1, masked.codes.numpy()
    n, count = shares.shape
    surprise, lift, certainty, shift = (np.zeros((n, count), np.float32) for _ in range(4))
    suggestion = np.empty((n, count), object)
    label_surprise = _picked(masked.log_probabilities(label), codes[:, label])
    for j in range(count):
        if should_stop():
            raise Cancelled("Stopped while judging cells.")
        log_p = masked.log_probabilities(j, label)
        p = log_p.exp()
        unseen = codes[:, j] == bins[j].cut.size
        unlikely = np.where(unseen, -np.log(shares[:, j]), _picked(log_p, np.where(unseen, 0, codes[:, j])))
        surprise[:, j] = unlikely - (-(p * log_p).sum(1)).numpy()
        lift[:, j] = -unlikely - np.log(shares[:, j])
        suggestion[:, j], certainty[:, j] = _suggest(p, bins[j])
        shift[:, j] = _picked(masked.log_probabilities(label, j), codes[:, label]) - label_surprise
        progress((j + 1) / count, f"Judging cells, column {j + 1} of {count}")
    without = [_picked(masked.log_probabilities(label, *hidden), codes[:, label]) for hidden in rules]
    label_without = np.stack(without, 1) if without else np.zeros((n, 0), np.float32)
    return CellModel(
        surprise, lift, suggestion, certainty, label_surprise, shift, label_without.astype(np.float32),
        codes[:, :-1], np.array([b.cut.size for b in bins[:-1]]),
    )  # fmt: skip


def _picked(log_p: torch.Tensor, codes: np.ndarray) -> np.ndarray:
    return (-log_p[torch.arange(len(codes)), torch.from_numpy(codes)]).numpy()


def _suggest(p: torch.Tensor, binned: Bins) -> tuple[np.ndarray, np.ndarray]:
    """The most likely category, or the conditional median of a number (a value that occurs); never a far one."""
    values = np.array(binned.values, object)
    usable = torch.from_numpy(np.array([v != "" for v in binned.values]) & ~binned.far)
    if not usable.any():
        return np.full(len(p), "", object), np.zeros(len(p), np.float32)
    p = torch.where(usable, p, 0.0)
    p = p / p.sum(1, keepdim=True).clamp(min=FLOOR)
    if binned.ordered:
        best = (p.cumsum(1) >= 0.5).float().argmax(1)
        near = p.gather(1, torch.stack([(best - 1).clamp(min=0), best, (best + 1).clamp(max=p.shape[1] - 1)], 1))
        return values[best.numpy()], near.sum(1).clamp(max=1).numpy()
    best = p.argmax(1)
    return values[best.numpy()], p.gather(1, best[:, None])[:, 0].numpy()
