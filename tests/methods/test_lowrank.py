"""Adapter-LowRank: thin factors instead of dense projections."""

import pytest
from compacter_layers import LowRankDense

from compacter_cli.methods import METHODS
from compacter_cli.t5.shapes import PRESETS


@pytest.mark.parametrize("rank", [1, 2])
def test_its_counts_on_t5_base(rank):
    found = METHODS["lowrank"](rank=rank).count(PRESETS["t5_base_multi"])
    assert found["adapters"] == 48 * 2 * rank * (768 + 24)
    if rank == 1:
        assert sum(found.values()) == 161_664


def test_its_projections_are_low_rank(tiny_backbone):
    from compacter_cli.t5.placement import shape_of_backbone

    layers = METHODS["lowrank"](bottleneck=8, rank=2).build(shape_of_backbone(tiny_backbone()), 1)
    assert len(layers) == 8
    for adapter in layers.values():
        assert isinstance(adapter.down, LowRankDense)
        assert adapter.up.rank == 2


def test_layer_norms_can_stay_frozen():
    method = METHODS["lowrank"](train_layer_norms=False)
    assert method.trains == ()
    assert method.count(PRESETS["t5_base_multi"])["layer_norms"] == 0
