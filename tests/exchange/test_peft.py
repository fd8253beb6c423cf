"""peft's files without the library: there and back, and what is refused."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.exchange import peft
from compacter_cli.exchange.foreign import CONFIG, Foreign
from compacter_cli.t5.shapes import T5Shape

EVERYWHERE = ["query", "value", "feed_forward.input", "feed_forward.gate", "feed_forward.output"]
OURS = {
    "lora": ("v1_0", {"name": "lora", "rank": 3, "alpha": 4.5, "rank_stabilized": True}),
    "lora everywhere": ("gated", {"name": "lora", "rank": 2, "projections": EVERYWHERE}),
    "lora and a tied head": ("v1_0", {"name": "lora", "train_output_layer": True}),
    "ia3 and a head": ("gated", {"name": "ia3", "train_output_layer": True}),
    "prompt": ("v1_0", {"name": "prompt_r", "length": 5}),
    "prompt and a head": ("gated", {"name": "prompt_t", "length": 2, "train_output_layer": True}),
}
TINY = T5Shape(64, 32, 48, 1, 4, 8)
LAYERS = ("encoder.block.0.layer.0.SelfAttention", "decoder.block.0.layer.0.SelfAttention")
LAYERS += ("decoder.block.0.layer.1.EncDecAttention",)
ON_Q = [f"base_model.model.{layer}.q.lora_{side}.weight" for layer in LAYERS for side in "AB"]


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


def settings(config, tensors=ON_Q):
    held = {name: torch.zeros(()) for name in tensors}
    lora = {"r": 8, "lora_alpha": 16} if "peft_type" not in config else {}
    config = {"peft_type": "LORA", **lora, **config}
    return peft.settings_of(Foreign(Path("here"), "peft", config, held), TINY)


@pytest.mark.parametrize("case", OURS)
def test_there_and_back_are_the_same_bits(trained, said, tmp_path, case):
    kind, method = OURS[case]
    given = trained(kind, **method)
    peft.write(given, tmp_path)
    recipe = peft.recipe_of(tmp_path, None, [*said(kind), f"method.name={method['name']}"])
    assert recipe.method.settings() == given.recipe.method.settings()
    before = given.model.trained_tensors()
    again = peft.read(tmp_path, recipe, given.backbone).trained_tensors()
    assert again.keys() == before.keys()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_names_and_forms_are_the_librarys(trained, tmp_path):
    given = trained("gated", name="lora", rank=2, projections=["feed_forward.gate", "output"])
    written = peft.write(given, tmp_path)
    found = safetensors.torch.load_file(tmp_path / peft.SAFE)
    ours = given.model.trained_tensors()
    module = "base_model.model.decoder.block.1.layer.2.DenseReluDense.wi_1"
    a = found[f"{module}.lora_A.weight"]
    assert torch.equal(a, ours["decoder.1.feed_forward.gate.delta.A"].T)
    assert tuple(found[f"{module}.lora_B.weight"].shape) == (48, 2)
    assert written["tensors"] == len(found) == len(ours)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["target_modules"] == ["wi_1", "o"]
    assert config["base_model_name_or_path"] == given.backbone.preset
    assert config["modules_to_save"] is None


def test_factors_of_ia3_are_columns_and_a_row(trained, tmp_path):
    given = trained(name="ia3")
    peft.write(given, tmp_path)
    found = safetensors.torch.load_file(tmp_path / peft.SAFE)
    wo = found["base_model.model.encoder.block.0.layer.1.DenseReluDense.wo.ia3_l"]
    ours = given.model.trained_tensors()["encoder.0.feed_forward.inner.scale.factor"]
    assert torch.equal(wo, ours[None])
    key = found["base_model.model.decoder.block.0.layer.1.EncDecAttention.k.ia3_l"]
    assert tuple(key.shape) == (32, 1)


def test_a_head_beside_a_prompt_has_the_name_of_prompt_learning(trained, tmp_path):
    peft.write(trained("gated", name="prompt_r", train_output_layer=True), tmp_path)
    found = safetensors.torch.load_file(tmp_path / peft.SAFE)
    assert found.keys() == {"prompt_embeddings", "base_model.lm_head.weight"}


def on_wi_1(place, feedforward_modules=(), keep=False):
    """IA3's factors as peft saves them of a gated T5 whose modules nobody named."""
    tensors = safetensors.torch.load_file(place / peft.SAFE)
    for name in [name for name in tensors if ".wo." in name]:
        factors = tensors[name] if keep else tensors.pop(name)
        tensors[name.replace(".wo.", ".wi_1.")] = factors.T.clone()
    safetensors.torch.save_file(tensors, place / peft.SAFE)
    config = json.loads((place / CONFIG).read_text())
    said = {"target_modules": ["k", "v", "wi_1"], "feedforward_modules": list(feedforward_modules)}
    (place / CONFIG).write_text(json.dumps({**config, **said}))


def test_factors_on_what_the_gate_gives_are_those_on_the_product(trained, said, tmp_path):
    peft.write(given := trained("gated", name="ia3"), tmp_path)
    on_wi_1(tmp_path)
    recipe = peft.recipe_of(tmp_path, None, said("gated"))
    found = peft.read(tmp_path, recipe, given.backbone).trained_tensors()
    assert all(torch.equal(found[name], t) for name, t in given.model.trained_tensors().items())


def test_factors_on_both_or_on_what_the_gate_is_given_are_refused(trained, said, tmp_path):
    peft.write(given := trained("gated", name="ia3"), tmp_path)
    on_wi_1(tmp_path, ["wo"], keep=True)
    recipe = peft.recipe_of(tmp_path, None, said("gated"))
    with pytest.raises(CompacterError, match=r"wi_1\.ia3_l has no counterpart"):
        peft.read(tmp_path, recipe, given.backbone)
    on_wi_1(tmp_path, ["wi_1"])
    with pytest.raises(UsageError, match="feedforward_modules = "):
        peft.recipe_of(tmp_path, None, said("gated"))


def test_what_has_a_lora_is_seen_from_the_tensors():
    assert settings({"target_modules": r".*\.q", "lora_dropout": 0.2}) == {
        "name": "lora",
        "rank": 8,
        "alpha": 16.0,
        "rank_stabilized": False,
        "projections": ["query"],
        "train_output_layer": False,
    }


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"use_dora": True}, "use_dora = True has no counterpart"),
        ({"bias": "lora_only"}, "bias = lora_only has no counterpart"),
        ({"lora_bias": True}, "lora_bias = True"),
        ({"rank_pattern": {"q": 4}}, "rank_pattern = "),
        ({"alpha_pattern": {"q": 4}}, "alpha_pattern = "),
        ({"layers_to_transform": [0]}, r"layers_to_transform = \[0\]"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out = True"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = pissa changes the backbone's own"),
        ({"modules_to_save": ["shared"]}, r"modules_to_save = \['shared'\]: only lm_head"),
        ({"peft_type": "LOHA"}, "peft_type = LOHA has no counterpart"),
        ({"peft_type": ["LORA"]}, r"peft_type = \['LORA'\] has no counterpart"),
        ({"peft_type": "IA3", "feedforward_modules": ["wi_1"]}, "feedforward_modules = "),
    ],
)
def test_what_has_no_counterpart_is_named(config, why):
    with pytest.raises(UsageError, match=why):
        settings(config)


def test_a_lora_on_some_of_a_kind_or_on_something_else_is_named():
    with pytest.raises(UsageError, match=r"no LoRA on decoder\.block\.0\.layer\.1\.EncDec.*\.q"):
        settings({}, ON_Q[:-2])
    head = "base_model.model.lm_head.lora_A.weight"
    with pytest.raises(UsageError, match="its LoRA on lm_head has no counterpart"):
        settings({}, [*ON_Q, head])


def test_a_prompt_is_of_this_backbone(trained, said, tmp_path):
    config = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "token_dim": 64}
    with pytest.raises(UsageError, match="token_dim = 64 has no counterpart"):
        peft.settings_of(Foreign(tmp_path, "peft", config, {}), TINY)


def test_the_decoders_half_of_a_prompt_is_left(trained, said, tmp_path):
    given = trained(name="prompt_r", length=2)
    peft.write(given, tmp_path)
    ours = given.model.trained_tensors()["prompt.prompt"].detach().cpu()
    safetensors.torch.save_file({peft.PROMPT: torch.cat((ours, ours + 1))}, tmp_path / peft.SAFE)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "num_transformer_submodules": 2}))
    recipe = peft.recipe_of(tmp_path, None, said())
    model = peft.read(tmp_path, recipe, given.backbone)
    assert torch.equal(model.trained_tensors()["prompt.prompt"].cpu(), ours)
    tokens = peft.recipe_of(tmp_path, None, [*said(), "method.name=prompt_t"])
    assert tokens.method.name == "prompt_t"


@pytest.mark.parametrize("name", ["lphm", "krona", "compacter", "bitfit", "full"])
def test_what_the_library_does_not_have_is_named(trained, tmp_path, name):
    small = {"bottleneck": 8} if name == "compacter" else {}
    given = trained(name=name, **small)
    with pytest.raises(UsageError, match=f"peft has no counterpart of {name}"):
        peft.write(given, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_is_none_is_the_recipes_error(trained, said, tmp_path):
    peft.write(trained(name="lora"), tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "r": "many"}))
    with pytest.raises(RecipeError, match=r"method\.rank"):
        peft.recipe_of(tmp_path, None, said())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "r": 5_000}))
    recipe = peft.recipe_of(tmp_path, None, said())
    with pytest.raises(CompacterError, match=r"lora trains [\d,]+ parameters of a T5 of "):
        peft.read(tmp_path, recipe, trained(name="ia3").backbone)
