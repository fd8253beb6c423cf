"""T5's random start: the scale of every weight, and that seed and name alone decide it."""

import pytest
import torch

from compacter_cli.t5.initial import start_at_random


@pytest.fixture
def started(tiny_backbone):
    """Makes a backbone's weights by name, at their random start."""
    from compacter_cli.t5.placement import backbone_weights, shape_of_backbone

    def make(kind="v1_0", seed=42, **changes):
        sizes = {"vocabulary_size": 400, "hidden_dim": 64, "intermediate_dim": 256, **changes}
        sizes = {"num_heads": 4, "key_value_dim": 8, **sizes}
        backbone = tiny_backbone(kind, **sizes)
        weights = backbone_weights(backbone)
        start_at_random(weights, shape_of_backbone(backbone), seed)
        return {name: variable.value.detach().clone() for name, variable in weights.items()}

    return make


# By hand for k = 64, d_kv = 8, H = 4, ff = 256.
SCALES = {
    "embedding": 1.0,
    "encoder.0.self_attention.query": 512**-0.5,
    "decoder.1.cross_attention.query": 512**-0.5,
    "encoder.1.self_attention.key": 0.125,
    "decoder.0.cross_attention.value": 0.125,
    "encoder.0.self_attention.output": 32**-0.5,
    "decoder.1.cross_attention.output": 32**-0.5,
    "encoder.0.feed_forward.input": 0.125,
    "decoder.1.feed_forward.output": 0.0625,
    "encoder.0.self_attention.relative_bias": 0.125,
    "decoder.0.self_attention.relative_bias": 0.125,
}


def test_every_kind_of_weight_has_mesh_tensorflows_scale(started):
    weights = started()
    for name, scale in SCALES.items():
        values = weights[name]
        # The standard deviation of n values is known to 1 / sqrt(2n) of it; four times that.
        slack = 4 / (2 * values.numel()) ** 0.5
        assert values.std().item() == pytest.approx(scale, rel=slack), name
        assert abs(values.mean().item()) < 4 * scale / values.numel() ** 0.5, name


def test_an_untied_head_and_a_gate_start_as_other_inputs(started):
    weights = started("gated")
    for name in ("head", "encoder.0.feed_forward.gate"):
        assert weights[name].std().item() == pytest.approx(0.125, rel=0.05), name


def test_norms_are_ones(started):
    norms = {name: w for name, w in started().items() if name.endswith("layer_norm")}
    assert len(norms) == 12
    assert all(torch.equal(values, torch.ones_like(values)) for values in norms.values())


def test_the_seed_decides_and_no_two_weights_are_alike(started):
    first, again, other = started(seed=1), started(seed=1), started(seed=2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding"], other["embedding"])
    key = {block: first[f"encoder.{block}.self_attention.key"] for block in (0, 1)}
    assert not torch.equal(key[0], key[1])
    assert not torch.equal(key[0], first["encoder.0.self_attention.value"])


def test_the_scores_of_a_random_start_are_of_order_one(started, tiny_backbone, token_batch):
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.placement import backbone_weights

    backbone = tiny_backbone(vocabulary_size=400, hidden_dim=64, intermediate_dim=256)
    for name, value in started().items():
        backbone_weights(backbone)[name].assign(value)
    logits = T5Model(backbone).call(token_batch(vocabulary=400))
    assert 0.5 < logits.std().item() < 2.0
