"""The records that travel between stages, and the words of the field. Imports nothing of ours.

Letters used for shapes everywhere: N training rows, M validation rows, D encoded inputs,
K classes (1 for regression), C channels, E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from torch import nn  # only the word: the screen reads this module and never loads torch

Progress = Callable[[float, str], None]
"""progress(fraction in [0, 1] of the present stage, message); called at batch level."""

ShouldStop = Callable[[], bool]
"""Asked at batch level; when it answers True the stage raises errors.Cancelled."""


def no_progress(fraction: float, message: str) -> None:
    """The default Progress: says nothing."""


def never_stop() -> bool:
    """The default ShouldStop: goes on."""
    return False


class ErrorType(StrEnum):
    """What can be wrong with a row; a row may have several. The value is the boolean column's name."""

    LABEL = "label_error"
    FEATURE = "feature_error"
    SPURIOUS = "spurious"

    @property
    def probability_column(self) -> str:
        """Name of the probability column in diagnosis.parquet: p_label_error, p_feature_error, p_spurious."""
        return f"p_{self.value}"

    @property
    def short(self) -> str:
        """The word of the command line: label, feature, spurious."""
        return self.value.removesuffix("_error")


class ColumnKind(StrEnum):
    """What a column holds; IGNORE is an identifier or anything the person leaves out."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"
    IGNORE = "ignore"


class Task(StrEnum):
    """What the target asks for."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Action(StrEnum):
    """What a patch does."""

    RELABEL = "relabel"
    IMPUTE = "impute"
    DROP = "drop"
    REWEIGHT = "reweight"
    SWAP = "swap"


class DecisionKind(StrEnum):
    """Kinds of events in the decision log. Only ACCEPT, EDIT and REJECT stand for a suggested patch.

    CORRECT brings a patch of a person's own along and accepts it (see decisions.own_patches). The SECOND_ ones are a
    second reviewer's opinion in a blind review: kept beside the decision, never in its place.
    """

    ACCEPT = "accept"
    EDIT = "edit"
    REJECT = "reject"
    CORRECT = "correct"
    REVERT = "revert"
    NOTE = "note"
    SECOND_ACCEPT = "second_accept"
    SECOND_EDIT = "second_edit"
    SECOND_REJECT = "second_reject"

    @property
    def second(self) -> bool:
        """Whether it is a second opinion."""
        return self.value.startswith("second_")

    @property
    def verdict(self) -> DecisionKind:
        """ACCEPT, EDIT or REJECT, whoever said it; REVERT and NOTE are themselves."""
        if self is DecisionKind.CORRECT:
            return DecisionKind.ACCEPT
        return DecisionKind(self.value.removeprefix("second_"))


@dataclass(frozen=True)
class Notation:
    """How a column of texts writes numbers: the signs before and after one, with the space between, and the marks.

    thousands: may set them apart; grouped: and does, when a number is written; decimal: the decimal mark; brackets:
    whether negative numbers stand in them, as accountants write.
    """

    before: str = ""
    after: str = ""
    thousands: str = ","
    decimal: str = "."
    grouped: bool = False
    brackets: bool = False


@dataclass(frozen=True)
class Column:
    """One column of the person's table. notation: how its numbers are written in the file; None: as plain ones."""

    name: str
    kind: ColumnKind
    notation: Notation | None = None


@dataclass(frozen=True)
class Schema:
    """Columns in file order (target included), the target's name, the task, and the classes in a fixed order.

    classes: the label strings, index = class id; empty for regression.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns a model may look at: neither the target nor ignored."""
        return tuple(c for c in self.columns if c.name != self.target and c.kind is not ColumnKind.IGNORE)

    def kind(self, name: str) -> ColumnKind:
        """The kind of one column; KeyError when there is none of that name."""
        return next(c.kind for c in self.columns if c.name == name)


@dataclass(frozen=True)
class Encoded:
    """A table as a model sees it. x: float32 [N, D]; y: int64 [N] class ids, or float32 [N] standardised target."""

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...] = ()
    """columns: for each of the D inputs the name of the source column."""


@dataclass(frozen=True)
class Dataset:
    """What the load stage hands on. frame holds the cells as they stand in the file (str for text formats), but for
    numbers in a notation of their own, which are plain ones here.

    frame index = row id = 0-based position in the file. train / validation / test are positions into their frames:
    validation comes from the same frame (split) or from its own file (validation_frame).
    """

    frame: pd.DataFrame
    schema: Schema
    train_ids: np.ndarray
    validation_ids: np.ndarray
    validation_frame: pd.DataFrame
    test_frame: pd.DataFrame | None
    source_hash: str

    @property
    def train(self) -> pd.DataFrame:
        """The training rows, indexed by row id."""
        return self.frame.loc[self.train_ids]

    @property
    def validation(self) -> pd.DataFrame:
        """The validation rows, indexed by their position in the file they come from."""
        return self.validation_frame.loc[self.validation_ids]


@dataclass(frozen=True)
class FittedModel:
    """A trained task model with what it remembers of its training.

    network: torch module (eval mode); architecture: registered name; losses: float32 [E, N] each row's loss in the
    forward pass of each epoch (the dynamics, in the order of Dataset.train_ids; NaN where weights were loaded
    instead of trained); epoch: the epoch whose weights were kept; validation_loss: mean over the validation rows.
    halfway: the weights amid each epoch, tensors [E, …] in the order of the network's state (empty where loaded): what
    rows that it never saw would have lost at that time.
    """

    network: nn.Module
    architecture: str
    losses: np.ndarray
    epoch: int
    validation_loss: float
    halfway: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Patch:
    """One suggested change. column is None for drop and reweight; old and new are the cell texts as in the file.
    A swap also writes old into its partner, the other column; new is what stood there.

    gain: expected fall of the mean validation loss when it is accepted, NaN where unknown; recommended: sure enough to
    be accepted unseen; alternatives: (text, probability or NaN), likeliest first; pattern: the shared mistake it mends.
    """

    patch_id: int
    row_id: int
    error_type: ErrorType
    action: Action
    column: str | None
    old: str
    new: str
    confidence: float
    reason: str
    gain: float = math.nan
    recommended: bool = False
    alternatives: tuple[tuple[str, float], ...] = ()
    pattern: str = ""
    partner: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the decision log. patch_ids: the patches it speaks of; reverts: the seq it takes back, or None.

    value: for EDIT the new cell text, or the word given by DROP_VALUE to drop the row; for CORRECT the patch as JSON.
    """

    seq: int
    time: str
    reviewer: str
    kind: DecisionKind
    patch_ids: tuple[int, ...]
    value: str | None = None
    reason: str = ""
    query: str = ""
    reverts: int | None = None


DROP_VALUE = "\x00drop"
"""The value of an EDIT that drops the row instead of changing the cell."""


@dataclass(frozen=True)
class StageState:
    """One stage in the manifest: key is the hash of what it depends on."""

    name: str
    key: str
    seconds: float
    peak_mb: float
    outputs: tuple[str, ...] = field(default_factory=tuple)
