"""Where things are in KerasHub's T5: the one file that knows its inner names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from compacter_cli.errors import UsageError
from compacter_cli.t5.shapes import T5Shape

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone
    from torch import Tensor

HEAD = "head"  # structural name of the output head


def shape_of_backbone(backbone: T5Backbone) -> T5Shape:
    """The `T5Shape` of a KerasHub `T5Backbone`."""
    return T5Shape(
        vocabulary_size=backbone.vocabulary_size,
        hidden_dim=backbone.hidden_dim,
        intermediate_dim=backbone.intermediate_dim,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        key_value_dim=backbone.key_value_dim or backbone.hidden_dim // backbone.num_heads,
        gated=backbone.use_gated_activation,
        tied=backbone.tie_embedding_weights,
    )


def backbone_weights(backbone: T5Backbone) -> dict[str, keras.Variable]:
    """Every weight of a `T5Backbone` by structural name: `{"encoder.3.feed_forward.output": ...}`.

    KerasHub's own paths are neither unique (two relative biases share one) nor stable (layer
    norms are numbered process-wide). The names are those of the forward pass:

        embedding, head                                         head where it is not tied
        <stack>.<block>.self_attention.{query,key,value,output,relative_bias,layer_norm}
        decoder.<block>.cross_attention.{query,key,value,output,layer_norm}
        <stack>.<block>.feed_forward.{input,gate,output,layer_norm}
        <stack>.layer_norm                                      at the stack's end

    Raises:
        UsageError: it is quantized, and its own weights are gone; or Keras' own LoRA is enabled.
        ValueError: the backbone holds a weight that no name was found for.
    """
    if is_quantized(backbone):
        raise UsageError(
            "the backbone is quantized: the weights that it was made of are gone",
            "attach, save and detach before quantize()",
        )
    if any(getattr(layer, "lora_enabled", False) for layer in backbone._flatten_layers()):
        raise UsageError(
            "Keras' own LoRA is enabled in the backbone, beside the weights that it was made of",
            'take one without enable_lora(): attach(lm.backbone, METHODS["lora"]()) is LoRA',
        )
    embedding = backbone.token_embedding
    assert embedding is not None  # as it may be in KerasHub's backbones that read no text
    weights = {"embedding": embedding.embeddings}
    if not backbone.tie_embedding_weights:
        weights[HEAD] = embedding.reverse_embeddings
    for stack in ("encoder", "decoder"):
        for number, block in enumerate(_blocks(backbone, stack)):
            weights |= _block_weights(block, f"{stack}.{number}")
        weights[f"{stack}.layer_norm"] = getattr(backbone, f"{stack}_layer_norm").weight
    _check_complete(backbone, weights)
    return weights


def is_quantized(backbone: T5Backbone) -> bool:
    """Whether a layer of the backbone was quantized."""
    return any(getattr(layer, "quantization_mode", None) for layer in backbone._flatten_layers())


def empty_backbone(**config: Any) -> T5Backbone:
    """A `T5Backbone` whose weights are yet to be read from a file, every one.

    Nothing is drawn: KerasHub's initial values of an embedding would take five times its memory.
    And a weight takes none on a CPU before it is written to.

    Args:
        config: arguments of `T5Backbone`.
    """
    import keras_hub

    with keras.StatelessScope():  # in which Keras leaves values until its end
        made = keras_hub.models.T5Backbone(**config)
        for variable in made.weights:
            variable._initializer = keras.ops.empty
    return made


@contextmanager
def saved_with_one_copy(backbone: T5Backbone) -> Iterator[None]:
    """Within it Keras saves the embedding, the largest weight, with one copy of it in memory.

    It makes two where it is given a variable, and one of an array.
    """
    embedding = backbone.token_embedding
    assert embedding is not None
    save = embedding.save_own_variables
    embedding.save_own_variables = lambda store: save(_Arrays(store))
    try:
        yield
    finally:
        del embedding.save_own_variables


class _Arrays:
    """Keras' store of a layer's variables, which is given them as arrays."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __setitem__(self, key: str, variable: keras.Variable) -> None:
        self.store[key] = variable.value.detach().cpu().numpy()


def copy_of(backbone: T5Backbone, weights: Mapping[str, Tensor], **config: Any) -> T5Backbone:
    """Another `T5Backbone` of the same config, but for what `config` says, that holds `weights`.

    Args:
        backbone: the one whose config it has.
        weights: a value for every weight that the new one has, by structural name.
        config: arguments of `T5Backbone` that are to be others, such as `dtype`.
    """
    made = type(backbone).from_config({**backbone.get_config(), **config})
    for name, variable in backbone_weights(made).items():
        variable.assign(weights[name])
    return made


def _blocks(backbone: T5Backbone, stack: str) -> list[keras.layers.Layer]:
    return getattr(backbone, f"{stack}_transformer_layers")


def _block_weights(block: keras.layers.Layer, name: str) -> dict[str, keras.Variable]:
    weights = _attention_weights(block.self_attention, f"{name}.self_attention")
    weights[f"{name}.self_attention.layer_norm"] = plain(block.self_attention_layer_norm).weight
    if block.is_decoder:
        weights |= _attention_weights(block.cross_attention, f"{name}.cross_attention")
        norm = plain(block.cross_attention_layer_norm)
        weights[f"{name}.cross_attention.layer_norm"] = norm.weight
    projectors = {"input": block.input_projector, "output": block.output_projector}
    if block.use_gated_activation:
        projectors["gate"] = block.gate_projector
    for role, projector in projectors.items():
        weights[f"{name}.feed_forward.{role}"] = plain(projector).kernel
    weights[f"{name}.feed_forward.layer_norm"] = plain(block.layer_norm).weight
    return weights


def _attention_weights(attention: keras.layers.Layer, name: str) -> dict[str, keras.Variable]:
    weights = {
        f"{name}.{role}": plain(getattr(attention, f"{role}_projector")).kernel
        for role in ("query", "key", "value", "output")
    }
    if attention.use_relative_attention_bias:
        weights[f"{name}.relative_bias"] = attention.relative_attention_bias
    return weights


def _check_complete(backbone: T5Backbone, weights: Mapping[str, keras.Variable]) -> None:
    named = {id(variable) for variable in weights.values()}
    added = {
        id(variable)
        for layer in backbone._flatten_layers()
        if isinstance(layer, AdaptedProjection | BiasedEmbedding)
        for variable in layer.adapter.weights
    }
    unnamed = [v.path for v in backbone.weights if id(v) not in named | added]
    if unnamed:
        raise ValueError(
            "this KerasHub's T5Backbone has weights that compacter does not know: "
            + ", ".join(unnamed)
        )


@keras.saving.register_keras_serializable(package="compacter")
class AdaptedProjection(keras.layers.Layer):
    """A projection, or a norm, with a layer behind it: `adapter(projection(x))`."""

    def __init__(
        self, projection: keras.layers.Layer, adapter: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.projection = projection
        self.adapter = adapter
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return self.adapter(self.projection(inputs))

    def taken_out(self) -> keras.layers.Layer:
        """The projection as it was before."""
        return self.projection


class BeforeActivation(AdaptedProjection):
    """A projection whose activation comes after the layer, as KerasHub's feed-forward has one.

    The projection is called without it, so that it computes its product itself, quantized too.
    """

    def __init__(
        self, projection: keras.layers.Layer, adapter: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(projection, adapter, **kwargs)
        self.activation, projection.activation = projection.activation, keras.activations.linear

    def taken_out(self) -> keras.layers.Layer:
        self.projection.activation = self.activation
        return self.projection


@keras.saving.register_keras_serializable(package="compacter")
class SummedProjection(BeforeActivation):
    """A projection with a layer beside it: `activation(x W + adapter(x))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(self.projection(inputs) + self.adapter(inputs))


@keras.saving.register_keras_serializable(package="compacter")
class BiasedProjection(BeforeActivation):
    """A projection with a layer behind its product: `activation(adapter(x W))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(self.adapter(self.projection(inputs)))


@keras.saving.register_keras_serializable(package="compacter")
class FedProjection(AdaptedProjection):
    """A projection with a layer before it: `projection(adapter(x))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return self.projection(self.adapter(inputs))


class BiasedEmbedding(keras.layers.ReversibleEmbedding):
    """The embedding with a layer behind it where it is the output head.

    It stands in the graph of any model that is built on the backbone, so it is not put into
    another layer but is made one of this class where it is.
    """

    adapter: keras.layers.Layer

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        outputs: Any = super().call(inputs, reverse=reverse)
        return self.adapter(outputs) if reverse else outputs


def plain(projection: keras.layers.Layer) -> keras.layers.Layer:
    """The projection or norm itself, taken out of an `AdaptedProjection` where it is in one."""
    return projection.projection if isinstance(projection, AdaptedProjection) else projection


def adapted_projections(backbone: T5Backbone) -> list[str]:
    """Structural names of the projections that have a layer behind, beside or before them."""
    names = shape_of_backbone(backbone).projections()
    return [
        name for name in names if isinstance(getattr(*_slot(backbone, name)), AdaptedProjection)
    ]


def wrap(
    backbone: T5Backbone,
    name: str,
    layer: keras.layers.Layer,
    how: type[AdaptedProjection] | type[BiasedEmbedding],
) -> None:
    """Put `layer` to the projection, norm or head of a structural name, as `how` says."""
    owner, attribute = _slot(backbone, name)
    wrapped = getattr(owner, attribute)
    if issubclass(how, BiasedEmbedding):
        with _unlocked(wrapped):
            wrapped.adapter = layer
        turn_into(wrapped, keras.layers.ReversibleEmbedding, how)
        return
    with _unlocked(owner):
        owner._tracker.untrack(wrapped)  # it is tracked again as a part of the new layer
        policy, new = wrapped.dtype_policy, f"adapted_{wrapped.name}"
        setattr(owner, attribute, how(wrapped, layer, dtype=policy, name=new))


def unwrap(backbone: T5Backbone, name: str) -> None:
    """Take away what `wrap` put to the projection, norm or head of a structural name."""
    owner, attribute = _slot(backbone, name)
    adapted = getattr(owner, attribute)
    if name == HEAD:
        with _unlocked(adapted):
            adapted._tracker.untrack(adapted.adapter)
            del adapted.adapter
        turn_into(adapted, BiasedEmbedding, keras.layers.ReversibleEmbedding)
        return
    with _unlocked(owner):
        owner._tracker.untrack(adapted)
        setattr(owner, attribute, adapted.taken_out())


def turn_into(layer: keras.layers.Layer, before: type, after: type) -> None:
    """Let a layer or model be of another class where it is; one of somebody's own class stays."""
    if type(layer) is before:
        object.__setattr__(layer, "__class__", after)


def _slot(backbone: T5Backbone, name: str) -> tuple[keras.layers.Layer, str]:
    """The layer that owns the projection or norm of a structural name, and the attribute it is."""
    if name == HEAD:
        return backbone, "token_embedding"
    stack, number, sublayer, role = name.split(".")
    block = _blocks(backbone, stack)[int(number)]
    if role == "layer_norm":
        return block, role if sublayer == "feed_forward" else f"{sublayer}_{role}"
    owner = block if sublayer == "feed_forward" else getattr(block, sublayer)
    return owner, f"{role}_projector"


@contextmanager
def _unlocked(layer: keras.layers.Layer) -> Iterator[None]:
    # A built Keras layer refuses new sub-layers, and replacing one is the whole point here.
    layer._tracker.unlock()
    try:
        yield
    finally:
        layer._tracker.lock()
