"""AdapterHub's adapters in and out, beside the library itself: logits on one T5."""

import pytest
import torch

from compacter_cli.errors import UsageError
from compacter_cli.exchange import adapterhub
from compacter_cli.exchange.adapterhub_config import OURS as ACTIVATIONS
from compacter_cli.t5.model import T5Model

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TOLERANCE = 1e-5  # of the largest logit
EVERYWHERE = {"after": "all", "placement": "after_residual", "activation": "silu"}
OURS = {
    "Houlsby": {"name": "adapter", "bottleneck": 8},
    "Pfeiffer": {"name": "pfeiffer", "after": "feed_forward", "placement": "after_residual"},
    "where Pfeiffer is ours": {"name": "pfeiffer", "bottleneck": 6, "activation": "relu"},
    "AdapterDrop": {"name": "adapterdrop", "dropped_blocks": 1, "bottleneck": 5},
    "Compacter": {"name": "compacter", "bottleneck": 8, "rank": 2},
    "Compacter++": {"name": "compacterpp", "bottleneck": 8, "n": 2, "activation": "gelu"},
    "Compacter everywhere": {"name": "compacter", "bottleneck": 8, **EVERYWHERE},
    "PHM": {"name": "phm", "bottleneck": 8, "after": "cross_attention"},
}
WITH_NORMS = ("Houlsby", "Compacter", "PHM")
THEIRS = {
    "seq_bn": ("pfeiffer", "after_residual"),
    "double_seq_bn": ("adapter", None),
    "compacter": ("compacter", None),
    "compacter++": ("compacterpp", "after_residual"),
}


@pytest.fixture
def adapters():
    return pytest.importorskip("adapters", reason='needs pip install "compacter[peers]"')


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("case", OURS)
def test_load_adapter_computes_ours(
    adapters, trained, hugging_face, token_batch, tmp_path, case, kind
):
    norms = case in WITH_NORMS
    given = trained(kind, **OURS[case], train_layer_norms=norms)
    inputs = token_batch()
    model = hugging_face.t5(given.backbone.keras)
    before = hugging_face.logits(model, inputs)
    notes = adapterhub.write(given, tmp_path)["notes"]
    assert len(notes) == norms
    adapters.init(model)
    told = {}
    name = model.load_adapter(str(tmp_path), loading_info=told, set_active=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert name == "demo_smoke"
    wanted = hugging_face.our_logits(given.model, inputs)
    hugging_face.compare(hugging_face.logits(model.eval(), inputs), wanted, inputs)
    assert (wanted - before).abs().max() > 1e-2


def test_a_trained_output_layer_is_loaded_too(
    adapters, trained, hugging_face, token_batch, tmp_path
):
    given = trained("gated", name="adapter", bottleneck=4, train_output_layer=True)
    adapterhub.write(given, tmp_path)
    model, inputs = hugging_face.t5(given.backbone.keras), token_batch()
    adapters.init(model)
    model.load_adapter(str(tmp_path), set_active=True)
    wanted = hugging_face.our_logits(given.model, inputs)
    hugging_face.compare(hugging_face.logits(model.eval(), inputs), wanted, inputs)


@pytest.mark.parametrize("execution", ["reference", "lean"])
@pytest.mark.parametrize("placement", [None, "after_residual"])
def test_gradients_are_theirs(
    adapters, trained, hugging_face, token_batch, tmp_path, placement, execution
):
    given = trained("gated", name="compacter", bottleneck=8, placement=placement)
    ours = T5Model(given.backbone.keras, given.recipe.method, execution=execution)
    ours.assign({name: t.detach() for name, t in given.model.trained_tensors().items()})
    adapterhub.write(given, tmp_path)
    model, inputs = hugging_face.t5(given.backbone.keras), token_batch()
    adapters.init(model)
    model.load_adapter(str(tmp_path), set_active=True)
    parameters = dict(model.requires_grad_(True).eval().named_parameters())
    real = inputs["decoder_padding_mask"].bool()
    for logits in (ours(inputs), model(**hugging_face.inputs(inputs)).logits):
        weights = torch.randn(logits[real].shape, generator=torch.Generator().manual_seed(2))
        (weights * logits[real]).sum().backward()
    for name, tensor in ours.trained_tensors().items():
        there = adapterhub.counterpart(
            name, method=given.recipe.method, shape=ours.shape, called="demo_smoke"
        )
        wanted = there.ours(parameters[there.name].grad)
        assert (tensor.grad - wanted).norm() <= 2 * TOLERANCE * wanted.norm(), name


def load_transformer(model, plain):
    """Put the weights of a T5 into the library's own class, which has heads beside it."""
    state = plain.state_dict()
    known = {name: state[name] for name in model.transformer.state_dict() if name in state}
    model.transformer.load_state_dict(known)


def with_adapter(model, adapters, config):
    """The library's model with an active adapter, of weights away from where they start."""
    model.add_adapter("mine", config=adapters.AdapterConfig.load(config, reduction_factor=4))
    model.set_active_adapters("mine")
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".mine." in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.mark.parametrize(
    ("case", "kind", "safe"),
    [("seq_bn", "v1_0", True), ("seq_bn", "gated", False), ("double_seq_bn", "gated", True)],
)
def test_what_save_adapter_writes_computes_theirs(
    adapters, backbone_of, hugging_face, token_batch, tmp_path, said, case, kind, safe
):
    backbone, inputs = backbone_of(kind), token_batch()
    model = hugging_face.t5(backbone.keras)
    adapters.init(model)
    with_adapter(model, adapters, case).save_adapter(str(tmp_path), "mine", use_safetensors=safe)
    recipe = adapterhub.recipe_of(tmp_path, None, said(kind))
    found = adapterhub.read(tmp_path, recipe, backbone)
    assert (recipe.method.name, recipe.method.placement) == THEIRS[case]
    hugging_face.compare(
        hugging_face.our_logits(found, inputs), hugging_face.logits(model, inputs), inputs
    )


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("case", ["compacter", "compacter++"])
def test_a_shared_rule_is_in_what_the_model_with_heads_saves(
    adapters, backbone_of, hugging_face, token_batch, tmp_path, said, case, kind
):
    backbone, inputs = backbone_of(kind), token_batch()
    plain = hugging_face.t5(backbone.keras)
    model = adapters.T5AdapterModel(plain.config)
    load_transformer(model, plain)
    with_adapter(model, adapters, case).save_adapter(str(tmp_path), "mine")
    recipe = adapterhub.recipe_of(tmp_path, None, said(kind))
    found = adapterhub.read(tmp_path, recipe, backbone)
    assert (recipe.method.name, recipe.method.placement) == THEIRS[case]
    with torch.no_grad():
        hidden = model.transformer(**hugging_face.inputs(inputs)).last_hidden_state
        scaled = hidden * (32**-0.5 if kind == "v1_0" else 1.0)
        hugging_face.compare(hugging_face.our_logits(found, inputs), plain.lm_head(scaled), inputs)


def test_without_its_shared_rule_it_is_refused(adapters, backbone_of, hugging_face, tmp_path, said):
    model = hugging_face.t5(backbone_of("v1_0").keras)
    adapters.init(model)
    with_adapter(model, adapters, "compacter").save_adapter(str(tmp_path), "mine")
    with pytest.raises(UsageError, match="its file lacks the shared rule") as caught:
        adapterhub.recipe_of(tmp_path, None, said())
    assert "T5AdapterModel" in caught.value.hint


def test_the_model_with_heads_loads_ours(adapters, trained, hugging_face, token_batch, tmp_path):
    given, inputs = trained("gated", **OURS["Compacter"]), token_batch()
    adapterhub.write(given, tmp_path)
    plain = hugging_face.t5(given.backbone.keras)
    model = adapters.T5AdapterModel(plain.config).eval()
    load_transformer(model, plain)
    model.load_adapter(str(tmp_path), set_active=True)
    with torch.no_grad():
        hidden = model.transformer(**hugging_face.inputs(inputs)).last_hidden_state
        hugging_face.compare(
            plain.lm_head(hidden), hugging_face.our_logits(given.model, inputs), inputs
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_theirs(adapters, keras, name):
    from compacter_layers import gelu_tanh
    from transformers.activations import get_activation

    x = torch.linspace(-6, 6, 97)
    ours = ACTIVATIONS[name]
    found = (gelu_tanh if ours == "gelu_tanh" else keras.activations.get(ours))(x)
    torch.testing.assert_close(found, get_activation(name)(x), rtol=1e-5, atol=1e-6)
