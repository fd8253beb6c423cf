"""Triton's dropout kernels against plain torch given the mask they drew.

On a GPU, or on a CPU by Triton's interpreter: TRITON_INTERPRET=1.
"""

import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton", reason="there is no Triton here", exc_type=ImportError)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("there is no GPU here, nor TRITON_INTERPRET=1", allow_module_level=True)

from compacter_cli.t5.dropout import Dropout  # noqa: E402  # what follows needs Triton
from compacter_cli.t5.fused import drop  # noqa: E402
from compacter_cli.t5.fused.dropout_kernels import AddDropped, Drop, ReluDrop  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Triton's own
LEAN = Path(__file__).parents[1] / "lean" / "test_kernels.py"
STEPS = SimpleNamespace(**runpy.run_path(str(LEAN)))
DEVICE = "cpu" if INTERPRETED else "cuda"
RATE = 0.3
SCALE = Dropout(RATE).scale
SHAPES = [(1, 1), (5, 3), (7, 8), (3, 683), (64, 96)]  # blocks of 1024, bytes of 8: whole and not
DTYPES = [torch.float32, torch.bfloat16]
EVERYWHERE = [pytest.mark.parametrize("shape", SHAPES), pytest.mark.parametrize("dtype", DTYPES)]


def everywhere(test):
    for mark in EVERYWHERE:
        test = mark(test)
    return test


def draw_of(seed=3, place=1, rate=RATE):
    dropout = Dropout(rate)
    number = torch.tensor(seed, device=DEVICE)
    return drop.Draw(number, place, dropout.dropped_levels, dropout.scale)


def drawn(shape, dtype, seed=0):
    """Numbers of which none is 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator)
    values = torch.where(values.abs() < 0.01, 1.0, values)
    return values.to(DEVICE, dtype).requires_grad_()


def gradients_of(y, *inputs):
    weights = torch.linspace(1, 2, y.numel(), device=DEVICE).view_as(y).to(y.dtype)
    return torch.autograd.grad(y, inputs, weights)


def mask_of(shape, dtype, draw):
    """What a place keeps, as factors."""
    return Drop.apply(torch.ones(shape, device=DEVICE, dtype=dtype), draw) != 0


def assert_same(found, wanted):
    """To a rounding."""
    torch.testing.assert_close(found, wanted.to(found.dtype), rtol=None, atol=None)


def assert_all_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


@everywhere
def test_drop_is_the_product_with_its_own_mask(shape, dtype):
    x, draw = drawn(shape, dtype), draw_of()
    y = Drop.apply(x, draw)
    wanted = x.float() * ((y != 0) * SCALE)
    assert_same(y, wanted)
    assert torch.equal(y != 0, mask_of(shape, dtype, draw))
    assert_all_same(gradients_of(y, x), gradients_of(wanted, x))


@everywhere
def test_add_dropped_is_the_sum_with_the_same_mask(shape, dtype):
    residual, x, draw = drawn(shape, dtype, 1), drawn(shape, dtype), draw_of()
    y = AddDropped.apply(residual, x, draw)
    wanted = residual.float() + x.float() * (mask_of(shape, dtype, draw) * SCALE)
    assert_same(y, wanted)
    assert_all_same(gradients_of(y, residual, x), gradients_of(wanted, residual, x))


@everywhere
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("drops", [True, False])
def test_relu_drop_is_the_formula_with_the_same_mask(shape, dtype, drops, keep):
    x, draw = drawn(shape, dtype), draw_of() if drops else None
    y = ReluDrop.apply(x, draw, keep)
    factors = mask_of(shape, dtype, draw) * SCALE if draw else 1.0
    wanted = x.float().relu() * factors
    assert_same(y, wanted)
    assert_all_same(gradients_of(y, x), gradients_of(wanted, x))


def test_gradients_that_are_spread_out_or_turned_are_read_as_they_are():
    x, draw = drawn((24, 40), torch.float32), draw_of()
    (found,) = torch.autograd.grad(Drop.apply(x, draw).sum(), x)
    assert_same(found, mask_of(x.shape, x.dtype, draw) * SCALE)
    (found,) = torch.autograd.grad(ReluDrop.apply(x.t(), draw, False).t().sum(), x)
    assert_same(found, mask_of((40, 24), x.dtype, draw).t() * (x > 0) * SCALE)


def test_what_is_not_a_number_stays_so():
    x = torch.full((8,), torch.nan, device=DEVICE)
    assert ReluDrop.apply(x, None, False).isnan().all()
    kept = mask_of((8,), torch.float32, draw_of())
    assert torch.equal(ReluDrop.apply(x, draw_of(), False).isnan(), kept)


def kept_by(function, *inputs):
    """Bytes by shape of what autograd keeps."""
    found = []

    def note(tensor):
        found.append((tensor.nbytes, tuple(tensor.shape)))
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function.apply(*inputs)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bit_an_element_is_kept_behind_a_relu_and_else_nothing(dtype):
    x, draw = drawn((64, 96), dtype), draw_of()
    assert kept_by(ReluDrop, x, draw, False) == [(64 * 96 // 8, (64 * 96 // 8,))]
    assert kept_by(ReluDrop, x, draw, True) == [(x.nbytes, (64, 96))]
    assert kept_by(Drop, x, draw) == []
    assert kept_by(AddDropped, x, x, draw) == []
    assert kept_by(ReluDrop, drawn((3, 7), dtype), draw, False) == [(3, (3,))]


def test_a_seed_and_a_place_decide_what_is_dropped():
    def mask(**changes):
        return mask_of((64, 96), torch.float32, draw_of(**changes))

    assert torch.equal(mask(), mask())
    others = [mask(seed=4), mask(seed=3 + (1 << 40)), mask(place=2), mask(place=16)]
    for other in others:
        alike = (other == mask()).float().mean().item()
        assert alike == pytest.approx(RATE**2 + (1 - RATE) ** 2, abs=0.05)


def test_the_seed_is_read_when_the_kernel_runs():
    draw, x = draw_of(), torch.ones(64, 96, device=DEVICE)
    before = Drop.apply(x, draw)
    draw.seed.fill_(4)
    assert torch.equal(Drop.apply(x, draw), Drop.apply(x, draw_of(seed=4)))
    assert not torch.equal(Drop.apply(x, draw), before)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_dropped_is_the_rate_at_every_place_of_a_group(rate):
    rows, kept = 1 << 15, 1 - rate
    mask = mask_of((rows, 8), torch.float32, draw_of(rate=rate)).double().cpu()
    spread = (kept * rate) ** 0.5
    assert abs(mask.mean() - kept) < 5 * spread / (8 * rows) ** 0.5
    assert (mask.mean(0) - kept).abs().max() < 5 * spread / rows**0.5
    pairs = (mask.T @ mask / rows).fill_diagonal_(kept**2)  # which are drawn at once
    assert (pairs - kept**2).abs().max() < 5 * (kept**2 * (1 - kept**2) / rows) ** 0.5


@pytest.mark.skipif(DEVICE == "cuda", reason="tests/cuda asks this of a GPU")
@pytest.mark.parametrize("name", ["full", "compacter"])
def test_a_step_by_these_kernels_drops_the_same_in_blocks_that_run_twice(
    shared_backbone, monkeypatch, name
):
    monkeypatch.setattr(drop, "_in_triton", lambda x: True)
    backbone, batch = shared_backbone("v1_0"), STEPS.batch_of(padded=True)

    def step(rate, remat):
        settings = {"dropout": rate, "remat": remat}
        return STEPS.step_of(backbone, STEPS.method_of(name), "fused", batch, **settings)

    once, whole = step(0.1, remat=False), step(0.0, remat=False)
    STEPS.assert_same_step(step(0.1, remat=True), once, share=1e-6)
    assert abs(once[0] - whole[0]) > 1e-3
    reference = STEPS.step_of(backbone, STEPS.method_of(name), "reference", batch, dropout=0.0)
    STEPS.assert_same_step(whole, reference, share=1e-5)
