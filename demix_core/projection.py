"""The map: the DEC embedding in two dimensions, by UMAP or t-SNE, started from its principal components, or by those.

A run is repeatable, its map too, so UMAP gets a random_state and therefore one thread for its layout: 9 s instead of
6 s for 24,000 x 64 (two busy cores, 200 epochs). Exact neighbours from us cost 2 s of both cores and save the 20 to
30 s that the approximate search of pynndescent takes to compile itself in every process.

Above FIT_ROWS rows a map is fitted to a sample, every flagged row in it up to a cap, and the others are placed by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from demix_core.errors import Cancelled
from demix_core.registry import Family
from demix_core.types import Progress, ShouldStop, never_stop, no_progress

NEIGHBOURS = 15
MIN_DIST = 0.1
EXACT_UP_TO = 60_000
"""Rows up to which all distances are computed; above, neighbours are searched approximately."""

EPOCHS_SMALL, EPOCHS_LARGE = 500, 100
"""UMAP epochs up to and above 10,000 rows; 100 is half of its own choice, enough from principal components."""

PERPLEXITY, EXAGGERATION, ITERATIONS = 30.0, 12.0, (250, 500)
FEWEST = 15
"""Below this many rows the map is the first two principal components."""

FIT_ROWS, FIT_FLAGGED = 200_000, 100_000
"""The most rows that a map is fitted to, and the most flagged ones among them."""

PLACED_AT_ONCE = 20_000
"""Rows placed between two looks at the wish to stop."""

Place = Callable[[np.ndarray], np.ndarray]
"""New rows [B, E] -> their places [B, 2] on a fitted map."""

Method = Callable[[np.ndarray, np.ndarray, int, ShouldStop, bool], tuple[np.ndarray, Place]]
"""(embedding [F, E], start [F, 2] with sd 1e-4, seed, should_stop, whether rows will be placed) -> [F, 2], Place."""

PROJECTIONS: Family[Method] = Family("projection", package=None)


def project(
    embedding: np.ndarray,
    method: str,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
    fitted: np.ndarray | None = None,
) -> np.ndarray:
    """float32 [N, 2], centred, for embedding [N, E] (finite). method: 'umap', 'tsne', 'pca'; InputError for another.

    fitted: positions of the rows the map is fitted to, from fitting_rows; None: all. Fewer than FEWEST rows: principal
    components. Cancelled: asked to stop (t-SNE: within; UMAP: before and after; between PLACED_AT_ONCE placed rows).
    """
    chosen = PROJECTIONS[method]
    data = np.asarray(embedding, dtype=np.float32)
    at = np.arange(len(data)) if fitted is None else fitted
    progress(0.0, f"Drawing the map of {len(at):,} rows")
    start = principal(data[at])
    if len(at) < FEWEST or not start.any():
        return principal(data)
    _go_on(should_stop)
    rest = np.setdiff1d(np.arange(len(data)), at)
    places, place = chosen(data[at], start / (start[:, 0].std() or 1.0) * 1e-4, seed, should_stop, len(rest) > 0)
    out = np.empty((len(data), 2), np.float32)
    out[at] = places
    for begin in range(0, len(rest), PLACED_AT_ONCE):
        _go_on(should_stop)
        progress(0.4 + 0.6 * begin / len(rest), f"Placing the other {len(rest):,} rows")
        part = rest[begin : begin + PLACED_AT_ONCE]
        out[part] = place(data[part])
    _go_on(should_stop)
    progress(1.0, "Drawn")
    return (out - out.mean(0)).astype(np.float32)


def principal(data: np.ndarray) -> np.ndarray:
    """The first two principal components, float32 [N, 2]; signs fixed by their largest loading, absent ones 0."""
    out = np.zeros((len(data), 2), np.float32)
    if len(data) < 2:
        return out
    axes = _axes(data)
    out[:, : axes.shape[1]] = (data - data.mean(0)) @ axes
    return out


def _axes(data: np.ndarray) -> np.ndarray:
    """[E, 2 or 1]: unit vectors of the two largest variances, the largest first."""
    centred = data - data.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    return np.asarray(axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]))


# ---- which rows a map is fitted to, and what is told of it -------------------------------------------------------


def fitting_rows(strata: np.ndarray, flagged: np.ndarray, seed: int) -> np.ndarray | None:
    """Ascending positions of the rows to fit to: flagged ones first, the others in proportion to their stratum.

    strata: int [N]; flagged: bool [N]. None where all rows are fitted. Above FIT_FLAGGED flagged rows those are drawn
    in proportion as well.
    """
    if len(strata) <= FIT_ROWS:
        return None
    r = np.random.default_rng(seed)
    suspects, others = np.flatnonzero(flagged), np.flatnonzero(~flagged)
    kept = suspects[_in_proportion(strata[suspects], FIT_FLAGGED, r)]
    filled = others[_in_proportion(strata[others], FIT_ROWS - len(kept), r)]
    return np.sort(np.concatenate([kept, filled]))


def _in_proportion(strata: np.ndarray, count: int, r: np.random.Generator) -> np.ndarray:
    """At most count positions, each stratum's share kept within one row."""
    order = r.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    _, begins, sizes = np.unique(strata[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(begins, sizes)
    return order[np.argsort((rank + 0.5) / np.repeat(sizes, sizes), kind="stable")[:count]]


def described(method: str, seed: int, flagged: np.ndarray, fitted: np.ndarray | None) -> dict[str, Any]:
    """What summary.json and the screen say of a map: method, parameters, seed, rows, fitted_rows, flagged rows among.

    flagged: bool [N]; fitted: from fitting_rows.
    """
    rows = len(flagged)
    at = np.arange(rows) if fitted is None else fitted
    few = len(at) < FEWEST
    return {
        "method": "pca" if few else method,
        "parameters": _PARAMETERS["pca" if few else method](len(at)),
        "seed": seed,
        "rows": rows,
        "fitted_rows": len(at),
        "flagged_rows": int(flagged.sum()),
        "fitted_flagged_rows": int(flagged[at].sum()),
    }


_PARAMETERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "umap": lambda n: {
        "n_neighbors": min(NEIGHBOURS, n), "min_dist": MIN_DIST, "n_epochs": _epochs(n), "metric": "euclidean",
        "init": "pca",
    },
    "tsne": lambda n: {
        "perplexity": _perplexity(n), "early_exaggeration": EXAGGERATION, "n_iter": sum(ITERATIONS),
        "metric": "euclidean", "init": "pca",
    },
    "pca": lambda n: {"n_components": 2},
}  # fmt: skip


def _epochs(n: int) -> int:
    return EPOCHS_LARGE if n > 10_000 else EPOCHS_SMALL


def _perplexity(n: int) -> float:
    return min(PERPLEXITY, (n - 1) / 3)


def _go_on(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("Drawing the map was cancelled.")


# ---- the methods -------------------------------------------------------------------------------------------------


@PROJECTIONS.register("umap")
def _umap(
    data: np.ndarray, start: np.ndarray, seed: int, should_stop: ShouldStop, more: bool
) -> tuple[np.ndarray, Place]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap and numba warn about themselves, not about the person's data
        from umap import UMAP

        count = min(NEIGHBOURS, len(data))
        exact = len(data) <= EXACT_UP_TO and not more  # rows can be placed only by an index of its own
        known = _neighbours(data, count) if exact else (None, None, None)
        _go_on(should_stop)
        reducer = UMAP(
            n_neighbors=count,
            min_dist=MIN_DIST,
            init=start,
            n_epochs=_epochs(len(data)),
            precomputed_knn=known,
            random_state=seed,
            n_jobs=1,
        )
        places = np.asarray(reducer.fit_transform(data))

    def place(rows: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(reducer.transform(rows))

    return places, place


def _neighbours(data: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, None]:
    """(positions, distances) [N, count], each row its own first neighbour; no search index."""
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(data)
    distances, positions = found.kneighbors(data)
    return positions, distances.astype(np.float32), None


@PROJECTIONS.register("tsne")
def _tsne(
    data: np.ndarray, start: np.ndarray, seed: int, should_stop: ShouldStop, more: bool
) -> tuple[np.ndarray, Place]:
    from openTSNE import TSNE

    def asked(iteration: int, error: float, embedding: np.ndarray) -> bool:
        return should_stop()

    early, late = ITERATIONS
    tsne = TSNE(
        perplexity=_perplexity(len(data)),
        early_exaggeration=EXAGGERATION,
        early_exaggeration_iter=early,
        n_iter=late,
        initialization=start.astype(np.float64),
        random_state=seed,
        n_jobs=-1,
        callbacks=asked,
        callbacks_every_iters=25,
    )
    found = tsne.fit(data.astype(np.float64))
    return np.asarray(found), lambda rows: np.asarray(found.transform(rows.astype(np.float64)))


@PROJECTIONS.register("pca")
def _pca(
    data: np.ndarray, start: np.ndarray, seed: int, should_stop: ShouldStop, more: bool
) -> tuple[np.ndarray, Place]:
    axes, mean = _axes(data), data.mean(0)

    def place(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), 2), np.float32)
        out[:, : axes.shape[1]] = (rows - mean) @ axes
        return out

    return place(data), place
