"""Every kind of change in every execution, against the dense weights that it amounts to."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
import torch
from compacter_layers import AddedScale, LowRankDelta, SoftPrompt
from torch.nn import functional

from compacter_cli.t5.changes import KINDS, Changes
from compacter_cli.t5.model import EXECUTIONS, T5Model

STEPS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("lean") / "test_kernels.py")))
ATTENTIONS = ("encoder.0.self_attention", "decoder.1.self_attention", "decoder.0.cross_attention")
ROLES = ("query", "key", "value", "output")
every_execution = pytest.mark.parametrize("execution", EXECUTIONS)


class Changed:
    """Stands in for a method: deltas and scales on projections all over the T5."""

    trains = ()

    def __init__(self, deltas=(), scales=()):
        self.deltas, self.scales = deltas, scales

    def build(self, shape, seed, dtype, weights):
        layers = {}
        for name in self.deltas:
            k, d = weights[name].shape
            start = keras.initializers.RandomNormal(stddev=0.3, seed=len(layers))
            layers[name] = LowRankDelta(d, rank=2, scaling=1.5, initializer=start)
            layers[name].build((None, k))
        for name in self.scales:
            layers[name] = AddedScale()
            owner, _, role = name.rpartition(".")
            wide = weights[f"{owner}.input" if role == "inner" else name].shape[1]
            layers[name].build((None, wide))
        return layers


def names(*roles):
    return tuple(f"{attention}.{role}" for attention in ATTENTIONS for role in roles)


FEED_FORWARDS = ("encoder.1.feed_forward", "decoder.0.feed_forward")
CASES = {
    "lora": Changed(deltas=names("query", "value")),
    "lora everywhere": Changed(
        deltas=(*names(*ROLES), *(f"{f}.{r}" for f in FEED_FORWARDS for r in ("input", "output")))
    ),
    "scales": Changed(
        scales=(*names("key", "value"), *(f"{name}.inner" for name in FEED_FORWARDS))
    ),
    "scales everywhere": Changed(
        scales=(*names(*ROLES), *(f"{f}.{r}" for f in FEED_FORWARDS for r in ("input", "output")))
    ),
    "one of each": Changed(deltas=names("key"), scales=names("query")),
}


def dense_loss(model, batch):
    """The summed loss of a plain T5 whose weights are made of the changes, by definition."""
    forward = model.forward_pass()
    weights, parts = dict(forward.parts.weights), forward.parts
    for name, (first, second) in parts.deltas.items():
        weights[name] = weights[name] + first @ second
    for name, scale in parts.scales.items():
        owner, _, role = name.rpartition(".")
        if role == "inner":
            weights[f"{owner}.output"] = scale[:, None] * weights[f"{owner}.output"]
        else:
            weights[name] = weights[name] * scale
    forward = replace(forward, parts=replace(parts, weights=weights, deltas={}, scales={}))
    encoded = forward.encode(batch.source_ids, batch.source_mask)
    inputs = functional.pad(batch.target_ids[:, :-1], (1, 0))
    seen = functional.pad(batch.target_mask[:, :-1], (1, 0), value=True)
    hidden = forward.decode(inputs, seen, *encoded)
    return forward.loss(hidden, batch.target_ids, batch.target_mask)


def gradients_of(loss, model):
    tensors = model.trained_tensors()
    return dict(zip(tensors, torch.autograd.grad(loss, tensors.values()), strict=True))


@every_execution
@pytest.mark.parametrize("target", [3, 9])  # keys and values of the source are not built, and built
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_dense_weights(tiny_backbone, case, kind, target, execution):
    backbone, batch = tiny_backbone(kind), STEPS.batch_of(padded=True, target=target)
    dense = STEPS.model_of(backbone, CASES[case], "reference")
    wanted = dense_loss(dense, batch)
    model = STEPS.model_of(backbone, CASES[case], execution, dropout=0.0)
    found = model.summed_loss(batch, training=True)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    STEPS.assert_same_step(
        (found.item(), gradients_of(found, model)),
        (wanted.item(), gradients_of(wanted, dense)),
        share=2e-5,
    )


@pytest.mark.parametrize("case", CASES)
def test_with_dropout_lean_is_the_reference(tiny_backbone, case):
    batch, backbone = STEPS.batch_of(padded=True), tiny_backbone("v1_0")
    found = STEPS.both(backbone, batch, CASES[case], dropout=0.1)
    STEPS.assert_same_step(*found, share=5e-5)


@every_execution
@pytest.mark.parametrize("case", CASES)
def test_decoding_is_the_references(tiny_backbone, case, execution):
    backbone, batch = tiny_backbone("v1_0"), STEPS.batch_of(padded=True)
    source = batch.source_ids, batch.source_mask
    model, reference = (
        STEPS.model_of(backbone, CASES[case], how) for how in (execution, "reference")
    )
    plain = T5Model(backbone, execution=execution)
    for length in (2, 12):
        answers = model.greedy(*source, length)
        assert torch.equal(answers, reference.greedy(*source, length))
    labels = [[5, 1], [7, 9, 1]]
    scores = model.label_scores(*source, labels)
    torch.testing.assert_close(scores, reference.label_scores(*source, labels))
    assert not torch.allclose(scores, plain.label_scores(*source, labels), atol=1e-4)


@every_execution
def test_no_gradient_of_full_size_is_made(tiny_backbone, execution):
    """Nor a weight: of all tensors with a gradient none is as large as a projection's."""
    backbone = tiny_backbone("v1_0")
    model = STEPS.model_of(backbone, CASES["lora"], execution, dropout=0.0)
    sizes = {tuple(model.named_weights[name].shape) for name in CASES["lora"].deltas}
    seen = set()

    def note(tensor):
        if tensor.requires_grad:
            seen.add(tuple(tensor.shape))
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.summed_loss(STEPS.batch_of(padded=True), training=True)
    assert not sizes & seen


def test_a_layer_says_what_kind_of_change_it_is():
    with pytest.raises(
        ValueError, match=f"somewhere: .* one of {', '.join(KINDS)}. Received: None"
    ):
        Changes({"somewhere": keras.layers.Dense(3)})


def test_there_is_place_for_one_prompt():
    with pytest.raises(ValueError, match="one prompt is all there is place for: a, b"):
        Changes({"a": SoftPrompt(3), "b": SoftPrompt(3)})
