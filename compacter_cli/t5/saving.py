"""A backbone and its vocabulary as a KerasHub preset, in the precision asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.files import check_space
from compacter_cli.t5.preset_files import WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from keras_hub.models import T5Backbone

    from compacter_cli.t5.vocabulary import Vocabulary

HDF5_OVERHEAD = 5_000  # bytes a tensor; 3.7 kB in T5-base


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

    Raises:
        OSError: the disk has no room for it.
    """
    import keras_hub

    from compacter_cli.t5.placement import (
        backbone_weights,
        copy_of,
        saved_with_one_copy,
        shape_of_backbone,
    )

    shape = shape_of_backbone(backbone)
    check_space(directory, 4 * shape.parameters() + HDF5_OVERHEAD * shape.weight_tensors)
    tokenizer = keras_hub.models.T5Tokenizer(vocabulary.proto)
    preprocessor = keras_hub.models.T5Seq2SeqLMPreprocessor(tokenizer)
    model = keras_hub.models.T5Seq2SeqLM(backbone=backbone, preprocessor=preprocessor)
    with saved_with_one_copy(backbone):
        model.save_to_preset(str(directory))
    if precision != "float32":
        weights = {name: v.value for name, v in backbone_weights(backbone).items()}
        copy_of(backbone, weights, dtype=precision).save_weights(directory / WEIGHTS)
