"""`compacter`: LPHM bottlenecks with one rule: counts, sites, initial values, settings."""

import math

import pytest
from compacter_layers import LPHMDense, gelu_tanh

from compacter_cli.errors import RecipeError
from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import shape_of_backbone
from compacter_cli.t5.shapes import PAPER_ROWS, T5Shape, shape_of

Compacter = METHODS["compacter"]
BASE = shape_of("t5_base_multi")
SMALL = T5Shape(64, 32, 48, 2, 4, 8)


def test_parameters_on_t5_base():
    assert Compacter().count(BASE) == {
        "adapters": 48 * 2 * (768 + 24),
        "rule": 64,
        "biases": 48 * (768 + 24),
        "layer_norms": 47_616,
    }
    assert sum(Compacter().count(BASE).values()) == 161_728
    percent = 100 * 161_728 / BASE.parameters(rows=PAPER_ROWS)
    assert f"{percent:.4f}" == "0.0726"


@pytest.mark.parametrize(("n", "d"), [(4, 24), (8, 48), (12, 96)])
def test_the_paper_s_formula_is_4_l_k_plus_d_and_n_cubed(n, d):
    L, k = 24, 768
    assert Compacter(n=n, bottleneck=d).closed_form(BASE) == 4 * L * (k + d) + n**3


def test_rank_multiplies_the_factors_alone():
    once, thrice = (Compacter(rank=rank).count(BASE) for rank in (1, 3))
    assert thrice == {**once, "adapters": 3 * once["adapters"]}


@pytest.mark.parametrize(
    ("kind", "d", "n", "rank"), [("v1_0", 8, 4, 1), ("v1_0", 4, 2, 3), ("gated", 4, 2, 3)]
)
def test_the_count_is_that_of_the_built_model(tiny_backbone, kind, d, n, rank):
    backbone = tiny_backbone(kind, num_layers=2)
    method = Compacter(bottleneck=d, n=n, rank=rank)
    model = T5Model(backbone, method)
    sizes = {name: tensor.numel() for name, tensor in model.trained_tensors().items()}
    counts = method.count(shape_of_backbone(backbone))
    assert sum(sizes.values()) == sum(counts.values())
    assert sizes["rule.A"] == counts["rule"] == n**3
    ends = {"adapters": (".s", ".t"), "biases": (".bias",), "layer_norms": (".layer_norm",)}
    for component, end in ends.items():
        assert sum(v for name, v in sizes.items() if name.endswith(end)) == counts[component]


def test_sites_are_both_sublayers_of_every_block():
    assert Compacter().sites(SMALL) == [
        "encoder.0.self_attention", "encoder.0.feed_forward",
        "encoder.1.self_attention", "encoder.1.feed_forward",
        "decoder.0.self_attention", "decoder.0.feed_forward",
        "decoder.1.self_attention", "decoder.1.feed_forward",
    ]  # fmt: skip


def test_all_projections_share_one_rule():
    layers = Compacter(bottleneck=8).build(SMALL, seed=0)
    assert list(layers) == ["rule", *(f"{site}.adapter" for site in Compacter().sites(SMALL))]
    rule = layers.pop("rule")
    assert len(layers) == 8
    for adapter in layers.values():
        for projection in (adapter.down, adapter.up):
            assert isinstance(projection, LPHMDense)
            assert projection.rule is rule
        assert (adapter.down.units, adapter.up.units) == (8, 32)
        assert adapter.activation is gelu_tanh


def test_initial_values_are_those_of_the_paper_s_runs():
    k, d, n = 480, 240, 24
    layers = Compacter(bottleneck=d, n=n).build(T5Shape(64, k, 48, 1, 4, 8), seed=0)
    a = layers.pop("rule").A.numpy()
    assert a.std() == pytest.approx(1e-4, rel=0.05)
    for adapter in layers.values():
        for projection, ins, outs in ((adapter.down, k, d), (adapter.up, d, k)):
            for factor, dimension in ((projection.s, ins), (projection.t, outs)):
                limit = math.sqrt(2) * math.sqrt(6 / (dimension / n + 1))
                largest = abs(factor.numpy()).max()
                assert 0.95 * limit < largest <= limit * (1 + 1e-6)
            assert not projection.bias.numpy().any()
    factors = [f.numpy().ravel()[:10].tobytes() for adapter in layers.values()
               for p in (adapter.down, adapter.up) for f in (p.s, p.t)]  # fmt: skip
    assert len(set(factors)) == len(factors)  # no two alike


def test_settings_of_the_paper():
    assert Compacter().learning_rate == 3e-3
    assert not Compacter().prefixes_task
    assert not Compacter().trains_in_place
    assert Compacter().settings() == {
        "name": "compacter", "bottleneck": 24, "activation": "gelu_tanh", "n": 4, "rank": 1,
        "after": "both", "dropped_blocks": 0, "train_layer_norms": True,
        "train_output_layer": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"n": 0}, {"n": -4}, {"n": 4.0}, {"n": True}, {"n": "4"}, {"rank": 0}, {"bottleneck": 0},
     {"dropout": 0.1}, {"name": "compacterpp"}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(RecipeError):
        Compacter(**changes)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 8, 12, 24])
def test_an_n_that_divides_both_dimensions_is_no_problem(n):
    assert Compacter(n=n).problems(BASE) == []


def test_an_n_that_divides_neither_is_two_problems():
    k, d = Compacter(n=5, bottleneck=24).problems(BASE), Compacter(n=5).problems(BASE)
    assert k == d
    assert {problem.key for problem in k} == {"method.bottleneck", "method.n"}
    text = " ".join(problem.message for problem in k)
    assert "24 % 5 = 4" in text
    assert "768 % 5 = 3" in text
    assert {problem.hint for problem in k} == {"n can be 1, 2, 3, 4, 6, 8, 12, 24 here"}


def test_an_n_that_divides_d_alone_is_a_problem_of_the_backbone():
    (problem,) = Compacter(n=12).problems(shape_of("t5_small_multi"))
    assert problem.key == "method.n"
    assert "hidden dimension k: 512 % 12 = 8" in problem.message
    assert problem.hint == "n can be 1, 2, 4, 8 here"


def test_an_n_that_divides_k_alone_is_a_problem_of_the_bottleneck():
    (problem,) = Compacter(n=16).problems(BASE)
    assert problem.key == "method.bottleneck"
    assert "24 % 16 = 8" in problem.message
