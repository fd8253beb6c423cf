"""The floor's products: counted as torch counts those of the plain pass, and some by hand."""

import importlib
import json
import subprocess
import sys
from math import prod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.t5.batch import collate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("products", "alone", "setting")


@pytest.fixture
def bench(monkeypatch):
    """The modules beside the script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    for name in NAMES:
        sys.modules.pop(name, None)


def model_of(method, execution="reference", **settings):
    from compacter_cli.profiling.measure import model_of_random_weights

    tables = {
        "task": "demo/smoke",
        "backbone": {"preset": "random/tiny"},
        "method": {"name": method, **settings},
        "train": {"dropout": 0.0, "execution": execution},
    }
    return model_of_random_weights(recipe_of(tables, "made up"))


def batch_of(sources, targets):
    return collate([[5] * n for n in sources], [[6] * n for n in targets], "cpu")


def counted(bench, model, batch):
    return bench.products.products_of(model.forward_pass(), batch)


def flops_added(_, a, b, **named):
    """Of a product added in place, which torch leaves out: by the operands' shapes."""
    return 2 * prod(a) * b[-1]


def by_torch(model, batch):
    in_place = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.baddbmm_), flops_added)
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        model.summed_loss(batch).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "method", ["full", "adapter", "lora", "pfeiffer", "ia3", "bitfit", "lphm", "krona"]
)
def test_where_nothing_is_padded_or_absorbed_they_are_those_of_the_plain_pass(bench, keras, method):
    model, batch = model_of(method), batch_of([24] * 3, [24] * 3)
    assert bench.products.flops_of(counted(bench, model, batch)) == by_torch(model, batch)


@pytest.mark.parametrize("method", ["full", "compacter", "lora"])
def test_the_lean_pass_has_little_more_than_them_attentions_scores_twice(bench, keras, method):
    model, batch = model_of(method, "lean"), batch_of([24, 9, 17], [2, 2, 2])
    products = counted(bench, model, batch)
    assert products == counted(bench, model_of(method), batch)  # whatever the execution
    found = by_torch(model, batch) / bench.products.flops_of(products)
    assert 1.0 < found < 1.15


def test_products_by_hand_of_a_frozen_weight_one_that_trains_and_one_before_all_that_does(bench):
    p = bench.products
    step = p._Step.__new__(p._Step)
    step.products = p.Counter()
    x = p.Operand(1, 7, 5, reached=False)
    y = step._times(x, p.Operand(1, 5, 3, reached=False))
    assert step.products == {(1, 7, 5, 3): 1}
    y = step._times(y, p.Operand(1, 3, 2, reached=True))
    assert step.products == {(1, 7, 5, 3): 1, (1, 7, 3, 2): 1, (1, 3, 7, 2): 1}
    step._times(y, p.Operand(1, 2, 4, reached=False))
    assert step.products[1, 7, 2, 4] == 1
    assert step.products[1, 7, 4, 2] == 1  # back to y
    assert p.Product(2, 7, 5, 3).flops == 2 * 2 * 7 * 5 * 3


def test_kroneckers_factors_by_hand_the_cheaper_first_and_of_a_head_only_its_own(bench):
    p = bench.products
    step = p._Step.__new__(p._Step)

    def products(x, left, right):
        step.products = p.Counter()
        y = step._kronecker(x, p.Operand(*left, True), p.Operand(1, *right, True))
        return step.products, (y.count, y.rows, y.columns)

    x = p.Operand(1, 7, 12, reached=False)  # 7 tokens of 4 x 3
    # First right, (28, 3) @ (3, 2), then left, (14, 4) @ (4, 5); left's gradient reaches no x.
    found = {(1, 28, 3, 2): 1, (1, 3, 28, 2): 1, (1, 14, 4, 5): 1, (1, 14, 5, 4): 1}
    assert products(x, (1, 4, 5), (3, 2)) == (found | {(1, 4, 14, 5): 1}, (1, 7, 10))
    # First left where it has a single column: of 2 heads' 6 tokens (21, 4) @ (4, 1) each.
    x = p.Operand(2, 7, 12, reached=False)
    found = {(2, 21, 4, 1): 1, (2, 4, 21, 1): 1, (1, 14, 3, 2): 1, (1, 14, 2, 3): 1}
    assert products(x, (2, 4, 1), (3, 2)) == (found | {(1, 3, 14, 2): 1}, (2, 7, 2))
    left, right = p.Operand(1, 4, 5, True), p.Operand(1, 3, 2, True)
    assert p._left_of_a_head(left, right, heads=2, size=5).columns == 3  # outputs 0-4 lie in 0-5


@pytest.mark.parametrize("projections", [["query", "value"], ["key"]])
def test_kroneckers_deltas_are_counted_where_cross_attention_is_absorbed(bench, keras, projections):
    batch = batch_of([24, 9, 17], [2, 2, 2])
    flops = {
        name: bench.products.flops_of(
            counted(bench, model_of(name, projections=projections), batch)
        )
        for name in ("krona", "lora")
    }
    assert 0.8 < flops["krona"] / flops["lora"] < 1.2


def test_padding_costs_nothing(bench, keras):
    model = model_of("compacter")
    apart = [counted(bench, model, batch_of([n], [2])) for n in (24, 9)]
    together = counted(bench, model, batch_of([24, 9], [2, 2]))
    flops = bench.products.flops_of
    assert flops(together) == sum(map(flops, apart))


def test_lengths_are_rtes(bench):
    lengths = bench.setting.rte_lengths(1001, 128)
    assert len(lengths) == 1001
    assert sorted(lengths)[500] == 60
    assert 0.12 < sum(length == 128 for length in lengths) / 1001 < 0.15
    assert bench.setting.rte_lengths(10, 1000) != sorted(bench.setting.rte_lengths(10, 1000))
    batch = bench.setting.cut(batch_of([9, 9, 9], [2, 2, 2]), [3, 5, 1])
    assert batch.source_mask.sum(1).tolist() == [3, 5, 1]
    assert batch.source_ids.tolist() == [[5, 5, 5, 0, 0], [5] * 5, [5, 0, 0, 0, 0]]


def test_products_alone_are_taken_as_often_as_they_are_counted(bench, monkeypatch):
    products = {bench.products.Product(1, 4, 3, 2): 3, bench.products.Product(5, 2, 3, 2): 2}
    alone = bench.alone.Alone(products, bench.setting.Setting(method="full"))
    shapes = [(tuple(a.shape), tuple(b.shape), tuple(out.shape)) for a, b, out, _ in alone._calls]
    assert shapes == [((4, 3), (3, 2), (4, 2)), ((5, 2, 3), (5, 3, 2), (5, 2, 2))]
    with FlopCounterMode(display=False) as counter:
        assert alone.run() > 0
    assert counter.get_total_flops() == alone.flops == 3 * 48 + 2 * 120


@pytest.mark.parametrize(
    "more", [pytest.param([], marks=pytest.mark.slow), ["--ragged"]], ids=["full length", "ragged"]
)
def test_the_script_prints_a_share(tmp_path, more):
    command = [sys.executable, str(BENCHMARKS / "floor.py"), "--shape", "tiny", "--batch", "2"]
    command += ["--source", "8", "--threads", "1", "--runs", "2", "--method", "lora", *more]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "found.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert found["share"] > 0
    assert found["flops"] > 0
    assert "lora tiny 2x8" in done.stdout
