"""Every kind of change in every execution, against the dense weights that it amounts to."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
import torch
from compacter_layers import (
    Adapter,
    AddedBias,
    AddedScale,
    HypercomplexRule,
    KroneckerDelta,
    LowRankDelta,
    LPHMDelta,
    SoftPrompt,
)
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from compacter_cli.t5.cache import StatesCache
from compacter_cli.t5.changes import KINDS, Changes
from compacter_cli.t5.model import EXECUTIONS, T5Model
from compacter_cli.t5.placement import backbone_weights

STEPS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("lean") / "test_kernels.py")))
ATTENTIONS = ("encoder.0.self_attention", "decoder.1.self_attention", "decoder.0.cross_attention")
ROLES = ("query", "key", "value", "output")
every_execution = pytest.mark.parametrize("execution", EXECUTIONS)


class Changed:
    """Stands in for a method: deltas and scales on projections all over the T5."""

    trains = ()

    def __init__(self, deltas=(), scales=(), kind="low rank"):
        self.deltas, self.scales, self.kind = deltas, scales, kind

    def build(self, shape, seed, dtype, weights):
        start = keras.initializers.RandomNormal(stddev=0.3, seed=99)
        rule = HypercomplexRule(4, initializer=start)
        layers = {"rule": rule} if self.kind == "lphm" else {}
        for name in self.deltas:
            k, d = weights[name].shape
            start = keras.initializers.RandomNormal(stddev=0.3, seed=len(layers))
            delta = {
                "low rank": lambda d=d, start=start: LowRankDelta(d, 2, 1.5, start),
                "lphm": lambda d=d, start=start: LPHMDelta(d, 4, 2, rule, start),
                "kronecker": lambda d=d, start=start: KroneckerDelta(d, 4, 8, 1.5, start),
            }[self.kind]()
            delta.build((None, k))
            layers[f"{name}.delta"] = delta
        for name in self.scales:
            owner, _, role = name.rpartition(".")
            wide = weights[f"{owner}.input" if role == "inner" else name].shape[1]
            layers[f"{name}.scale"] = AddedScale()
            layers[f"{name}.scale"].build((None, wide))
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
    "hypercomplex": Changed(deltas=names("query", "value"), kind="lphm"),
    "kronecker": Changed(
        deltas=(*names(*ROLES), *(f"{f}.{r}" for f in FEED_FORWARDS for r in ("input", "output"))),
        kind="kronecker",
    ),
    "both on each": Changed(deltas=names("query", "key"), scales=names("query", "key")),
}


def dense_loss(model, batch):
    """The summed loss of a plain T5 whose weights are made of the changes, by definition."""
    forward = model.forward_pass()
    weights, parts = dict(forward.parts.weights), forward.parts
    for name, delta in parts.deltas.items():
        weights[name] = weights[name] + delta.dense()  # before it is scaled
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
@pytest.mark.parametrize("target", [3, 9])  # lean does not build the source's keys, and builds them
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        *((case, "v1_0") for case in CASES),
        ("lora everywhere", "gated"),
        ("scales everywhere", "gated"),
    ],
)
def test_values_and_gradients_are_the_dense_weights(shared_backbone, case, kind, target, execution):
    backbone, batch = shared_backbone(kind), STEPS.batch_of(padded=True, target=target)
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
def test_with_dropout_lean_is_the_reference(shared_backbone, case):
    batch, backbone = STEPS.batch_of(padded=True), shared_backbone("v1_0")
    found = STEPS.both(backbone, batch, CASES[case], dropout=0.1)
    STEPS.assert_same_step(*found, share=5e-5)


@every_execution
@pytest.mark.parametrize("case", CASES)
def test_decoding_is_the_references(shared_backbone, case, execution):
    backbone, batch = shared_backbone("v1_0"), STEPS.batch_of(padded=True)
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
@pytest.mark.parametrize("case", ["lora", "scales"])
def test_bfloat16_is_as_near_float32_as_the_reference_is(shared_backbone, case, execution):
    backbone, batch = shared_backbone("v1_0"), STEPS.batch_of(padded=True)
    settings = {"dropout": 0.0}
    _, exact = STEPS.step_of(backbone, CASES[case], "reference", batch, **settings)
    errors = []
    for how in (execution, "reference"):
        _, found = STEPS.step_of(
            backbone, CASES[case], how, batch, compute_dtype="bfloat16", **settings
        )
        errors.append(sum((found[name] - exact[name]).square().sum() for name in exact))
    assert errors[0] <= 2**2 * errors[1]


@every_execution
@pytest.mark.parametrize("case", ["lora", "scales"])
def test_remat_is_the_same_step(shared_backbone, case, execution):
    backbone, batch = shared_backbone("v1_0"), STEPS.batch_of(padded=True)
    again, once = (
        STEPS.step_of(backbone, CASES[case], execution, batch, dropout=0.1, remat=remat)
        for remat in (True, False)
    )
    assert again[0] == once[0]
    STEPS.assert_same_step(again, once, share=1e-6)


class Shapes(TorchDispatchMode):
    """Notes the shapes of all that is computed."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not function.is_view:
            self.found.add(tuple(result.shape))
        return result


@every_execution
def test_no_tensor_of_a_weights_size_is_made(shared_backbone, execution):
    backbone = shared_backbone("v1_0")
    model = STEPS.model_of(backbone, CASES["lora"], execution, dropout=0.0)
    # A query's, whose size no other tensor of this step has.
    (size,) = {tuple(model.named_weights[name].shape) for name in names("query")}
    with Shapes() as shapes:
        model.summed_loss(STEPS.batch_of(padded=True), training=True).backward()
    assert shapes.found
    assert not {size, size[::-1]} & shapes.found


@pytest.mark.parametrize("execution", ["lean", "fused"])
def test_answers_are_decoded_over_states_where_keys_or_values_change(shared_backbone, execution):
    mask = torch.ones(2, 40, dtype=torch.bool)
    cross = "decoder.0.cross_attention"
    for method in (
        Changed(deltas=[f"{cross}.query"], scales=[f"{cross}.key"]),
        Changed(deltas=[f"{cross}.key"]),
        Changed(deltas=[f"{cross}.value"]),
    ):
        model = T5Model(shared_backbone("v1_0"), method, execution=execution)
        source = torch.zeros(2, 40, model.shape.hidden_dim)
        cache = model.forward_pass().start_cache(source, mask, 2)
        assert isinstance(cache, StatesCache) == (execution == "lean")


def test_a_layer_says_what_kind_of_change_it_is():
    known = ", ".join(KINDS)
    with pytest.raises(ValueError, match=f"somewhere: .* one of {known}. Received: None"):
        Changes({"somewhere": keras.layers.Dense(3)}, ())


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.0.feed_forward.inputs.delta", LowRankDelta(8, rank=2)),
        ("encoder.0.feed_forward.input", LowRankDelta(8, rank=2)),
        ("embedding.delta", LowRankDelta(8, rank=2)),
        ("encoder.0.self_attention.inner.scale", AddedScale()),
        ("encoder.0.feed_forward.output.relative_bias", AddedBias()),
        ("encoder.9.feed_forward.adapter", Adapter(keras.layers.Dense(2), keras.layers.Dense(8))),
    ],
)
def test_what_would_train_and_change_nothing_is_refused(shared_backbone, name, layer):
    weights = backbone_weights(shared_backbone("v1_0"))
    with pytest.raises(ValueError, match=f"{name}: the T5 has no such place .* {layer.kind}"):
        Changes({name: layer}, weights)


def test_there_is_place_for_one_prompt():
    with pytest.raises(ValueError, match="one prompt is all there is place for: a, b"):
        Changes({"a": SoftPrompt(3), "b": SoftPrompt(3)}, ())
