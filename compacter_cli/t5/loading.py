"""A pretrained T5 with its vocabulary and fingerprint, from a directory or a KerasHub name.

Where it is, `preset_places.py` knows; what a directory's files hold, `preset_files.py` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, MissingResourceError, excerpt, nearest_or_all
from compacter_cli.t5.hub_names import hub_hint
from compacter_cli.t5.preset_files import backbone_in, random_start
from compacter_cli.t5.preset_places import cached_directory
from compacter_cli.t5.shapes import (
    DEMO_RANDOM,
    PRESETS,
    RANDOM_TINY,
    is_hugging_face_s,
    local_directory,
)
from compacter_cli.t5.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from keras import Variable
    from keras_hub.models import T5Backbone
    from torch import Tensor

# Rows of an embedding without a piece: T5's has 128, of sentinels and padding, and people add some.
MOST_SPARE_ROWS = 2_048


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


def load_backbone(
    preset: str | Path, precision: str = "float32", keep_float32: bool = False
) -> Backbone:
    """Load a `Backbone`.

    Args:
        preset: KerasHub name, directory of a T5 in KerasHub's or Hugging Face's files, or
            "demo/t5", which is shipped.
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
            backbone = random_start(directory)
        elif directory:
            backbone = backbone_in(directory)
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
