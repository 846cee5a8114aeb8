"""The network of the DEC: a set transformer over tokens (Lee et al. 2019), joined with side features (DESIGN §3)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from demix_core.classifiers.features import Features
from demix_core.errors import InputError
from demix_core.types import ErrorType

VERSION = 1
CLIP = 5.0
"""Standardised inputs are clipped here: a wild value says 'wild', not how wild."""


@dataclass(frozen=True)
class Shape:
    """What fixes a checkpoint's weights: the features and channels it reads, and its sizes."""

    features: tuple[str, ...]
    channels: tuple[int, ...]
    hidden: int = 48
    inducing: int = 16
    heads: int = 4
    side_hidden: int = 128
    embedding: int = 64
    projection: int = 32
    dropout: float = 0.1
    tokens: int = 96
    """tokens: validation rows read per training row at inference."""


class Attention(nn.Module):
    """MAB of the paper: multi-head attention of queries on a set, then a feed-forward layer, both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Linear(width, width)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """queries [B, Q, H], keys [B, T, H] -> [B, Q, H]."""
        q, k, v = (self._split(f(x)) for f, x in ((self.query, queries), (self.key, keys), (self.value, keys)))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = self.norm(queries + self.out(mixed))
        return self.norm_out(h + F.relu(self.feed(h)))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Induced(nn.Module):
    """ISAB: a set attends to itself through a few learned inducing points; cost linear in the set's size."""

    def __init__(self, width: int, heads: int, inducing: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, inducing, width) / width**0.5)
        self.gather, self.spread = Attention(width, heads), Attention(width, heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, H] -> [B, T, H]."""
        return self.spread(x, self.gather(self.points.expand(len(x), -1, -1), x))


class SetTransformer(nn.Module):
    """Tokens and side features of a row -> embedding [B, 64], the rationale z of the paper -> three logits."""

    feature_mean: torch.Tensor
    feature_sd: torch.Tensor
    token_mean: torch.Tensor
    token_sd: torch.Tensor
    calibration: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.hidden if shape.channels else 0
        self.register_buffer("feature_mean", torch.zeros(len(shape.features)))
        self.register_buffer("feature_sd", torch.ones(len(shape.features)))
        self.register_buffer("token_mean", torch.zeros(len(shape.channels)))
        self.register_buffer("token_sd", torch.ones(len(shape.channels)))
        self.register_buffer("calibration", torch.tensor([[1.0, 0.0]] * len(ErrorType)))
        if shape.channels:
            self.element = nn.Sequential(nn.Linear(len(shape.channels), width), nn.ReLU(), nn.Linear(width, width))
            self.blocks = nn.ModuleList(Induced(width, shape.heads, shape.inducing) for _ in range(2))
            self.seed = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
            self.pool = Attention(width, shape.heads)
        side = shape.side_hidden
        self.side = nn.Sequential(
            nn.Dropout(shape.dropout), nn.Linear(len(shape.features), side), nn.ReLU(), nn.Dropout(shape.dropout)
        )
        self.joint = nn.Sequential(
            nn.Linear(side + width, side), nn.ReLU(), nn.Linear(side, shape.embedding), nn.ReLU()
        )
        self.heads = nn.Linear(shape.embedding, len(ErrorType))
        self.project = nn.Linear(shape.embedding, shape.projection)

    def embed(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """features [B, F], tokens [B, T, C] (all channels; the shape's are picked) -> z [B, embedding]."""
        joined = [self.side(((features - self.feature_mean) / self.feature_sd).clamp(-CLIP, CLIP))]
        if self.shape.channels:
            x = (tokens[:, :, list(self.shape.channels)] - self.token_mean) / self.token_sd
            x = self.element(x.clamp(-CLIP, CLIP))
            for block in self.blocks:
                x = block(x)
            joined.append(self.pool(self.seed.expand(len(x), -1, -1), x)[:, 0])
        return self.joint(torch.cat(joined, 1))

    def probabilities(self, embedding: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities [B, 3] in the order of ErrorType (Platt scaling on tables kept out of training)."""
        return torch.sigmoid(self.heads(embedding) * self.calibration[:, 0] + self.calibration[:, 1])

    def pick(self, features: Features) -> np.ndarray:
        """The columns this checkpoint reads, in its order; InputError when one is not computed by this version."""
        at = {name: i for i, name in enumerate(features.names)}
        missing = [name for name in self.shape.features if name not in at]
        if missing:
            raise InputError(
                f"The classifier reads the feature '{missing[0]}', which this version does not compute; "
                "train it again with 'train-dec' or use the shipped one."
            )
        return features.values[:, [at[name] for name in self.shape.features]]


def save_checkpoint(network: SetTransformer, path: Path) -> None:
    """Weights as safetensors; the shape goes with them as metadata."""
    meta = {"demix_dec": str(VERSION), "shape": json.dumps(asdict(network.shape))}
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path, metadata=meta)


def load_checkpoint(path: Path) -> SetTransformer:
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
    described: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(meta["shape"]).items()
    }
    network = SetTransformer(Shape(**described))
    network.load_state_dict(weights)
    return network.eval()
