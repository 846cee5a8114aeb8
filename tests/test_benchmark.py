"""The detection benchmark's own arithmetic, and each peer on a table where it must see something."""

from __future__ import annotations

import numpy as np
import pytest

from demix_core.benchmark._peers import PEERS
from demix_core.benchmark._tables import load
from demix_core.benchmark.detect import holm, make_case
from demix_core.classifiers.detect import Case
from demix_core.planting import Parts, split_and_plant
from demix_core.settings import Settings
from demix_core.types import ErrorType


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.fixture(scope="module", params=["bank", "air"])
def planted(request: pytest.FixtureRequest) -> tuple[Case, Parts]:
    """1,500 rows of a table, with the paper's errors; one classification, one regression."""
    frame, schema = load(request.param)
    parts = split_and_plant(frame.sample(1500, random_state=0).reset_index(drop=True), schema, "paper", 0.5, 1)
    return make_case(parts, schema, Settings()), parts


@pytest.mark.parametrize("kind", ErrorType)
def test_peers_score_every_row(planted: tuple[Case, Parts], kind: ErrorType) -> None:
    case, _ = planted
    for name, find in PEERS[kind].items():
        found = find(case, 0)
        assert found.scores.shape == (len(case.frame),) and np.isfinite(found.scores).all(), name
        assert len(np.unique(found.scores)) > 1, name
        assert found.flags is None or found.flags.dtype == bool, name


def test_labels_are_what_label_peers_see(planted: tuple[Case, Parts]) -> None:
    case, parts = planted
    wrong = parts.train.truth[ErrorType.LABEL.value].to_numpy(bool)
    for name, find in PEERS[ErrorType.LABEL].items():
        scores = find(case, 0).scores
        assert scores[wrong].mean() > scores[~wrong].mean(), name
