"""What the layers' signatures call things that Keras or its backend decides."""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras

Tensor: TypeAlias = Any
"""A tensor of whichever backend runs, a `keras.Variable` or a symbolic `keras.KerasTensor`: what
`keras.ops` takes and returns. They have no class in common."""

Shape: TypeAlias = tuple[*tuple[int | None, ...], int]
"""Shape of a tensor; any axis but the last may be `None`, not known yet."""

InitializerLike: TypeAlias = (
    str | dict[str, Any] | keras.initializers.Initializer | Callable[..., Tensor]
)
"""What `keras.initializers.get` takes: a name, a config, an initializer or a plain function."""

ActivationLike: TypeAlias = str | dict[str, Any] | Callable[[Tensor], Tensor]
"""What `keras.activations.get` takes: a name, a config or a function."""
