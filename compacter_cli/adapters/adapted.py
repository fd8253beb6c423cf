"""KerasHub's own T5 with what is attached, as Keras and KerasHub save and load it again."""

from __future__ import annotations

from typing import Any, Self

import compacter_layers  # noqa: F401  # before keras, whose backend it chooses where nobody has
import keras
import keras_hub

from compacter_cli.adapters.adapter_file import AdapterFile
from compacter_cli.adapters.attached import Attached
from compacter_cli.adapters.fitting import check_values
from compacter_cli.adapters.places import places_of
from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.methods.base import Method
from compacter_cli.recipe.choices import read_method
from compacter_cli.recipe.sections import NO_FLOAT16
from compacter_cli.t5.placement import (
    HEAD,
    adapted_projections,
    backbone_weights,
    is_quantized,
    shape_of_backbone,
    turn_into,
    wrap,
)
from compacter_cli.t5.variables import named_variables, select

# Of the classes that Keras knows by name: it says the name where it does not know one, and imports
# nothing but its own packages by itself. So the name says what to import.
PACKAGE = "compacter_cli.attach"
_BEFORE = "before."  # in a file of weights: what was in the place of the trained ones


@keras.saving.register_keras_serializable(package=PACKAGE)
class AdaptedT5Backbone(keras_hub.models.T5Backbone):
    """KerasHub's T5 with what `attach` put into it; its config names the method and its settings.

    Whatever Keras or KerasHub save of it they load again where this class is known: after
    `from compacter_cli import attach`. Nobody makes one but `attach`, and loading.

    Attributes:
        attached: the `Attached`.
    """

    attached: Attached

    def get_config(self) -> dict[str, Any]:
        if is_quantized(self):  # told while it can still be mended, not by loading
            raise UsageError(
                "what is attached to a quantized backbone could not be loaded again",
                "save before quantize(), and quantize what is loaded",
            )
        return {**super().get_config(), "adapter": self.attached.method.settings()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        plain = dict(config)
        method = read_method(plain.pop("adapter"))
        backbone = keras_hub.models.T5Backbone.from_config(plain)
        put_in(backbone, method)
        if not plain.get("trainable", True):
            backbone.trainable = False  # of all: what put_in had let train, too
        return backbone

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for name, value in self.attached._originals.items():
            store[_BEFORE + name] = value

    def load_own_variables(self, store: Any) -> None:
        for name, value in self.attached._originals.items():
            value.assign(store[_BEFORE + name])


@keras.saving.register_keras_serializable(package=PACKAGE)
class AdaptedT5Seq2SeqLM(keras_hub.models.T5Seq2SeqLM):
    """What `T5Seq2SeqLM.from_preset` finds for a preset with an adapter; it makes a `T5Seq2SeqLM`.

    So that a model is the same whether what is attached to it was loaded or not, and nothing of
    this program's once it is detached.
    """

    backbone_cls = AdaptedT5Backbone

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        turn_into(self, AdaptedT5Seq2SeqLM, keras_hub.models.T5Seq2SeqLM)


def put_in(
    backbone: keras_hub.models.T5Backbone,
    method: Method,
    seed: int = 0,
    saved: AdapterFile | None = None,
) -> Attached:
    """Put a method's layers into a backbone and freeze it but for what trains.

    Args:
        backbone: any T5.
        method: whose layers they are.
        seed: of their initial values.
        saved: whose values they take instead.

    Raises:
        UsageError: the method adds nothing, or what has no place in KerasHub's T5; its sizes do
            not fit, or an adapter is attached already, or Keras' own LoRA; or the backbone
            computes in float16.
        CompacterError: what is saved is not of this method. Nothing is changed then, as above.
    """
    check_free(backbone)
    if backbone.compute_dtype == "float16":
        raise UsageError(NO_FLOAT16, 'from_preset(preset, dtype="mixed_bfloat16"), or float32')
    weights, shape = backbone_weights(backbone), shape_of_backbone(backbone)
    policy = "mixed_bfloat16" if backbone.compute_dtype == "bfloat16" else "float32"
    if problems := method.problems(shape):
        raise RecipeError(f"{method.name} on this backbone", problems)
    layers = method.build(shape, seed, policy, weights)
    places = places_of(method, layers)
    if HEAD in method.trains and HEAD not in weights:
        raise UsageError(
            "a tied output head cannot be trained in KerasHub's own model",
            "leave train_output_layer out; compacter train trains a copy of it",
        )
    trained = {name: weights[name] for name in select(weights, method.trains)}
    trained |= named_variables(layers)
    if saved:
        check_values(saved, trained)
    for name, (layer, how) in places.items():
        wrap(backbone, name, layer, how)
    originals = {}
    backbone.trainable = True  # a frozen model's flag, beside which no weight's own counts
    for name, variable in weights.items():
        variable.trainable = name in trained
        if variable.trainable:
            originals[name] = _copy_of(variable)
    attached = Attached(backbone, method, layers, trained, originals, tuple(places), type(backbone))
    object.__setattr__(backbone, "attached", attached)
    turn_into(backbone, keras_hub.models.T5Backbone, AdaptedT5Backbone)
    if saved:
        attached.take(saved)
    return attached


def check_free(backbone: keras_hub.models.T5Backbone) -> None:
    """Raise `UsageError` where an adapter is attached already."""
    if taken := adapted_projections(backbone):
        raise UsageError(
            f"{taken[0]} already has an adapter", "lm.backbone.attached.detach() takes it out"
        )


def _copy_of(variable: keras.Variable) -> keras.Variable:
    value = keras.ops.copy(variable)
    return keras.Variable(value, dtype=variable.dtype, trainable=False, name=variable.name)
