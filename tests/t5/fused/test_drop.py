"""What the dropout of a pass draws from, and that a CPU draws by torch's own."""

import sys

import pytest
import torch

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.fused import drop
from compacter_cli.t5.fused.drop import Drops

CPU = torch.device("cpu")


def test_places_share_the_seed_of_a_pass_and_each_has_its_number():
    torch.manual_seed(1)
    drops = Drops(Dropout(0.25))
    one, other, again = (drops._draw(place, CPU) for place in ("one", "other", "one"))
    assert one.seed is other.seed is again.seed
    assert one.seed.dtype == torch.int64
    assert (one.place, other.place, again.place) == (0, 1, 0)
    assert (one.dropped, one.scale) == (1 << 14, pytest.approx(4 / 3))


def test_torchs_generator_decides_the_seed_and_each_pass_has_its_own():
    def seed():
        return Drops(Dropout(0.1))._draw("place", CPU).seed.item()

    torch.manual_seed(1)
    first, second = seed(), seed()
    torch.manual_seed(1)
    assert seed() == first != second


def test_a_cpu_has_no_use_for_triton(monkeypatch):
    monkeypatch.setattr(drop, "triton_works", lambda device: True)
    drops, x = Drops(Dropout(0.5)), torch.ones(100, 10)
    assert set(drops.drop("one", x).unique().tolist()) == {0.0, 2.0}
    assert set(drops.add_dropped("two", x, x).unique().tolist()) == {1.0, 3.0}
    assert set(drops.relu_drop("three", x, False).unique().tolist()) == {0.0, 2.0}


def test_without_triton_or_with_one_that_cannot_compile_torchs_own_are_taken(monkeypatch):
    monkeypatch.setattr(drop, "find_spec", lambda name: None)
    assert not drop.triton_works.__wrapped__(CPU)
    monkeypatch.setattr(drop, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "compacter_cli.t5.fused.dropout_kernels", None)
    with pytest.warns(RuntimeWarning, match="torch's own, which is slower .*dropout_kernels"):
        assert not drop.triton_works.__wrapped__(CPU)


def test_where_nothing_is_dropped_all_stays():
    drops, x = Drops(None), torch.linspace(-1, 1, 8)
    assert drops.rate == 0
    assert drops.drop("one", x) is x
    assert torch.equal(drops.add_dropped("two", x, x), 2 * x)
    assert torch.equal(drops.relu_drop("three", x, False), x.relu())
