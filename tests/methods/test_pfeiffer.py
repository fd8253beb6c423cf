"""Pfeiffer: the adapter after self-attention alone, or wherever asked."""

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]


def test_its_counts_on_t5_base():
    found = METHODS["pfeiffer"]().count(BASE)
    assert sum(found.values()) == 951_360
    assert found["adapters"] + found["biases"] == 24 * 37_656


@pytest.mark.parametrize(
    ("after", "sublayers"),
    [
        ("self_attention", {"self_attention"}),
        ("feed_forward", {"feed_forward"}),
        ("both", {"self_attention", "feed_forward"}),
    ],
)
def test_the_place_can_be_chosen(after, sublayers):
    sites = METHODS["pfeiffer"](after=after).sites(BASE)
    assert {site.split(".")[2] for site in sites} == sublayers
    assert len(sites) == 24 * len(sublayers)
    assert not any("cross_attention" in site for site in sites)
