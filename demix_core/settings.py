"""Every choice a person can make, a dataclass per stage; the help text serves the command line and the screen."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


def _option(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class LoadSettings:
    """How the data is read."""

    target: str = _option("", "The column that the model predicts; empty: found (last or best-named column).")
    task: str = _option("auto", "What the target asks for.", ("auto", "classification", "regression"))
    kinds: dict[str, str] = field(
        default_factory=dict, metadata={"help": "Column kinds set by hand: {column: kind}.", "choices": ()}
    )
    validation_share: float = _option(0.2, "Share of the rows held out to measure influence on (0.05 to 0.5).")


@dataclass(frozen=True)
class FitSettings:
    """How the task model is trained."""

    model: str = _option("mlp1", "The task model.")
    epochs: int = _option(30, "The most passes over the data; early stopping may end sooner.")
    batch_size: int = _option(
        512, "The most rows per step; small tables take fewer, so that an epoch has about 20 steps."
    )
    learning_rate: float = _option(1e-3, "Step size of AdamW.")
    patience: int = _option(6, "Epochs without a better validation loss before training stops.")


@dataclass(frozen=True)
class InfluenceSettings:
    """How influence is measured."""

    kernel: str = _option("cosine", "cosine: direction of effect; dot: direction and size.", ("cosine", "dot"))
    validation_rows: int = _option(2048, "The most validation rows that influence is measured on.")
    block: int = _option(2048, "Training rows per streamed block; memory grows with it, results do not change.")


@dataclass(frozen=True)
class DiagnoseSettings:
    """How errors are named."""

    classifier: str = _option("shipped", "The error classifier: 'shipped' or a checkpoint file.")
    calibrate: bool = _option(
        False,
        "Learn from errors planted into copies of this table. Better where many rows are wrong, worse where few are.",
    )
    expected_error_share: float = _option(0.0, "Your own word on the share of rows with an error; 0: estimate it.")
    thresholds: dict[str, float] = field(
        default_factory=dict,
        metadata={"help": "Thresholds set by hand: {label_error | feature_error | spurious: 0 to 1}.", "choices": ()},
    )


@dataclass(frozen=True)
class MapSettings:
    """How the map is drawn."""

    method: str = _option("umap", "The projection of the map.", ("umap", "tsne", "pca"))


@dataclass(frozen=True)
class Settings:
    """All choices of one run."""

    load: LoadSettings = field(default_factory=LoadSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    influence: InfluenceSettings = field(default_factory=InfluenceSettings)
    diagnose: DiagnoseSettings = field(default_factory=DiagnoseSettings)
    map: MapSettings = field(default_factory=MapSettings)
    seed: int = _option(0, "The number that makes a run repeatable.")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict, for manifest.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Settings:
        """The inverse of to_dict; unknown names are an error (TypeError)."""
        parts: dict[str, Any] = {}
        types = {
            "load": LoadSettings, "fit": FitSettings, "influence": InfluenceSettings,
            "diagnose": DiagnoseSettings, "map": MapSettings,
        }  # fmt: skip
        for f in fields(cls):
            if f.name in data:
                parts[f.name] = types[f.name](**data[f.name]) if f.name in types else data[f.name]
        return cls(**parts)
