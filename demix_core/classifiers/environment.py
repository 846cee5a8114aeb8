"""One environment e = (validation subset S, task model m): the tokens and statistics of training rows under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from demix_core.classifiers.features import Features, ValidationView, set_statistics, stack, tokens, view_validation
from demix_core.influence.vectors import Factors, factorise, stream
from demix_core.models.training import row_losses
from demix_core.settings import InfluenceSettings
from demix_core.types import Encoded, FittedModel, Progress, ShouldStop, Task, never_stop, no_progress

SET_SIZE = 256
"""Validation rows an environment looks at; more do not help the DEC (DESIGN §3)."""

BLOCK = 2048


@dataclass(frozen=True)
class Environment:
    """A fitted task model and the validation rows it is looked at through; rows: int64, which of them these are."""

    fitted: FittedModel
    task: Task
    factors: Factors
    view: ValidationView
    rows: np.ndarray

    def blocks(
        self, rows: Encoded, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
    ) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """(rows of the block, tokens [B, M, C], gradient norms [B]) for all rows, streamed."""
        settings = InfluenceSettings(block=BLOCK)
        for b in stream(self.fitted.network, rows, self.task, self.factors, settings, progress, should_stop):
            part = slice(b.start, b.stop)
            x, y = torch.from_numpy(rows.x[part]), torch.from_numpy(rows.y[part])
            phi, last, first = (torch.from_numpy(a) for a in (b.phi, b.last, b.first))
            yield part, tokens(x, y, phi, last, first, self.view), torch.from_numpy(b.norm)

    def narrow(self, count: int) -> Environment:
        """The same, looked at through the first `count` validation rows only."""
        view = replace(self.view, x=self.view.x[:count], y=self.view.y[:count], loss=self.view.loss[:count])
        return replace(self, factors=self.factors[slice(count)], view=view)

    def statistics(
        self, rows: Encoded, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
    ) -> Features:
        """Set statistics of all rows."""
        return stack(set_statistics(token, norm) for _, token, norm in self.blocks(rows, progress, should_stop))


def subset(data: Encoded, rows: np.ndarray) -> Encoded:
    """Some rows of an encoded table."""
    return Encoded(data.x[rows], data.y[rows], data.columns)


def make_environment(fitted: FittedModel, validation: Encoded, task: Task, rng: np.random.Generator) -> Environment:
    """Look through at most SET_SIZE validation rows, drawn at random."""
    return look_through(fitted, validation, rng.permutation(len(validation.y))[:SET_SIZE], task)


def look_through(fitted: FittedModel, validation: Encoded, rows: np.ndarray, task: Task) -> Environment:
    """Look through these validation rows, in this order."""
    chosen = subset(validation, rows)
    factors = factorise(fitted.network, chosen.x, chosen.y, task)
    spread = float(np.std(validation.y)) or 1.0
    return Environment(
        fitted, task, factors, view_validation(chosen, row_losses(fitted.network, chosen, task), task, spread), rows
    )
