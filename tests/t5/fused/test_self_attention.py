"""Self-attention that makes queries, keys and values again, over torch's kernel or its formula.

A CPU has no memory-efficient attention, so that what torch computes by it is written out here.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend

from compacter_cli.profiling.saved import saved_tensors
from compacter_cli.t5.fused import kernels, self_attention
from compacter_cli.t5.fused.kernels import FusedKernels
from compacter_cli.t5.model import T5Model

TESTS = Path(__file__).parents[1]
STEPS = SimpleNamespace(**runpy.run_path(str(TESTS / "lean" / "test_kernels.py")))
CHANGES = SimpleNamespace(**runpy.run_path(str(TESTS / "test_changes.py")))


@pytest.fixture
def remade(monkeypatch):
    """The attention as it is on a GPU; yields the queries, keys and values of backward passes."""
    found = []

    def scores_of(queries, keys, bias):
        return queries @ keys.mT + bias

    def attend(queries, keys, values, bias, keeps, rate, scale):
        assert (keeps, rate, scale) == (True, 0.0, 1.0)
        scores = scores_of(queries, keys, bias)
        none = torch.zeros((), dtype=torch.int64)
        return scores.softmax(-1) @ values, scores.logsumexp(-1), none, none

    def attend_backward(gradient, queries, keys, values, bias, context, *kept, scale):
        logsumexp, _, _, rate, wanted = kept
        assert (rate, scale, wanted[:3]) == (0.0, 1.0, [True] * 3)
        found.append((queries, keys, values))
        weights = (scores_of(queries, keys, bias) - logsumexp[..., None]).exp()
        delta = (gradient * context).sum(-1, keepdim=True)
        scores = weights * (gradient @ values.mT - delta)
        d_values = weights.mT @ gradient
        return scores @ keys, scores.mT @ queries, d_values, scores if wanted[3] else None

    name = "_scaled_dot_product_efficient_attention"
    monkeypatch.setattr(torch.ops.aten, name, attend)
    monkeypatch.setattr(torch.ops.aten, f"{name}_backward", attend_backward)
    monkeypatch.setattr(self_attention, "can_use_efficient_attention", lambda params: True)
    return found


@pytest.fixture
def triples(monkeypatch):
    """The queries, keys and values of self-attention, in the order in which they are made."""
    found, by_heads = [], FusedKernels._by_heads

    def spy(self, *tensors_and_scope):
        three, scope = by_heads(self, *tensors_and_scope), tensors_and_scope[-1]
        if scope.queries is scope.keys:
            found.append(three)
        return three

    monkeypatch.setattr(FusedKernels, "_by_heads", spy)
    return found


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("name", ["full", "compacter", "bitfit", "prompt_r", "lora", "ia3"])
def test_a_step_is_the_references(shared_backbone, remade, name, kind):
    found = [
        STEPS.step_of(shared_backbone(kind), STEPS.method_of(name), how,
                      STEPS.batch_of(padded=True), dropout=0.0)
        for how in ("fused", "reference")
    ]  # fmt: skip
    assert remade
    STEPS.assert_same_step(*found, share=1e-5)


@pytest.mark.parametrize("case", ["both on each", "scales everywhere"])
def test_a_step_with_deltas_and_scales_is_the_references(shared_backbone, remade, case):
    found = [
        STEPS.step_of(shared_backbone("v1_0"), CHANGES.CASES[case], how,
                      STEPS.batch_of(padded=True), dropout=0.0)
        for how in ("fused", "reference")
    ]  # fmt: skip
    assert remade
    STEPS.assert_same_step(*found, share=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_made_again_is_what_was_there_to_the_bit(
    shared_backbone, remade, triples, precision
):
    backbone, method = shared_backbone("v1_0"), STEPS.method_of("full")
    batch = STEPS.batch_of(padded=True)
    STEPS.step_of(backbone, method, "fused", batch, dropout=0.0, compute_dtype=precision)
    first = triples[: len(remade)]
    assert len(triples) == 2 * len(remade) == 8  # two blocks of each stack
    for one, other in zip(first, reversed(remade), strict=True):
        for x, again in zip(one, other, strict=True):
            assert torch.equal(x, again)


def kept_of(backbone, name):
    """The storages that a step keeps, by address."""
    model = T5Model(backbone, STEPS.method_of(name), execution="fused", dropout=0.0)
    with saved_tensors({}) as saved:
        loss = model.loss_of(STEPS.batch_of(padded=True), training=True)
    assert loss.requires_grad
    return set(saved.storages)


@pytest.mark.parametrize("name", ["full", "compacter"])
def test_blocks_that_run_a_second_time_take_the_same_step(shared_backbone, remade, name):
    again, once = (
        STEPS.step_of(shared_backbone("v1_0"), STEPS.method_of(name), "fused",
                      STEPS.batch_of(padded=True), dropout=0.0, remat=remat)
        for remat in (True, False)
    )  # fmt: skip
    STEPS.assert_same_step(again, once, share=1e-6)


def storages_of(tensors):
    return {tensor.untyped_storage().data_ptr() for three in tensors for tensor in three}


@pytest.mark.parametrize("name", ["full", "compacter"])
def test_queries_keys_and_values_are_not_kept(shared_backbone, remade, triples, name):
    assert not kept_of(shared_backbone("v1_0"), name) & storages_of(triples)


def test_elsewhere_they_are(shared_backbone, monkeypatch, triples):
    """By an attention of a CPU that keeps what it is given: so would be seen what is kept."""
    monkeypatch.setattr(kernels, "BACKENDS", [SDPBackend.FLASH_ATTENTION])
    backbone = shared_backbone("v1_0")
    assert len(kept_of(backbone, "compacter") & storages_of(triples)) >= 3


def test_without_a_backward_pass_nothing_is_to_be_made_again(shared_backbone, monkeypatch):
    asked = []
    monkeypatch.setattr(self_attention, "can_use_efficient_attention", asked.append)
    model = T5Model(shared_backbone("v1_0"), execution="fused")
    with torch.no_grad():
        model.loss_of(STEPS.batch_of(padded=True))
    assert not asked
