"""peft's adapters in and out, beside the library itself: logits on one T5."""

import pytest
import torch

from compacter_cli.exchange import peft as format_of_peft

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True` and a tied layer"),
]
GATED = ["query", "key", "output", "feed_forward.input", "feed_forward.gate", "feed_forward.output"]
OURS = {
    "lora": ("v1_0", {"name": "lora"}),
    "rslora": ("v1_0", {"name": "lora", "rank": 4, "alpha": 3.0, "rank_stabilized": True}),
    "lora everywhere": ("gated", {"name": "lora", "rank": 2, "projections": GATED}),
    "lora, tied head": ("v1_0", {"name": "lora", "train_output_layer": True}),
    "ia3, untied head": ("gated", {"name": "ia3", "train_output_layer": True}),
    "ia3": ("v1_0", {"name": "ia3"}),
    "prompt": ("gated", {"name": "prompt_r", "length": 5}),
    "prompt, tied head": ("v1_0", {"name": "prompt_r", "train_output_layer": True}),
    "prompt, untied head": ("gated", {"name": "prompt_r", "train_output_layer": True}),
    "prompt from tokens": ("v1_0", {"name": "prompt_t", "length": 3}),
}


@pytest.fixture
def peft():
    return pytest.importorskip("peft", reason='needs pip install "compacter[peers]"')


@pytest.mark.parametrize("case", OURS)
def test_from_pretrained_computes_ours(peft, trained, hugging_face, token_batch, tmp_path, case):
    kind, method = OURS[case]
    given, inputs = trained(kind, **method), token_batch()
    model = hugging_face.t5(given.backbone.keras)
    before = hugging_face.logits(model, inputs)
    format_of_peft.write(given, tmp_path)
    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path)).eval()
    wanted = hugging_face.our_logits(given.model, inputs)
    hugging_face.compare(hugging_face.logits(loaded, inputs), wanted, inputs)
    assert (wanted - before).abs().max() > 1e-2
    config = loaded.peft_config["default"]
    assert config.base_model_name_or_path == given.recipe.backbone.preset


def theirs(peft):
    prompt = {"task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": 4}
    with_head = peft.PromptTuningConfig(**prompt, modules_to_save=["lm_head"])
    everything = {"target_modules": "all-linear", "r": 3}
    return {
        "lora": ("v1_0", peft.LoraConfig(target_modules=["q", "v"], r=4, lora_alpha=7)),
        "regex": ("gated", peft.LoraConfig(target_modules=r".*\.(wi_1|o)", use_rslora=True)),
        "all-linear": ("gated", peft.LoraConfig(task_type="SEQ_2_SEQ_LM", **everything)),
        "head": ("gated", peft.LoraConfig(target_modules=["q"], modules_to_save=["lm_head"])),
        "ia3": (
            "v1_0",
            peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"]),
        ),
        "prompt of two": ("v1_0", peft.PromptTuningConfig(**prompt)),
        "prompt of one": ("gated", peft.PromptTuningConfig(**prompt, num_transformer_submodules=1)),
        "prompt and head": ("gated", with_head),
        "ia3 on the gate's side": ("gated", peft.IA3Config(target_modules=["k", "v", "wi_1"])),
    }


CASES = ["lora", "regex", "all-linear", "head", "ia3", "prompt of two", "prompt of one"]
CASES += ["prompt and head", "ia3 on the gate's side"]


@pytest.mark.parametrize("case", CASES)
def test_what_save_pretrained_writes_computes_theirs(
    peft, backbone_of, hugging_face, token_batch, tmp_path, said, case
):
    kind, config = theirs(peft)[case]
    backbone, inputs = backbone_of(kind), token_batch()
    model = peft.get_peft_model(hugging_face.t5(backbone.keras), config).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(str(tmp_path), safe_serialization=case != "ia3")
    recipe = format_of_peft.recipe_of(tmp_path, None, said(kind))
    found = format_of_peft.read(tmp_path, recipe, backbone)
    hugging_face.compare(
        hugging_face.our_logits(found, inputs), hugging_face.logits(model, inputs), inputs
    )
