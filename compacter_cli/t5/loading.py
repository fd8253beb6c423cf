"""A pretrained T5 with its vocabulary and fingerprint, from a directory or a KerasHub name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.network import can_reach
from compacter_cli.t5.shapes import RANDOM_TINY, local_directory
from compacter_cli.t5.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from keras import Variable
    from keras_hub.models import T5Backbone
    from torch import Tensor

KERAS_HUB_HOST = "www.kaggle.com"


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone.

    Attributes:
        preset: what it was loaded from.
        keras: KerasHub's backbone, in the precision asked for.
        vocabulary: the preset's own.
        fingerprint: sha256 over its float32 values by structural name; precision and file
            format do not change it.
        exact: float32 tensors of the layer norms where `keras` is bfloat16, else empty.
    """

    preset: str
    keras: T5Backbone
    vocabulary: Vocabulary
    fingerprint: str
    exact: dict[str, Tensor] = field(default_factory=dict)


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


def load_backbone(preset: str, precision: str = "float32", keep_float32: bool = False) -> Backbone:
    """Load a `Backbone`.

    Args:
        preset: KerasHub name, preset directory, or `random/tiny`.
        precision: "float32" or "bfloat16", in which the weights are stored.
        keep_float32: store float32 whatever the precision, for methods that train it all.

    Raises:
        MissingResourceError: the preset, or a file of it, is not there.
        CompacterError: its weights cannot be read.
    """
    from compacter_cli.t5.runtime import start_keras

    start_keras()
    from compacter_cli.t5.placement import backbone_weights

    keras_backbone, vocabulary = _load_float32(preset)
    weights = backbone_weights(keras_backbone)
    fingerprint = fingerprint_of(weights)
    keras_backbone, exact = stored_in("float32" if keep_float32 else precision, keras_backbone)
    return Backbone(preset, keras_backbone, vocabulary, fingerprint, exact)


def stored_in(precision: str, backbone: T5Backbone) -> tuple[T5Backbone, dict[str, Tensor]]:
    """`(backbone, exact)` of a float32 KerasHub backbone: stored in `precision`, and the float32
    layer norms where that loses digits of them."""
    from compacter_cli.t5.placement import backbone_weights

    if precision == "float32":
        return backbone, {}
    weights = backbone_weights(backbone)
    exact = {name: v.value.detach() for name, v in weights.items() if name.endswith("norm")}
    return _in_bfloat16(backbone, weights), exact


def _load_float32(preset: str) -> tuple[T5Backbone, Vocabulary]:
    import keras_hub

    if preset == RANDOM_TINY:
        from compacter_cli.t5.random_backbone import tiny_backbone, tiny_vocabulary

        return tiny_backbone(), tiny_vocabulary()
    directory = local_directory(preset) or cached_directory(preset)
    vocabulary = read_vocabulary(directory) if directory else None
    source = str(directory.resolve()) if directory else preset
    try:
        backbone = keras_hub.models.T5Backbone.from_preset(source, dtype="float32")
        if vocabulary is None:  # just downloaded
            vocabulary = Vocabulary(keras_hub.models.T5Tokenizer.from_preset(preset).proto)
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise CompacterError(
            f"cannot load the preset {preset}: {first_line}",
            "the files may be incomplete: copy or download the preset again",
        ) from error
    return backbone, vocabulary


def fingerprint_of(weights: Mapping[str, Variable]) -> str:
    """sha256 over structural names, shapes and float32 values of `weights`, name by name."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].value.detach().float().cpu().numpy()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype="<f4").data)
    return digest.hexdigest()


def _in_bfloat16(backbone: T5Backbone, weights: Mapping[str, Variable]) -> T5Backbone:
    from compacter_cli.t5.placement import backbone_weights

    config = {**backbone.get_config(), "dtype": "bfloat16"}
    rounded = type(backbone).from_config(config)
    for name, variable in backbone_weights(rounded).items():
        variable.assign(weights[name].value)
    return rounded
