"""What counts as missing, a number or a time, for texts and for native columns."""

import numpy as np
import pandas as pd
import pytest

from demix_core.columns import datetime_format, is_missing, to_datetime, to_numeric, to_text


def test_missing_and_numbers() -> None:
    cells = pd.Series([" 1.5 ", "?", "NA", "inf", "x", "-3e2"], dtype="str")
    assert is_missing(cells).tolist() == [False, True, True, False, False, False]
    assert np.array_equal(to_numeric(cells), [1.5, np.nan, np.nan, np.nan, np.nan, -300], equal_nan=True)
    assert to_text(pd.Series([1.0, np.nan])).tolist() == ["1", ""]


@pytest.mark.parametrize("texts", [["1970-01-02", ""], ["02/01/1970", "?"], ["02.01.1970 00:00", "na"]])
def test_times(texts: list[str]) -> None:
    assert np.array_equal(to_datetime(pd.Series(texts, dtype="str")), [86400, np.nan], equal_nan=True)


def test_a_year_is_no_time() -> None:
    assert datetime_format(pd.Series(["2011", "2012"], dtype="str")) is None
