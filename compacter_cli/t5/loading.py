"""A pretrained T5 with its vocabulary and fingerprint, from a directory or a KerasHub name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, MissingResourceError, excerpt, nearest_or_all
from compacter_cli.files import check_contained, read_json, size_text
from compacter_cli.network import can_reach
from compacter_cli.t5.hf_config import root_of, shares_embedding
from compacter_cli.t5.hub_names import hub_hint
from compacter_cli.t5.shapes import (
    CONFIG,
    DEMO_RANDOM,
    PRESETS,
    RANDOM_TINY,
    is_hugging_face_s,
    local_directory,
    read_config,
    shape_in,
)
from compacter_cli.t5.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from keras import Variable
    from keras_hub.models import T5Backbone
    from torch import Tensor

KERAS_HUB_HOST = "www.kaggle.com"
DEMO_SEED = 42  # of recipes/demo/pretrain.toml
# Rows of an embedding without a piece: T5's has 128, of sentinels and padding, and people add some.
MOST_SPARE_ROWS = 2_048
WEIGHTS, SHARDS = "model.weights.h5", "model.weights.json"  # one file, or what names several


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


def load_backbone(
    preset: str | Path, precision: str = "float32", keep_float32: bool = False
) -> Backbone:
    """Load a `Backbone`.

    Args:
        preset: KerasHub name, preset directory, or one of `OWN_NAMES`.
        precision: "float32" or "bfloat16", in which the weights are stored.
        keep_float32: store float32 whatever the precision, for methods that train it all.

    Raises:
        MissingResourceError: the preset, or a file of it, is not there.
        CompacterError: its weights cannot be read, or are not finite.
    """
    from compacter_cli.t5.runtime import start_keras

    start_keras()
    from compacter_cli.t5.placement import backbone_weights

    preset = str(preset)
    keras_backbone, vocabulary = _load_float32(preset)
    weights = backbone_weights(keras_backbone)
    _check_finite(preset, weights)
    fingerprint = fingerprint_of(weights)
    keras_backbone, exact = stored_in("float32" if keep_float32 else precision, keras_backbone)
    return Backbone(preset, keras_backbone, vocabulary, fingerprint, exact)


def stored_in(precision: str, backbone: T5Backbone) -> tuple[T5Backbone, dict[str, Tensor]]:
    """`(backbone, exact)` of a float32 KerasHub backbone: stored in `precision`, and the float32
    layer norms where that loses digits of them."""
    from compacter_cli.t5.placement import backbone_weights, copy_of

    if precision == "float32":
        return backbone, {}
    weights = {name: v.value.detach() for name, v in backbone_weights(backbone).items()}
    exact = {name: value for name, value in weights.items() if name.endswith("norm")}
    return copy_of(backbone, weights, dtype="bfloat16"), exact


def _load_float32(preset: str) -> tuple[T5Backbone, Vocabulary]:
    import keras_hub

    if preset == RANDOM_TINY:
        from compacter_cli.t5.random_backbone import tiny_backbone, tiny_vocabulary

        return tiny_backbone(), tiny_vocabulary()
    directory = local_directory(preset) or cached_directory(preset)
    vocabulary = read_vocabulary(directory) if directory else None
    try:
        if preset == DEMO_RANDOM and directory:
            backbone = _random_start(directory)
        elif directory:
            backbone = _backbone_in(directory)
        else:
            backbone = keras_hub.models.T5Backbone.from_preset(preset, dtype="float32")
        if vocabulary is None:  # just downloaded
            vocabulary = Vocabulary(keras_hub.models.T5Tokenizer.from_preset(preset).proto)
    except CompacterError:
        raise
    except Exception as error:  # of Keras and HDF5: whatever a damaged file brings them to
        if "Unknown preset identifier" in str(error):
            raise MissingResourceError(
                f'the preset "{excerpt(preset)}" is neither a directory nor a KerasHub name',
                hub_hint(preset) or nearest_or_all(preset, PRESETS, "known names"),
            ) from error
        first_line = str(error).strip().partition("\n")[0] or type(error).__name__
        missing = isinstance(error, FileNotFoundError)
        raise (MissingResourceError if missing else CompacterError)(
            f"cannot load the preset {preset}: {excerpt(first_line, 300)}",
            _hint(error),
        ) from error
    # A preset may be of random weights and any size; files of Hugging Face's are put together.
    together = directory is not None and is_hugging_face_s(directory)
    spare = MOST_SPARE_ROWS if together else backbone.vocabulary_size
    _check_sizes(preset, len(vocabulary), backbone.vocabulary_size, spare)
    return backbone, vocabulary


def _hint(error: Exception) -> str:
    """What to do: a copy of what is refused for what it is would be refused, too."""
    if isinstance(error, ValueError) and " is a pickle of more than tensors" in str(error):
        return "save the model with safetensors, where you trust it, or take files that are"
    if isinstance(error, ValueError) and "it is a link to" in str(error):
        return "copy the file itself into the directory"
    return "the files may be incomplete: copy or download the preset again"


def _check_sizes(preset: str, pieces: int, rows: int, spare: int) -> None:
    """Refuse a vocabulary and an embedding that cannot be of one model."""
    if pieces <= rows <= pieces + spare:
        return
    raise CompacterError(
        f"cannot load the preset {preset}: its vocabulary has {pieces:,} pieces, its "
        f"embedding {rows:,} rows",
        "vocabulary and weights are of different presets: copy the preset again",
    )


def _backbone_in(directory: Path) -> T5Backbone:
    """The float32 `T5Backbone` of a directory, KerasHub's or Hugging Face's.

    KerasHub's `from_preset` makes an object of whatever class config.json names; this makes a
    `T5Backbone`, and of no more memory than four times the size of its weights' files.

    Raises:
        UsageError: the config is not that of a T5.
        FileNotFoundError: the weights are not there.
        ValueError: they lie elsewhere, or are not those of the config.
    """
    if is_hugging_face_s(directory):
        return _hugging_face_s(directory)
    weights = _weights_in(directory, shape_in(directory).parameters())
    backbone = _empty_backbone(directory)
    backbone.load_weights(str(weights.resolve()))
    return backbone


def _hugging_face_s(directory: Path) -> T5Backbone:
    from compacter_cli.t5.hf_weights import Weights
    from compacter_cli.t5.placement import backbone_weights

    config = read_json(directory / CONFIG, within=root_of(directory))
    weights = Weights(directory, shape_in(directory), shares_embedding(config))
    backbone = _empty_backbone(directory)
    for name, variable in backbone_weights(backbone).items():
        weights.into(name, variable.value.detach())
    return backbone


def _empty_backbone(directory: Path) -> T5Backbone:
    """What the config of a directory describes, its weights to be read."""
    from compacter_cli.t5.placement import empty_backbone

    config = read_config(directory)
    config |= {"activation": _activation_of(config["activation"]), "dtype": "float32"}
    return empty_backbone(**config)


def _random_start(directory: Path) -> T5Backbone:
    """What the T5 of a preset directory began its pretraining from, by the seed of its recipe."""
    from compacter_cli.t5.initial import start_at_random
    from compacter_cli.t5.placement import backbone_weights
    from compacter_cli.t5.random_backbone import random_backbone

    shape = shape_in(directory)
    backbone = random_backbone(shape)
    start_at_random(backbone_weights(backbone), shape, DEMO_SEED)
    return backbone


def _activation_of(name: str) -> Callable[..., object]:
    """An activation of Keras, or one of KerasHub's own, which Keras knows as registered."""
    import keras

    registered = keras.saving.get_registered_object(name)
    return registered if isfunction(registered) else keras.activations.get(name)


def _weights_in(directory: Path, parameters: int) -> Path:
    """What to load the weights of a preset directory from, once it can be what it should."""
    place = directory / WEIGHTS
    files = [place]
    if not place.exists() and (directory / SHARDS).exists():
        place = directory / SHARDS
        files = [directory / name for name in _shards_in(place)]
    size = sum(_size_of(path, directory) for path in files)
    if size < parameters:  # no precision has less than a byte
        raise ValueError(
            f"{size_text(size)} of weights, too few for the {parameters:,} parameters of its config"
        )
    return place


def _shards_in(index: Path) -> set[str]:
    """The names of the files of weights that `index` knows."""
    weight_map = read_json(index)["weight_map"]
    found = {
        name
        for value in weight_map.values()
        for name in (value if isinstance(value, list) else [value])
    }
    for name in found:
        if Path(name).name != name:
            raise ValueError(f"{index.name} names {excerpt(name)}, which is not beside it")
    return found


def _size_of(path: Path, directory: Path) -> int:
    """The size of a file in `directory`, which is opened by others."""
    check_contained(path, directory)
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is missing")
    if not path.is_file():
        raise ValueError(f"{path.name} is no file")
    return path.stat().st_size


def _check_finite(preset: str, weights: Mapping[str, Variable]) -> None:
    from compacter_cli.t5.tensors import first_not_finite

    if name := first_not_finite({name: v.value for name, v in weights.items()}):
        raise CompacterError(
            f"the preset {preset} is damaged: its weight {name} holds NaN or infinity",
            "copy or download the preset again",
        )


def fingerprint_of(weights: Mapping[str, Variable]) -> str:
    """sha256 over structural names, shapes and float32 values of `weights`, name by name."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].value.detach().float().cpu().numpy()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype="<f4").data)
    return digest.hexdigest()
