"""AdapterDrop: no adapters in the lowest blocks, for every adapter method."""

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]


def test_its_counts_on_t5_base():
    found = METHODS["adapterdrop"]().count(BASE)
    assert sum(found.values()) == 1_101_984
    assert found["adapters"] + found["biases"] == 28 * 37_656


def test_the_lowest_five_blocks_of_either_stack_are_bare():
    blocks = {tuple(site.split(".")[:2]) for site in METHODS["adapterdrop"]().sites(BASE)}
    assert blocks == {(s, str(b)) for s in ("encoder", "decoder") for b in range(5, 12)}


@pytest.mark.parametrize("name", ["adapter", "lowrank", "phm", "compacter", "compacterpp"])
def test_any_adapter_method_can_drop_blocks(name):
    all_sites = METHODS[name]().sites(BASE)
    kept = METHODS[name](dropped_blocks=11).sites(BASE)
    assert kept == [site for site in all_sites if site.split(".")[1] == "11"]


@pytest.mark.parametrize("name", ["adapterdrop", "compacter"])
def test_one_block_must_be_left(name):
    assert METHODS[name](dropped_blocks=11).problems(BASE) == []
    (problem,) = METHODS[name](dropped_blocks=12).problems(BASE)
    assert problem.key == "method.dropped_blocks"
    assert "less than the 12 blocks" in problem.message
    assert "11" in problem.hint
