"""The map: the DEC embedding in two dimensions, by UMAP or t-SNE, started from its principal components.

A run is repeatable, its map too, so UMAP gets a random_state and therefore one thread for its layout: 9 s instead of
6 s for 24,000 x 64 (two busy cores, 200 epochs). Exact neighbours from us cost 2 s of both cores and save the 20 to
30 s that the approximate search of pynndescent takes to compile itself in every process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from demix_core.errors import Cancelled
from demix_core.registry import Family
from demix_core.types import Progress, ShouldStop, never_stop, no_progress

NEIGHBOURS = 15
EXACT_UP_TO = 60_000
"""Rows up to which all distances are computed; above, neighbours are searched approximately."""

EPOCHS_LARGE = 100
"""UMAP epochs above 10,000 rows: half of its own choice, enough from principal components."""

PERPLEXITY = 30.0
FEWEST = 15
"""Below this many rows the map is the first two principal components."""

Method = Callable[[np.ndarray, np.ndarray, int, ShouldStop], np.ndarray]
"""(embedding [N, E], start [N, 2] with sd 1e-4, seed, should_stop) -> [N, 2]."""

PROJECTIONS: Family[Method] = Family("projection", package=None)


def project(
    embedding: np.ndarray,
    method: str,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> np.ndarray:
    """float32 [N, 2], centred, for embedding [N, E] (finite). method: 'umap' or 'tsne'; InputError for another.

    Fewer than FEWEST rows: principal components. Cancelled: asked to stop (t-SNE: within; UMAP: before and after).
    """
    chosen = PROJECTIONS[method]
    data = np.asarray(embedding, dtype=np.float32)
    progress(0.0, f"Drawing the map of {len(data):,} rows")
    start = principal(data)
    if len(data) < FEWEST or not start.any():
        return start
    _go_on(should_stop)
    out = chosen(data, start / (start[:, 0].std() or 1.0) * 1e-4, seed, should_stop)
    _go_on(should_stop)
    progress(1.0, "Drawn")
    return (out - out.mean(0)).astype(np.float32)


def principal(data: np.ndarray) -> np.ndarray:
    """The first two principal components, float32 [N, 2]; signs fixed by their largest loading, absent ones 0."""
    out = np.zeros((len(data), 2), np.float32)
    if len(data) < 2:
        return out
    centred = data - data.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    out[:, : axes.shape[1]] = centred @ axes
    return out


def _go_on(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("Drawing the map was cancelled.")


@PROJECTIONS.register("umap")
def _umap(data: np.ndarray, start: np.ndarray, seed: int, should_stop: ShouldStop) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap and numba warn about themselves, not about the person's data
        from umap import UMAP

        count = min(NEIGHBOURS, len(data))
        known = _neighbours(data, count) if len(data) <= EXACT_UP_TO else (None, None, None)
        _go_on(should_stop)
        reducer = UMAP(
            n_neighbors=count,
            init=start,
            n_epochs=EPOCHS_LARGE if len(data) > 10_000 else None,
            precomputed_knn=known,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(reducer.fit_transform(data))


def _neighbours(data: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, None]:
    """(positions, distances) [N, count], each row its own first neighbour; no search index."""
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(data)
    distances, positions = found.kneighbors(data)
    return positions, distances.astype(np.float32), None


@PROJECTIONS.register("tsne")
def _tsne(data: np.ndarray, start: np.ndarray, seed: int, should_stop: ShouldStop) -> np.ndarray:
    from openTSNE import TSNE

    def asked(iteration: int, error: float, embedding: np.ndarray) -> bool:
        return should_stop()

    tsne = TSNE(
        perplexity=min(PERPLEXITY, (len(data) - 1) / 3),
        initialization=start.astype(np.float64),
        random_state=seed,
        n_jobs=-1,
        callbacks=asked,
        callbacks_every_iters=25,
    )
    return np.asarray(tsne.fit(data.astype(np.float64)))
