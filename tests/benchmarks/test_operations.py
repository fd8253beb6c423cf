"""The count of a step's operations, by hand."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from operations import counted

    yield counted
    sys.modules.pop("operations", None)


def test_operations_are_counted_where_they_are_called(counted):
    weight = torch.nn.Parameter(torch.ones(3))

    def step():
        (weight * 2).sum().backward()
        with torch.no_grad():
            weight.sub_(0.1)
            weight.grad.zero_()

    found = counted(step)
    assert list(found) == ["forward", "backward", "optimizer"]
    assert found["forward"] == 2 + 1  # and the gradient of ones that a backward pass starts from
    assert found["backward"] >= 2  # the sum's expand, the product's mul
    assert found["optimizer"] == 2


def test_a_step_without_a_gradient_is_all_forward(counted):
    found = counted(lambda: torch.ones(2) + 1)
    assert found == {"forward": 2, "backward": 0, "optimizer": 0}
