"""Every method's twelve updates are those of the golden curves, in both executions."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

CURVES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("curves.py"))))
EXPECTED = json.loads(CURVES.FILE.read_text(encoding="utf-8"))
TOLERANCE = 1e-5  # relative
SLOW = pytest.mark.slow
# Attention weights do not change with a bias of all keys: their gradient is rounding alone, which
# AdamW blows up to updates of the size of the rate. Two threads round otherwise than one.
ROUNDING_ALONE = "cross_attention.key.bias", "self_attention.key.bias"


@pytest.fixture(autouse=True)
def one_thread(keras):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with keras.device("cpu"):
        yield
    torch.set_num_threads(threads)


def without_rounding(curve):
    """`(the curve without the tensors that are rounding alone, the norms of these)`."""
    norms = curve["norms"]
    noise = {name: norms[name] for name in norms if name.endswith(ROUNDING_ALONE)}
    kept = {name: norms[name] for name in norms if name not in noise}
    return {**curve, "norms": kept}, noise


def test_there_is_a_curve_of_every_method():
    assert set(EXPECTED["train"]) == set(CURVES.cases())


# What is quick is the execution that trains; the oracle's own curves, and those that hold without a
# stream of dropout, are asked for once in a while.
BY_EXECUTION = [e if e == "lean" else pytest.param(e, marks=SLOW) for e in CURVES.EXECUTIONS]


@pytest.mark.parametrize("execution", BY_EXECUTION)
@pytest.mark.parametrize("name", EXPECTED["train"])
def test_the_curve_is_the_golden_one(name, execution):
    found, noise = without_rounding(CURVES.curve(name, execution))
    expected, expected_noise = without_rounding(EXPECTED["train"][name][execution])
    difference, place = CURVES.largest_difference(found, expected)
    assert difference <= TOLERANCE, place
    assert noise.keys() == expected_noise.keys()
    # At most twelve updates of the rate for each of 32 entries.
    assert all(0 <= norm < 12 * 1e-2 * 32**0.5 for norm in noise.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED["without dropout"])
def test_the_curve_without_dropout_is_the_golden_one(name):
    found, _ = without_rounding(CURVES.curve_without_dropout(name))
    expected, _ = without_rounding(EXPECTED["without dropout"][name])
    difference, place = CURVES.largest_difference(found, expected)
    assert difference <= TOLERANCE, place


def test_the_curve_of_pretraining_is_the_golden_one():
    found = CURVES.pretraining_curve()
    difference, place = CURVES.largest_difference(found, EXPECTED["pretrain"])
    assert difference <= TOLERANCE, place


def test_a_curve_tells_a_changed_result():
    expected = EXPECTED["train"]["compacter"]["lean"]
    losses = [*expected["losses"][:-1], expected["losses"][-1] * (1 + 2e-5)]
    assert CURVES.largest_difference({**expected, "losses": losses}, expected) == (
        pytest.approx(2e-5, rel=1e-3),
        "losses[11]",
    )
    losses = [*expected["losses"][:-1], float("nan")]
    assert CURVES.largest_difference({**expected, "losses": losses}, expected)[0] == float("inf")
    norms = {f"{name}.other": norm for name, norm in expected["norms"].items()}
    assert CURVES.largest_difference({**expected, "norms": norms}, expected)[0] == float("inf")
