"""A backbone and its vocabulary as a KerasHub preset, in the precision asked for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.files import sync, sync_tree

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone

    from compacter_cli.t5.vocabulary import Vocabulary

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
FILES = (CONFIG, WEIGHTS, "metadata.json", "preprocessor.json", "task.json", "tokenizer.json")
FILES += ("assets",)


def write_preset(
    directory: Path, backbone: T5Backbone, vocabulary: Vocabulary, precision: str
) -> None:
    """Write a preset that KerasHub's `T5Seq2SeqLM.from_preset` and `load_backbone` read.

    The config says float32 whatever the precision of the file, so that whoever loads it computes
    in float32 (T5's activations overflow float16); Keras casts what it reads.

    Args:
        directory: to be made.
        backbone: in float32.
        vocabulary: the backbone's.
        precision: "float32", "float16" or "bfloat16", in which weights are stored.
    """
    import keras_hub

    tokenizer = keras_hub.models.T5Tokenizer(vocabulary.proto)
    preprocessor = keras_hub.models.T5Seq2SeqLMPreprocessor(tokenizer)
    model = keras_hub.models.T5Seq2SeqLM(backbone=backbone, preprocessor=preprocessor)
    model.save_to_preset(str(directory))
    if precision != "float32":
        rounded_copy(backbone, precision).save_weights(directory / WEIGHTS)


def rounded_copy(backbone: T5Backbone, precision: str) -> T5Backbone:
    """The backbone again with its weights in another precision."""
    from compacter_cli.t5.placement import backbone_weights

    copy = type(backbone).from_config({**backbone.get_config(), "dtype": precision})
    weights = backbone_weights(backbone)
    for name, variable in backbone_weights(copy).items():
        variable.assign(weights[name].value)
    return copy


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
