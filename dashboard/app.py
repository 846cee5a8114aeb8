"""The dashboard (`streamlit run dashboard/app.py [-- [--workspace FOLDER] [RUN]]`): pages, sidebar, friendly errors."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` puts only this file's folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402  (the path comes first)

from dashboard import address, components, deciding, garbage, guide, pulse, services, texts, together, widgets  # noqa: E402
from dashboard.state import get  # noqa: E402
from demix_core.errors import DemixError  # noqa: E402

LOGO = str(Path(__file__).parent / "components" / "logo.svg")
CLOSER = {
    "history": "history",
    "team": "group",
    "rounds": "replay",
    "drift": "compare_arrows",
    "influence": "grid_on",
    "thresholds": "tune",
}  # beside the five steps, with icons


def steps() -> list[st.Page]:
    """The five pages in the order of the work, each with its state: done or needed."""
    state = get()
    has_data = bool(state.data.path or state.run)
    done = {
        "data": has_data,
        "diagnose": services.is_done(state.run),
        "review": services.any_decision(state.run),
        "check": services.is_checked(state.run),
        "export": False,
    }
    return [
        st.Page(
            f"views/{name}.py",
            title=name.capitalize(),
            default=name == "review",
            icon=f":material/{'check_circle' if done[name] else 'radio_button_unchecked'}:",
        )
        for name in ("data", "diagnose", "review", "check", "export")
    ]


def closer() -> list[st.Page]:
    """The pages for a closer look, which no step of the work needs."""
    return [
        st.Page(f"views/{name}.py", title=name.capitalize(), icon=f":material/{icon}:") for name, icon in CLOSER.items()
    ]


def arrive() -> None:
    """The run that the address names, with what else it says; else the newest, and why."""
    try:
        get().arrive(services.wanted_run(st.query_params.get("run")))
    except DemixError as error:
        get().arrive(services.wanted_run(None))
        get().lose(str(error))
        return
    address.restore(get(), {name: st.query_params.get_all(name) for name in st.query_params})


garbage.set_libraries_aside()
st.set_page_config(page_title=texts.APP, page_icon=LOGO, layout="wide", initial_sidebar_state="expanded")
st.logo(LOGO, size="large")
st.html(components.style_sheet())
services.look_anew()
try:
    if get().run is None:
        arrive()
    page = st.navigation({"": steps(), "Look closer": closer()} if CLOSER else steps())
    if get().going not in ("", page.url_path or "review"):
        st.switch_page(f"views/{get().going}.py")
    get().go("")
    widgets.run_picker(get(), services.run_names())
    together.reviewer_field(get())
    pulse.begin(get())
    guide.sidebar(get(), on_review=not page.url_path)
    widgets.lost(get())
    if page.url_path:  # the review is the default page: it says its address itself, when it has heard the keys
        components.address(deciding.whereabouts(get()))
        components.keys("", get().key_nonce, get().key_seq, False, texts.SHEET)
    page.run()
    get().forget_presses()
    if services.is_done(get().run):
        services.load_ahead()
except DemixError as error:
    st.error(str(error), icon=":material/error:")
finally:  # a page may stop early
    pulse.end(get())
