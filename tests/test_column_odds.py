"""Which columns are wrong: Bayes' rule where the shares are known, and found again where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score

from demix_core.classifiers.calibrate import calibrated, raw_logits
from demix_core.classifiers.column_odds import believe_columns, column_odds
from demix_core.classifiers.corpus import load_example
from demix_core.classifiers.gathered import Corpus, gather, make_shape
from demix_core.classifiers.network import CUTOFF_TYPE, Dec
from tests.test_classifiers import planted_corpus

ROWS, COLUMNS, SHARE, APART = 4_000, 8, 0.1, 2.5


def drawn(shares: np.ndarray, seed: int, share: float = SHARE) -> tuple[np.ndarray, ...]:
    """(row is wrong [N], which cell [N], P(row) [N], P(cell) [N, F]) by a judge that takes columns for alike.

    A wrong row has one wrong cell, of a column drawn by `shares`; each cell shows a number, N(APART, 1) where wrong and
    N(0, 1) else, so that every likelihood ratio is known.
    """
    rng = np.random.default_rng(seed)
    wrong, where = rng.random(ROWS) < share, rng.choice(COLUMNS, ROWS, p=shares)
    shown = rng.normal(size=(ROWS, COLUMNS))
    shown[wrong, where[wrong]] += APART
    ratios = np.exp(APART * shown - APART**2 / 2)
    odds = share / (1 - share) * ratios.mean(1)
    return wrong, where, odds / (1 + odds), expit(np.log(ratios) - 4)


def uneven() -> np.ndarray:
    return np.array([0.7, 0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02])


def test_with_the_true_shares_it_is_bayes_rule() -> None:
    shares = uneven()
    _, _, p, cells = drawn(shares, 0)
    now, moved = believe_columns(p, cells, np.log(shares * COLUMNS))
    ratios = cells / (1 - cells) * np.exp(4)
    odds = SHARE / (1 - SHARE) * (ratios @ shares)
    np.testing.assert_allclose(now, odds / (1 + odds), rtol=2e-4)
    blame = softmax(np.log(moved / (1 - moved)), axis=1)
    np.testing.assert_allclose(blame, shares * ratios / (ratios @ shares)[:, None], atol=1e-4)


def test_the_column_that_is_wrong_is_found_and_its_rows_with_it() -> None:
    wrong, where, p, cells = drawn(uneven(), 1)
    odds = column_odds(p, cells)
    now, moved = believe_columns(p, cells, odds)
    assert odds.argmax() == 0 and odds[0] > 1 and odds[3:].max() < 0

    def first(of: np.ndarray) -> float:
        return float((of[wrong].argmax(1) == where[wrong]).mean())

    assert first(moved) > first(cells) + 0.05
    assert average_precision_score(wrong, now) > average_precision_score(wrong, p) + 0.05


def test_where_columns_are_alike_little_changes() -> None:
    _, _, p, cells = drawn(np.full(COLUMNS, 1 / COLUMNS), 2)
    now, _ = believe_columns(p, cells, column_odds(p, cells))
    assert np.abs(now - p).max() < 0.1


@pytest.mark.parametrize("few", [0, 3])
def test_few_wrong_rows_tell_little(few: int) -> None:
    p, cells = np.full(500, 1e-9), np.full((500, 4), 1e-3)
    p[:few], cells[:few, 1] = 0.9, 0.9
    odds = column_odds(p, cells)
    assert np.abs(odds).max() <= np.log(2)
    if not few:
        np.testing.assert_allclose(odds, 0, atol=1e-6)


numbers = arrays(np.float64, (5, 4), elements=st.floats(0, 1))


@settings(deadline=None)
@given(numbers, arrays(np.float64, 5, elements=st.floats(0, 1)), st.permutations(range(4)))
def test_columns_have_no_order_and_rows_no_company(cells: np.ndarray, p: np.ndarray, order: list[int]) -> None:
    odds = column_odds(p, cells)
    np.testing.assert_allclose(column_odds(p, cells[:, order]), odds[order], atol=1e-9)
    now, moved = believe_columns(p, cells, odds)
    assert np.isfinite(now).all() and ((moved >= 0) & (moved <= 1)).all()
    alone = [believe_columns(p[i : i + 1], cells[i : i + 1], odds)[0][0] for i in range(5)]
    np.testing.assert_array_equal(alone, now)
    same, cells_too = believe_columns(p, cells, 0.0)
    np.testing.assert_allclose(same, np.clip(p, 1e-7, 1 - 1e-7), rtol=1e-5)
    np.testing.assert_allclose(cells_too, np.clip(cells, 1e-7, 1 - 1e-7), rtol=1e-5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dec, Corpus]:
    paths = planted_corpus(tmp_path_factory.mktemp("corpus"))
    torch.manual_seed(0)
    dec = Dec(make_shape(load_example(paths[0]), ())).eval()
    return dec, gather(paths, dec.shape)


def test_each_table_of_a_corpus_has_its_own_odds_and_padding_has_none(corpus: tuple[Dec, Corpus]) -> None:
    dec, tables = corpus
    tables.present[tables.table == 1, 3:] = False
    odds = []
    with torch.no_grad():
        for t in range(3):
            here = np.flatnonzero(tables.table == t)
            rows = tables.rows(0, here, slice(dec.shape.tokens))
            plain = expit(raw_logits(dec, tables)[here, CUTOFF_TYPE])
            wrong = dec.embed(rows)[1][:, : 3 if t == 1 else 5].sigmoid().numpy()
            odds.append(column_odds(plain, wrong))
            expected, _ = believe_columns(plain, wrong, odds[-1])
            np.testing.assert_allclose(calibrated(dec, tables)[1][here, CUTOFF_TYPE], expected, rtol=1e-4)
    assert len({o.tobytes() for o in odds}) == 3
