"""The handout as one file: template, style, sections, figures and Plotly's own script, all inside."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from string import Template

import demix_core
from demix_core.errors import RunError
from demix_core.figures import MOST_POINTS, Figure, kinds_of, row_map
from demix_core.handout.facts import Facts, gather
from demix_core.handout.sections import body
from demix_core.markup import Html, node, script_json
from demix_core.store import Run, now, write_file
from demix_core.svg import picture
from demix_core.types import ErrorType

HERE = Path(__file__).parent
STILL_POINTS = 3000
"""Of the picture that readers without JavaScript see."""

LIBRARY = "plotly/package_data/plotly.min.js"


def write_report(run: Run, out: Path | str) -> Path:
    """Write the handout of a finished run to OUT and return its path; the run is only read.

    RunError: the run is not finished, or a file is missing or damaged. StorageError: OUT can't be written.
    """
    text = report_html(run)
    write_file(Path(out), lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return Path(out)


def report_html(run: Run) -> str:
    """The handout as text. It asks no network: a policy in its head forbids that, and scripts other than its own."""
    facts = gather(run)
    library, drawing = plotly_script(), _own("page.js")
    still = picture(map_of(facts, STILL_POINTS), width=1070, height=540)
    return Template(_own("page.html")).substitute(
        policy=escape(_policy(library, drawing)),
        generator=f"DeMix {demix_core.__version__}",
        title=escape(f"Diagnosis of {facts.name}"),
        style=_own("page.css"),
        body=body(facts, still),
        footer=_footer(),
        figures=script_json({"map": map_of(facts)}),
        library=library,
        drawing=drawing,
    )


def map_of(facts: Facts, most: int = MOST_POINTS) -> Figure:
    """The map of the run as a Plotly figure of at most this many points."""
    found = facts.diagnosis
    probabilities = found[[k.probability_column for k in ErrorType]].to_numpy(float)
    texts = facts.rows[facts.schema.target].astype(str).to_numpy()
    places = found[["x", "y"]].to_numpy(float)
    kinds = kinds_of(facts.flags, probabilities)
    return row_map(places, kinds, found["row_id"].to_numpy(), texts, probabilities.max(1), most)


@cache
def plotly_script() -> str:
    """Plotly's script, from the installed package, without importing it. RunError: it is not installed."""
    try:
        path = Path(str(distribution("plotly").locate_file(LIBRARY)))
        text = path.read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise RunError(
            "Plotly is missing, which draws the report's map; install what requirements.txt names."
        ) from error
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    """Nothing is fetched, and only these scripts run. WebGL drawing compiles its loops, hence 'unsafe-eval'."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "form-action 'none'; base-uri 'none'"
    )


@cache
def _own(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _footer() -> Html:
    drawn = f"the map is drawn by Plotly {version('plotly')}, which is part of this file"
    return node("p", f"Made by DeMix {demix_core.__version__} on {now()}; {drawn}.")
