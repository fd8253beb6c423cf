"""BitFit: a bias behind everything, the head too, and nothing else."""

from dataclasses import replace

import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]


@pytest.mark.parametrize(("rows", "trained"), [(32_100, 280_932), (32_128, 280_960)])
def test_its_counts_on_t5_base(rows, trained):
    found = METHODS["bitfit"]().count(replace(BASE, vocabulary_size=rows))
    assert sum(found.values()) == trained
    assert found["head_bias"] == rows


def test_the_last_norms_have_one_where_asked():
    with_them, without = METHODS["bitfit"](final_norms=True), METHODS["bitfit"]()
    assert set(with_them.widths(BASE)) - set(without.widths(BASE)) == {
        "encoder.layer_norm", "decoder.layer_norm"
    }  # fmt: skip
    assert with_them.count(BASE)["norm_biases"] - without.count(BASE)["norm_biases"] == 2 * 768


def test_all_biases_start_at_zero(tiny_backbone):
    model = T5Model(tiny_backbone("gated"), METHODS["bitfit"]())
    assert all(name.endswith(".bias") for name in model.trained)
    assert not any(tensor.any() for tensor in model.trained_tensors().values())


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_a_bias_stands_where_its_name_says(tiny_backbone, token_batch, kind):
    """Each bias is checked by where it can be folded into what is already there."""
    inputs = token_batch()
    model = T5Model(tiny_backbone(kind), METHODS["bitfit"]())
    head = torch.randn(64)
    with torch.no_grad():
        plain = model(inputs)
        model.named_weights["head.bias"].assign(head)
        torch.testing.assert_close(model(inputs), plain + head)
        # A bias of the keys adds the same to all scores of a query, which softmax ignores.
        model.named_weights["encoder.0.self_attention.key.bias"].assign(torch.randn(32))
        torch.testing.assert_close(model(inputs), plain + head, rtol=1e-4, atol=1e-5)
        # A bias of the values comes out as it is, through the output projection.
        value = torch.randn(32)
        model.named_weights["decoder.1.cross_attention.value.bias"].assign(value)
        by_value = model(inputs)
        assert not torch.allclose(by_value, plain + head, atol=1e-3)
        model.named_weights["decoder.1.cross_attention.value.bias"].assign(torch.zeros(32))
        output = model.named_weights["decoder.1.cross_attention.output"].value
        model.named_weights["decoder.1.cross_attention.output.bias"].assign(value @ output)
        torch.testing.assert_close(model(inputs), by_value, rtol=1e-4, atol=1e-4)


def test_every_bias_has_an_effect_but_those_of_keys(tiny_backbone, token_batch):
    inputs = token_batch()
    model = T5Model(tiny_backbone("gated"), METHODS["bitfit"]())
    model(inputs).square().sum().backward()
    silent = {name for name, t in model.trained_tensors().items() if t.grad.abs().max() < 1e-4}
    assert all(name.endswith("key.bias") for name in silent)
