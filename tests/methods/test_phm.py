"""PHM-Adapter: Kronecker sums of full rank, each projection with a rule of its own."""

import numpy as np
import pytest

from compacter_cli.methods import METHODS
from compacter_cli.t5.placement import shape_of_backbone
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]


@pytest.mark.parametrize(("n", "trained"), [(12, 398_976), (4, 534_144)])
def test_its_counts_on_t5_base(n, trained):
    method = METHODS["phm"](n=n)
    assert sum(method.count(BASE).values()) == trained
    assert method.closed_form(BASE) == 4 * 24 * (768 * 24 // n + n**3)


def test_every_projection_has_its_own_rule(tiny_backbone):
    layers = METHODS["phm"](bottleneck=8).build(shape_of_backbone(tiny_backbone()), 1)
    rules = [side.rule for a in layers.values() for side in (a.down, a.up)]
    assert len({id(rule) for rule in rules}) == len(rules) == 16
    values = np.concatenate([rule.A.numpy().ravel() for rule in rules])
    assert values.std() == pytest.approx(0.01, rel=0.1)
    assert not np.array_equal(rules[0].A.numpy(), rules[1].A.numpy())


def test_n_must_divide():
    keys = [problem.key for problem in METHODS["phm"](n=7).problems(BASE)]
    assert keys == ["method.bottleneck", "method.n"]
    assert METHODS["phm"](n=12).problems(PRESETS["t5_small_multi"])[0].short == "512 % 12"
