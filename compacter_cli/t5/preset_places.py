"""Where a preset is: in a directory, in kagglehub's cache, or to be fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path

from compacter_cli.errors import MissingResourceError
from compacter_cli.network import can_reach
from compacter_cli.t5.shapes import RANDOM_TINY, local_directory
from compacter_cli.t5.vocabulary import Vocabulary, read_vocabulary

KERAS_HUB_HOST = "www.kaggle.com"


def check_preset(preset: str, offline: bool = False) -> None:
    """Say at once, before a framework is imported, that a preset cannot be had.

    Raises:
        MissingResourceError: a KerasHub name that is not on this disk and cannot be fetched.
    """
    if preset == RANDOM_TINY or local_directory(preset) or cached_directory(preset):
        return
    if offline or not can_reach(KERAS_HUB_HOST):
        why = "--offline is given" if offline else f"{KERAS_HUB_HOST} cannot be reached"
        raise MissingResourceError(
            f'the preset "{preset}" is not on this disk and {why}',
            "copy its directory from a connected machine (there: ~/.cache/kagglehub/models/keras/"
            f"t5/keras/{preset}/<version>) and give it with --set backbone.preset=DIR",
        )


def cached_directory(preset: str) -> Path | None:
    """The directory in which kagglehub keeps a KerasHub preset, `None` where it is not there."""
    root = Path(os.environ.get("KAGGLEHUB_CACHE", "~/.cache/kagglehub")).expanduser()
    versions = root.joinpath("models/keras/t5/keras", preset).glob("*/config.json")
    numbered = [path.parent for path in versions if re.fullmatch(r"\d+", path.parent.name)]
    needed = ("model.weights.*", "assets/tokenizer/vocabulary.spm")
    complete = [folder for folder in numbered if all(any(folder.glob(p)) for p in needed)]
    return max(complete, key=lambda folder: int(folder.name), default=None)


def find_vocabulary(preset: str) -> Vocabulary | None:
    """The `Vocabulary` of a preset, or `None` where it is a KerasHub name (not looked up here).

    Raises:
        MissingResourceError: the preset's directory has no SentencePiece model.
    """
    if preset == RANDOM_TINY:
        from compacter_cli.t5.random_backbone import tiny_vocabulary

        return tiny_vocabulary()
    directory = local_directory(preset)
    return None if directory is None else read_vocabulary(directory)
