"""Dimensions of T5 backbones, known without a framework."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compacter_cli.errors import (
    MissingResourceError,
    UsageError,
    excerpt,
    nearest_or_all,
    user_path,
)
from compacter_cli.files import read_json
from compacter_cli.t5.hf_config import RELATIVE_BUCKETS, arguments_of, is_hugging_face, root_of
from compacter_cli.t5.hub_names import hub_hint

PAPER_ROWS = 32_100  # rows of the embedding in the paper's T5, cut from 32,128 to its vocabulary
CONFIG = "config.json"
WROTE = "KerasHub's save_to_preset or Hugging Face's save_pretrained"

# What a preset's config can say. The largest T5 have 48 layers, feed-forwards of 65,536 (T5-11B),
# 250,112 rows of embedding (mT5) and 20 billion parameters (UL2).
MOST_LAYERS, WIDEST, MOST_PARAMETERS = 200, 2**20, 10**11
_SIZES = ("num_heads", "hidden_dim", "vocabulary_size", "intermediate_dim", "num_layers")
_RATES = ("dropout", "layer_norm_epsilon")
_SWITCHES = ("use_gated_activation", "tie_embedding_weights")


@dataclass(frozen=True)
class T5Shape:
    """Dimensions of a T5: k is `hidden_dim`, `num_layers` counts the blocks of one stack."""

    vocabulary_size: int
    hidden_dim: int
    intermediate_dim: int
    num_layers: int
    num_heads: int
    key_value_dim: int
    gated: bool = False
    tied: bool = True

    @property
    def blocks(self) -> int:
        """Blocks of both stacks: the L of the paper's section 4."""
        return 2 * self.num_layers

    @property
    def as_large_as_base(self) -> bool:
        """Whether it is as wide and as deep as T5-base, at least."""
        return self.hidden_dim >= 768 and self.num_layers >= 12

    @property
    def layer_norm_parameters(self) -> int:
        """Two norms in an encoder block, three in a decoder block, one at the end of each stack."""
        return (5 * self.num_layers + 2) * self.hidden_dim

    @property
    def weight_tensors(self) -> int:
        """Number of weight tensors: 8 in an encoder block, 13 in a decoder block, one more where
        the feed-forward is gated, and embedding, relative biases, last norms and untied head."""
        return 5 + (not self.tied) + self.num_layers * (21 + 2 * self.gated)

    def projections(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every projection by structural name, the head left out."""
        k, inner = self.hidden_dim, self.num_heads * self.key_value_dim
        attention = dict.fromkeys(("query", "key", "value"), (k, inner)) | {"output": (inner, k)}
        wide = ("input", "gate") if self.gated else ("input",)
        feed_forward = dict.fromkeys(wide, (k, self.intermediate_dim))
        feed_forward |= {"output": (self.intermediate_dim, k)}
        cross = {"cross_attention": attention}
        return {
            f"{stack}.{block}.{sublayer}.{role}": sizes
            for stack, more in (("encoder", {}), ("decoder", cross))
            for block in range(self.num_layers)
            for sublayer, roles in (
                {"self_attention": attention, **more, "feed_forward": feed_forward}.items()
            )
            for role, sizes in roles.items()
        }

    def parameters(self, rows: int | None = None) -> int:
        """All parameters, with `rows` of embedding instead of the vocabulary's where given."""
        k, inner = self.hidden_dim, self.num_heads * self.key_value_dim
        embedding = (rows or self.vocabulary_size) * k * (1 if self.tied else 2)
        attention = 3 * self.num_layers * 4 * k * inner
        feed_forward = self.blocks * (3 if self.gated else 2) * k * self.intermediate_dim
        biases = 2 * RELATIVE_BUCKETS * self.num_heads
        return embedding + attention + feed_forward + biases + self.layer_norm_parameters


def _v1_0(k: int, ff: int, layers: int, heads: int) -> T5Shape:
    return T5Shape(32_128, k, ff, layers, heads, 64)


def _v1_1(k: int, ff: int, layers: int, heads: int, tied: bool = False) -> T5Shape:
    return T5Shape(32_128, k, ff, layers, heads, 64, gated=True, tied=tied)


# KerasHub's presets. Its published totals of t5_1.1_small and t5_1.1_large fit a tied head.
PRESETS = {
    "t5_small_multi": _v1_0(512, 2_048, 6, 8),
    "t5_base_multi": _v1_0(768, 3_072, 12, 12),
    "t5_large_multi": _v1_0(1_024, 4_096, 24, 16),
    "t5_1.1_small": _v1_1(512, 1_024, 8, 6, tied=True),
    "t5_1.1_base": _v1_1(768, 2_048, 12, 12),
    "t5_1.1_large": _v1_1(1_024, 2_816, 24, 16, tied=True),
    "t5_1.1_xl": _v1_1(2_048, 5_120, 24, 32),
    "t5_1.1_xxl": _v1_1(4_096, 10_240, 24, 64),
    "flan_small_multi": _v1_1(512, 1_024, 8, 6),
    "flan_base_multi": _v1_1(768, 2_048, 12, 12),
    "flan_large_multi": _v1_1(1_024, 2_816, 24, 16),
}

# A small T5, pretrained on the text of the demo world by `compacter pretrain`; in the package.
DEMO_PRESET = "demo/t5"

# A T5 of random weights, made on the spot: it shows that everything runs, not what a method is
# worth. Its vocabulary is made by `random_backbone.py`.
RANDOM_TINY = "random/tiny"
RANDOM_TINY_SHAPE = T5Shape(128, 64, 128, 2, 4, 16)

# The demo's T5 as it was before its pretraining: what a method is worth without it.
DEMO_RANDOM = "demo/t5_random"
OWN_NAMES = (DEMO_PRESET, DEMO_RANDOM, RANDOM_TINY)  # no path of these names is looked for


def shape_of(preset: str) -> T5Shape:
    """The `T5Shape` of a KerasHub name, a local preset directory, `demo/t5` or `random/tiny`.

    Raises:
        UsageError: the name is unknown, or the directory's config is not that of a T5.
        MissingResourceError: `preset` is a path at which there is no preset.
    """
    if preset == RANDOM_TINY:
        return RANDOM_TINY_SHAPE
    if preset in PRESETS:
        return PRESETS[preset]
    directory = local_directory(preset)
    if directory is None:
        raise UsageError(
            f'backbone.preset: "{preset}" is no KerasHub T5 preset and no directory',
            hub_hint(preset) or nearest_or_all(preset, PRESETS, "known names"),
        )
    return shape_in(directory)


def local_directory(preset: str) -> Path | None:
    """The directory of a path or of a demo's T5; `None` where `preset` can only be a KerasHub name.

    Raises:
        MissingResourceError: `preset` is written as a path, and no preset is there.
    """
    if preset in (DEMO_PRESET, DEMO_RANDOM):
        return Path(__file__).parents[1] / "presets" / "demo_t5"
    path = user_path(preset)
    if os.path.isdir(path):  # false, not an error, where the name is too long to be one
        if (path / CONFIG).exists():
            return path
        raise MissingResourceError(
            f"backbone.preset: {preset} holds no config.json, so it is no T5",
            f"give a directory that {WROTE} wrote",
        )
    if path.is_absolute() or preset.startswith((".", "~")) or "/" in preset or "\\" in preset:
        raise MissingResourceError(
            f"backbone.preset: there is no directory {preset}",
            hub_hint(preset)
            or "give an existing preset directory, a KerasHub name such as t5_base_multi, or "
            "demo/t5, a small one that is in the package",
        )
    return None


def read_config(directory: Path) -> dict[str, Any]:
    """The arguments of KerasHub's `T5Backbone` in a config.json, all but its dtype.

    It may be KerasHub's, or Hugging Face's of a T5. They are plain values, and within bounds that
    no T5 comes near, so that nothing is looped over or allocated because a file says so.
    `activation` is a name, whatever way KerasHub wrote it.

    Raises:
        UsageError: it is not the config of a T5, or that of one that KerasHub's cannot be.
    """
    path = directory / CONFIG
    try:
        saved = read_json(path, within=root_of(directory))
        return _checked(arguments_of(saved) if is_hugging_face(saved) else _keras_hub_s(saved))
    except UsageError as error:
        raise UsageError(f"{path}: {error}", error.hint) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: not the config of a T5 ({type(error).__name__}: {error})",
            f"give a directory that {WROTE} wrote",
        ) from error


def is_hugging_face_s(directory: Path) -> bool:
    """Whether a directory's config.json is one of Hugging Face's kind."""
    try:
        return is_hugging_face(read_json(directory / CONFIG, within=root_of(directory)))
    except (OSError, ValueError):
        return False


def _keras_hub_s(saved: Any) -> object:
    """The arguments in a config that KerasHub wrote."""
    if saved["class_name"] != "T5Backbone":
        raise UsageError(
            f"expected a T5Backbone, got {excerpt(saved['class_name'])}",
            "give the directory of a T5 preset",
        )
    return saved["config"]


def shape_in(directory: Path) -> T5Shape:
    """The `T5Shape` in a preset's directory; errors as of `read_config`."""
    config = read_config(directory)
    shape = T5Shape(
        vocabulary_size=config["vocabulary_size"],
        hidden_dim=config["hidden_dim"],
        intermediate_dim=config["intermediate_dim"],
        num_layers=config["num_layers"],
        num_heads=config["num_heads"],
        key_value_dim=config.get("key_value_dim") or config["hidden_dim"] // config["num_heads"],
        gated=config["use_gated_activation"],
        tied=config["tie_embedding_weights"],
    )
    if shape.parameters() > MOST_PARAMETERS:
        raise UsageError(
            f"{directory / CONFIG}: a T5 of {shape.parameters():,} parameters; more than "
            f"{MOST_PARAMETERS:,} are not tried",
            f"give a directory that {WROTE} wrote",
        )
    return shape


def _checked(config: object) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise TypeError(f"its config must be a table, got {excerpt(config)}")
    arguments = {name: value for name, value in config.items() if name != "dtype"}
    arguments["activation"] = _activation(config.get("activation", "relu"))
    for name in _SIZES:
        _check_size(name, config[name], MOST_LAYERS if name == "num_layers" else WIDEST)
    if config.get("key_value_dim"):
        _check_size("key_value_dim", config["key_value_dim"], WIDEST)
    elif config["hidden_dim"] < config["num_heads"]:
        raise ValueError(f"{config['num_heads']} heads of {config['hidden_dim']} dimensions")
    for name in _RATES:
        _check_rate(name, config.get(name, 0))
    for name in _SWITCHES:
        if not isinstance(config[name], bool):
            raise TypeError(f"{name} must be true or false, got {excerpt(config[name])}")
    for name, value in arguments.items():
        if isinstance(value, (dict, list)):
            raise TypeError(f"{excerpt(name)} must be a plain value, got {excerpt(value)}")
    return arguments


def _check_size(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, got {excerpt(value)}")


def _check_rate(name: str, value: object) -> None:
    # NaN compares as false.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {excerpt(value)}")


def _activation(saved: object) -> str:
    """The name of an activation that KerasHub saved as its name, or as a registered function."""
    if isinstance(saved, dict) and saved.get("class_name") == "function":
        saved = saved.get("config")
    if not isinstance(saved, str):
        raise TypeError(f"activation must be the name of one, got {excerpt(saved)}")
    return saved
