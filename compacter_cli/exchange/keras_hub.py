"""KerasHub's presets: a directory of a config, weights in HDF5 and a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.files import read_json
from compacter_cli.t5.shapes import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.exchange.trained import Plain


def recognise(directory: Path) -> bool:
    """Whether a directory holds the config of a KerasHub preset."""
    try:
        return "class_name" in read_json(directory / CONFIG)
    except (OSError, ValueError, TypeError):
        return False


def write(plain: Plain, directory: Path) -> None:
    """Write a preset that `load_backbone` and KerasHub's `from_preset` read, in float32."""
    from compacter_cli.t5.saving import write_preset

    write_preset(directory, plain.backbone, plain.vocabulary, "float32")
