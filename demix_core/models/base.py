"""The contract of a task model, the list of all of them, and the one way to build one.

To add a model, write one file in this folder that registers a factory:

    @MODELS.register("name")
    def name(n_inputs: int, n_outputs: int) -> nn.Module: ...

The module maps float32 [B, D] to logits [B, K] (classification) or to the standardised target [B, 1], row by row:
a row's output must not depend on the other rows. nn.Linear and nn.LayerNorm have rules of their own for influence;
other layers work, but slower (see influence/layers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from demix_core.models.losses import row_loss
from demix_core.registry import Family
from demix_core.types import Task

__all__ = ["MODELS", "Factory", "Origin", "build", "origin", "row_loss", "target_tensor"]

Factory = Callable[[int, int], nn.Module]
"""(D inputs, K outputs) -> a freshly initialised module."""

MODELS: Family[Factory] = Family("model", "demix_core.models")


@dataclass(frozen=True)
class Origin:
    """How a network was built: enough to build it again."""

    architecture: str
    n_inputs: int
    n_outputs: int


def build(name: str, n_inputs: int, n_outputs: int, seed: int = 0) -> nn.Module:
    """A fresh network of a registered architecture, in evaluation mode.

    Initial weights depend on the seed alone; the process's own random state is left as it was.
    InputError: no model of that name.
    """
    factory = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = factory(n_inputs, n_outputs)
    network.__dict__["_origin"] = Origin(name, n_inputs, n_outputs)
    return network.eval()


def origin(network: nn.Module) -> Origin | None:
    """How `build` made this network; None for a network made elsewhere."""
    found = network.__dict__.get("_origin")
    return found if isinstance(found, Origin) else None


def target_tensor(y: np.ndarray, like: torch.Tensor, task: Task) -> torch.Tensor:
    """y as the loss wants it, on the device of `like`: int64 class ids, or the dtype of `like`. Shape [N]."""
    dtype = torch.int64 if task is Task.CLASSIFICATION else like.dtype
    return torch.as_tensor(y).to(device=like.device, dtype=dtype)
