"""LoRA: counts by hand, its scaling, and a T5 of weights that its factors are added to."""

import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import PRESETS

LoRA = METHODS["lora"]
BASE = PRESETS["t5_base_multi"]
EVERYWHERE = [
    "query", "key", "value", "output", "feed_forward.input", "feed_forward.output"
]  # fmt: skip


def test_its_counts_on_t5_base():
    # 12 encoder, 12 decoder and 12 cross-attentions, query and value of 768 to 768
    assert LoRA().count(BASE) == {"deltas": 36 * 2 * 8 * (768 + 768), "rule": 0}
    everywhere = LoRA(rank=4, projections=EVERYWHERE).count(BASE)["deltas"]
    assert everywhere == 4 * (36 * 4 * (768 + 768) + 24 * 2 * (768 + 3072))


def test_its_scaling():
    assert LoRA(rank=8, alpha=16.0).scaling == 2.0
    assert LoRA(rank=16, alpha=8.0).scaling == 0.5
    assert LoRA(rank=16, alpha=8.0, rank_stabilized=True).scaling == 2.0


@pytest.mark.parametrize("projections", [["query", "value"], EVERYWHERE])
def test_it_is_the_backbone_with_scaled_products_added(tiny_backbone, token_batch, projections):
    inputs, backbone = token_batch(), tiny_backbone()
    model = T5Model(backbone, LoRA(rank=3, alpha=6.0, projections=projections))
    for name, tensor in model.trained_tensors().items():
        if name.endswith(".B"):
            torch.nn.init.normal_(tensor, std=0.3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model(inputs)
    folded, weights = tiny_backbone(), model.named_weights
    for name, variable in backbone_weights(folded).items():
        if f"{name}.delta.A" in weights:
            a, b = (weights[f"{name}.delta.{part}"].value for part in "AB")
            variable.assign(variable.value + 2 * a @ b)
    with torch.no_grad():
        wanted = T5Model(folded)(inputs)
    real = inputs["decoder_padding_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, T5Model(backbone)(inputs), atol=1e-2)


def test_the_gate_is_one_of_the_projections_where_there_is_one(tiny_backbone):
    method = LoRA(projections=["feed_forward.gate"])
    model = T5Model(tiny_backbone("gated"), method)
    assert {name.rpartition(".delta")[0] for name in model.trained} == {
        f"{stack}.{block}.feed_forward.gate" for stack in ("encoder", "decoder") for block in (0, 1)
    }
    (problem,) = method.problems(BASE)
    assert problem.key == "method.projections"
    assert "no gate" in problem.message
