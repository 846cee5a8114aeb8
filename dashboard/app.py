"""The dashboard: `streamlit run dashboard/app.py [-- --workspace FOLDER] [RUN]`. Navigation, sidebar, friendly errors."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` puts only this file's folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402  (the path comes first)

from dashboard import components, services, texts  # noqa: E402
from dashboard.state import get  # noqa: E402
from demix_core.errors import DemixError  # noqa: E402

HERE = Path(__file__).parent
st.set_page_config(page_title=texts.APP, page_icon=str(HERE / "components" / "logo.svg"), layout="wide")
st.html(components.style_sheet())
state = get()
try:
    if state.run is None:
        state.open_run(st.query_params.get("run") or services.first_run())
    page = st.navigation([st.Page("views/review.py", title="Review", default=True)])
    page.run()
    if state.run:
        st.query_params["run"] = state.run
except DemixError as error:
    st.error(str(error))
