"""What the documents say can be run, and what they name is there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from demix_core.benchmark.detect import ABLATIONS, OURS
from demix_core.benchmark.repair import NOTHING
from demix_core.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python -m demix_core ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_are_understood(command: str) -> None:
    words = shlex.split(command)[3:]
    group = typer.main.get_command(app)
    if words == ["--help"]:
        return
    found = group.commands[words[0]]  # type: ignore[attr-defined]
    context = found.make_context(words[0], [w for w in words[1:] if w != "…"], resilient_parsing=False)
    assert context.params


def test_readme_names_commands_and_files_that_exist() -> None:
    assert len(COMMANDS) >= 5 and "make run" in README and "make test" in README
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z]+)`", README)) <= set(targets)
    for name in re.findall(r"\]\((?!#|http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name


def test_figures_of_the_readme_are_the_benchmarks() -> None:
    found = json.loads((ROOT / "assets" / "benchmark" / "detect.json").read_text(encoding="utf-8"))
    for line in found["table"]:
        if line["method"] in (OURS, *ABLATIONS):
            heads = ("LE F1", "FE F1", "SC F1", "mean F1")
            row = " | ".join(line[head].replace("±", "± ") for head in heads)
            assert f"| {row} |" in README.replace("*", ""), line
    runs = found["runs"]
    covered = [c for m, c in zip(runs["method"], runs["right covered"], strict=True) if m == OURS]
    assert f"held the truth in {100 * sum(covered) / len(covered):.0f} % of these runs" in README


def test_figures_of_laws_and_learning_in_the_readme_are_the_benchmarks() -> None:
    words = " ".join(README.split())
    laws, learning = (
        json.loads((ROOT / "assets" / "benchmark" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("laws", "learning")
    )
    assert f"Of {laws['tables']} tables as they are {laws['tables that break a law']} break a law" in words
    everything = laws["table"][-1]
    assert f"planted into {everything['tasks']} tasks" in words
    for share in ("of them wrong", "right cell blamed"):
        assert f"{100 * everything[share]:.0f} %" in words[words.index("`bench laws`** —") :][:700]
    whole = words[words.index("`bench learning`** —") :][:900]
    for line in learning["table"]:
        assert line["mean AP"].split(" ")[0] in whole, line


def test_repair_figures_of_the_readme_are_the_benchmarks() -> None:
    found = json.loads((ROOT / "assets" / "benchmark" / "repair.json").read_text(encoding="utf-8"))
    for line in found["table"]:
        if line["arm"] != NOTHING:
            figures = f"{line['gain %']:+.1f} ± {line['sd over runs']:.1f} | {line['share of the gap']:.2f}"
            (row,) = [text for text in README.splitlines() if text.replace("*", "").startswith(f"| {line['arm']} |")]
            assert f"| {figures} | {line['tables worse']} |" in row, line
    assert f"(Spearman {found['estimate']['spearman']:.2f}".replace("0.", ".") in README


def test_architecture_figures_of_the_readme_are_the_benchmarks() -> None:
    found = json.loads((ROOT / "assets" / "benchmark" / "architectures.json").read_text(encoding="utf-8"))
    paragraph = README.split("**`bench architectures`**")[1].split("**`bench repair`**")[0]
    for line in found["table"]:
        if not line["seen"]:
            change = line["F1 less mlp1's"]
            figure = f"{change:+.3f}".replace("0.", ".").replace("-", "−")
            assert figure.lstrip("+−" if figure.endswith(".000") else "") in paragraph, line


def test_every_requirement_is_pinned_and_says_what_it_is_for() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    for line in lines:
        if not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9_-]+==\S+\s+# \S.*", line), line


def test_changelog_speaks_of_the_present_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version and f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_the_readme_says_of_raha_and_baran_is_the_benchmark() -> None:
    found, ours = (
        json.loads((ROOT / "assets" / "benchmark" / f"{name}.json").read_text(encoding="utf-8"))["table"]
        for name in ("raha", "real")
    )
    for table in ("hospital", "beers", "rayyan"):
        finds, both, told = (line for line in found if line["table"] == table)
        (line,) = (one for one in ours if one["table"] == table and one["suggestions"] == "all")
        raha = ", ".join(f"{finds[f]:.3f}" for f in ("precision", "recall", "F1"))
        mends = " | ".join(f"{one['F1']:.3f} ± {one['F1 sd']:.3f}" for one in (both, told))
        demix = ", ".join(f"{line[f'detect {f}']:.2f}" for f in ("precision", "recall", "F1"))
        row = f"{raha} ± {finds['F1 sd']:.3f} | {mends} | {demix} | {line['repair F1']:.2f}"
        assert f"| {table.title()} | {row} |".replace(" 0.", " .") in README, row


def test_readme_says_what_verdicts_teach() -> None:
    """Every line at random from thirty verdicts on stands in the table, as the benchmark left it."""
    lines = json.loads((ROOT / "assets" / "benchmark" / "lessons.json").read_text(encoding="utf-8"))["table"]
    at_random = [line for line in lines if line["order"] == "at random"]
    for line in (line for line in at_random if line["verdicts"] >= 30):
        figures = [line[f"{kind} AP"] for kind in ("LE", "FE", "SC")] + [f"**{line['mean AP']}**"]
        row = f"| {line['verdicts']} | {' | '.join(figures)} |".replace("0.", ".")
        assert row in README.replace("0.", "."), row
    thirty = [line for line in at_random if line["verdicts"] == 30]
    assert all(line["p, Holm"] < 0.004 for line in thirty) and "every p < .004 after Holm" in README
    for order, words in (("at random", "mean AP "), ("at random, one in ten wrong", "one verdict in ten wrong it is ")):
        told = [line["mean AP"].split(" → ") for line in lines if (line["order"], line["verdicts"]) == (order, 30)]
        gains = [float(b) - float(a) for a, b in told]
        assert f"{words}+{min(gains):.3f} to +{max(gains):.3f}".replace("+0.", "+.") in README
