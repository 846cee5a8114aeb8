"""The network of the data error classifier (DEC), and its checkpoint.

Four sources of one row are encoded side by side and joined into the embedding, the rationale z of the paper: its tokens
(set transformer), its side features, its cells (a set as well), and the table as a whole (what is usual in this run).
Heads read three logits from the embedding, to which those of boosted trees are added (`forest`, the network's twin);
the cell encoder also says which cell is wrong.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from demix_core.classifiers import cell_features
from demix_core.classifiers.cutoff import DEPTH as CUTOFF_DEPTH
from demix_core.classifiers.cutoff import cutoff_shift
from demix_core.classifiers.features import Features, context
from demix_core.classifiers.forest import DEPTH, Forest, describe_cells
from demix_core.classifiers.set_transformer import SetTransformer
from demix_core.classifiers.thresholds import own_shift
from demix_core.errors import InputError
from demix_core.types import ErrorType

VERSION = 4
CLIP = 5.0
"""Standardised inputs are clipped here: a wild value says 'wild', not how wild."""


@dataclass(frozen=True)
class Shape:
    """What fixes a checkpoint's weights: the features, context and channels it reads, and its sizes.

    cells: whether the cells are looked at; tokens: validation rows read per training row at inference; trees: of its
    twin, per error type, 0 for none; cutoff: that say how many cells to flag, 0 for none.
    """

    features: tuple[str, ...]
    context: tuple[str, ...]
    channels: tuple[int, ...]
    cells: bool = True
    hidden: int = 32
    inducing: int = 8
    heads: int = 4
    blocks: int = 1
    cell_hidden: int = 32
    side_hidden: int = 128
    context_hidden: int = 16
    embedding: int = 64
    projection: int = 32
    dropout: float = 0.1
    tokens: int = 48
    trees: int = 0
    cutoff: int = 0


@dataclass(frozen=True)
class Rows:
    """B rows as the network reads them, raw. features [B, F]; context [B, 2·F′]; tokens [B, T, C]; cells [B, P, Q]
    with present bool [B, P] (rows of narrower tables are padded)."""

    features: torch.Tensor
    context: torch.Tensor
    tokens: torch.Tensor
    cells: torch.Tensor
    present: torch.Tensor


class CellEncoder(nn.Module):
    """Cells of a row as a set: each is judged beside the mean and the maximum of all cells of its row."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(3 * width, width)
        self.third = nn.Linear(width, width)
        self.wrong = nn.Linear(width, 1)
        self.width = 2 * width + 2

    def forward(self, cells: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cells [B, P, Q], present [B, P] -> (row vectors [B, 2·H + 2], logit of each cell being wrong [B, P])."""
        mask = present[..., None]
        h = torch.relu(self.first(cells))
        mean, most = _pool(h, mask)
        around = torch.cat([mean, most], 1)[:, None].expand(-1, cells.shape[1], -1)
        h = torch.relu(self.second(torch.cat([h, around], 2)))
        h = h + torch.relu(self.third(h))
        logits = self.wrong(h)[..., 0].masked_fill(~present, -30.0)
        worst = logits.clamp(-10, 10).amax(1, keepdim=True)
        together = torch.logsumexp(logits, 1, keepdim=True).clamp(-10, 10)
        return torch.cat([*_pool(h, mask), worst, together], 1), logits


def _pool(h: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, maximum) over the cells that are there; h [B, P, H] ≥ 0, mask [B, P, 1]."""
    kept = h * mask
    return kept.sum(1) / mask.sum(1).clamp(min=1), kept.amax(1)


CUTOFF_TYPE = list(ErrorType).index(ErrorType.FEATURE)
"""The type whose number of flags is learnt (cutoff.py)."""


class Dec(nn.Module):
    """Rows -> embedding [B, E] and cell logits [B, P]; embedding -> logits [B, 3] in the order of ErrorType."""

    feature_mean: torch.Tensor
    feature_sd: torch.Tensor
    context_mean: torch.Tensor
    context_sd: torch.Tensor
    token_mean: torch.Tensor
    token_sd: torch.Tensor
    cell_mean: torch.Tensor
    cell_sd: torch.Tensor
    calibration: torch.Tensor
    trust: torch.Tensor
    share: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        sizes = {
            "feature": len(shape.features), "context": len(shape.context), "token": len(shape.channels),
            "cell": len(cell_features.NAMES),
        }  # fmt: skip
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_sd", torch.ones(size))
        self.register_buffer("calibration", torch.tensor([[1.0, 0.0]] * len(ErrorType)))
        self.register_buffer("trust", torch.tensor([[[-1.0, 1.0]] * 2] * len(ErrorType)))  # thresholds.trust: errors
        self.register_buffer("share", torch.tensor([[0.1, 0.0]] * len(ErrorType)))  # own_shift: usual, weight
        width = shape.side_hidden
        if shape.channels:
            self.token_encoder = SetTransformer(
                len(shape.channels), shape.hidden, shape.heads, shape.inducing, shape.blocks
            )
            width += shape.hidden
        if shape.cells:
            self.cell_encoder = CellEncoder(sizes["cell"], shape.cell_hidden)
            width += self.cell_encoder.width
        if shape.context:
            self.context_encoder = nn.Sequential(
                nn.Dropout(3 * shape.dropout), nn.Linear(sizes["context"], shape.context_hidden), nn.Tanh()
            )
            width += shape.context_hidden
        self.side_encoder = nn.Sequential(
            nn.Dropout(shape.dropout), nn.Linear(sizes["feature"], shape.side_hidden), nn.ReLU()
        )
        self.joint = nn.Sequential(
            nn.Dropout(shape.dropout), nn.Linear(width, shape.side_hidden), nn.ReLU(), nn.Dropout(shape.dropout),
            nn.Linear(shape.side_hidden, shape.embedding), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.Linear(shape.embedding, len(ErrorType))
        self.project = nn.Linear(shape.embedding, shape.projection)
        self.cutoff: Forest | None = None
        if shape.cutoff:
            self.add_cutoff(Forest(1, shape.cutoff, CUTOFF_DEPTH))
        self.forest: Forest | None = None
        if shape.trees:
            self.add_twin(Forest(len(ErrorType), shape.trees, DEPTH))

    def add_cutoff(self, cutoff: Forest) -> None:
        """Take these trees to say how many cells to flag from now on."""
        self.shape, self.cutoff = replace(self.shape, cutoff=cutoff.column.shape[1]), cutoff

    def drop_cutoff(self) -> None:
        """Do without them."""
        self.shape, self.cutoff = replace(self.shape, cutoff=0), None

    def add_twin(self, forest: Forest) -> None:
        """Take this twin from now on."""
        self.shape, self.forest = replace(self.shape, trees=forest.column.shape[1]), forest

    def drop_twin(self) -> None:
        """Do without the twin."""
        self.shape, self.forest = replace(self.shape, trees=0), None

    def embed(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """(z [B, embedding], cell logits [B, P]; zeros where cells are not looked at)."""
        joined = [self.side_encoder(self._standard(rows.features, "feature"))]
        wrong = torch.zeros(rows.cells.shape[:2])
        if self.shape.channels:
            chosen = rows.tokens[:, :, list(self.shape.channels)]
            joined.append(self.token_encoder(self._standard(chosen, "token")))
        if self.shape.cells:
            pooled, wrong = self.cell_encoder(self._standard(rows.cells, "cell"), rows.present)
            joined.append(pooled)
        if self.shape.context:
            joined.append(self.context_encoder(self._standard(rows.context, "context")))
        return self.joint(torch.cat(joined, 1)), wrong

    def _standard(self, values: torch.Tensor, name: str) -> torch.Tensor:
        mean, sd = getattr(self, f"{name}_mean"), getattr(self, f"{name}_sd")
        return ((values - mean) / sd).clamp(-CLIP, CLIP)

    def logits(self, embedding: torch.Tensor, rows: Rows) -> torch.Tensor:
        """[B, 3] before calibration: of the heads, and of the twin where there is one. embedding: of the same rows."""
        own: torch.Tensor = self.heads(embedding)
        return own if self.forest is None else own + self.forest.weight * self.forest(self.describe(rows))

    def describe(self, rows: Rows) -> torch.Tensor:
        """What the twin reads, float32 [B, described]."""
        cells = [describe_cells(rows.cells, rows.present)] if self.shape.cells else []
        return torch.cat([rows.features, *cells], 1)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities [B, 3] in the order of ErrorType (Platt scaling on tables kept out of training)."""
        return torch.sigmoid(logits * self.calibration[:, 0] + self.calibration[:, 1])

    def own_shifts(self, p: np.ndarray) -> np.ndarray:
        """float64 [3]: how far the log-odds of a whole table's probabilities [N, 3] are moved by its own word."""
        shifts = np.array([own_shift(p[:, k], *map(float, self.share[k])) for k in range(len(ErrorType))])
        if self.cutoff is not None:
            shifts[CUTOFF_TYPE] = cutoff_shift(self.cutoff, p, CUTOFF_TYPE)
        return shifts

    def pick(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """(features [N, F], context [2·F′]) that this checkpoint reads, in its order.

        InputError when one is not computed by this version.
        """
        return self.pick_features(features), _pick(context(features), self.shape.context)[0]

    def pick_features(self, features: Features) -> np.ndarray:
        """float32 [n, F]: the features that this checkpoint reads, in its order. InputError: as pick."""
        return _pick(features, self.shape.features)


def _pick(features: Features, wanted: tuple[str, ...]) -> np.ndarray:
    at = {name: i for i, name in enumerate(features.names)}
    missing = [name for name in wanted if name not in at]
    if missing:
        raise InputError(
            f"The classifier reads the feature '{missing[0]}', which this version does not compute; "
            "train it again with 'train-dec' or use the shipped one."
        )
    return features.values[:, [at[name] for name in wanted]]


def save_checkpoint(network: Dec, path: Path) -> None:
    """Weights as safetensors; the shape goes with them as metadata."""
    meta = {"demix_dec": str(VERSION), "shape": json.dumps(asdict(network.shape))}
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path, metadata=meta)


def load_checkpoint(path: Path) -> Dec:
    """The inverse of save_checkpoint, in eval mode; InputError when the file is something else."""
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"'{path}' is not a readable safetensors file; name a checkpoint made by 'train-dec'."
        ) from error
    if meta.get("demix_dec") != str(VERSION):
        raise InputError(f"'{path}' is not an error classifier of this version; name one made by 'train-dec'.")
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(meta["shape"]).items()}
    network = Dec(Shape(**shape))
    network.load_state_dict(weights)
    return network.eval()
