"""IA3: counts by hand, and a T5 whose weights its factors are folded into."""

import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import PRESETS


def test_its_counts_on_t5_base():
    # 36 attentions with 768 keys and as many values, 24 feed-forwards of 3,072
    count = METHODS["ia3"]().count(PRESETS["t5_base_multi"])
    assert count == {"scales": 36 * 2 * 768 + 24 * 3072}


def test_all_start_at_one(tiny_backbone):
    model = T5Model(tiny_backbone("gated"), METHODS["ia3"]())
    assert all(tensor.eq(1).all() for tensor in model.trained_tensors().values())


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_it_is_the_backbone_with_scaled_weights(tiny_backbone, token_batch, kind):
    inputs = token_batch()
    model = T5Model(tiny_backbone(kind), METHODS["ia3"]())
    for tensor in model.trained_tensors().values():
        torch.nn.init.uniform_(tensor, 0.2, 2.0, generator=torch.Generator().manual_seed(1))
    folded, scales = tiny_backbone(kind), model.named_weights
    for name, variable in backbone_weights(folded).items():
        owner, _, role = name.rpartition(".")
        if f"{name}.scale.factor" in scales:
            variable.assign(variable.value * scales[f"{name}.scale.factor"].value)
        elif role == "output" and owner.endswith("feed_forward"):
            inner = scales[f"{owner}.inner.scale.factor"].value
            variable.assign(inner[:, None] * variable.value)
    with torch.no_grad():
        found, wanted = model(inputs), T5Model(folded)(inputs)
    real = inputs["decoder_padding_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-4)
