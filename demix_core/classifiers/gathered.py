"""Examples of many tables side by side, as arrays: what training and calibration read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from demix_core.classifiers.corpus import Example, load_example
from demix_core.classifiers.features import CHANNEL_GROUPS
from demix_core.classifiers.network import Rows, Shape


@dataclass(frozen=True)
class Corpus:
    """All rows of some tables, arrays as in Example with R = all rows; context [2, tables, 2·F′]; table int64 [R]."""

    features: np.ndarray
    context: np.ndarray
    tokens: np.ndarray
    models: np.ndarray
    cells: np.ndarray
    present: np.ndarray
    wrong: np.ndarray
    truth: np.ndarray
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, view: int, at: np.ndarray, tokens: np.ndarray | slice) -> Rows:
        """Some rows under one of the two environments, looked at through some of the tokens."""
        return Rows(
            features=torch.from_numpy(self.features[view, at]),
            context=torch.from_numpy(self.context[view, self.table[at]]),
            tokens=torch.from_numpy(self.tokens[view, at][:, tokens].astype(np.float32)),
            cells=torch.from_numpy(self.cells[at].astype(np.float32)),
            present=torch.from_numpy(self.present[at]),
        )


def make_shape(example: Example, without: tuple[str, ...]) -> Shape:
    """All features, context and channels but those of the groups left out."""

    def left(names: tuple[str, ...], groups: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(n for n, g in zip(names, groups, strict=True) if g not in without)

    channels = tuple(i for i, g in enumerate(CHANNEL_GROUPS) if g not in without)
    tokens_left = any(CHANNEL_GROUPS[i] != "side" for i in channels)
    return Shape(
        features=left(example.names, example.groups),
        context=() if "context" in without else left(example.context_names, example.context_groups),
        channels=channels if tokens_left else (),
        cells="cells" not in without,
    )


def gather(paths: Sequence[Path], shape: Shape) -> Corpus:
    """Tables side by side, only what the shape reads."""
    parts: dict[str, list[np.ndarray]] = {f.name: [] for f in fields(Corpus)}
    for place, path in enumerate(paths):
        example = load_example(path)
        features = [example.names.index(n) for n in shape.features]
        around = [example.context_names.index(n) for n in shape.context]
        rows = len(example.truth)
        values = {
            "features": example.features[:, :, features], "context": example.context[:, None, around],
            "tokens": example.tokens, "models": np.repeat(example.models[:, None], rows, 1), "cells": example.cells,
            "present": example.present, "wrong": example.wrong, "truth": example.truth.astype(np.float32),
            "table": np.full(rows, place),
        }  # fmt: skip
        for name, value in values.items():
            parts[name].append(value)
    per_view = ("features", "context", "tokens", "models")
    made: dict[str, np.ndarray] = {}
    for name in list(parts):  # one at a time, so that never all of it is there twice
        made[name] = np.concatenate(parts.pop(name), int(name in per_view))
    return Corpus(**made)
