"""The report: whole, offline, of this run, and not to be broken by what stands in the table."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from demix_core import work
from demix_core.check import evaluate
from demix_core.cli import main
from demix_core.errors import RunError
from demix_core.figures import influence_profile, kinds_of, row_map, sampled
from demix_core.handout.facts import gather
from demix_core.handout.page import plotly_script, report_html, write_report
from demix_core.markup import Html, node, script_json
from demix_core.pipeline import diagnose
from demix_core.store import Run
from demix_core.trust.words import how
from demix_core.types import ErrorType
from tests import tiny
from tests.dashboard import fake_run

EXAMPLE = Path(__file__).resolve().parents[1] / "assets" / "example" / "run"
EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
KNOWN = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "h1", "h2", "h3", "p",
         "b", "small", "span", "div", "dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "del",
         "ins", "code", "details", "summary", "noscript", "svg", "path", "text",
         "script"}  # fmt: skip


class Page(HTMLParser):
    """Elements, attributes, texts and scripts of a report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.scripts += [""] if tag == "script" else []

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def figure(self) -> dict[str, list[dict[str, object]]]:
        return json.loads(self.scripts[0])["map"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A diagnosed table whose names, cells, labels, file name and reviewer try to break out of the page."""
    folder = tmp_path_factory.mktemp("hostile")
    frame = pd.read_csv(tiny.table(folder / "t.csv"))
    frame["job"] = frame["job"].replace("clerk", EVIL)
    frame["income"] = frame["income"].replace("high", f"{EVIL}high")
    source = folder / "<b>t.csv"
    frame.rename(columns={"age": f"{EVIL}age", "income": EVIL}).to_csv(source, index=False)
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        run = diagnose(source, folder / "run", settings)
    with closing(run.decisions()) as log:
        log.accept([0, 1], reviewer=EVIL, query=EVIL)
        log.edit(2, EVIL, reviewer="me", reason=EVIL)
        log.reject([3])
    return run


def test_nothing_in_a_table_breaks_out_of_the_page(hostile: Run) -> None:
    page = Page(report_html(hostile))
    assert page.elements.count("script") == 3 and set(page.elements) <= KNOWN
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert page.words.count("alert(1)") > 20, "it is there, as text"
    told = [text for trace in page.figure()["data"] for _, text, _ in trace["customdata"]]
    assert any("alert" in t for t in told) and not any("<" in t for t in told), "Plotly reads a little HTML"
    assert "Diagnosis of <b>t.csv" in page.words


def test_only_its_own_scripts_may_run_and_nothing_is_fetched(hostile: Run) -> None:
    text = report_html(hostile)
    page = Page(text)
    policy = next(value for name, value in page.attributes if "default-src" in value)
    assert policy.startswith("default-src 'none'; ") and "unsafe-inline" not in policy.split("style-src")[0]
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert text.count(plotly_script()) == 1
    assert not re.findall(r"https?:|//[a-z]+\.|url\(|@import", text.replace(plotly_script(), ""))


def test_the_figures_are_those_of_the_run(hostile: Run) -> None:
    page, facts = Page(report_html(hostile)), gather(hostile)
    for k, kind in enumerate(ErrorType):
        assert f"{facts.flags[:, k].sum():,} {100 * facts.flags[:, k].mean():.1f} %" in page.words, kind
    traces = page.figure()["data"]
    ids = sorted(int(told[0]) for trace in traces for told in trace["customdata"])
    assert ids == sorted(facts.diagnosis["row_id"])
    assert sum(int(trace["name"].rsplit(" ", 1)[1].replace(",", "")) for trace in traces) == len(facts.diagnosis)
    inputs = hostile.manifest().inputs["train"]
    assert inputs["sha256"] in page.words and f"seed {facts.manifest.settings['seed']}" in page.words
    assert facts.summary["versions"]["torch"] in page.words
    for rule in facts.rules:
        assert f"{rule.shortcut.condition} ↔ {rule.shortcut.target}" in page.words.replace("  ", " ")


def test_decisions_are_counted_and_a_later_measurement_is_told_from_a_present_one(hostile: Run, tmp_path: Path) -> None:
    shutil.copytree(hostile.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert "was not measured yet" in Page(report_html(run)).words
    with closing(run.decisions()) as log:
        labels = run.patches().query("error_type == 'label_error'")["patch_id"].head(6).tolist()
        log.accept(labels)
        states = log.replay()
    facts = gather(run)
    for kind in ErrorType:
        assert how(facts.evidence[kind]) in Page(report_html(run)).words
    counts = [facts.decided(facts.of_type(kind)) for kind in ErrorType]
    assert sum(sum(c.values()) for c in counts) == len(states)
    result = evaluate(run, seeds=2)
    words = Page(report_html(run)).words
    metric = result["parts"]["validation"]["metrics"][0]
    assert f"{metric['before']:.4f} {metric['after']:.4f} {metric['delta']:+.4f}" in words
    assert "speak of earlier decisions" not in words
    with closing(run.decisions()) as log:
        log.undo()
    assert "speak of earlier decisions" in Page(report_html(run)).words


def test_the_example_is_within_its_size_and_reading_changes_nothing(tmp_path: Path, capsys) -> None:
    before = {p: p.stat().st_mtime_ns for p in EXAMPLE.rglob("*")}
    assert main(["report", str(EXAMPLE), "-o", str(tmp_path / "r.html")]) == 0
    assert "r.html" in capsys.readouterr().out.replace("\n", "")
    assert {p: p.stat().st_mtime_ns for p in EXAMPLE.rglob("*")} == before
    assert (tmp_path / "r.html").stat().st_size <= 6e6
    words = Page((tmp_path / "r.html").read_text("utf-8")).words
    summary = Run(EXAMPLE).summary()
    assert (
        f"{summary['flagged_rows']:,} of {summary['rows']:,} rows" in words
        and "Nothing is decided yet" in words
        and "month: spelled unlike 'may'" in words
    )


def test_a_run_of_an_earlier_version_without_signals_has_its_report(tmp_path: Path) -> None:
    page = Page(report_html(Run(fake_run.make(tmp_path / "fake", n=300))))
    assert "Named shortcuts" not in page.words and "What was found" in page.words


def test_an_unfinished_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "fake", n=300)
    (folder / "summary.json").unlink()
    with pytest.raises(RunError, match=r"summary.json"):
        write_report(Run(folder), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


# ---- figures and markup -----------------------------------------------------------------------------------------


@given(kinds=hnp.arrays(np.uint8, st.integers(0, 60), elements=st.integers(0, 4)), most=st.integers(1, 70))
def test_a_sample_keeps_the_suspects_first(kinds: np.ndarray, most: int) -> None:
    at = sampled(kinds, most)
    assert len(at) == min(most, len(kinds)) and (np.diff(at) > 0).all()
    suspects = int((kinds > 0).sum())
    assert int((kinds[at] > 0).sum()) == min(suspects, most)


def test_a_large_map_is_a_sample_by_webgl_and_counts_all() -> None:
    n = 50_000
    kinds = np.where(np.arange(n) % 100 == 0, 3, 0).astype(np.uint8)
    xy = np.random.default_rng(0).normal(size=(n, 2))
    xy[1] = np.nan
    figure = row_map(xy, kinds, np.arange(n) + 7, np.full(n, "a<b"), np.full(n, 0.5))
    clean, spurious = figure["data"]
    assert len(clean["x"]) + len(spurious["x"]) == 20_000 and len(spurious["x"]) == 500
    assert clean["name"].endswith("49,500") and clean["type"] == "scattergl" and clean["customdata"][0][1] == "a&lt;b"
    for told, x in zip(spurious["customdata"], spurious["x"], strict=True):
        assert x == pytest.approx(xy[told[0] - 7, 0], abs=1e-4), "row ids, not positions"
    json.dumps(figure, allow_nan=False)


def test_figures_are_what_plotly_understands() -> None:
    import plotly.graph_objects as go

    flags = np.eye(3, dtype=bool)
    xy = np.zeros((3, 2))
    go.Figure(row_map(xy, kinds_of(flags, flags * 0.9), np.arange(3), np.array(["a", "b", "c"]), np.ones(3)))
    profile = influence_profile(np.linspace(-1, 1, 50), np.arange(50) < 20, np.zeros((2, 101)))
    assert len(go.Figure(profile).data) == 4
    own = profile["data"][1]["y"]
    assert own[0] == pytest.approx(-1) and own == sorted(own)


@given(st.text())
def test_texts_are_escaped_and_html_is_not(text: str) -> None:
    page = Page(node("p", text, node("b", "x"), title=text))
    assert page.elements == ["p", "b"] and isinstance(node("p", text), Html)
    assert "".join(page.texts).removesuffix("x") == text.replace("\r\n", "\n").replace("\r", "\n") or "\r" in text
    back = script_json({"t": text})
    assert json.loads(back) == {"t": text} and not set(back) & set("<>&\u2028\u2029")
