"""The house is as ARCHITECTURE.md says: who imports whom, who prints, which names are public, what is in the root."""

from __future__ import annotations

import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import demix_core

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SOURCES = sorted([*(ROOT / "demix_core").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])
FREE = {"types", "errors", "demix_core", "dashboard"}
FOLDERS = {"dashboard", "demix_core", "tests", "assets"}
LONGEST_FUNCTION = 50


def tables() -> Iterator[tuple[str, list[str]]]:
    """(heading, cells) of every table line of the page."""
    heading = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("|") and not set(line) <= set("|-"):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]


def allowed() -> dict[str, set[str]]:
    lines = [cells for heading, cells in tables() if heading == "Who may import whom"][1:]
    return {room: {name.strip() for name in names.split(",") if name.strip()} for room, names in lines}


def room(module: str) -> str:
    """'demix_core.models.mlp' -> 'models'; 'dashboard.views.data' -> 'dashboard.views'."""
    parts = module.split(".")
    if parts[0] == "demix_core":
        return parts[1] if len(parts) > 1 else "demix_core"
    return ".".join(parts[:2])


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules (or names of our two packages) that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module in ("demix_core", "dashboard")
            yield from (f"{node.module}.{a.name}" for a in node.names) if whole else (node.module,)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_are_those_of_the_table() -> None:
    rules = allowed()
    broken = []
    for path in SOURCES:
        here = room(module_of(path))
        if here in ("demix_core", "dashboard", "__main__"):
            continue
        for name in imported(path):
            there = room(name)
            ours = name.split(".")[0] in ("demix_core", "dashboard")
            if ours and there != here and there not in FREE and there not in rules[here]:
                broken.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not broken, broken


def test_the_table_allows_nothing_that_nobody_uses() -> None:
    used = defaultdict(set)
    for path in SOURCES:
        used[room(module_of(path))] |= {room(name) for name in imported(path)}
    idle = {here: names - used[here] for here, names in allowed().items() if names - used[here]}
    assert not idle


def test_variants_never_import_a_sibling() -> None:
    families = ("models", "repairs", "corruption")
    shared = {"base", "training", "losses", "apply", "rules", "conditional", "swaps", "targets"}
    shared |= {"patterns", "mistakes", "mistakes_of_numbers", "mistakes_of_times", "mistakes_of_words"}
    for path in SOURCES:
        module = module_of(path).split(".")
        if module[0] == "demix_core" and len(module) == 3 and module[1] in families and module[2] not in shared:
            siblings = [n for n in imported(path) if n.startswith(f"demix_core.{module[1]}.")]
            assert {n.split(".")[2] for n in siblings} <= shared, (path.name, siblings)


@pytest.mark.parametrize("path", [p for p in SOURCES if "demix_core" in p.parts], ids=module_of)
def test_the_engine_knows_no_screen_prints_nothing_and_reads_no_environment(path: Path) -> None:
    assert not {"streamlit", "plotly"} & {name.split(".")[0] for name in imported(path)}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert not [c for c in calls if isinstance(c, ast.Name) and c.id in ("print", "eval", "exec")]
    names = {
        f"{n.value.id}.{n.attr}"
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)
    }
    assert not names & {"os.getenv", "pickle.load", "joblib.load", "torch.load"}


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_module_says_what_it_is_for_and_its_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a docstring on top"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            first = doc.end_lineno + 1 if doc and doc.end_lineno else node.lineno
            if module_of(path) not in ("demix_core.cli",):  # options are declared in the signature there
                assert (node.end_lineno or 0) - first < LONGEST_FUNCTION, f"{node.name} is too long"


@pytest.mark.parametrize("path", [p for p in SOURCES if {"dashboard", "measuring"} & set(p.parts) == {"dashboard"}])
def test_no_press_is_lost_when_a_message_interrupts_the_script(path: Path) -> None:
    for call in (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("button", "form_submit_button"):
            assert {"on_click"} <= {k.arg for k in call.keywords}, f"line {call.lineno}: use widgets.pressed"


def test_every_room_is_described() -> None:
    described = " ".join(cells[0] for heading, cells in tables() if heading == "Rooms")
    for path in sorted((ROOT / "demix_core").iterdir()):
        if path.name.startswith("__") or (path.is_dir() and not list(path.glob("*.py"))):
            continue
        assert path.name in described, f"{path.name} is not on the page"


def test_public_names_are_all_there() -> None:
    for name in demix_core.__all__:
        assert getattr(demix_core, name) is not None
    with pytest.raises(AttributeError):
        _ = demix_core.nothing_of_that_name


def test_the_root_holds_four_folders() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        return  # not a checkout
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    assert {f for f in folders if not f.startswith(".")} <= FOLDERS


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_sentence_loses_its_second_half(path: Path) -> None:
    """A text that goes on in a string outside parentheses is cut on the screen; documentation has three quotes."""
    text = path.read_text(encoding="utf-8")
    loose = [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        and not (ast.get_source_segment(text, node) or "").lstrip("r").startswith('"""')
    ]  # fmt: skip
    assert loose == []
