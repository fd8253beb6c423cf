"""T5's random start, as Mesh TensorFlow draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.section import seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keras import Variable

    from compacter_cli.t5.shapes import T5Shape


def start_at_random(weights: Mapping[str, Variable], shape: T5Shape, seed: int) -> None:
    """Set every weight of a backbone to its random start: normal, norms all ones.

    Scores of attention are not divided by the root of a head's dimension in T5, so its queries
    start that much smaller. A tied head divides its input by the root of k; an untied one starts
    that much smaller instead.

    Args:
        weights: by structural name, see `placement.backbone_weights`.
        shape: dimensions of the backbone.
        seed: with a weight's name it decides the values.
    """
    import numpy as np

    for name, variable in weights.items():
        if name.endswith("layer_norm"):
            variable.assign(np.ones(variable.shape, np.float32))
            continue
        generator = np.random.default_rng(seed_of(seed, name))
        values = generator.standard_normal(variable.shape, dtype=np.float32)
        variable.assign(values * np.float32(scale_of(name, shape)))


def scale_of(name: str, shape: T5Shape) -> float:
    """Standard deviation of the random start of the weight called `name`."""
    sublayer, _, role = name.rpartition(".")
    if name == "embedding":
        return 1.0
    if role == "query":
        return (shape.hidden_dim * shape.key_value_dim) ** -0.5
    if role == "output" and sublayer.endswith("attention"):
        return (shape.num_heads * shape.key_value_dim) ** -0.5
    if role == "output":
        return shape.intermediate_dim**-0.5
    return shape.hidden_dim**-0.5
