"""Intrinsic-SAID: d' numbers that move all weights."""

import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]


def test_its_counts_on_t5_base():
    assert METHODS["said"]().count_added(BASE) == {"subspace": 19_743, "scales": 257}
    assert sum(METHODS["said"](intrinsic_dim=1_400).count(BASE).values()) == 1_400


def test_the_scales_are_counted_in_d():
    assert METHODS["said"](intrinsic_dim=258).problems(BASE) == []
    (problem,) = METHODS["said"](intrinsic_dim=257).problems(BASE)
    assert problem.key == "method.intrinsic_dim"
    assert "258" in problem.hint


def test_weight_tensors_are_counted_right(tiny_backbone):
    for kind in ("v1_0", "gated"):
        backbone = tiny_backbone(kind)
        assert T5Model(backbone).shape.weight_tensors == len(backbone_weights(backbone))


def test_it_moves_every_weight_by_its_scale_times_a_projection(tiny_backbone):
    model = T5Model(tiny_backbone(), METHODS["said"](intrinsic_dim=100), seed=3)
    v = torch.randn(100 - 47)
    model.named_weights["said.v"].assign(v)
    scales = torch.linspace(0.5, 2.0, 47)
    model.named_weights["said.scales"].assign(scales)
    moved = model.forward_pass().parts.weights
    (subspace,) = model._added_layers
    for index, (name, variable) in enumerate(backbone_weights(model.backbone).items()):
        delta = scales[index] * subspace.projections[index].call(v)
        expected = variable.value + delta.reshape(variable.shape)
        torch.testing.assert_close(moved[name], expected)
        assert not torch.equal(moved[name], variable.value), name


def test_the_released_gradient_moves_along_small_tensors(tiny_backbone, token_batch):
    """Of v alone, at the start: the sum of each tensor's own gradient over its padded size."""
    backbone, found = tiny_backbone(), {}
    for gradient in ("exact", "released"):
        model = T5Model(backbone, METHODS["said"](intrinsic_dim=100, gradient=gradient))
        logits = model(token_batch())
        logits.square().mean().backward()
        found[gradient] = logits.detach(), model.trained_tensors()["said.v"].grad
    assert torch.equal(found["exact"][0], found["released"][0])
    embedding = backbone_weights(backbone)["embedding"].value.numel()
    assert found["released"][1].norm() > found["exact"][1].norm() / embedding
    assert found["released"][1].norm() < found["exact"][1].norm() / 16


def test_another_seed_is_another_subspace(tiny_backbone, token_batch):
    backbone, logits = tiny_backbone(), []
    for seed in (1, 1, 2):
        model = T5Model(backbone, METHODS["said"](intrinsic_dim=100), seed=seed)
        model.named_weights["said.v"].assign(torch.ones(53))
        with torch.no_grad():
            logits.append(model(token_batch()))
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])
