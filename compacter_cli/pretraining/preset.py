"""The files of a preset in a pretraining's directory: there all at once, or not a preset."""

import os
import shutil
from pathlib import Path

from compacter_cli.files import sync, sync_tree
from compacter_cli.t5.preset_files import WEIGHTS
from compacter_cli.t5.shapes import CONFIG

FILES = (CONFIG, WEIGHTS, "metadata.json", "preprocessor.json", "task.json", "tokenizer.json")
FILES += ("assets",)


def move_into(directory: Path, fresh: Path) -> None:
    """Move a preset's files from `fresh` to `directory`, its config last: it makes a preset."""
    sync_tree(fresh)
    for name in sorted({path.name for path in fresh.iterdir()} - {CONFIG}):
        place = directory / name
        if place.is_dir():  # of an attempt that was killed while it moved them
            shutil.rmtree(place)
        os.replace(fresh / name, place)
    sync(directory)  # a preset is whole before it is one, and is one before its state is deleted
    os.replace(fresh / CONFIG, directory / CONFIG)
    sync(directory)
    fresh.rmdir()


def is_preset(directory: Path) -> bool:
    """Whether a preset is in `directory`, whole."""
    return (directory / CONFIG).is_file()
