"""HTML that can't be broken by what stands in a person's table: everything is escaped that is not HTML of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def node(name: str, *inside: object, **attributes: object) -> Html:
    """One element. inside: Html as it is, None left out, all else as escaped text; attributes: cls means class, _ is -.

    >>> node("td", "a < b", cls="n")
    '<td class="n">a &lt; b</td>'
    >>> node("p", node("b", 1), None, " & more", data_row=3)
    '<p data-row="3"><b>1</b> &amp; more</p>'
    """
    return Html(f"<{name}{_attributes(attributes)}>{join(inside)}</{name}>")


def join(parts: Iterable[object]) -> Html:
    """One after the other, by the same rule.

    >>> join(["<", node("i", "x")])
    '&lt;<i>x</i>'
    """
    return Html("".join(part if isinstance(part, Html) else escape(str(part)) for part in parts if part is not None))


def _attributes(given: dict[str, object]) -> str:
    names = {name: "class" if name == "cls" else name.replace("_", "-") for name in given}
    return "".join(f' {names[n]}="{escape(str(v))}"' for n, v in given.items() if v is not None)


def table(
    heads: Sequence[str], lines: Iterable[Sequence[object]], numbers: Iterable[int] = (), **attributes: object
) -> Html:
    """A table. numbers: the columns that stand to the right.

    >>> print(table(["n"], [[1]], numbers=[0]))
    <table><thead><tr><th class="n">n</th></tr></thead><tbody><tr><td class="n">1</td></tr></tbody></table>
    """
    right = set(numbers)

    def line(name: str, cells: Sequence[object]) -> Html:
        return node("tr", *(node(name, cell, cls="n" if i in right else None) for i, cell in enumerate(cells)))

    body = join(line("td", cells) for cells in lines)
    return node("table", node("thead", line("th", heads)), node("tbody", body), **attributes)


def script_json(content: Any) -> Html:
    """JSON that may stand inside a script element: no text in it can end the element or begin another.

    >>> script_json({"a": "</script>"})
    '{"a":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)
