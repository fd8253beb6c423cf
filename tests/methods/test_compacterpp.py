"""`compacterpp`: Compacter after the feed-forward alone: counts, sites, settings."""

import numpy as np
import pytest

from compacter_cli.errors import RecipeError
from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import shape_of_backbone
from compacter_cli.t5.shapes import PAPER_ROWS, T5Shape, shape_of
from compacter_cli.t5.variables import named_variables

CompacterPP = METHODS["compacterpp"]
BASE = shape_of("t5_base_multi")
SMALL = T5Shape(64, 32, 48, 2, 4, 8)


@pytest.mark.parametrize(("n", "trained"), [(4, 104_704), (12, 106_368)])
def test_parameters_on_t5_base(n, trained):
    assert CompacterPP(n=n).count(BASE) == {
        "adapters": 24 * 2 * (768 + 24),
        "rule": n**3,
        "biases": 24 * (768 + 24),
        "layer_norms": 47_616,
    }
    assert sum(CompacterPP(n=n).count(BASE).values()) == trained
    percent = 100 * trained / BASE.parameters(rows=PAPER_ROWS)
    assert f"{percent:.4f}" == {4: "0.0470", 12: "0.0477"}[n]


@pytest.mark.parametrize(("n", "d"), [(4, 24), (8, 48), (12, 96)])
def test_the_paper_s_formula_is_2_l_k_plus_d_and_n_cubed(n, d):
    L, k = 24, 768
    assert CompacterPP(n=n, bottleneck=d).closed_form(BASE) == 2 * L * (k + d) + n**3


@pytest.mark.parametrize(("kind", "d", "n", "rank"), [("v1_0", 8, 4, 1), ("gated", 4, 2, 3)])
def test_the_count_is_that_of_the_built_model(tiny_backbone, kind, d, n, rank):
    backbone = tiny_backbone(kind, num_layers=2)
    method = CompacterPP(bottleneck=d, n=n, rank=rank)
    trained = T5Model(backbone, method).trained_tensors()
    counts = method.count(shape_of_backbone(backbone))
    assert sum(tensor.numel() for tensor in trained.values()) == sum(counts.values())
    assert trained["rule.A"].numel() == counts["rule"] == n**3


def test_sites_are_the_feed_forwards():
    assert CompacterPP().sites(SMALL) == [
        "encoder.0.feed_forward",
        "encoder.1.feed_forward",
        "decoder.0.feed_forward",
        "decoder.1.feed_forward",
    ]
    assert len(CompacterPP().sites(BASE)) == 24


def test_its_layers_are_compacter_s_without_those_after_self_attention():
    """Initial values follow from the seed and a layer's own name, so the common ones agree."""
    mine = named_variables(CompacterPP(bottleneck=8).build(SMALL, seed=3))
    compacter = named_variables(METHODS["compacter"](bottleneck=8).build(SMALL, seed=3))
    assert set(mine) == {name for name in compacter if "self_attention" not in name}
    assert len(mine) == 1 + 4 * 6
    for name, variable in mine.items():
        assert np.array_equal(variable.numpy(), compacter[name].numpy()), name


def test_settings_of_the_paper():
    assert CompacterPP().learning_rate == 3e-3
    assert not CompacterPP().prefixes_task
    assert not CompacterPP().trains_in_place
    assert CompacterPP().settings() == {
        "name": "compacterpp", "bottleneck": 24, "activation": "gelu_tanh", "n": 4, "rank": 1,
        "after": "feed_forward", "dropped_blocks": 0, "train_layer_norms": True,
        "train_output_layer": False,
    }  # fmt: skip


@pytest.mark.parametrize("changes", [{"n": 0}, {"rank": 0}, {"bottleneck": 2.5}, {"d": 24}])
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(RecipeError):
        CompacterPP(**changes)


def test_an_n_that_does_not_divide_is_a_problem():
    assert CompacterPP(n=12).problems(BASE) == []
    assert [problem.key for problem in CompacterPP(n=7).problems(BASE)] == [
        "method.bottleneck",
        "method.n",
    ]
