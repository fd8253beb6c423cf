"""The "slow" weights A of hypercomplex layers, shared by any number of them."""

from typing import Any, ClassVar

import keras
from compacter_layers.checks import check_positive
from compacter_layers.signatures import InitializerLike


@keras.saving.register_keras_serializable(package="compacter")
class HypercomplexRule(keras.layers.Layer):
    """Owner of the n matrices A_i of `W = sum_i A_i kron B_i` (paper, equations 4 and 5).

    Give one rule to every layer that shares it, as Compacter does across a whole model
    (section 3.2). It is not called; `PHMDense` and `LPHMDense` read `rule.A`.

    Args:
        n: The hypercomplex division: number of matrices, and rows and columns of each.
        initializer: Initializer of `A`. Default: normal with standard deviation 0.0001.

    Attributes:
        A: shape `(n, n, n)`; `A[i]` is the paper's A_i. n^3 parameters.

    Raises:
        ValueError: `n` is not an integer of at least 1.

    Examples:
        >>> rule = HypercomplexRule(4)
        >>> down, up = LPHMDense(24, n=4, rule=rule), LPHMDense(768, n=4, rule=rule)

    A rule shared by several layers is still one after `model.save()` and
    `keras.models.load_model()`. `get_config()`/`from_config()` of single layers (and so
    `keras.models.clone_model`) know nothing of one another and give each layer its own.
    """

    kind: ClassVar[str] = "shared"

    A: keras.Variable

    def __init__(self, n: int, initializer: InitializerLike | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive("n", n)
        self.n = n
        self.initializer = (
            keras.initializers.RandomNormal(stddev=1e-4)
            if initializer is None
            else keras.initializers.get(initializer)
        )
        self.A = self.add_weight(
            name="A", shape=(n, n, n), initializer=self.initializer, autocast=False
        )
        self.built = True

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"n": self.n, "initializer": keras.initializers.serialize(self.initializer)})
        return config


def serialize_rule(rule: HypercomplexRule) -> dict[str, Any]:
    """The rule's config with the key by which Keras recognises one object in several places.

    Keras writes `shared_object_id` only into its second and later sightings of an object, and a
    copy of the first, which is too late for objects nested in a layer's config: the first layer
    would come back with a rule of its own. Written every time, the key is honoured by
    `keras.models.load_model`.
    """
    config = keras.saving.serialize_keras_object(rule)
    assert isinstance(config, dict)  # as that of every layer
    return {**config, "shared_object_id": id(rule)}


def resolve_rule(
    rule: HypercomplexRule | dict[str, Any] | None,
    n: int,
    dtype: keras.DTypePolicy | str,
    initializer: InitializerLike | None = None,
) -> HypercomplexRule:
    """`rule` after checking that its n is `n`, or a new rule where it is `None`."""
    if rule is None:
        return HypercomplexRule(n, initializer=initializer, dtype=dtype, name="rule")
    found: HypercomplexRule = (
        keras.saving.deserialize_keras_object(rule) if isinstance(rule, dict) else rule
    )
    if found.n != n:
        raise ValueError(f"`rule` must have n={n}, as the layer. Received: rule.n={found.n}")
    return found
