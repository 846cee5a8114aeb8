"""What Streamlit has no widget for: the map, the queue of suggestions, the keys, a name kept in the browser.

Each is a JavaScript file beside this one, mounted through streamlit.components.v2: no build step, no network.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

HERE = Path(__file__).parent
NAME_COOKIE = "demix_reviewer"


def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


_feed = st.components.v2.component("demix_feed", js=_source("feed.js"), isolate_styles=False)
_map = st.components.v2.component(
    "demix_map", js=_source("points.js") + _source("map.js"), css=_source("map.css"), isolate_styles=False
)
_queue = st.components.v2.component(
    "demix_queue", js=_source("queue.js"), css=_source("queue.css"), isolate_styles=False
)
_remember = st.components.v2.component("demix_remember", js=_source("remember.js"), isolate_styles=False)
_keys = st.components.v2.component("demix_keys", js=_source("keys.js"), isolate_styles=False)


_address = st.components.v2.component("demix_address", js=_source("address.js"), isolate_styles=False)
_pulse = st.components.v2.component("demix_pulse", js=_source("pulse.js"), isolate_styles=False)
_tour = st.components.v2.component("demix_tour", js=_source("tour.js"), isolate_styles=False)


def style_sheet() -> str:
    """The CSS of the whole dashboard, for st.html."""
    return f"<style>{_source('page.css')}</style>"


def pack_feed(
    version: int, xy: tuple[np.ndarray, np.ndarray], row_ids: np.ndarray, label: np.ndarray, chance: np.ndarray,
    words: dict[str, Any],
) -> bytes:  # fmt: skip
    """What feed.js reads: u32 n, version, length of the words as JSON; those; f32 x[n], y[n], u32 id[n], f32 label[n],
    u8 chance[3n]. words: target, names, said, as in cards.Card. 19 bytes a row beside the words.
    """
    text = json.dumps(words, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    columns = (xy[0].astype("<f4"), xy[1].astype("<f4"), row_ids.astype("<u4"), label.astype("<f4"), chance)
    return struct.pack("<III", len(row_ids), version, len(text)) + text + b"".join(c.tobytes() for c in columns)


def pack_held(version: int, n: int) -> bytes:
    """What feed.js reads when it holds that version already."""
    return struct.pack("<II", n, version)


def pack_colours(head: dict[str, Any], colour: np.ndarray, mark: np.ndarray) -> bytes:
    """What map.js reads: u32 length of the header, header as JSON, u8 colour[n], u8 mark[n]."""
    text = json.dumps(head | {"n": len(colour)}, separators=(",", ":")).encode()
    return struct.pack("<I", len(text)) + text + colour.astype("u1").tobytes() + mark.astype("u1").tobytes()


def pack_bits(chosen: np.ndarray) -> str:
    """A boolean [n] as base64 of a little-endian bitset; the inverse of unpack_bits."""
    return base64.b64encode(np.packbits(chosen, bitorder="little").tobytes()).decode()


def unpack_bits(text: str, n: int) -> np.ndarray:
    """Positions (int64, ascending) of the set bits below n."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), "u1"), bitorder="little")[:n]
    return np.flatnonzero(bits)


def _nothing() -> None:
    """What the components say is read by deciding.hear at the top of the script, so that no press is lost."""


def feed(packed: bytes) -> None:
    """Sends what pack_feed or pack_held made; draws nothing. Its news: st.session_state["map_feed"]["held"]."""
    _feed(key="map_feed", data=packed, height=1, on_held_change=_nothing)


def scatter(colours: bytes, height: int) -> None:
    """The map itself. Its news stand in st.session_state["map"]: selection, picked, unsupported."""
    _map(
        key="map", data=colours, height=height,
        on_selection_change=_nothing, on_picked_change=_nothing, on_unsupported_change=_nothing,
    )  # fmt: skip


def queue(data: dict[str, Any]) -> None:
    """One page of the queue. Its news stand in st.session_state["queue"]: picked, sorted."""
    _queue(key="queue", data=data, height="content", on_picked_change=_nothing, on_sorted_change=_nothing)


def address(query: str) -> None:
    """Writes the screen's parameters into the browser's address line."""
    _address(key="address", data=query, height=1)


def remember(name: str, named: bool) -> None:
    """Keeps the reviewer's name in the browser; what this tab was called before stands in st.session_state["remember"].

    named: the person has said it; else the browser is asked.
    """
    _remember(key="remember", data={"name": name, "named": named}, height=1, on_name_change=_nothing)


def tour(data: dict[str, Any]) -> None:
    """The guided tour; data as tour.js reads it."""
    _tour(key="tour", data=data, height=1)


def pulse(script: int, seconds: float) -> None:
    """Says every so many seconds what the browser has seen; its news: st.session_state["pulse"]["seen"]."""
    _pulse(key="pulse", data={"script": script, "every": 1000 * seconds}, height=1, on_seen_change=_nothing)


def keys(focus: str, nonce: str, heard: int, review: bool, sheet: dict[str, Any]) -> None:
    """Listens to the keys; only the review acts upon the keys of decisions.

    focus: 'edit', 'note' or 'jump' and a number; a new one puts the focus into that field. sheet: what `?` shows.
    nonce, heard: the last press acted upon; the component repeats what came after it until it is heard.
    """
    data = {"focus": focus, "nonce": nonce, "heard": heard, "review": review, "sheet": sheet}
    _keys(key="keys", data=data, height=1, on_pressed_change=_nothing)
