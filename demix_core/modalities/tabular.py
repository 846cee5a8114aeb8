"""The tabular modality under one name: its schema, its loading and its encoder."""

from __future__ import annotations

from demix_core.modalities.base import load
from demix_core.modalities.encoder import TabularEncoder
from demix_core.modalities.schema import infer_schema, plain_frame, written_frame

__all__ = ["TabularEncoder", "infer_schema", "load", "plain_frame", "written_frame"]
