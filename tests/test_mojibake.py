"""Texts read in the wrong encoding: what was meant comes back, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from demix_core.mojibake import MOST_TIMES, scrambled, unscrambled
from tests import tiny

LETTERS = st.text(st.sampled_from("abc XYZ123éèüßñçøåÆŒ€“”…–ł漢"), max_size=12)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("CafÃ©", "Café"), ("MÃ¼ller", "Müller"), ("â‚¬ 12", "€ 12"), ("â€œquotedâ€\x9d", "“quoted”"),
        ("Ã\x89cole", "École"),
    ],
)  # fmt: skip
def test_what_is_often_seen(wrong: str, meant: str) -> None:
    assert unscrambled(wrong) == meant and scrambled(wrong)


@pytest.mark.parametrize(
    "text", ["", "plain", "Café", "Müller & Söhne", "€ 12", "“quoted”", "São Paulo", "Ærø", "漢字"]
)
def test_what_is_right_is_left(text: str) -> None:
    assert unscrambled(text) is None and not scrambled(text)


@given(LETTERS, st.sampled_from(["cp1252", "latin-1"]), st.integers(1, MOST_TIMES))
def test_reading_it_wrongly_is_undone(text: str, encoding: str, times: int) -> None:
    assume(not scrambled(text))  # 'åŒŒ', drawn at random, may as well be '匌'
    wrong = text
    for _ in range(times):
        try:
            wrong = wrong.encode("utf-8").decode(encoding)
        except UnicodeDecodeError:  # no such byte in Windows-1252
            return
    assert unscrambled(wrong) == (None if text.isascii() else text)


def test_a_letter_that_was_lost_is_named_and_not_guessed() -> None:
    assert scrambled("Caf\ufffd") and unscrambled("Caf\ufffd") is None


def test_such_cells_are_one_suggestion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cities, age = np.array(["Köln", "Zürich", "Bern", "Genève"]), rng.integers(18, 80, 900)
    city = rng.choice(cities, 900).astype(object)
    rich = np.where(age + rng.normal(0, 12, 900) > 50, "yes", "no")
    wrong = [i for i in range(0, 900, 20) if not city[i].isascii()]
    dirty = city.copy()
    dirty[wrong] = [c.encode().decode("cp1252") for c in city[wrong]]
    frame = pd.DataFrame({"city": dirty, "age": age, "rich": rich})
    patches, seen = tiny.suggested(frame, "city", "rich", tmp_path)
    mended = patches[patches["pattern"] == "city: read in another encoding"]
    assert sorted(mended.index) == sorted(set(wrong) & set(seen.tolist()))
    assert (mended["new"] == city[mended.index]).all() and mended["recommended"].all()
