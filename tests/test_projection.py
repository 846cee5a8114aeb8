"""The map's coordinates: repeatable, groups apart, large tables fitted to a sample that keeps what matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core import projection
from demix_core.errors import Cancelled, InputError
from demix_core.pipeline import diagnose
from demix_core.projection import principal, project
from demix_core.settings import MapSettings
from tests import tiny


@pytest.mark.parametrize("method", ["umap", "tsne", "pca"])
def test_maps_are_repeatable_and_keep_groups_apart(method: str) -> None:
    r = np.random.default_rng(0)
    group = np.repeat([0, 1], 40)
    embedding = (r.normal(size=(80, 16)) + 20 * group[:, None]).astype(np.float32)
    places = project(embedding, method, seed=3)
    assert places.shape == (80, 2) and places.dtype == np.float32 and np.isfinite(places).all()
    assert np.array_equal(places, project(embedding, method, seed=3))
    near = np.square(places[:, None] - places[None]).sum(2) + np.diag(np.full(80, np.inf))
    assert (group[near.argmin(1)] == group).mean() > 0.95
    with pytest.raises(Cancelled):
        project(embedding, method, 3, should_stop=lambda: True)


def grouped(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Embedding [n, 8] of two groups far apart, and the groups."""
    r = np.random.default_rng(1)
    group = r.integers(0, 2, n)
    return (r.normal(size=(n, 8)) + 25 * group[:, None]).astype(np.float32), group


@pytest.mark.parametrize("method", ["umap", "tsne", "pca"])
def test_rows_that_were_not_fitted_are_placed_beside_their_like(method: str) -> None:
    embedding, group = grouped(240)
    fitted = np.arange(0, 240, 2)
    told: list[tuple[float, str]] = []
    places = project(embedding, method, 0, lambda f, m: told.append((f, m)), fitted=fitted)
    assert places.shape == (240, 2) and np.isfinite(places).all()
    rest = np.setdiff1d(np.arange(240), fitted)
    near = np.square(places[rest][:, None] - places[fitted][None]).sum(2).argmin(1)
    assert (group[fitted][near] == group[rest]).mean() > 0.95
    assert "Placing the other 120 rows" in {m for _, m in told} and told[-1][0] == 1.0


def test_all_principal_components_are_those_of_one_fit() -> None:
    embedding, _ = grouped(60)
    assert np.allclose(project(embedding, "pca", 0), principal(embedding), atol=1e-3)


@given(st.integers(0, 400), st.integers(1, 5), st.floats(0, 1), st.integers(0, 9))
def test_a_fitted_sample_keeps_flagged_rows_and_proportions(n: int, kinds: int, share: float, seed: int) -> None:
    r = np.random.default_rng(seed)
    strata, flagged = r.integers(0, kinds, n), r.random(n) < share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "FIT_ROWS", 100)
        patch.setattr(projection, "FIT_FLAGGED", 60)
        at = projection.fitting_rows(strata, flagged, seed)
        again = projection.fitting_rows(strata, flagged, seed)
    if n <= 100:
        assert at is None
        return
    assert at is not None and np.array_equal(at, again)
    assert len(set(at)) == len(at) <= 100 and (np.diff(at) > 0).all()
    assert flagged[at].sum() == min(flagged.sum(), 60)
    assert len(at) == min(n, flagged[at].sum() + min((~flagged).sum(), 100 - flagged[at].sum()))
    for mine in (flagged, ~flagged):
        taken = mine[at].sum()
        for kind in range(kinds):
            expected = taken * (strata[mine] == kind).sum() / max(mine.sum(), 1)
            assert abs((strata[at][mine[at]] == kind).sum() - expected) <= 1


def test_a_large_table_s_map_says_what_it_was_fitted_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "FIT_ROWS", 120)
    monkeypatch.setattr(projection, "FIT_FLAGGED", 120)
    fitted: dict[str, np.ndarray | None] = {}

    def flat_map(embedding: np.ndarray, method: str, *told: object) -> np.ndarray:
        fitted[method] = told[-1]  # type: ignore[assignment]
        return principal(embedding)

    monkeypatch.setattr("demix_core.work.project", flat_map)
    dec = tiny.classifier(tmp_path / "dec.safetensors")
    settings = replace(tiny.settings(dec), map=MapSettings(method="tsne"))
    run = diagnose(tiny.table(tmp_path / "t.csv", n=300), tmp_path / "run", settings)
    facts = run.summary()["maps"]["tsne"]
    assert (facts["fitted_rows"], facts["rows"]) == (120, len(run.diagnosis()))
    assert facts["fitted_flagged_rows"] == min(facts["flagged_rows"], 120)
    assert facts["parameters"]["perplexity"] == 30 and facts["seed"] == 0
    assert run.summary()["maps"]["pca"]["fitted_rows"] == facts["rows"], "principal components need no sample"
    assert fitted["pca"] is None and fitted["tsne"] is not None and len(fitted["tsne"]) == 120
    places = run.projection("tsne")
    assert places is not None and places["row_id"].tolist() == run.diagnosis()["row_id"].tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 14])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_few_rows_get_principal_components(n: int, width: int) -> None:
    data = np.random.default_rng(n).normal(size=(n, width)).astype(np.float32)
    places = project(data, "umap", 0)
    assert places.shape == (n, 2) and np.isfinite(places).all()
    if n > 2 and width == 2:
        distance = np.linalg.norm(data[0] - data[1])
        assert np.linalg.norm(places[0] - places[1]) == pytest.approx(distance, rel=1e-4), "a rotation"


def test_identical_rows_get_one_place() -> None:
    assert not project(np.ones((40, 8), np.float32), "umap", 0).any()


def test_unknown_projection_is_told() -> None:
    with pytest.raises(InputError, match="no projection called 'lsd'"):
        project(np.zeros((3, 2), np.float32), "lsd", 0)
