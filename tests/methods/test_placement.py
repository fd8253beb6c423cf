"""Where bottlenecks may stand: after cross-attention too, beside a sub-layer, behind its sum."""

import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.batch import Batch
from compacter_cli.t5.mixing import mixed
from compacter_cli.t5.model import EXECUTIONS, T5Model
from compacter_cli.t5.shapes import PRESETS

BASE = PRESETS["t5_base_multi"]
BOTTLENECKS = [name for name, method in METHODS.items() if "bottleneck" in method.model_fields]


def model_of(backbone, name="adapter", execution="lean", remat=False, **settings):
    small = {"bottleneck": 8, **({"dropped_blocks": 1} if name == "adapterdrop" else {})}
    method = METHODS[name](**{**small, **settings})
    model = T5Model(backbone, method, seed=3, execution=execution, remat=remat, dropout=0.0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.trained_tensors().values():
            tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))
    return model


@pytest.mark.parametrize(
    ("after", "sites"), [("both", 48), ("cross_attention", 12), ("all", 60), ("feed_forward", 24)]
)
def test_the_sites_of_each_place(after, sites):
    method = METHODS["compacter"](after=after)
    assert len(method.sites(BASE)) == sites
    # 2 r (k + d) weights a site, biases k + d, the rule and all norms
    assert sum(method.count(BASE).values()) == sites * 3 * (768 + 24) + 64 + 47_616
    cross = [site for site in method.sites(BASE) if "cross_attention" in site]
    assert all(site.startswith("decoder") for site in cross)
    assert len(cross) == (12 if after in ("all", "cross_attention") else 0)


@pytest.mark.parametrize(
    "execution",
    [e if e == "lean" else pytest.param(e, marks=pytest.mark.slow) for e in EXECUTIONS],
)
@pytest.mark.parametrize("placement", [None, "parallel", "after_residual"])
def test_every_place_is_used_and_every_execution_agrees(
    tiny_backbone, token_batch, placement, execution
):
    backbone, inputs = tiny_backbone(), token_batch()
    settings = {"after": "all", "placement": placement}
    model = model_of(backbone, execution=execution, **settings)
    reference = model_of(backbone, execution="reference", **settings)
    real = inputs["decoder_padding_mask"].bool()
    logits, wanted = model(inputs)[real], reference(inputs)[real]
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
    logits.square().sum().backward()
    for name, tensor in model.trained_tensors().items():
        assert tensor.grad.abs().max() > 0, name


def test_a_parallel_adapter_is_added_for_the_normed_input(tiny_backbone, token_batch):
    """By hand, for one encoder block: the sub-layer's output plus the adapter's own branch."""
    backbone = tiny_backbone()
    settings = {"after": "feed_forward", "placement": "parallel", "train_layer_norms": False}
    model, plain = model_of(backbone, **settings), T5Model(backbone)
    with torch.no_grad():
        forward, before = model.forward_pass(), plain.forward_pass()
        hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
        tokens = forward.kernels.tokens(torch.ones(1, 5, dtype=torch.bool))
        found = forward._feed_forward("encoder.1.feed_forward", hidden, tokens)
        sublayer = before._feed_forward("encoder.1.feed_forward", hidden, tokens)
        norm = backbone.encoder_transformer_layers[1].layer_norm.weight.value
        normed = norm * hidden * (hidden.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        w = {
            name.removeprefix("encoder.1.feed_forward.parallel_adapter."): variable.value
            for name, variable in model.named_weights.items()
            if name.startswith("encoder.1.feed_forward.parallel_adapter.")
        }
        inner = normed @ w["down.kernel"] + w["down.bias"]
        inner = torch.nn.functional.gelu(inner, approximate="tanh")
        branch = inner @ w["up.kernel"] + w["up.bias"]
    torch.testing.assert_close(found, sublayer + branch, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sublayer", ["self_attention", "cross_attention", "feed_forward"])
def test_an_adapter_after_the_residual_is_fed_the_sum(tiny_backbone, sublayer):
    """By hand, for one decoder block: f(h + x) + h + x, where it is f(h) + h + x by default."""
    backbone = tiny_backbone()
    settings = {"after": sublayer, "placement": "after_residual", "train_layer_norms": False}
    model, plain = model_of(backbone, **settings), T5Model(backbone)
    prefix = f"decoder.1.{sublayer}.residual_adapter."
    w = {
        name.removeprefix(prefix): variable.value
        for name, variable in model.named_weights.items()
        if name.startswith(prefix)
    }
    generator = torch.Generator().manual_seed(2)
    hidden, context = torch.randn(2, 5, 32, generator=generator)
    with torch.no_grad():
        forward, before = model.forward_pass(), plain.forward_pass()
        tokens = forward.kernels.tokens(torch.ones(1, 5, dtype=torch.bool))
        total, found = (
            each._feed_forward(f"decoder.1.{sublayer}", hidden, tokens)
            if sublayer == "feed_forward"
            else each._add_context(f"decoder.1.{sublayer}", hidden, context, tokens)
            for each in (before, forward)
        )
        inner = total @ w["down.kernel"] + w["down.bias"]
        inner = torch.nn.functional.gelu(inner, approximate="tanh")
        wanted = inner @ w["up.kernel"] + w["up.bias"] + total
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_after_the_residual_remat_and_decoding_are_the_whole_pass(
    tiny_backbone, token_batch, execution
):
    backbone, inputs = tiny_backbone(), token_batch()
    settings = {"after": "all", "placement": "after_residual"}
    model = model_of(backbone, "compacter", execution=execution, **settings)
    ids, mask = inputs["encoder_token_ids"].long(), inputs["encoder_padding_mask"].bool()
    target = model.greedy(ids, mask, 4)
    with torch.no_grad():
        forward = model.forward_pass()
        shifted = torch.nn.functional.pad(target[:, :-1], (1, 0))
        states = forward.encode(ids, mask)
        hidden = forward.decode(shifted, torch.ones_like(shifted, dtype=torch.bool), *states)
        chosen = forward.logits(hidden).argmax(-1)
    ended = (target == 1).cumsum(1) - (target == 1).long() > 0
    assert torch.equal(chosen.masked_fill(ended, 0), target)
    again = model_of(backbone, "compacter", execution=execution, remat=True, **settings)
    batch = Batch(ids, mask, target, ~ended)
    for each in (model, again):
        each.loss_of(batch, training=True).backward()
    for name, tensor in model.trained_tensors().items():
        torch.testing.assert_close(again.trained_tensors()[name].grad, tensor.grad, msg=name)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_any_bottleneck_can_be_placed(tiny_backbone, token_batch, name):
    backbone, inputs = tiny_backbone(), token_batch()
    with torch.no_grad():
        found = {
            (after, placement): model_of(backbone, name, after=after, placement=placement)(inputs)
            for after in ("cross_attention", "feed_forward")
            for placement in (None, "parallel", "after_residual")
        }
    logits = list(found.values())
    assert not any(
        torch.allclose(one, other, atol=1e-3)
        for number, one in enumerate(logits)
        for other in logits[:number]
    )


def test_rows_of_one_batch_may_differ_in_it(tiny_backbone):
    backbone = tiny_backbone()
    models = [
        model_of(backbone, after="all", placement="parallel"),
        model_of(backbone, "compacter"),
        model_of(backbone, "compacterpp", placement="after_residual"),
        T5Model(backbone),
    ]
    ids = torch.randint(2, 64, (8, 9), generator=torch.Generator().manual_seed(4))
    mask = torch.arange(9) < torch.tensor([[9], [4], [7], [9], [2], [5], [8], [3]])
    with torch.no_grad():
        forwards = [model.forward_pass() for model in models]
        states, _ = mixed(forwards, [2, 2, 2, 2]).encode(ids, mask)
        for number, forward in enumerate(forwards):
            own = slice(2 * number, 2 * number + 2)
            alone, _ = forward.encode(ids[own], mask[own])
            torch.testing.assert_close(states[own], alone, rtol=1e-4, atol=1e-4)


def test_a_recipe_of_before_is_what_it_was():
    method = METHODS["compacter"]()
    assert method.placement is None
    assert "placement" not in method.settings()
    assert "placement" not in method.plain()
