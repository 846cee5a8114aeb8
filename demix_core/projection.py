"""The map: the DEC embedding in two dimensions, by UMAP or t-SNE, started from its principal components.

UMAP with a random_state runs on one thread only, several times slower (DESIGN §7). Here it gets its start (seeded
principal components) and its nearest neighbours (exact or seeded) from us and no random_state: threads stay in use,
and two maps of the same embedding look alike, though not to the last digit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from demix_core.errors import Cancelled
from demix_core.registry import Family
from demix_core.types import Progress, ShouldStop, never_stop, no_progress

NEIGHBOURS = 15
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

        neighbours = min(NEIGHBOURS, len(data) - 1)
        reducer = UMAP(n_neighbors=neighbours, init=start * 1e5, min_dist=0.1, transform_seed=seed, n_jobs=-1)
        return np.asarray(reducer.fit_transform(data))


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
