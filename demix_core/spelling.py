"""Which cells are another spelling of a value that the column uses far more often: 'femlae', 'FEMALE ', 'x5957', 'F'?

Rules, all strict. Written otherwise: equal but for case, blanks and punctuation, or the same answer to a question that
most rows answer in two other words ('Y' beside 'yes' and 'no'), or cut short ('Mon' and 'Tue' in a list of seven days).
Misspelt: as many words, each equal or a letter off, beside a value that is TIMES as frequent; a digit may have become a
letter, never another digit, for '35957' and '35958' are both good values. Columns whose frequent values are near each
other ('ward a', 'ward b') are not judged by the second rule: there, near is not wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

SURE = 0.95
"""P(wrong) of a cell that either rule names.

Of typing errors planted into 838 text columns of public tables (.5 to 10 % of a column's cells), 99 % of the cells
named were wrong and half of the wrong ones were named; in the tables as they are, 9 of 963 columns had any, most of
them such as 'SUZUKI' beside 'Suzuki'.
"""

TIMES, TIMES_WRITTEN = 20, 3
"""How many times as frequent the other spelling is, by the second and by the first rule."""

LEAST = 8
"""Rows that hold a frequent value."""

MOST_COMMON, MOST_DISTINCT = 300, 20_000
"""The most frequent values are compared with; more distinct ones are no vocabulary."""

CLOSED, FEW = 0.9, 50
"""Few frequent values in this share of the rows are a closed list: there, short words count as well."""

SHORTEST, SHORTEST_CLOSED = 5, 3
"""Letters of a value, in any column and in a closed list, that may be misspelt."""

SHORTEST_WORD = 4
"""Letters of a word of it; in a closed list SHORTEST_CLOSED."""

LETTERS_PER_EDIT, LETTERS_PER_EDIT_IN_WORD = 6, 4
MOST_NEAR = 0.1
"""The share of frequent values that may be near another one."""

PUNCTUATED = 4
"""In shorter texts a sign has a meaning of its own: 'B' and 'B-'."""

ANSWERS = (
    (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("1", "0"), ("on", "off")),
    (("male", "female"), ("m", "f"), ("man", "woman")),
)
"""Per question the ways to answer it in two words."""

CUT_SHORT, CUT = 3, 2
"""Letters of a word that is cut short at least, and letters that are cut off."""

ANSWERED = 0.7
"""The share of the rows that must answer in one of these ways."""

WORDS = re.compile(r"[^\W_]+")
SIGNS = re.compile(r"""(?<!\d)[\s.,'"_\-/]+|[\s.,'"_\-/]+(?!\d)""")
"""Between digits they count: '1/12' is not '11/2'."""


@dataclass(frozen=True)
class Vocabulary:
    """The distinct texts of one column, and how many rows hold each; "" is none."""

    counts: Mapping[str, int]

    @classmethod
    def of(cls, texts: np.ndarray) -> Vocabulary:
        """texts: object [N] of str."""
        values, counts = np.unique(texts.astype(str), return_counts=True)
        return cls({str(v): int(c) for v, c in zip(values, counts, strict=True)})

    def misspellings(self) -> dict[str, str]:
        """{text: what is meant} of all texts that either rule names. Cost: O(U·MOST_COMMON) of U distinct ones."""
        if len(self.counts) > MOST_DISTINCT:
            return {}
        found = {text: self._written_otherwise(text, count, "") for text, count in self.counts.items() if text}
        left = [text for text, known in found.items() if known is None and self._rare(self.counts[text])]
        return {text: known for text, known in (found | self._near(left)).items() if known is not None}

    def meant(self, text: str, count: int, gone: str = "") -> str | None:
        """What is meant by a text of which `count` rows are known, itself included, once one row of `gone` is gone."""
        if not text or len(self.counts) > MOST_DISTINCT:
            return None
        known = self._written_otherwise(text, count, gone)
        if known is not None or not self._rare(count):
            return known
        return self._near([text], count, gone)[text]

    def _written_otherwise(self, text: str, count: int, gone: str) -> str | None:
        alike = self._alike.get(_plain(text), [])
        often = [(self.counts[t] - (t == gone), t) for t in alike if t != text]
        for other in (self._answers.get(text.strip().casefold(), text), self._cut_short.get(text, text)):
            if other != text:
                often.append((self.counts[other] - (other == gone), other))
        most, known = max(often, default=(0, ""))
        return known if most >= TIMES_WRITTEN * count else None

    def _near(self, texts: list[str], count: int = 0, gone: str = "") -> dict[str, str | None]:
        """By the second rule. count: rows that hold each of the texts, 0 for as known."""
        found: dict[str, str | None] = dict.fromkeys(texts)
        if not texts or not self._common or self._crowded:
            return found
        most = max(len(t) for t in self._common) // LETTERS_PER_EDIT + 1
        folded = [t.casefold() for t in texts], [t.casefold() for t in self._common]
        edits = cdist(*folded, scorer=OSA.distance, score_cutoff=most, dtype=np.uint8)
        for i, text in enumerate(texts):
            own = count or self.counts[text]
            for j in np.flatnonzero(edits[i] <= most):
                known = self._common[j]
                if self.counts[known] - (known == gone) < max(LEAST, TIMES * own):
                    break  # they come by frequency
                if known != text and _is_near(folded[0][i], folded[1][j], int(edits[i, j]), self._shortest):
                    found[text] = known
                    break
        return found

    def _rare(self, count: int) -> bool:
        return bool(self._common) and self.counts[self._common[0]] >= TIMES * count

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        """Texts by their plain form."""
        found: dict[str, list[str]] = {}
        for text in self.counts:
            if text and any(c.isalpha() for c in text):
                found.setdefault(_plain(text), []).append(text)
        return found

    @cached_property
    def _answers(self) -> dict[str, str]:
        """{a word in small letters: the text that most rows answer with instead}; none where it is no such column."""
        usual = {text.strip().casefold(): text for text in reversed(self._common)}  # the most frequent text wins
        rows = sum(count for text, count in self.counts.items() if text.strip())
        for question in ANSWERS:
            for pair in question:
                if all(word in usual for word in pair):
                    texts = [usual[word] for word in pair]
                    if sum(self.counts[text] for text in texts) >= ANSWERED * rows:
                        return {word: text for way in question for word, text in zip(way, texts, strict=True)}
        return {}

    @cached_property
    def _cut_short(self) -> dict[str, str]:
        """{a text: the only value that begins like it}, of one word each, in a closed list.

        That one word begins like another may be by chance ('Niger'); two that do are cut, as is one with a full stop.
        """
        if not self._closed:
            return {}
        words = [text for text in self._common if text.isalpha()]
        found = {}
        for text, count in self.counts.items():
            short = text.strip().removesuffix(".").casefold()
            longer = [w for w in words if w.casefold().startswith(short) and len(w) >= len(short) + CUT]
            if len(short) < CUT_SHORT or not short.isalpha() or len(longer) != 1:
                continue
            if self.counts[longer[0]] >= TIMES_WRITTEN * count:
                found[text] = longer[0]
        return found if len(set(found.values())) >= 2 else {t: w for t, w in found.items() if t.strip().endswith(".")}

    @cached_property
    def _common(self) -> list[str]:
        """The frequent texts, most frequent first."""
        often = sorted((-count, text) for text, count in self.counts.items() if count >= LEAST and text.strip())
        return [text for _, text in often[:MOST_COMMON]]

    @cached_property
    def _shortest(self) -> int:
        return SHORTEST_CLOSED if self._closed else SHORTEST

    @cached_property
    def _closed(self) -> bool:
        covered = sum(self.counts[t] for t in self._common)
        return len(self._common) <= FEW and covered >= CLOSED * sum(self.counts.values())

    @cached_property
    def _crowded(self) -> bool:
        """Whether many frequent values are near another one that is about as frequent."""
        folded = [t.casefold() for t in self._common]
        most = max(map(len, folded)) // LETTERS_PER_EDIT + 1
        edits = cdist(folded, folded, scorer=OSA.distance, score_cutoff=most, dtype=np.uint8)
        near = {
            int(i) for i, j in zip(*np.nonzero(edits <= most), strict=True)
            if self._peers(i, j) and _is_near(folded[i], folded[j], int(edits[i, j]), self._shortest)
        }  # fmt: skip
        return len(near) > MOST_NEAR * len(folded)

    def _peers(self, i: int, j: int) -> bool:
        """Two frequent values of like frequency, and not the same value written otherwise."""
        a, b = self._common[i], self._common[j]
        few, many = sorted((self.counts[a], self.counts[b]))
        return i != j and many < TIMES * few and _plain(a) != _plain(b)


def _plain(text: str) -> str:
    """What is left without case, outer blanks and, in longer texts, punctuation.

    >>> _plain(" New-York "), _plain("B-"), _plain("1/12 ab")
    ('newyork', 'b-', '1/12ab')
    """
    text = text.casefold()
    return SIGNS.sub("", text) if len(text) >= PUNCTUATED else "".join(text.split())


def _is_near(text: str, known: str, edits: int, shortest: int) -> bool:
    """Whether `text` may be a misspelt `known`, both in lower case; edits: between them."""
    if len(known) < shortest or not 0 < edits <= max(1, len(known) // LETTERS_PER_EDIT):
        return False
    words, wanted = WORDS.findall(text), WORDS.findall(known)
    if len(words) != len(wanted):
        return False
    return all(a == b or _is_near_word(a, b, shortest) for a, b in zip(words, wanted, strict=True))


def _is_near_word(word: str, known: str, shortest: int) -> bool:
    digits, wanted = (_digits(w) for w in (word, known))
    if digits or wanted:
        lost = len(word) == len(known) and len(digits) < len(wanted) and _runs_through(digits, wanted)
        if not lost:
            return False
    most = max(1, len(known) // LETTERS_PER_EDIT_IN_WORD)
    return len(known) >= min(shortest, SHORTEST_WORD) and OSA.distance(word, known, score_cutoff=most) <= most


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _runs_through(some: str, whole: str) -> bool:
    """Whether the signs of `some` come in `whole` in this order."""
    rest = iter(whole)
    return all(c in rest for c in some)
