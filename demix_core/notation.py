"""How a column writes its numbers: '$1,200.00', '1.234,5 kg', '12 %'. The only place that reads and writes such texts.

A column that holds numbers in one notation throughout is read as plain numbers ('1200.00') when a table is loaded;
everything behind that works on plain numbers, and the export writes repairs as the column does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import pandas as pd

from demix_core.columns import holds_text, is_missing, to_text
from demix_core.types import Notation
from demix_core.units import convert, named

READ_SHARE = 0.95
"""Share of the present cells that must be numbers in the notation."""
OWN_SHARE = 0.5
"""Share of the cells that must bear the sign, and of the numbers from a thousand on that must be grouped."""
LEAST_VALUES = 3
"""Different numbers in it; '36 months' and '60 months' are names of two things."""
SAMPLE_ROWS = 20_000
"""At least so many rows, evenly spaced, are looked at; all of a smaller table."""
SAMPLE = 2000
"""Distinct texts, the most frequent ones, that a notation is sought in."""
DECIMAL_COMMA = Notation(thousands=".", decimal=",")
STYLES = ((",", "."), (".", ","), (" ", ","), (" ", "."), ("\u00a0", ","), ("\u202f", ","), ("'", "."))
"""(thousands mark, decimal mark), the usual first: it is meant where a table leaves two open ('1,234')."""

FLOAT_DIGITS = 15
"""Significant digits that a float64 holds whatever the number."""

SPACE = "[ \u00a0\u202f]"
SYMBOLS = "$€£¥₹₽₩"
CODES = "USD|EUR|GBP|JPY|CNY|INR|CHF|CAD|AUD|SEK|NOK|DKK|PLN|CZK|BRL"
BEFORE = f"(?:US|C|A)?[{SYMBOLS}]|[~≈]|(?:{CODES})"
POWER = r"(?:(?:sq|square|cu|cubic|fl)\.? ?)?"
"""What may stand before the name of a unit: 'sq ft'."""
AFTER = rf"[%‰]|°[CFK]?|[{SYMBOLS}]|{POWER}[^\W\d_]{{2,8}}\.?(?:/[^\W\d_]{{1,4}})?"  # '12a' and '7B' are codes
NUMBER = r"\d(?:[\d.,' \u00a0\u202f]*\d)?"
SIGNED = re.compile(
    rf"[-−+]?(?P<before>(?:{BEFORE}){SPACE}?)?[-−+]?(?P<number>{NUMBER})(?P<after>{SPACE}?(?:{AFTER}))?"
)
BRACKETS = re.compile(rf"(?P<before>(?:{BEFORE})?{SPACE}?)\((?P<inner>[^()+−-]*\d[^()]*)\)")
LOOSE = re.compile(
    r"(?P<before>[$€£¥~≈]?)\s*(?P<number>[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?)\s*"
    rf"(?P<after>%|{POWER}[^\W\d_]{{1,8}}\.?)?",
    re.IGNORECASE,
)
"""One cell among plain numbers: any sign before it, any unit behind, of one letter, too ('5 l')."""
MEASURED = re.compile(
    rf"(?P<number>[-−+]?{NUMBER}){SPACE}?(?P<unit>°?{POWER}[^\W\d_]{{1,12}}\.?(?:/[^\W\d_]{{1,4}})?)", re.IGNORECASE
)
"""One cell among numbers with a known unit: whatever unit there is."""
PLAIN = re.compile(r"(?P<minus>-?)(?P<whole>\d+)(?:\.(?P<part>\d+))?")


def read_number(text: str, notation: Notation) -> str | None:
    """The number as plain text with the decimals that it has; None where it is no number. Signs may be left out.

    >>> read_number("-$1,200.50", Notation(before="$")), read_number("7Kg.", Notation(after=" kg"))
    ('-1200.50', '7')
    >>> read_number("($1,200)", Notation(before="$")), read_number("$ -", Notation(before="$"))
    ('-1200', '0')
    """
    inner, negative = _unbracketed(text)
    found = _form(notation).fullmatch(inner)
    if found is None:
        return "0" if notation.before and inner.replace(" ", "") == f"{notation.before.strip()}-" else None
    whole = found["whole"].replace(notation.thousands, "")
    minus = "-" if negative or found["outer"] or found["inner"] else ""
    return minus + whole + (f".{found['part']}" if found["part"] else "")


def signed_number(text: str) -> tuple[str, str] | None:
    """(number as text, without separators; its sign or unit in lower case, "" for none); None for anything else.

    More digits than a float holds are what a computation left of a shorter number.

    >>> signed_number("$1,200"), signed_number("12.0 OZ."), signed_number("B7")
    (('1200', '$'), ('12.0', 'oz'), None)
    """
    found = LOOSE.fullmatch(text.strip())
    if found is None:
        return None
    number = found["number"].replace(",", "")
    if "." in number and sum(c.isdigit() for c in number.lstrip("+-0.")) > FLOAT_DIGITS:
        number = f"{float(number):.{FLOAT_DIGITS - 3}g}"
    return number, (found["before"] + (found["after"] or "").rstrip(".")).casefold()


def in_another_unit(text: str, notation: Notation) -> tuple[float, str] | None:
    """(the number in the unit of the notation, the unit that the text has); None where it has its own or no known one.

    >>> in_another_unit("2000 g", Notation(after=" kg"))
    (2.0, 'g')
    """
    found = MEASURED.fullmatch(text.strip()) if notation.after else None
    if found is None or named(found["unit"]) == named(notation.after):
        return None
    number = read_number(found["number"], notation)
    converted = convert(float(number), found["unit"], notation.after) if number else None
    return None if converted is None else (converted, named(found["unit"]))


def write_number(number: str, notation: Notation) -> str:
    """A plain number as the column writes it; any other text as it is.

    >>> write_number("-1200.50", Notation(before="$", grouped=True))
    '-$1,200.50'
    """
    found = PLAIN.fullmatch(number.strip())
    if found is None:
        return number
    whole = f"{int(found['whole']):,}".replace(",", notation.thousands) if notation.grouped else found["whole"]
    part = notation.decimal + found["part"] if found["part"] else ""
    written = f"{notation.before}{whole}{part}{notation.after}"
    return f"({written})" if found["minus"] and notation.brackets else found["minus"] + written


def notation_of(series: pd.Series) -> tuple[Notation, ...]:
    """The notations that fit a column of texts best: none, one, or where they read it differently ('1,234') two.

    Plain numbers have none of their own.
    """
    some = series.iloc[:: max(1, len(series) // SAMPLE_ROWS)]  # all over: sorted prices begin without thousands
    counts = pd.Series(to_text(some)[~is_missing(some)], dtype=object).str.strip().value_counts()[:SAMPLE]
    share = counts / counts.sum()
    if not _may_be_numbers(share):
        return ()
    before, after = _signs(share)
    bracketed = float(share[[_unbracketed(text)[1] for text in share.index]].sum())
    if bracketed >= OWN_SHARE:
        return ()  # '(3)', '(12)': nobody's numbers are mostly negative
    found: dict[tuple[str | None, ...], Notation] = {}
    best = READ_SHARE
    for thousands, decimal in STYLES:
        notation = Notation(before, after, thousands, decimal, brackets=bracketed > 0)
        read = tuple(read_number(text, notation) for text in share.index)
        told = [n is not None or _differs(text, notation) for text, n in zip(share.index, read, strict=True)]
        known = float(share[told].sum())
        if known >= best and len(set(read) - {None}) >= LEAST_VALUES:
            found = found if known == best else {}
            best = known
            found.setdefault(read, replace(notation, grouped=_grouped(share, read, thousands)))
    return tuple(n for n in found.values() if n.grouped or len(found) == 1 or not _some_bare(list(share.index)))


def find_notations(frame: pd.DataFrame) -> dict[str, Notation]:
    """{column: notation} of the columns of numbers that are not plain ones.

    A column that can be read in two ways is read as most of the others are.
    """
    fitting = {str(c): fits for c in frame.columns if holds_text(frame[c]) and (fits := notation_of(frame[c]))}
    sure = [fits[0] for fits in fitting.values() if len(fits) == 1]
    comma = sum(n.decimal == "," for n in sure) > sum(n.decimal == "." and n.grouped for n in sure)
    return {name: next((n for n in fits if (n.decimal == ",") == comma), fits[0]) for name, fits in fitting.items()}


def plain(series: pd.Series, notation: Notation | None) -> pd.Series:
    """The cells with plain numbers in place of those in the notation, all others as they are."""
    return series if notation is None else _mapped(series, lambda text: read_number(text, notation) or text)


def as_written(series: pd.Series, notation: Notation | None) -> pd.Series:
    """Plain numbers as the column writes them, all other cells as they are."""
    return series if notation is None else _mapped(series, lambda number: write_number(number, notation))


def _mapped(series: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """Every distinct text changed once; nulls stay."""
    codes, distinct = pd.factorize(series, use_na_sentinel=True)
    changed = pd.Series([change(str(text)) for text in distinct], dtype=series.dtype)
    return pd.Series(changed.reindex(codes).to_numpy(), index=series.index, name=series.name, dtype=series.dtype)


def _differs(text: str, notation: Notation) -> bool:
    """Whether the text is a number in another unit, not the same under another name."""
    other = in_another_unit(text, notation)
    return other is not None and convert(1.0, other[1], notation.after) != 1


def _may_be_numbers(share: pd.Series) -> bool:
    """Whether most texts hold a digit, or the dash that means nothing, and are not plain numbers already.

    share: of the cells, by text.
    """
    texts = pd.Series(share.index, index=share.index, dtype=object)
    if share[texts.str.contains(r"\d|-$")].sum() < READ_SHARE:
        return False
    return bool(share[pd.to_numeric(texts, errors="coerce").notna()].sum() < READ_SHARE)


def _signs(share: pd.Series) -> tuple[str, str]:
    """The most frequent pair of signs, as mostly written; two empty texts where less than OWN_SHARE bear it."""
    written: dict[tuple[str, str], float] = defaultdict(float)
    for text, part in zip(share.index, share, strict=True):
        if found := SIGNED.fullmatch(_unbracketed(text)[0]):
            written[found["before"] or "", found["after"] or ""] += float(part)
    meant: dict[tuple[str, ...], float] = defaultdict(float)
    for pair, part in written.items():
        meant[_same(pair)] += part
    usual = max(meant, key=meant.__getitem__, default=())
    if meant[usual] < OWN_SHARE:
        return "", ""
    return max((pair for pair in written if _same(pair) == usual), key=written.__getitem__)


def _unbracketed(text: str) -> tuple[str, bool]:
    """(the text without the brackets around its number, whether it had them)."""
    found = BRACKETS.fullmatch(text.strip())
    return (found["before"] + found["inner"], True) if found else (text.strip(), False)


def _same(pair: tuple[str, str]) -> tuple[str, ...]:
    """Signs that mean the same are the same: ' oz', 'OZ.'."""
    return tuple(sign.strip().rstrip(".").casefold() for sign in pair)


def _some_bare(texts: Sequence[str]) -> bool:
    """Whether some numbers have no mark within ('950' beside '1,200'): three decimals would stand in all."""
    return any(
        match["number"].isdigit() for text in texts if (match := SIGNED.fullmatch(_unbracketed(text)[0])) is not None
    )


def _grouped(share: pd.Series, read: Sequence[str | None], thousands: str) -> bool:
    """Whether at least half of the numbers from a thousand on set them apart."""
    large = [number is not None and abs(float(number)) >= 1000 for number in read]
    marked = share[large][[thousands in text for text in share.index[large]]]
    return bool(len(marked) and marked.sum() >= OWN_SHARE * share[large].sum())


@lru_cache(maxsize=256)
def _form(notation: Notation) -> re.Pattern[str]:
    mark, point = re.escape(notation.thousands), re.escape(notation.decimal)
    before = f"(?:{re.escape(notation.before.strip())})?{SPACE}?" if notation.before else ""
    after = rf"(?:{SPACE}?{re.escape(notation.after.strip().rstrip('.'))}\.?)?" if notation.after else ""
    number = rf"(?P<whole>[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|\d+)(?:{point}(?P<part>\d+))?"
    return re.compile(rf"(?P<outer>[-−])?{before}(?:(?P<inner>[-−])|\+)?{number}{after}", re.IGNORECASE)
