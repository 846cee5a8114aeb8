"""The one training loop, and the way weights travel to and from disk.

Everything random comes from the seed; with the same number of threads two fits give the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from demix_core.errors import Cancelled, InputError, RunError, StorageError
from demix_core.models.base import build, origin, row_loss, target_tensor
from demix_core.settings import FitSettings
from demix_core.types import Encoded, FittedModel, Progress, ShouldStop, Task, never_stop, no_progress

RARE_SHARE = 0.05
"""Below this share of the rarest class the training loss is weighted; above it probabilities stay unbiased."""

STEPS_AT_LEAST, SMALLEST_BATCH = 20, 32
"""Small tables take smaller batches: an epoch of two steps would teach nothing before patience runs out."""

_PREDICT_ROWS = 16384  # rows per forward pass without gradients: 16 MB of the widest activation of mlp1


def fit(
    train: Encoded,
    validation: Encoded,
    task: Task,
    n_outputs: int,
    settings: FitSettings,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    weights: np.ndarray | None = None,
    criterion: Callable[[np.ndarray], float] | None = None,
    teacher: np.ndarray | None = None,
) -> FittedModel:
    """Train the model named in the settings with AdamW; keep the weights of the epoch of least validation loss.

    n_outputs: K classes, 1 for regression. Stops early after `settings.patience` epochs without a better mean
    validation loss. When the rarest class holds less than RARE_SHARE of the rows, the training loss (and nothing
    else: neither the recorded losses, nor the validation loss, nor influence) weighs classes by 1/sqrt(share).
    criterion: what is least in the kept epoch, of the predictions on the validation rows (see `predict`); None: loss.
    weights: float [N] of the rows, on top of that; None: all alike.
    teacher: float32 [N, K] (regression: [N, 1], standardised), what another model predicts for the rows: the network
    learns that instead of the labels, so that it stands in for the other model; rows with NaN keep their label.
    The result's losses are each row's unweighted loss in the training forward pass of each epoch.

    InputError: no rows, an unknown model, settings out of range, or training that diverges. Cancelled: asked to stop.
    """
    _check(train, validation, settings)
    run = _Run(train, validation, task, n_outputs, settings, seed, weights, teacher)
    best, best_state, best_epoch, history = math.inf, run.state(), 0, []
    for epoch in range(settings.epochs):
        history.append(run.epoch(epoch, progress, should_stop))
        loss = run.validation_loss() if criterion is None else criterion(predict(run.network, validation.x, task))
        if not (math.isfinite(loss) and np.isfinite(history[-1]).all()):
            raise InputError(
                f"Training '{settings.model}' diverged in epoch {epoch + 1} (the loss is no longer a number); "
                f"lower the learning rate (now {settings.learning_rate:g})."
            )
        if loss < best:
            best, best_state, best_epoch = loss, run.state(), epoch
        progress((epoch + 1) / settings.epochs, f"Epoch {epoch + 1}: validation loss {loss:.4f}")
        if epoch - best_epoch >= settings.patience:
            break
    run.network.load_state_dict(best_state)
    progress(1.0, f"Kept epoch {best_epoch + 1}: validation loss {best:.4f}")
    halfway = tuple(np.stack(weights) for weights in zip(*run.halfway, strict=True))
    return FittedModel(run.network.eval(), settings.model, np.stack(history), best_epoch, best, halfway)


def _check(train: Encoded, validation: Encoded, settings: FitSettings) -> None:
    for part, data in (("training", train), ("validation", validation)):
        if len(data.y) == 0:
            raise InputError(f"There are no {part} rows to fit the model on; give a larger table or another split.")
        if not np.isfinite(data.x).all():
            raise InputError(f"The encoded {part} rows hold values that are not numbers (NaN or infinite).")
    for name, value in (("epochs", settings.epochs), ("batch size", settings.batch_size)):
        if value < 1:
            raise InputError(f"The {name} must be at least 1, not {value}.")
    if not settings.learning_rate > 0:
        raise InputError(f"The learning rate must be above 0, not {settings.learning_rate:g}.")


class _Run:
    """The tensors and the optimiser of one fit."""

    def __init__(
        self, train: Encoded, validation: Encoded, task: Task, n_outputs: int, settings: FitSettings, seed: int,
        weights: np.ndarray | None, teacher: np.ndarray | None,
    ) -> None:  # fmt: skip
        self.settings, self.task = settings, task
        self.batch = min(settings.batch_size, max(SMALLEST_BATCH, len(train.y) // STEPS_AT_LEAST))
        self.network = build(settings.model, train.x.shape[1], n_outputs, seed)
        self.x = torch.as_tensor(train.x, dtype=torch.float32)
        self.y = target_tensor(train.y, self.x, task)
        self.taught = self.y if teacher is None else _taught(teacher, self.y, task)
        self.validation = validation
        by_class = _class_weights(self.y, n_outputs) if task is Task.CLASSIFICATION else None
        self.weights = None if by_class is None else by_class[self.y]
        if weights is not None:
            own = torch.as_tensor(weights, dtype=torch.float32)
            self.weights = own if self.weights is None else own * self.weights
        self.generator = torch.Generator().manual_seed(seed)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=settings.learning_rate, fused=True)
        self.halfway: list[list[np.ndarray]] = []

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the present weights."""
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def epoch(self, epoch: int, progress: Progress, should_stop: ShouldStop) -> np.ndarray:
        """One pass over the rows in a fresh order. Returns each row's loss when it was visited, float32 [N]."""
        self.network.train()
        n, size = len(self.y), self.batch
        order = torch.randperm(n, generator=self.generator)
        x, y, taught = (tensor.index_select(0, order) for tensor in (self.x, self.y, self.taught))
        weights = None if self.weights is None else self.weights[order]
        visited = torch.empty(n)
        for start in range(0, n, size):
            if should_stop():
                raise Cancelled("Training was cancelled.")
            batch = slice(start, start + size)
            if start <= n // 2 < start + size:
                self.halfway.append([tensor.half().numpy() for tensor in self.network.state_dict().values()])
            visited[batch] = self._step(x[batch], y[batch], taught[batch], None if weights is None else weights[batch])
            done = (epoch + min(start + size, n) / n) / self.settings.epochs
            progress(done, f"Epoch {epoch + 1} of at most {self.settings.epochs}")
        losses = torch.empty(n)
        losses[order] = visited
        return losses.numpy()

    def _step(
        self, x: torch.Tensor, y: torch.Tensor, taught: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        """One step of AdamW on these rows; returns the unweighted losses [B] of their labels before the step."""
        outputs = self.network(x)
        losses = row_loss(outputs, taught, self.task)
        mean = losses.mean() if weights is None else (weights * losses).sum() / weights.sum()
        self.optimiser.zero_grad()
        mean.backward()
        self.optimiser.step()
        return losses.detach() if taught.shape == y.shape else row_loss(outputs.detach(), y, self.task)

    def validation_loss(self) -> float:
        """The mean unweighted loss over the validation rows."""
        return float(row_losses(self.network, self.validation, self.task).mean(dtype=np.float64))


def _taught(teacher: np.ndarray, y: torch.Tensor, task: Task) -> torch.Tensor:
    """What the network learns of each row: the teacher's answer, or the label where there is none."""
    answers = torch.as_tensor(teacher, dtype=torch.float32)
    labels = functional.one_hot(y, answers.shape[1]).float() if task is Task.CLASSIFICATION else y[:, None]
    return torch.where(answers.isnan(), labels, answers)


def _class_weights(y: torch.Tensor, n_classes: int) -> torch.Tensor | None:
    """1/sqrt(share) per class with mean 1 over the rows, float32 [K]; None when no class is rare."""
    shares = torch.bincount(y, minlength=n_classes).double() / len(y)
    if shares[shares > 0].min() >= RARE_SHARE:
        return None
    weights = torch.where(shares > 0, shares, 1.0).rsqrt()
    return (weights / (weights * shares).sum()).float()


def losses_on_the_way(model: FittedModel, data: Encoded, task: Task) -> np.ndarray:
    """float32 [E, n]: each row's loss amid each epoch, as if it had been visited then without being learned from.

    float32 [0, n] for loaded weights. The weights amid epochs are kept in half precision.
    """
    made = origin(model.network)
    if made is None or not model.halfway:
        return np.empty((0, len(data.y)), np.float32)
    network = build(made.architecture, made.n_inputs, made.n_outputs)
    names, losses = list(network.state_dict()), []
    for weights in zip(*model.halfway, strict=True):
        network.load_state_dict(
            {n: torch.from_numpy(w.astype(np.float32)) for n, w in zip(names, weights, strict=True)}
        )
        losses.append(row_losses(network, data, task))
    return np.stack(losses)


def predict(network: nn.Module, x: np.ndarray, task: Task) -> np.ndarray:
    """Class probabilities float32 [N, K], or the standardised prediction [N, 1]; x: float32 [N, D]."""
    outputs = _outputs(network, x)
    return (outputs.softmax(1) if task is Task.CLASSIFICATION else outputs).float().cpu().numpy()


def row_losses(network: nn.Module, data: Encoded, task: Task) -> np.ndarray:
    """The unweighted loss of each row under the network as it is, float32 [N]."""
    outputs = _outputs(network, data.x)
    return row_loss(outputs, target_tensor(data.y, outputs, task), task).float().cpu().numpy()


@torch.no_grad()
def _outputs(network: nn.Module, x: np.ndarray) -> torch.Tensor:
    network.eval()
    like = next(network.parameters())
    rows = torch.as_tensor(x)
    parts = [network(part.to(like.device, like.dtype)) for part in rows.split(_PREDICT_ROWS)]
    return torch.cat(parts)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network made by `build` (or `fit`, `load_weights`) as safetensors, with how to build it again.

    InputError: a network of unknown making. StorageError: the file can't be written.
    """
    made = origin(network)
    if made is None:
        raise InputError("Only weights of a registered model can be saved; this network was made elsewhere.")
    metadata = {"architecture": made.architecture, "D": str(made.n_inputs), "K": str(made.n_outputs)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        Path(path).write_bytes(save(tensors, metadata))
    except OSError as error:
        raise StorageError(f"The weights can't be written to {path} ({error.strerror}).") from error


def save_halfway(model: FittedModel, path: Path) -> None:
    """Write the weights amid each epoch as .npz."""
    with Path(path).open("wb") as file:
        np.savez(file, *model.halfway)


def load_halfway(path: Path) -> tuple[np.ndarray, ...]:
    """The inverse of save_halfway. RunError: missing or damaged."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return tuple(arrays[f"arr_{i}"] for i in range(len(arrays.files)))
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise RunError(f"'{Path(path).name}' is missing or damaged; diagnose the table again.") from error


def load_weights(name: str, n_inputs: int, n_outputs: int, path: Path) -> FittedModel:
    """The person's own weights in a registered architecture with D = n_inputs and K = n_outputs.

    Losses are float32 [0, 0], for loaded weights have no history; epoch 0, validation_loss NaN.
    InputError: not a safetensors file, another architecture or shape, or values that are not numbers.
    """
    tensors, metadata = _read(Path(path))
    network = build(name, n_inputs, n_outputs)
    _match(network, tensors, metadata, _Wanted(name, n_inputs, n_outputs, Path(path).name))
    network.load_state_dict(tensors)
    return FittedModel(network, name, np.empty((0, 0), dtype=np.float32), 0, math.nan)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except OSError as error:
        raise InputError(f"The weights file {path.name} can't be read ({error.strerror or error}).") from error
    except SafetensorError as error:
        raise InputError(f"{path.name} is not a safetensors file; save the weights with safetensors.") from error


@dataclass(frozen=True)
class _Wanted:
    name: str
    n_inputs: int
    n_outputs: int
    file: str

    def __str__(self) -> str:
        return f"a '{self.name}' for {self.n_inputs} inputs and {self.n_outputs} outputs"


def _match(network: nn.Module, tensors: dict[str, torch.Tensor], metadata: dict[str, str], wanted: _Wanted) -> None:
    """InputError in one sentence unless the tensors are exactly the network's own, all finite."""
    made = metadata.get("architecture", wanted.name)
    if made != wanted.name:
        raise InputError(f"The weights in {wanted.file} belong to a '{made}', not to {wanted}.")
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    for key in sorted(expected.keys() | given.keys()):
        if expected.get(key) != given.get(key):
            raise InputError(
                f"The weights in {wanted.file} do not fit {wanted}: '{key}' should be "
                f"{_shape(expected.get(key))} and is {_shape(given.get(key))}; check the model and the columns."
            )
    broken = next((key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if broken is not None:
        raise InputError(f"The weights in {wanted.file} hold NaN or infinite values (in '{broken}'); train them anew.")


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape)) or "a single number"
