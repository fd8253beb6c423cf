"""The float32 backbone that the files of a directory hold, KerasHub's or Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import excerpt
from compacter_cli.files import file_within, read_json, size_text
from compacter_cli.t5.hf_config import root_of, shares_embedding
from compacter_cli.t5.shapes import CONFIG, is_hugging_face_s, read_config, shape_in

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone

DEMO_SEED = 42  # of recipes/demo/pretrain.toml
WEIGHTS, SHARDS = "model.weights.h5", "model.weights.json"  # one file, or what names several


def backbone_in(directory: Path) -> T5Backbone:
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


def random_start(directory: Path) -> T5Backbone:
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
    size = sum(file_within(path, directory).stat().st_size for path in files)
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
