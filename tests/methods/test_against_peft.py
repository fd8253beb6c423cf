"""LoRA and IA3 beside Hugging Face's peft: one T5 on both sides, its logits and its gradients."""

import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights

pytestmark = pytest.mark.peers
TOLERANCE = 1e-5  # of the largest logit, and of the norm of a gradient
NEEDED = 'needs pip install "compacter[peers]"'
EVERYWHERE = ["query", "key", "value", "output", "feed_forward.input", "feed_forward.output"]
LORAS = {
    "as it is": {},
    "rank-stabilized": {"rank": 4, "alpha": 3.0, "rank_stabilized": True},
    "everywhere": {"rank": 2, "alpha": 4.0, "projections": EVERYWHERE},
}

WHOLE = {
    "embedding": "shared",
    "head": "lm_head",
    "encoder.layer_norm": "encoder.final_layer_norm",
    "decoder.layer_norm": "decoder.final_layer_norm",
}
ATTENTION = {
    "query": "q",
    "key": "k",
    "value": "v",
    "output": "o",
    "relative_bias": "relative_attention_bias",
}
FEED_FORWARD = {
    "v1_0": {"input": "wi", "output": "wo"},
    "gated": {"input": "wi_0", "gate": "wi_1", "output": "wo"},
}
ADDED = {"A": "lora_A.default.weight", "B": "lora_B.default.weight", "factor": "ia3_l.default"}


def their_module(name, kind):
    """What Hugging Face calls the module of the weight that we call `name`."""
    if name in WHOLE:
        return WHOLE[name]
    stack, block, sublayer, role = name.split(".")
    sublayers = {
        "self_attention": (0, "SelfAttention", ATTENTION),
        "cross_attention": (1, "EncDecAttention", ATTENTION),
        "feed_forward": (1 if stack == "encoder" else 2, "DenseReluDense", FEED_FORWARD[kind]),
    }
    number, inner, roles = sublayers[sublayer]
    within = role if role == "layer_norm" else f"{inner}.{roles[role]}"
    return f"{stack}.block.{block}.layer.{number}.{within}"


def their_parameter(name, kind):
    """What peft calls the trained weight that we call `name`."""
    layer, _, part = name.rpartition(".")
    site, _, _ = layer.rpartition(".")  # without "delta" or "scale"
    # Inner elements are scaled before the output projection, where peft puts its factors.
    module = their_module(site.replace(".inner", ".output"), kind)
    return f"base_model.model.{module}.{ADDED[part]}"


def our_t5(tiny_backbone, kind):
    """A tiny backbone; v1.1's GELU is the tanh form, as in KerasHub's presets."""
    from keras_hub.src.utils.keras_utils import gelu_approximate

    return tiny_backbone(kind, **({"activation": gelu_approximate} if kind == "gated" else {}))


def their_t5(backbone, kind):
    """Hugging Face's T5 of the weights of a backbone."""
    transformers = pytest.importorskip("transformers", reason=NEEDED)
    config = transformers.T5Config(
        vocab_size=backbone.vocabulary_size,
        d_model=backbone.hidden_dim,
        d_ff=backbone.intermediate_dim,
        d_kv=backbone.key_value_dim,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if kind == "gated" else "relu",
        tie_word_embeddings=kind == "v1_0",
        layer_norm_epsilon=backbone.layer_norm_epsilon,
        use_cache=False,
    )
    model = transformers.T5ForConditionalGeneration(config)
    modules = {their_module(name, kind): v for name, v in backbone_weights(backbone).items()}
    assert {f"{name}.weight" for name in modules} == dict(model.named_parameters()).keys()
    for name, variable in modules.items():
        module = model.get_submodule(name)
        linear = isinstance(module, torch.nn.Linear)  # its weight is (outputs, inputs)
        module.weight.data.copy_(variable.value.T if linear else variable.value)
    return model


def with_peft(model, method, kind):
    """Hugging Face's T5 with peft's layers of the method."""
    peft = pytest.importorskip("peft", reason=NEEDED)
    if method.name == "ia3":
        config = peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])
        return peft.get_peft_model(model, config)
    inner = {f"feed_forward.{role}": name for role, name in FEED_FORWARD[kind].items()}
    config = peft.LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=0.0,
        use_rslora=method.rank_stabilized,
        target_modules=[{**ATTENTION, **inner}[role] for role in method.projections],
    )
    return peft.get_peft_model(model, config)


def randomise(model):
    """Set what a method added to random values, for at first it changes nothing.

    Small ones: T5's attention has no 1 / sqrt(d), and large deltas saturate it, where float32 in
    either is further from float64 than the tolerance.
    """
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.trained_tensors().items():
        offset = 1.0 if name.endswith(".factor") else 0.0
        tensor.data.copy_(offset + 0.1 * torch.randn(tensor.shape, generator=generator))


def gradients(logits, tensors):
    """The gradients of `tensors`, of one random linear function of `logits`."""
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    return torch.autograd.grad((weights * logits).sum(), tensors)


@pytest.mark.parametrize("execution", ["reference", "lean"])
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("case", ["ia3", *LORAS])
def test_logits_and_gradients_are_pefts(tiny_backbone, token_batch, case, kind, execution):
    backbone, inputs = our_t5(tiny_backbone, kind), token_batch()
    method = METHODS["ia3"]() if case == "ia3" else METHODS["lora"](**LORAS[case])
    ours = T5Model(backbone, method, execution=execution)
    theirs = with_peft(their_t5(backbone, kind), method, kind)
    randomise(ours)

    added = {their_parameter(name, kind): t for name, t in ours.trained_tensors().items()}
    trained = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    assert trained.keys() == added.keys()
    assert sum(p.numel() for p in trained.values()) == sum(method.count(ours.shape).values())
    for name, tensor in added.items():
        outputs, inner = trained[name].shape  # theirs are all the other way round
        trained[name].data.copy_(tensor.data.reshape(inner, outputs).T)

    real = inputs["decoder_padding_mask"].bool()
    found = ours(inputs)[real]
    wanted = theirs(
        input_ids=inputs["encoder_token_ids"],
        attention_mask=inputs["encoder_padding_mask"],
        decoder_input_ids=inputs["decoder_token_ids"],
        decoder_attention_mask=inputs["decoder_padding_mask"],
    ).logits[real]
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()

    slopes = zip(
        gradients(found, list(added.values())),
        gradients(wanted, [trained[name] for name in added]),
        strict=True,
    )
    for mine, other in slopes:
        assert (mine - other.T.reshape(mine.shape)).norm() <= TOLERANCE * other.norm()
