"""`train-dec`: draw a corpus, learn the DEC on it, calibrate it on tables kept out, write checkpoint and card.

Four stages make the shipped one: many synthetic tables from scratch, then (`refine`) tasks from public tables, then
(`twin_of`) the trees beside the network, grown on the same tasks; then (`calibrate`) what a table itself says of how
many errors it has, on tasks from tables that the stages before kept out.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from demix_core.classifiers import public_tables
from demix_core.classifiers.corpus import (
    ARCHITECTURES,
    LARGEST,
    REGRESSION_SHARE,
    ROWS_KEPT,
    SMALLEST,
    SYNTHETIC,
    Example,
    build_corpus,
    load_example,
    origin_of,
)
from demix_core.classifiers.cutoff import learn_cutoff, look_of, reached
from demix_core.classifiers.features import CHANNEL_GROUPS
from demix_core.classifiers.forest import TREES, grow
from demix_core.classifiers.network import CUT, Dec, Rows, Shape, load_checkpoint, save_checkpoint
from demix_core.classifiers.objective import cell_bce, centroid_spread, focal_bce, info_nce
from demix_core.classifiers.thresholds import USUAL_SHARE, expected_f1_threshold, own_shift, shifted
from demix_core.errors import InputError
from demix_core.types import ErrorType, Progress, no_progress

SUBSET = (0.5, 1.0)
"""do(S := S′): the share of the tokens kept, drawn anew for each view of each batch."""

SAMPLE = 40_000
"""Rows that the standardisation is measured on."""

RATE, REFINING_RATE = 2e-3, 6e-4

TREE_ROWS = 250_000
"""Rows that trees are grown on: of each table as many, half of them under either environment."""

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of a table's own word, that are tried."""

HEARD = (ErrorType.LABEL,)
"""The types whose likeliest share is heard. Not cells, of which many that are hard to tell look like few: cutoff.py."""

CELL_WEIGHT = 0.3
"""Weight of the cell loss (which cell is wrong) beside the three losses of the paper."""


@dataclass(frozen=True)
class TrainSettings:
    """Choices of one training. without: groups left out ('influence', 'similarity', 'side', 'cells', 'context'), or
    'network': its logits, so that the twin judges alone.

    refine: the checkpoint to go on from, on public tables instead of synthetic ones, as it reads them; twin_of: the
    checkpoint whose network is kept as it is and given a twin (forest.py) that learns from the same tables; unseen: a
    corruption protocol whose examples are left out by both; calibrate: the checkpoint that only learns what a table's
    own word is; learning_rate: None for RATE, or REFINING_RATE.
    """

    tables: int = 500
    seed: int = 1
    epochs: int = 4
    batch: int = 512
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    lambda_contrast: float = 0.1
    lambda_centroid: float = 0.1
    held_out: float = 0.1
    workers: int = 2
    without: tuple[str, ...] = ()
    refine: str = ""
    twin_of: str = ""
    unseen: str = ""
    calibrate: str = ""
    trees: int = TREES

    @property
    def start(self) -> str:
        """The checkpoint that there is already; "" for none."""
        return self.refine or self.twin_of

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or (REFINING_RATE if self.refine else RATE)


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


def train_dec(folder: Path, out: Path, settings: TrainSettings, progress: Progress = no_progress) -> dict[str, Any]:
    """The whole command. folder keeps the corpus (reused if present); out: the .safetensors; returns the card."""
    _check(settings)
    if settings.calibrate:
        return calibrate_again(folder, out, settings, progress)
    source = public_tables.SOURCE if settings.start else SYNTHETIC
    paths = build_corpus(
        folder, range(settings.tables), settings.seed, settings.workers, lambda f, m: progress(0.5 * f, m), source
    )
    fit, kept = split(paths, settings)
    start = load_checkpoint(Path(settings.start)) if settings.start else None
    shape = start.shape if start else make_shape(load_example(paths[0]), settings.without)
    learned, held = gather(fit, shape), gather(kept, shape)
    if start and settings.twin_of:
        network = start
        grow_twin(network, learned, settings, lambda f, m: progress(0.5 + 0.5 * f, m))
        if "network" in settings.without:
            silence(network)
    else:
        network = learn(shape, learned, settings, lambda f, m: progress(0.5 + 0.5 * f, m), start)
    calibrate(network, held)
    measure_trust(network, held, probabilities(network, held))
    save_checkpoint(network, out)
    card = make_card(network, held, settings, len(kept))
    card["sha256"] = hashlib.sha256(out.read_bytes()).hexdigest()
    out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def calibrate_again(
    folder: Path, out: Path, settings: TrainSettings, progress: Progress = no_progress
) -> dict[str, Any]:
    """The last stage: what the checkpoint believes is kept, but for the table's own word; the card learns of it."""
    network, card = load_checkpoint(Path(settings.calibrate)), Path(settings.calibrate).with_suffix(".json")
    source = public_tables.HELD
    paths = build_corpus(folder, range(settings.tables), settings.seed, settings.workers, progress, source)
    tables = gather(paths, network.shape)
    network.ignore_table()
    learn_own_share(network, tables)
    plain = [calibrated(network, tables, view) for view in (0, 1)]
    measure_trust(network, tables, unheard(network, tables, plain, folds_of(paths)))
    hear_cells(network, tables, plain)
    save_checkpoint(network, out)
    said: dict[str, Any] = json.loads(card.read_text(encoding="utf-8")) if card.exists() else {}
    said["calibrated"] = {
        "command": command_of(settings),
        "data": f"{len(paths)} tasks from public tables kept out of training, each error type in "
        f"{public_tables.HELD_SHARES[0]:.1%} to {public_tables.HELD_SHARES[1]:.0%} of the rows, log-uniform",
        "weights": {kind.value: round(float(network.share[k, 1]), 2) for k, kind in enumerate(ErrorType)},
        "cutoff": f"{network.shape.cutoff} trees say how many rows with wrong cells are flagged",
    }
    said["sha256"] = hashlib.sha256(out.read_bytes()).hexdigest()
    out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return said


def _check(settings: TrainSettings) -> None:
    """InputError for choices that exclude each other."""
    if settings.calibrate and settings.start:
        raise InputError("Train a checkpoint first, then calibrate it: give --calibrate without --refine or --twin-of.")
    if settings.refine and settings.twin_of:
        raise InputError("Refine a network first, then grow its twin: give --refine or --twin-of, not both.")
    if settings.twin_of and set(settings.without) - {"network"}:
        raise InputError("A twin reads what its network reads: with --twin-of only 'network' can be left out.")
    if "network" in settings.without and not settings.twin_of:
        raise InputError("Without a network there is no judge but its twin: '--without network' needs --twin-of.")


def split(paths: Sequence[Path], settings: TrainSettings) -> tuple[list[Path], list[Path]]:
    """(to learn from, to calibrate on). No public table is on both sides, whatever the tasks drawn from it."""
    if not settings.start:
        kept = round(len(paths) * (1 - settings.held_out))
        return list(paths[:kept]), list(paths[kept:])
    origins = {path: origin_of(path) for path in paths}
    seen = [path for path in paths if not settings.unseen or not origins[path].endswith(f", {settings.unseen}")]
    held = [path for path in seen if public_tables.is_held_out(origins[path])]
    return [path for path in seen if path not in held], held


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


def learn(
    shape: Shape,
    corpus: Corpus,
    settings: TrainSettings,
    progress: Progress = no_progress,
    start: Dec | None = None,
) -> Dec:
    """Minimise the objective over rows of all tables; each row is seen under both environments at once.

    start: goes on from it (and changes it), with its standardisation and without its twin.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = start or Dec(shape)
    network.drop_twin()
    if start is None:
        _standardise(network, corpus)
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.weight_decay, fused=True)
    batches = max(1, len(corpus) // settings.batch)
    steps = settings.epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps, pct_start=0.1)
    network.train()
    for step in range(steps):
        if step % batches == 0:
            order = rng.permutation(len(corpus))
        at = np.sort(order[(step % batches) * settings.batch :][: settings.batch])
        loss = _loss(network, corpus, at, settings, rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            progress(step / steps, f"Epoch {step // batches + 1} of {settings.epochs}: loss {loss.item():.3f}")
    return network.eval()


@torch.no_grad()
def silence(network: Dec) -> None:
    """Its heads say nothing, so that the twin judges alone."""
    network.heads.weight.zero_()
    network.heads.bias.zero_()


def grow_twin(network: Dec, corpus: Corpus, settings: TrainSettings, progress: Progress = no_progress) -> None:
    """Grow the network's trees on a sample of the rows."""
    every = max(1, len(corpus) // TREE_ROWS)
    chosen = np.arange(0, len(corpus), every)
    views = [corpus.rows(view, chosen[view::2], slice(1)) for view in (0, 1)]  # trees read no tokens
    x = torch.cat([network.describe(rows) for rows in views]).numpy()
    truth = corpus.truth[np.concatenate([chosen[0::2], chosen[1::2]])]
    progress(0.0, f"Growing {len(ErrorType)} × {settings.trees} trees on {len(x):,} rows")
    network.add_twin(grow(x, truth, settings.trees, settings.seed))


def _standardise(network: Dec, corpus: Corpus) -> None:
    """Means and deviations of every input between its 1 % and 99 % points, from a sample."""
    every = max(1, len(corpus) // SAMPLE)
    channels = list(network.shape.channels)
    samples = {
        "feature": corpus.features[:, ::every].reshape(-1, corpus.features.shape[2]),
        "context": corpus.context.reshape(-1, corpus.context.shape[2]),
        "cell": corpus.cells[::every][corpus.present[::every]].astype(np.float32),
    }
    if channels:
        samples["token"] = corpus.tokens[:, ::every, :8][..., channels].astype(np.float32).reshape(-1, len(channels))
    for name, values in samples.items():
        if values.shape[1]:
            calm = np.clip(values, *np.quantile(values, [0.01, 0.99], axis=0))
            getattr(network, f"{name}_mean").copy_(torch.from_numpy(calm.mean(0)))
            getattr(network, f"{name}_sd").copy_(torch.from_numpy(calm.std(0) + 1e-3))


def _loss(
    network: Dec, corpus: Corpus, at: np.ndarray, settings: TrainSettings, rng: np.random.Generator
) -> torch.Tensor:
    """The objective on one batch: focal BCE on both views, InfoNCE between them, centroid spread over models."""
    truth = torch.from_numpy(corpus.truth[at])
    views = [_view(network, corpus, view, at, rng) for view in (0, 1)]
    loss = torch.stack([focal_bce(network.heads(z), truth) for z, _ in views]).mean()
    if network.shape.cells:
        wrong, present = torch.from_numpy(corpus.wrong[at]), torch.from_numpy(corpus.present[at])
        loss = loss + CELL_WEIGHT * torch.stack([cell_bce(w, wrong, present) for _, w in views]).mean()
    a, b = (network.project(z) for z, _ in views)
    loss = loss + settings.lambda_contrast * info_nce(a, b)
    models = torch.from_numpy(corpus.models[:, at].reshape(-1))
    both, twice = torch.cat([a, b]), torch.cat([truth, truth])
    return loss + settings.lambda_centroid * centroid_spread(both, twice, models, len(ARCHITECTURES))


def _view(
    network: Dec, corpus: Corpus, view: int, at: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One view under a validation subset drawn anew, do(S := S′)."""
    count = int(network.shape.tokens * rng.uniform(*SUBSET))
    chosen = rng.permutation(corpus.tokens.shape[2])[:count]
    return network.embed(corpus.rows(view, at, chosen))


def raw_logits(network: Dec, corpus: Corpus, view: int = 0) -> np.ndarray:
    """float32 [R, 3] before calibration."""
    own, twin = _halves(network, corpus, view)
    return own if network.forest is None else own + network.forest.weight.numpy() * twin


@torch.no_grad()
def _halves(network: Dec, corpus: Corpus, view: int) -> tuple[np.ndarray, np.ndarray]:
    """(the network's logits, its twin's or zeros), float32 [R, 3] each."""
    own, twin = [], []
    for at in np.array_split(np.arange(len(corpus)), max(1, len(corpus) // 2048)):
        rows = corpus.rows(view, at, slice(network.shape.tokens))
        own.append(network.heads(network.embed(rows)[0]))
        twin.append(torch.zeros_like(own[-1]) if network.forest is None else network.forest(network.describe(rows)))
    return torch.cat(own).numpy(), torch.cat(twin).numpy()


def calibrate(network: Dec, held: Corpus) -> None:
    """Platt scaling per type on tables that training never saw; network and twin alone first, then their mean."""
    network.share[:, 1] = 0.0  # until learn_own_share
    network.ignore_table()
    views = [_halves(network, held, view) for view in (0, 1)]
    own, twin = (np.concatenate(of) for of in zip(*views, strict=True))
    logits = own
    if network.forest is not None:
        if own.any():  # else it was silenced
            slopes = [[_platt(of, held, k)[0] for k in range(len(ErrorType))] for of in (own, twin)]
            network.forest.weight[:] = torch.tensor(slopes[1]) / torch.tensor(slopes[0])
        logits = own + network.forest.weight.numpy() * twin
    for k in range(len(ErrorType)):
        network.calibration[k] = torch.tensor(_platt(logits, held, k))


def _platt(logits: np.ndarray, held: Corpus, k: int) -> tuple[float, float]:
    """(slope, shift) that make sigmoids of type k's logits [2·R, 3] probabilities."""
    line = LogisticRegression(C=1e6).fit(logits[:, k : k + 1], np.tile(held.truth[:, k], 2))
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def calibrated(network: Dec, corpus: Corpus, view: int = 0) -> np.ndarray:
    """float64 [R, 3]: what each row alone says, before its table has its word."""
    scale, shift = network.calibration[:, 0].numpy(), network.calibration[:, 1].numpy()
    return np.asarray(1 / (1 + np.exp(-(raw_logits(network, corpus, view) * scale + shift).astype(np.float64))))


def heard(network: Dec, p: np.ndarray, corpus: Corpus) -> np.ndarray:
    """float64 [R, 3]: p [R, 3] moved by each table's own word."""
    moved = np.empty_like(p)
    for t in np.unique(corpus.table):
        here = corpus.table == t
        moved[here] = shifted(p[here], network.own_shifts(p[here]))
    return moved


def probabilities(network: Dec, corpus: Corpus, view: int = 0) -> np.ndarray:
    """float64 [R, 3] as a diagnosis gives them (spelling has no say)."""
    return heard(network, calibrated(network, corpus, view), corpus)


def learn_own_share(network: Dec, tables: Corpus) -> None:
    """Of WEIGHTS, for HEARD types, the one of the largest mean F1 over tables, at a diagnosis' threshold; else 0."""
    network.share[:] = torch.tensor([USUAL_SHARE, 0.0])
    p = probabilities(network, tables)
    for k in [list(ErrorType).index(kind) for kind in HEARD]:
        reached = [_mean_f1(p[:, k], tables, k, weight) for weight in WEIGHTS]
        network.share[k, 1] = WEIGHTS[int(np.argmax(reached))]


def hear_cells(network: Dec, tables: Corpus, plain: Sequence[np.ndarray], of: np.ndarray | None = None) -> None:
    """Learn how many rows with wrong cells to flag, from tables that have some.

    plain: of calibrated, per environment; of: the numbers of the tables to learn from, None for all.
    """
    looks, curves = [], []
    for t in np.unique(tables.table) if of is None else of:
        here = tables.table == t
        wrong = tables.truth[here, CUT] > 0.5
        if wrong.any():
            looks += [look_of(p[here], CUT) for p in plain]
            curves += [reached(p[here, CUT], wrong) for p in plain]
    network.ignore_table()
    if looks:
        network.hear_table(learn_cutoff(looks, curves))


def folds_of(paths: Sequence[Path]) -> np.ndarray:
    """int64 [T] of 0 and 1: all tasks of one public table in one of them."""
    names = [public_tables.table_of(origin_of(path)) for path in paths]
    return np.asarray(np.unique(names, return_inverse=True)[1] % 2)


def unheard(network: Dec, tables: Corpus, plain: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """float64 [R, 3] as probabilities, but how many cells to flag was learnt from the other fold. folds: int [T]."""
    p = np.empty_like(plain[0])
    for fold in np.unique(folds):
        hear_cells(network, tables, plain, np.flatnonzero(folds != fold))
        here = folds[tables.table] == fold
        p[here] = heard(network, plain[0], tables)[here]
    return p


def _mean_f1(p: np.ndarray, tables: Corpus, k: int, weight: float) -> float:
    """Over the tables that have errors of type k at all. p: float [R], before it is moved."""
    found = []
    for t in np.unique(tables.table):
        here = tables.table == t
        y = tables.truth[here, k] > 0.5
        if y.any():
            moved = shifted(p[here], own_shift(p[here], USUAL_SHARE, weight))
            found.append(f1_score(y, moved >= expected_f1_threshold(moved), zero_division=0))
    return float(np.mean(found))


def measure_trust(network: Dec, held: Corpus, p: np.ndarray) -> None:
    """How far estimates of shares and precision are off on tables that training never saw: 5 % and 95 % quantiles.

    p: float64 [R, 3], as a diagnosis of tables never seen would give them.
    """
    for k in range(len(ErrorType)):
        off: list[list[float]] = [[], []]
        for t in np.unique(held.table):
            s, y = p[held.table == t, k], held.truth[held.table == t, k]
            flagged = s >= expected_f1_threshold(s)
            off[0].append(float(y.mean() - s.mean()))
            off[1].append(float(y[flagged].mean() - s[flagged].mean()))
        network.trust[k] = torch.from_numpy(np.quantile(off, [0.05, 0.95], axis=1).T)


def make_card(network: Dec, held: Corpus, settings: TrainSettings, tables: int) -> dict[str, Any]:
    """What the checkpoint was made from and how it does on the kept-out synthetic tables (in-distribution)."""
    p = probabilities(network, held)
    figures = {}
    for k, kind in enumerate(ErrorType):
        ap, f1 = [], []
        for t in np.unique(held.table):
            rows = held.table == t
            y, s = held.truth[rows, k] > 0.5, p[rows, k]
            if y.any():
                ap.append(average_precision_score(y, s))
                f1.append(f1_score(y, s >= expected_f1_threshold(s)))
        figures[kind.value] = {
            "average_precision": round(float(np.mean(ap)), 4),
            "f1_at_expected_f1_threshold": round(float(np.mean(f1)), 4),
            "tables": len(ap),
        }
    return {
        "what": "DeMix data error classifier: set transformer, intervention-based objective"
        + (", and boosted trees beside it" if network.forest is not None else ""),
        "made": datetime.now(UTC).date().isoformat(),
        "command": command_of(settings),
        "data": _public_data(settings) if settings.start else _synthetic_data(settings),
        "settings": {k: v for k, v in asdict(settings).items() if k != "workers"} | {"learning_rate": settings.rate},
        "shape": asdict(replace(network.shape, features=(), context=()))
        | {"features": len(network.shape.features), "context": len(network.shape.context)},
        "in_distribution": {"kept_out_examples": tables, "per_type": figures},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "note": "Kept-out examples come from the same generator: these figures are in-distribution. "
        "No row, rule or column set of the benchmark tables was seen.",
    }


def _synthetic_data(settings: TrainSettings) -> dict[str, Any]:
    return {
        "source": "synthetic tables from random structural causal models, half plain, half lifelike; no real table",
        "tables": settings.tables,
        "rows_per_table": [SMALLEST, LARGEST],
        "rows_kept_per_table": ROWS_KEPT,
        "regression_share": REGRESSION_SHARE,
        "corruption": "broad for plain, wide for lifelike tables; LE, FE: 1-30 % of the rows, half log-uniform, "
        "half uniform; SC: 3-25 %, uniform",
        "task_models": list(ARCHITECTURES),
    }


def _public_data(settings: TrainSettings) -> dict[str, Any]:
    protocols = [name for name in public_tables.PROTOCOLS if name != settings.unseen]
    start = Path(settings.start)
    return {
        "source": f"tasks drawn from {len(public_tables.listed())} public tables (assets/public_tables.csv), "
        "no benchmark table",
        "refines" if settings.refine else "network kept": {
            "checkpoint": start.name,
            "sha256": hashlib.sha256(start.read_bytes()).hexdigest(),
            **_made_by(start),
        },
        "examples": settings.tables,
        "rows_per_example": [SMALLEST, public_tables.LARGEST],
        "rows_kept_per_example": ROWS_KEPT,
        "regression_share": public_tables.REGRESSION_SHARE,
        "corruption": f"{', '.join(protocols)}, each as often; broad and wide as for synthetic tables, "
        "paper with 1-25 % of the rows per type and random rules",
        "task_models": list(ARCHITECTURES),
    }


def _made_by(checkpoint: Path) -> dict[str, str]:
    """What the card beside it says, if there is one."""
    card = checkpoint.with_suffix(".json")
    return {"command": json.loads(card.read_text(encoding="utf-8"))["command"]} if card.exists() else {}


def command_of(settings: TrainSettings) -> str:
    """The command that makes this checkpoint again."""
    parts = [f"python -m demix_core train-dec --tables {settings.tables} --seed {settings.seed}"]
    parts += [f"--epochs {settings.epochs}"] if not settings.twin_of and not settings.calibrate else []
    parts += [f"--without {group}" for group in settings.without]
    parts += [f"--refine {settings.refine}"] if settings.refine else []
    parts += [f"--twin-of {settings.twin_of}"] if settings.twin_of else []
    parts += [f"--unseen {settings.unseen}"] if settings.unseen else []
    parts += [f"--calibrate {settings.calibrate}"] if settings.calibrate else []
    return " ".join(parts)
