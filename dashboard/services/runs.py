"""Where runs live, and their jobs: start, watch, cancel, go on."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from dataclasses import Field, asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dashboard.state import DataChoice
from demix_core import jobs
from demix_core.errors import RunError
from demix_core.settings import LoadSettings, Settings
from demix_core.store import JobState, Run, Status, storing

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_NAME = "example"
EXAMPLE = ROOT / "assets" / "example"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


# ---- where runs live ---------------------------------------------------------------------------------------------


def arguments() -> tuple[Path, Path | None]:
    """(workspace, run folder to open first or None) from the words after `--` on the command line."""
    workspace, run = _parsed(tuple(sys.argv[1:]))
    return workspace, run if run is not None and (run / "status.json").is_file() else None


@lru_cache(maxsize=4)
def _parsed(words: tuple[str, ...]) -> tuple[Path, Path | None]:
    """Asked at every decision, so the same words are read once."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--workspace", type=Path, default=Path(".demix"))
    parser.add_argument("run", nargs="?", type=Path)
    known, _ = parser.parse_known_args(list(words))
    return known.workspace, known.run


def runs_folder() -> Path:
    """Where the runs of this workspace lie."""
    return arguments()[0] / "runs"


def run_path(name: str) -> Path:
    """The folder of a run by its name in the address; RunError when there is none."""
    first = arguments()[1]
    if first is not None and first.name == name:
        return first
    folder = runs_folder() / name
    if not RUN_NAME.fullmatch(name) or not folder.is_dir():
        raise RunError(f"There is no run called '{name}' in '{runs_folder()}'; choose another one in the sidebar.")
    return folder


def run_names() -> list[str]:
    """All runs of the workspace, newest first; the one named on the command line before all."""
    first, folder = arguments()[1], runs_folder()
    found = [p for p in folder.iterdir() if (p / "status.json").is_file()] if folder.is_dir() else []
    names = [p.name for p in sorted(found, key=lambda p: -(p / "status.json").stat().st_mtime)]
    return [first.name, *(n for n in names if n != first.name)] if first is not None else names


def open_example() -> str | None:
    """The name of the shipped example's run, copied into the workspace on first use; None when it is not shipped."""
    target = runs_folder() / EXAMPLE_NAME
    if target.is_dir():
        return EXAMPLE_NAME
    if not (EXAMPLE / "run" / "manifest.json").is_file():
        return None
    copying = target.with_name(".example.copying")
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(EXAMPLE / "run", copying, dirs_exist_ok=True)
        copying.rename(target)
    return EXAMPLE_NAME


def first_run() -> str | None:
    """What a newcomer sees: the run of the command line, else the example, else the newest run."""
    first = arguments()[1]
    if first is not None:
        return first.name
    names = run_names()
    return open_example() or (names[0] if names else None)


def wanted_run(asked: str | None) -> str | None:
    """The run that an address asks for; without one, what a newcomer sees. The example is put there when asked for.

    RunError: there is none of that name.
    """
    if asked == EXAMPLE_NAME:
        open_example()
    if asked:
        run_path(asked)
    return asked or first_run()


# ---- jobs --------------------------------------------------------------------------------------------------------


def status(name: str) -> Status | None:
    """How the run's job is doing, a dead worker noticed."""
    return jobs.state(Run(run_path(name)))


def is_done(name: str | None) -> bool:
    """Whether a run can be reviewed."""
    found = status(name) if name else None
    return found is not None and found.state is JobState.DONE


def cancel(name: str) -> None:
    """Stops the job; finished stages stay."""
    jobs.cancel(Run(run_path(name)))


def table_of(name: str) -> tuple[str, DataChoice] | None:
    """The table that a run was made from: its name, and the choice that would start the same diagnosis; None where the
    run keeps no copy of it."""
    run = Run(run_path(name))
    manifest = run.manifest()
    paths = {role: run.input_path(role) for role in manifest.inputs}
    if "train" not in paths or not paths["train"].is_file():
        return None
    load = Settings.from_dict(manifest.settings).load
    choice = DataChoice(
        path=str(paths["train"]), validation=str(paths.get("validation", "")), test=str(paths.get("test", "")),
        target=load.target, task=load.task, kinds=tuple(sorted(load.kinds.items())), share=load.validation_share,
    )  # fmt: skip
    return str(manifest.inputs["train"]["name"]), choice


def has_predictions(name: str) -> bool:
    """Whether a network stands in for a model of the person's own."""
    return "predictions" in Run(run_path(name)).manifest().inputs


def laws(name: str) -> list[dict[str, Any]]:
    """The laws between columns that rows of the run break, see demix_core.summary.laws_of."""
    return list(Run(run_path(name)).summary().get("laws", []))


def notes(name: str) -> list[str]:
    """What a person should know of a finished diagnosis."""
    return list(Run(run_path(name)).summary().get("notes", []))


def models() -> list[str]:
    """The task models there are."""
    from demix_core.models.base import MODELS  # brings torch

    return list(MODELS)


def start(choice: DataChoice, settings: Settings, weights: str = "", predictions: str = "") -> str:
    """Starts a diagnosis in its own process; the name of its run. weights, predictions: paths, '' for none."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(choice.path).stem).strip("-.") or "run"
    taken = set(run_names()) | {EXAMPLE_NAME}
    name = next(n for i in range(1, len(taken) + 2) if (n := f"{stem}-{i}") not in taken)
    others = (Path(p) if p else None for p in (choice.validation, choice.test, weights, predictions))
    jobs.start(Path(choice.path), runs_folder() / name, settings, *others)
    return name


def start_again(name: str, settings: Settings | None = None) -> None:
    """Starts a run's job again, on its own copies of the files; it goes on from the last finished stage."""
    run = Run(run_path(name))
    manifest = run.manifest()
    paths = {role: run.input_path(role) for role in manifest.inputs}
    wanted = settings or Settings.from_dict(manifest.settings)
    others = (paths.get(role) for role in ("validation", "test", "weights", "predictions"))
    jobs.start(paths["train"], run.path, wanted, *others)


def draw_map(name: str, method: str) -> None:
    """Starts the job that adds the other map; everything else is fresh already."""
    given = Settings.from_dict(Run(run_path(name)).manifest().settings)
    start_again(name, replace(given, map=replace(given.map, method=method)))


def stages(name: str) -> dict[str, float]:
    """Finished stages of a run with their seconds, in order; empty before the first."""
    run = Run(run_path(name))
    return {n: s.seconds for n, s in run.manifest().stages.items()} if (run / "manifest.json").is_file() else {}


@dataclass(frozen=True)
class Option:
    """One setting as a form control. section: the field of Settings it belongs to, '' for Settings itself."""

    section: str
    name: str
    help: str
    default: Any
    choices: tuple[str, ...]


def options() -> list[Option]:
    """Every setting of a diagnosis but those of the data page, and thresholds, which have a page of their own."""
    found = []
    defaults = Settings()
    for f in fields(Settings):
        part = getattr(defaults, f.name)
        if f.name == "load":
            continue
        if hasattr(part, "__dataclass_fields__"):
            inner = [(f.name, g, getattr(part, g.name)) for g in fields(part) if g.name != "thresholds"]
        else:
            inner = [("", f, part)]
        found += [Option(s, g.name, g.metadata["help"], value, _choices(g)) for s, g, value in inner]
    return found


def _choices(option: Field[Any]) -> tuple[str, ...]:
    return tuple(models()) if option.name == "model" else tuple(option.metadata["choices"])


def settings(choice: DataChoice, values: dict[tuple[str, str], Any]) -> Settings:
    """Settings from the data page's choice and {(section, name): value} of the diagnose page."""
    content = Settings().to_dict() | {"load": asdict(load_settings(choice))}
    for (section, name), value in values.items():
        (content[section] if section else content)[name] = value
    return Settings.from_dict(content)


def load_settings(choice: DataChoice) -> LoadSettings:
    """The data page's choice in the engine's words."""
    return LoadSettings(target=choice.target, task=choice.task, kinds=dict(choice.kinds), validation_share=choice.share)


def stage_names() -> tuple[str, ...]:
    """The stages of a diagnosis, in order."""
    return ("load", "fit", "signals", "detect", "suggest", "map")
