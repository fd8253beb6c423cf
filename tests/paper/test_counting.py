"""Counts beside the paper's Tables 1 and 2, to the printed digit."""

from dataclasses import replace

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count, reported, reported_percent
from compacter_cli.paper.tables import paper_tables
from compacter_cli.t5.shapes import PRESETS

BASE = "t5_base_multi"
LARGER = [pytest.param(name, marks=pytest.mark.slow) for name in (BASE, "t5_large_multi")]
CUT_SHORT = {"prompt_r": "0.0345", "prompt_t": "0.0345"}  # the paper prints 0.034
TRAINED = {
    "full": 222_882_048,
    "adapter": 1_855_104,
    "pfeiffer": 951_360,
    "adapterdrop": 1_101_984,
    "lowrank": 161_664,
    "prompt_r": 76_800,
    "prompt_t": 76_800,
    "said": 20_000,
    "bitfit": 280_932,
    "phm": 534_144,
    "compacter": 161_728,
    "compacterpp": 104_704,
}


def at_the_papers_n(name, table):
    row = paper_tables()[table][name]
    return METHODS[name](**({"n": row["n"]} if "n" in row else {})), row


@pytest.mark.parametrize("table", ["table1", "table2"])
@pytest.mark.parametrize("name", TRAINED)
def test_percentages_and_totals_are_the_papers(name, table):
    method, row = at_the_papers_n(name, table)
    item = count(BASE, method)
    if name in CUT_SHORT:
        assert f"{item.percent():.4f}" == CUT_SHORT[name]
    else:
        assert f"{item.percent():.3f}" == f"{row['trained_percent']:.3f}"
    tasks = {"table1": 8, "table2": 6}[table]
    if name == "full":
        assert item.total(tasks) == tasks
    else:
        assert f"{item.total(tasks):.3f}" == f"{row['total_params']:.3f}"
    assert reported(item, table) == row
    assert reported_percent(item) is not None


@pytest.mark.parametrize("name", TRAINED)
def test_trained_parameters_are_exactly_these(name):
    assert count(BASE, METHODS[name]()).trained == TRAINED[name]


def test_every_row_of_the_paper_is_among_them():
    assert paper_tables()["table1"].keys() | paper_tables()["table2"].keys() == TRAINED.keys()


def test_layer_norms_are_in_the_honest_total_alone():
    item = count(BASE, METHODS["compacter"]())
    assert item.total(8) == 1 + 8 * 114_112 / 222_882_048
    assert item.total(8, with_norms=True) == 1 + 8 * 161_728 / 222_882_048


def test_columns_sum_components_and_leave_out_what_stands_in_none():
    bitfit = count(BASE, METHODS["bitfit"](train_output_layer=True))
    assert set(bitfit.components) == {"linear_biases", "norm_biases", "head_bias", "output_layer"}
    assert bitfit.columns() == {"biases": 280_932}
    assert count(BASE, METHODS["said"]()).columns() == {"subspace": 20_000}
    assert count(BASE, METHODS["full"]()).columns() == {}
    compacter = {"adapters": 76_032, "rule A": 64, "biases": 38_016, "norms": 47_616}
    assert count(BASE, METHODS["compacter"]()).columns() == compacter


def test_a_method_that_cannot_be_had_counts_nothing():
    item = count(BASE, METHODS["compacter"](n=7))
    assert [problem.short for problem in item.problems] == ["24 % 7", "768 % 7"]
    assert (item.components, item.columns(), item.trained) == ({}, {}, 0)


def test_the_papers_row_needs_the_papers_settings_and_backbone():
    assert reported(count(BASE, METHODS["compacter"](n=8)), "table1") is None
    assert reported(count(BASE, METHODS["compacter"](bottleneck=48)), "table1") is None
    assert reported(count("t5_small_multi", METHODS["compacter"]()), "table1") is None


def test_how_a_gradient_is_computed_counts_nothing():
    released = count(BASE, METHODS["said"](gradient="released"))
    assert reported(released, "table1") == paper_tables()["table1"]["said"]
    assert reported(count(BASE, METHODS["bitfit"](final_norms=True)), "table1") is None


def test_rows_are_the_papers_where_there_are_as_many():
    item = count(BASE, METHODS["bitfit"]())
    assert (item.rows, item.base, item.own) == (32_100, 222_882_048, (280_960, 222_903_552))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("like", ["t5_small_multi", "t5_1.1_base", *LARGER])
def test_the_formula_is_the_built_model(keras, name, like):
    """At the widths of real backbones, with few blocks and words to keep it small."""
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.random_backbone import random_backbone

    shape = replace(PRESETS[like], num_layers=1, vocabulary_size=200)
    shape = replace(shape, intermediate_dim=shape.intermediate_dim // 8)
    method = METHODS[name](**({"dropped_blocks": 0} if name == "adapterdrop" else {}))
    if name == "said":
        method = METHODS[name](intrinsic_dim=500)
    model = T5Model(random_backbone(shape), method, in_place=method.trains_in_place)
    built = sum(tensor.numel() for tensor in model.trained_tensors().values())
    assert built == sum(method.count(shape).values())
