"""What changing single training rows would do to the validation loss: influence functions on the last linear layer.

With the layers before it held fixed, the last layer is a convex problem, where one Newton step is accurate (Koh & Liang
2017, eq. 2). Row z becoming z′ moves its parameters by −H⁻¹(g(z′) − g(z))/N and so the mean validation loss by
−v·(g(z′) − g(z))/N, v = H⁻¹·(mean validation gradient). Additive over rows.
Cost: one forward pass, N·(dK)² flops for H, (dK)³/3 to solve; d inputs of the layer and one for its bias, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from demix_core.types import Encoded, Task

DAMPING = 1e-2
"""λ, as a share of the mean diagonal of H."""

LARGEST = 2048
"""dK above which H keeps only its blocks of one output each."""

BLOCK = 4096


@dataclass(frozen=True)
class Head:
    """v as a matrix float64 [K, d]: how the mean validation loss answers to each row's gradient; rows: N."""

    network: nn.Module
    layer: nn.Linear
    task: Task
    v: np.ndarray
    rows: int

    def effect(self, data: Encoded) -> np.ndarray:
        """float64 [n]: v·g(z) per row; −effect/N is what adding the row once more does to the mean validation loss."""
        effects = []
        for inputs, outputs, y in _passes(self.network, self.layer, data):
            effects.append((_slope(outputs, y, self.task) * (inputs @ self.v.T)).sum(1))
        return np.concatenate(effects) if effects else np.zeros(0)

    def gain(self, before: Encoded, after: Encoded, weight: np.ndarray) -> np.ndarray:
        """float64 [n]: the fall of the mean validation loss when each row `before` becomes `after` with this weight.

        weight 0: the row is dropped. Values > 0 help.
        """
        return (weight * self.effect(after) - self.effect(before)) / self.rows


def head_of(network: nn.Module, train: Encoded, validation: Encoded, task: Task) -> Head | None:
    """The last layer's answer; None for a network whose output is not that of its last nn.Linear."""
    layer = _last_linear(network, train)
    if layer is None:
        return None
    total = np.zeros((layer.out_features, layer.in_features + 1))
    for inputs, outputs, y in _passes(network, layer, validation):
        total += _slope(outputs, y, task).T @ inputs
    gradient = total / max(len(validation.y), 1)
    curved = _curvature(network, layer, train, task)
    if curved.ndim == 2:
        v = np.linalg.solve(_damped(curved), gradient.ravel()).reshape(gradient.shape)
    else:
        v = np.stack([np.linalg.solve(_damped(c), g) for c, g in zip(curved, gradient, strict=True)])
    return Head(network, layer, task, v, len(train.y))


def _damped(h: np.ndarray) -> np.ndarray:
    return h + np.eye(len(h)) * (DAMPING * np.trace(h) / len(h) + 1e-8)


def _curvature(network: nn.Module, layer: nn.Linear, data: Encoded, task: Task) -> np.ndarray:
    """Gauss-Newton matrix of the mean training loss: [Kd, Kd], or its blocks [K, d, d] where that is too large."""
    k, d = layer.out_features, layer.in_features + 1
    whole = k * d <= LARGEST
    h = np.zeros((k * d, k * d) if whole else (k, d, d))
    for inputs, outputs, _ in _passes(network, layer, data):
        p = _softmax(outputs) if task is Task.CLASSIFICATION else None
        for a in range(k):
            for b in range(k) if whole else (a,):
                s = np.ones(len(inputs)) if p is None else p[:, a] * ((a == b) - p[:, b])
                part = (inputs * s[:, None]).T @ inputs
                if whole:
                    h[a * d : (a + 1) * d, b * d : (b + 1) * d] += part
                else:
                    h[a] += part
    return h / max(len(data.y), 1)


def _softmax(outputs: np.ndarray) -> np.ndarray:
    shifted = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def _slope(outputs: np.ndarray, y: np.ndarray, task: Task) -> np.ndarray:
    """Derivative of each row's loss by its outputs, float64 [n, K]."""
    if task is Task.REGRESSION:
        return outputs - y[:, None]
    slope = _softmax(outputs)
    slope[np.arange(len(y)), y] -= 1
    return slope


def _last_linear(network: nn.Module, data: Encoded) -> nn.Linear | None:
    """The last nn.Linear, if what it puts out is what the network puts out."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not layers or not len(data.y):
        return None
    some = Encoded(data.x[:2], data.y[:2])
    for inputs, outputs, _ in _passes(network, layers[-1], some):
        with torch.no_grad():
            own = functional.linear(torch.from_numpy(inputs[:, :-1]).float(), layers[-1].weight, layers[-1].bias)
        if own.shape != outputs.shape or not np.allclose(own.numpy(), outputs, atol=1e-4):
            return None
    return layers[-1]


def _passes(network: nn.Module, layer: nn.Linear, data: Encoded) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(the layer's inputs with a 1 for the bias [b, d], the network's outputs [b, K], y [b]) in blocks, float64."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    try:
        network.eval()
        for start in range(0, len(data.y), BLOCK):
            seen.clear()
            with torch.no_grad():
                outputs = network(torch.as_tensor(data.x[start : start + BLOCK], dtype=torch.float32))
            inputs = seen[-1].double().numpy()
            with_one = np.concatenate([inputs, np.ones((len(inputs), 1))], 1)
            yield with_one, outputs.double().numpy(), data.y[start : start + BLOCK]
    finally:
        hook.remove()
