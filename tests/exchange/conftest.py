"""What the tests of formats share: presets on disk, adapters on them, and Hugging Face's T5."""

from functools import cache
from types import SimpleNamespace

import pytest

TOLERANCE = 1e-5  # of the largest logit


@pytest.fixture(scope="session")
def preset_of(keras, tmp_path_factory):
    """Makes the directory of a tiny preset of random weights, "v1_0" or "gated", once a kind."""
    from keras_hub.src.utils.keras_utils import gelu_approximate

    from compacter_cli.t5.random_backbone import random_backbone, tiny_vocabulary
    from compacter_cli.t5.saving import write_preset
    from compacter_cli.t5.shapes import T5Shape

    made = {}

    def make(kind):
        if kind not in made:
            gated = kind == "gated"
            shape = T5Shape(128, 32, 48, 2, 4, 8, gated=gated, tied=not gated)
            backbone = random_backbone(shape, dropout=0.0)
            if gated:
                config = {**backbone.get_config(), "activation": gelu_approximate}
                backbone = type(backbone).from_config(config)
            _randomise(backbone)
            made[kind] = tmp_path_factory.mktemp("presets") / kind
            write_preset(made[kind], backbone, tiny_vocabulary(), "float32")
        return made[kind]

    return make


def _randomise(backbone):
    import numpy as np

    generator = np.random.default_rng(5)
    for variable in backbone.weights:  # layer norms too: all ones would hide mix-ups
        vector = len(variable.shape) == 1
        scale = 0.1 if vector else variable.shape[0] ** -0.5
        variable.assign(vector + scale * generator.standard_normal(variable.shape))


@pytest.fixture(scope="session")
def backbone_of(keras, preset_of):
    """Loads the tiny backbone of a kind, once: nothing is trained in place."""
    from compacter_cli.t5.loading import load_backbone

    @cache
    def load(kind):
        with keras.device("cpu"):
            return load_backbone(str(preset_of(kind)))

    return load


@pytest.fixture
def trained(keras, backbone_of):
    """Makes a `Trained` of a method on a preset, its weights away from where they start."""
    import torch

    from compacter_cli.exchange.trained import Trained
    from compacter_cli.recipe.recipe import recipe_of
    from compacter_cli.t5.model import T5Model

    def make(kind="v1_0", seed=1, **method):
        backbone = backbone_of(kind)
        tables = {"task": "demo/smoke", "backbone": {"preset": backbone.preset}, "method": method}
        recipe = recipe_of(tables, "here")
        with keras.device("cpu"):
            model = T5Model(backbone.keras, recipe.method)
        generator = torch.Generator().manual_seed(seed)
        values = {
            name: tensor.detach() + 0.1 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in model.trained_tensors().items()
        }
        model.assign(values)
        return Trained(model, backbone, recipe)

    return make


@pytest.fixture
def said(preset_of):
    """The `--set` values without which a foreign adapter is of no task and no backbone."""
    return lambda kind="v1_0": ["task=demo/smoke", f"backbone.preset={preset_of(kind)}"]


@pytest.fixture
def hugging_face():
    """`t5(backbone)`, Hugging Face's of the same weights; `inputs` and `logits` of one, or of ours.

    `compare(found, wanted, inputs)` holds logits of real target tokens against each other.
    """
    return SimpleNamespace(
        t5=_their_t5,
        inputs=_their_inputs,
        logits=_their_logits,
        our_logits=_our_logits,
        compare=_compare,
    )


def _their_t5(backbone):
    import transformers

    from compacter_cli.t5.hf_weights import is_transposed, names_of
    from compacter_cli.t5.placement import backbone_weights, shape_of_backbone

    gated = backbone.use_gated_activation
    config = transformers.T5Config(
        vocab_size=backbone.vocabulary_size,
        d_model=backbone.hidden_dim,
        d_ff=backbone.intermediate_dim,
        d_kv=backbone.key_value_dim,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if gated else "relu",
        tie_word_embeddings=backbone.tie_embedding_weights,
        layer_norm_epsilon=backbone.layer_norm_epsilon,
        use_cache=False,
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    state, names = model.state_dict(), names_of(shape_of_backbone(backbone))
    for name, variable in backbone_weights(backbone).items():
        value = variable.value
        state[names[name]].copy_(value.T if is_transposed(name) else value)
    return model


def _their_inputs(inputs):
    return {
        "input_ids": inputs["encoder_token_ids"],
        "attention_mask": inputs["encoder_padding_mask"],
        "decoder_input_ids": inputs["decoder_token_ids"],
        "decoder_attention_mask": inputs["decoder_padding_mask"],
    }


def _their_logits(model, inputs):
    import torch

    with torch.no_grad():
        return model(**_their_inputs(inputs)).logits


def _our_logits(model, inputs):
    import torch

    with torch.no_grad():
        return model(inputs)


def _compare(found, wanted, inputs):
    real = inputs["decoder_padding_mask"].bool()
    assert (found[real] - wanted[real]).abs().max() <= TOLERANCE * wanted[real].abs().max()
