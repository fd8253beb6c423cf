"""Structural names of KerasHub's T5: complete, unique, exact; wrapping an output."""

import keras
import numpy as np
import pytest

from compacter_cli.t5.placement import (
    AdaptedProjection,
    FedProjection,
    SummedProjection,
    adapted_projections,
    backbone_weights,
    empty_backbone,
    plain,
    saved_with_one_copy,
    unwrap,
    wrap,
)


def expected_names(layers, gated=False, tied=True):
    """Every name, from the documentation of `backbone_weights` and nothing else."""
    names = {"embedding", "encoder.layer_norm", "decoder.layer_norm"}
    if not tied:
        names.add("head")
    attention = ("query", "key", "value", "output", "layer_norm")
    feed_forward = ("input", "output", "layer_norm", *(("gate",) if gated else ()))
    for stack in ("encoder", "decoder"):
        for block in range(layers):
            names |= {f"{stack}.{block}.self_attention.{part}" for part in attention}
            names |= {f"{stack}.{block}.feed_forward.{part}" for part in feed_forward}
        names.add(f"{stack}.0.self_attention.relative_bias")
    names |= {
        f"decoder.{block}.cross_attention.{part}" for block in range(layers) for part in attention
    }
    return names


@pytest.mark.parametrize(
    ("kind", "layers", "gated", "tied"),
    [("v1_0", 1, False, True), ("v1_0", 3, False, True), ("gated", 2, True, False)],
)
def test_names_are_exactly_those_documented_and_cover_every_weight_once(
    tiny_backbone, kind, layers, gated, tied
):
    backbone = tiny_backbone(kind, num_layers=layers)
    weights = backbone_weights(backbone)
    assert set(weights) == expected_names(layers, gated, tied)
    assert sorted(id(v) for v in weights.values()) == sorted(id(v) for v in backbone.weights)
    assert len({id(variable) for variable in weights.values()}) == len(weights)


def test_t5_base_has_257_named_weights():
    """A block of the encoder has 8, of the decoder 13; 2 biases, 2 last norms, an embedding."""
    for layers in (1, 2, 12):
        assert len(expected_names(layers)) == 21 * layers + 5
        assert len(expected_names(layers, gated=True, tied=False)) == 23 * layers + 6
    assert len(expected_names(12)) == 257


def test_every_name_leads_to_the_weight_it_says(tiny_backbone):
    backbone = tiny_backbone("gated", num_layers=2)
    weights = backbone_weights(backbone)
    block = backbone.decoder_transformer_layers[1]
    encoder = backbone.encoder_transformer_layers[0]
    for name, variable in {
        "embedding": backbone.token_embedding.embeddings,
        "head": backbone.token_embedding.reverse_embeddings,
        "decoder.1.self_attention.query": block.self_attention.query_projector.kernel,
        "decoder.1.self_attention.key": block.self_attention.key_projector.kernel,
        "decoder.1.cross_attention.value": block.cross_attention.value_projector.kernel,
        "decoder.1.cross_attention.output": block.cross_attention.output_projector.kernel,
        "decoder.1.feed_forward.input": block.input_projector.kernel,
        "decoder.1.feed_forward.gate": block.gate_projector.kernel,
        "decoder.1.feed_forward.output": block.output_projector.kernel,
        "decoder.1.self_attention.layer_norm": block.self_attention_layer_norm.weight,
        "decoder.1.cross_attention.layer_norm": block.cross_attention_layer_norm.weight,
        "decoder.1.feed_forward.layer_norm": block.layer_norm.weight,
        "encoder.0.self_attention.relative_bias": encoder.self_attention.relative_attention_bias,
        "encoder.layer_norm": backbone.encoder_layer_norm.weight,
        "decoder.layer_norm": backbone.decoder_layer_norm.weight,
    }.items():
        assert weights[name] is variable, name


def test_a_weight_without_a_name_is_an_error(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    projector = backbone.encoder_transformer_layers[0].input_projector
    projector._tracker.unlock()
    projector.add_weight(name="another", shape=(2,))
    with pytest.raises(ValueError, match=r"that compacter does not know: .*another"):
        backbone_weights(backbone)


class Double(keras.layers.Layer):
    """Doubles what it gets, and owns a weight."""

    def __init__(self):
        super().__init__()
        self.factor = self.add_weight(name="factor", shape=(), initializer="ones")
        self.built = True

    def call(self, inputs):
        return 2 * self.factor * inputs


SITES = ["encoder.0.self_attention", "decoder.0.cross_attention", "decoder.0.feed_forward"]


def owner(backbone, site):
    stack, block, sublayer = site.split(".")
    layer = getattr(backbone, f"{stack}_transformer_layers")[int(block)]
    return layer if sublayer == "feed_forward" else getattr(layer, sublayer)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (AdaptedProjection, lambda projected, of_more, _: 2 * projected),
        (SummedProjection, lambda projected, of_more, x: projected + 2 * x),
        (FedProjection, lambda projected, of_more, _: of_more),
    ],
)
@pytest.mark.parametrize("site", SITES)
def test_wrapping_an_output_puts_the_layer_to_it(tiny_backbone, site, how, expected):
    backbone = tiny_backbone(num_layers=1)
    named = {name: id(variable) for name, variable in backbone_weights(backbone).items()}
    projection = owner(backbone, site).output_projector
    x = np.random.default_rng(0).standard_normal((2, projection.kernel.shape[0])).astype("float32")
    before, of_more = (projection(value).detach().numpy() for value in (x, 2 * x))

    adapter = Double()
    wrap(backbone, f"{site}.output", adapter, how)
    wrapped = owner(backbone, site).output_projector
    assert isinstance(wrapped, AdaptedProjection)
    assert plain(wrapped) is projection
    if how is not SummedProjection or x.shape == before.shape:
        wanted = expected(before, of_more, x)
        np.testing.assert_allclose(wrapped(x).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert len(backbone.weights) == len(named) + 1
    assert any(variable is adapter.factor for variable in backbone.trainable_variables)
    # The weights keep their names, and the adapter's own are not taken for the backbone's.
    assert {name: id(v) for name, v in backbone_weights(backbone).items()} == named

    unwrap(backbone, f"{site}.output")
    assert owner(backbone, site).output_projector is projection
    assert len(backbone.weights) == len(named)


def test_adapted_projections_are_those_with_a_layer_to_them(tiny_backbone):
    backbone = tiny_backbone(num_layers=2)
    assert adapted_projections(backbone) == []
    names = ["encoder.1.self_attention.query", "decoder.0.feed_forward.input"]
    for name, how in zip(names, (SummedProjection, AdaptedProjection), strict=True):
        wrap(backbone, name, Double(), how)
    assert adapted_projections(backbone) == names
    unwrap(backbone, names[0])
    assert adapted_projections(backbone) == names[1:]


def test_plain_leaves_a_projection_as_it_is():
    projection = keras.layers.Dense(2)
    assert plain(projection) is projection


def of_shapes_alone(draw):
    """An initializer that must be called for no more than shapes, while Keras infers them."""

    def call(*args, **options):
        drawn = draw(*args, **options)
        assert drawn.is_meta
        return drawn

    return call


def test_a_backbone_that_is_to_be_read_draws_nothing(tiny_backbone, monkeypatch):
    given = tiny_backbone("gated", num_layers=1)
    for kind in (keras.initializers.TruncatedNormal, keras.initializers.RandomNormal):
        monkeypatch.setattr(kind, "__call__", of_shapes_alone(kind.__call__))
    config = {key: value for key, value in given.get_config().items() if key != "name"}
    made = backbone_weights(empty_backbone(**config))
    wanted = backbone_weights(given)
    assert {n: v.shape for n, v in made.items()} == {n: v.shape for n, v in wanted.items()}
    for name, variable in made.items():
        variable.assign(wanted[name].value)
        assert variable.value.equal(wanted[name].value)


def test_the_embedding_is_saved_as_the_arrays_it_is(tiny_backbone):
    backbone, store = tiny_backbone("gated", num_layers=1), {}
    embedding = backbone.token_embedding
    with saved_with_one_copy(backbone):
        embedding.save_own_variables(store)
    for array, variable in zip(
        store.values(), (embedding.embeddings, embedding.reverse_embeddings), strict=True
    ):
        assert array.ctypes.data == variable.value.data_ptr()
    assert "save_own_variables" not in vars(embedding)
