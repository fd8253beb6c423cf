"""The fused execution on a CPU: without dropout the reference's step, with it its distribution.

What it does on a GPU is asked by `tests/cuda`.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import keras_hub
import pytest
import torch
from torch.nn import functional

from compacter_cli.methods import METHODS
from compacter_cli.t5.batch import collate
from compacter_cli.t5.fused import kernels
from compacter_cli.t5.fused.cross_attention import mixed
from compacter_cli.t5.fused.kernels import ALIGNED, FusedKernels
from compacter_cli.t5.model import T5Model, execution_on

LEAN = Path(__file__).parents[1] / "lean" / "test_kernels.py"
STEPS = SimpleNamespace(**runpy.run_path(str(LEAN)))
KINDS = ["v1_0", "gated"]
EXECUTIONS = ["fused", "reference"]
KEY = (7, 3, 0, 0)


def both(backbone, batch, method, **settings):
    """A training step of either execution, dropping nothing unless the settings say so."""
    settings = {"dropout": 0.0, **settings}
    return [STEPS.step_of(backbone, method, how, batch, **settings) for how in EXECUTIONS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_the_references(shared_backbone, name, kind):
    batch = STEPS.batch_of(padded=True)
    STEPS.assert_same_step(*both(shared_backbone(kind), batch, STEPS.method_of(name)), share=1e-5)


@pytest.fixture
def calls(monkeypatch):
    """How often the source was attended to without keys and values of it."""
    found = []

    def spy(*given):
        found.append(given[0].shape)
        return mixed(*given)

    monkeypatch.setattr(kernels, "mixed", spy)
    return found


@pytest.mark.parametrize(("target", "absorbs"), [(3, True), (12, True), (20, False)])
@pytest.mark.parametrize(
    "name", ["full", "compacter", "bitfit", "prompt_r", "lora", "ia3", "lphm", "krona"]
)
def test_few_targets_are_taken_to_the_states_of_the_source(
    shared_backbone, calls, name, target, absorbs
):
    """With heads of 32 and at least 64 source tokens up to 21 targets are, of which 16 pass."""
    backbone = shared_backbone("v1_0", key_value_dim=32)
    batch = STEPS.batch_of(padded=True, target=target)
    found = both(backbone, batch, STEPS.method_of(name))
    assert bool(calls) == absorbs
    STEPS.assert_same_step(*found, share=2e-5)


@pytest.mark.parametrize("name", ["full", "compacter", "bitfit", "lora", "krona", "ia3"])
def test_targets_taken_to_the_states_are_as_near_in_bfloat16(shared_backbone, calls, name):
    backbone, method = shared_backbone("v1_0", key_value_dim=32), STEPS.method_of(name)
    errors = [0.0, 0.0]
    for source in (11, 9, 7):
        batch = STEPS.batch_of(padded=True, source=source, target=3)
        _, (_, exact) = both(backbone, batch, method)
        for place, (_, gradients) in enumerate(
            both(backbone, batch, method, compute_dtype="bfloat16")
        ):
            errors[place] += sum((gradients[n] - exact[n]).square().sum() for n in exact)
    assert calls
    assert errors[0] <= 2**2 * errors[1]


@pytest.mark.parametrize("changes", [{"activation": "silu"}, {"use_gated_activation": True}])
def test_a_step_with_another_feed_forward_is_the_references(tiny_backbone, changes):
    backbone = tiny_backbone(num_layers=1, **changes)
    for name in ("full", "compacter"):
        found = both(backbone, STEPS.batch_of(padded=True), STEPS.method_of(name))
        STEPS.assert_same_step(*found, share=1e-5)


def test_a_mask_with_holes_is_the_references(shared_backbone):
    batch = STEPS.batch_of(padded=False)
    batch.source_mask[0, 3] = batch.source_mask[1, 0] = False
    found = both(shared_backbone("v1_0"), batch, STEPS.method_of("compacter"))
    STEPS.assert_same_step(*found, share=1e-5)


@pytest.mark.parametrize("name", ["full", "compacter", "prompt_r", "lora"])
def test_remat_is_the_same_step_and_drops_the_same(shared_backbone, name):
    again, once = (
        STEPS.step_of(shared_backbone("v1_0"), STEPS.method_of(name), "fused",
                      STEPS.batch_of(padded=True), dropout=0.1, remat=remat)
        for remat in (True, False)
    )  # fmt: skip
    assert again[0] == once[0]
    STEPS.assert_same_step(again, once, share=1e-6)


@pytest.mark.parametrize("name", ["full", "compacter", "bitfit", "prompt_r"])
def test_bfloat16_is_as_near_float32_as_the_reference_is(shared_backbone, name):
    """Over three batches the gradients' error is at most twice the reference's own."""
    backbone, method = shared_backbone("gated"), STEPS.method_of(name)
    errors = [0.0, 0.0]
    for source in (11, 9, 7):
        batch = STEPS.batch_of(padded=True, source=source)
        _, exact = both(backbone, batch, method)
        steps = both(backbone, batch, method, compute_dtype="bfloat16")
        assert steps[0][0] == pytest.approx(exact[0], rel=0.02)
        for place, (_, gradients) in enumerate(steps):
            errors[place] += sum((gradients[n] - exact[1][n]).square().sum() for n in exact[1])
    assert errors[0] <= 2**2 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["full", "compacter", "bitfit", "prompt_r"])
def test_answers_and_scores_are_the_references(shared_backbone, name, kind):
    batch = STEPS.batch_of(padded=True)
    source = batch.source_ids, batch.source_mask
    fused, reference = (
        STEPS.model_of(shared_backbone(kind), STEPS.method_of(name), how) for how in EXECUTIONS
    )
    for length in (2, 12):
        assert torch.equal(fused.greedy(*source, length), reference.greedy(*source, length))
    labels = [[5, 1], [7, 9, 1]]
    torch.testing.assert_close(
        fused.label_scores(*source, labels), reference.label_scores(*source, labels)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_falls_where_kerashub_has_it(tiny_backbone, token_batch, monkeypatch, kind):
    """With every dropout turned into a halving on both sides, the logits must still agree."""

    def halve(layer, inputs, training=False):
        return inputs * 0.5 if training else inputs

    def attend(*given, scale):
        *tensors, rate = given
        return attention(*tensors, scale=scale) * (1 - rate)

    attention = functional.scaled_dot_product_attention
    monkeypatch.setattr(keras.layers.Dropout, "call", halve)
    monkeypatch.setattr(functional, "dropout", lambda x, rate: x * rate)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", attend)
    monkeypatch.setattr(torch, "native_dropout", lambda x, rate, train: (x * rate, x != 0))
    backbone, batch = tiny_backbone(kind, dropout=0.5, num_layers=1), token_batch()
    real = batch["decoder_padding_mask"].bool()
    with torch.no_grad():
        ours = T5Model(backbone, execution="fused")(batch, training=True)[real]
        lm = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)
        wanted = lm(batch, training=True)[real]
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())


def test_with_dropout_losses_have_the_references_mean_and_spread(shared_backbone):
    batch, draws, found = STEPS.batch_of(padded=True), 400, []
    for how in EXECUTIONS:
        model = STEPS.model_of(
            shared_backbone("v1_0"), STEPS.method_of("compacter"), how, dropout=0.1
        )
        with torch.no_grad():
            losses = [model.summed_loss(batch, True, (draw,)).item() for draw in range(draws)]
        found.append(torch.tensor(losses))
    fused, reference = found
    error = (fused.var() / draws + reference.var() / draws).sqrt()
    assert (fused.mean() - reference.mean()).abs() < 4 * error
    assert fused.std() == pytest.approx(reference.std().item(), rel=0.2)


def test_a_key_decides_what_is_dropped_and_without_one_torchs_generator_does(shared_backbone):
    model = T5Model(shared_backbone("v1_0"), execution="fused", dropout=0.3)
    batch = STEPS.batch_of(padded=True)

    def loss(seed, key=()):
        torch.manual_seed(seed)
        with torch.no_grad():
            return model.summed_loss(batch, training=True, key=key).item()

    assert loss(1, KEY) == loss(2, KEY)
    assert loss(1, KEY) != loss(1, (*KEY[:-1], 1))
    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_a_batch_is_padded_to_few_lengths():
    batch = collate([[5, 6, 1]] * 2, [[7, 1]] * 2, "cpu")
    sized = FusedKernels.sized(batch)
    assert sized.source_ids.shape == sized.source_mask.shape == (2, 64)
    assert sized.target_ids.shape == sized.target_mask.shape == (2, 8)
    assert sized.target_tokens == batch.target_tokens
    assert sized.source_mask.sum() == batch.source_mask.sum()
    assert sized.source_ids[:, 3:].eq(0).all()
    full = collate([[5] * 128], [[7] * 8], "cpu")
    assert FusedKernels.sized(full).source_ids.shape == (1, 128)


def test_rows_of_the_bias_begin_where_the_fused_attention_can_read_them(shared_backbone):
    fused = T5Model(shared_backbone("v1_0"), execution="fused").forward_pass().kernels
    for length in (8, 11):
        tokens = fused.tokens(torch.ones(3, length, dtype=torch.bool))
        position = torch.zeros(1, fused.heads, length, length)
        bias = fused.within(tokens, position, True, torch.float32).bias
        assert bias.shape == (3, fused.heads, length, length)
        assert bias.stride(-1) == 1
        assert not any(stride % ALIGNED for stride in bias.stride()[:-1])


def test_auto_is_what_is_fastest_on_the_device(shared_backbone):
    assert T5Model(shared_backbone("v1_0")).execution == "lean"
    assert [execution_on(kind) for kind in ("cpu", "cuda")] == ["lean", "fused"]
