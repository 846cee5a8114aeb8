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
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score, f1_score

from demix_core.classifiers import public_tables
from demix_core.classifiers.calibrate import (
    calibrate,
    calibrated,
    cross_fitted,
    folds_of,
    learn_cell_cutoff,
    learn_own_share,
    measure_trust,
    probabilities,
)
from demix_core.classifiers.corpus import (
    ARCHITECTURES,
    LARGEST,
    REGRESSION_SHARE,
    ROWS_KEPT,
    SMALLEST,
    SYNTHETIC,
    build_corpus,
    load_example,
    origin_of,
)
from demix_core.classifiers.forest import TREES, grow
from demix_core.classifiers.gathered import Corpus, gather, make_shape
from demix_core.classifiers.network import Dec, Shape, load_checkpoint, save_checkpoint
from demix_core.classifiers.objective import cell_bce, centroid_spread, focal_bce, info_nce
from demix_core.classifiers.thresholds import expected_f1_threshold
from demix_core.errors import InputError
from demix_core.types import ErrorType, Progress, no_progress

SUBSET = (0.5, 1.0)
"""do(S := S′): the share of the tokens kept, drawn anew for each view of each batch."""

SAMPLE = 40_000
"""Rows that the standardisation is measured on."""

RATE, REFINING_RATE = 2e-3, 6e-4

TREE_ROWS = 250_000
"""Rows that trees are grown on: of each table as many, half of them under either environment."""

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
    plain, told = zip(*(calibrated(network, tables, view) for view in (0, 1)), strict=True)
    learn_own_share(network, tables, plain[0])
    measure_trust(network, tables, cross_fitted(network, tables, plain, told[0], folds_of(paths)))
    learn_cell_cutoff(network, tables, plain)
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
