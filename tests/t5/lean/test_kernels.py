"""The lean kernels against the reference: every method, with padding and without, any dropout."""

import numpy as np
import pytest
import torch
from torch.profiler import profile

from compacter_cli.methods import METHODS
from compacter_cli.t5.batch import collate
from compacter_cli.t5.cache import StatesCache
from compacter_cli.t5.lean import pairs
from compacter_cli.t5.model import T5Model

KINDS = ["v1_0", "gated"]
SETTINGS = {
    "prompt_r": {"length": 3},
    "prompt_t": {"length": 3},
    "said": {"intrinsic_dim": 300},
    "adapterdrop": {"dropped_blocks": 1},
}
SLOW = pytest.mark.slow
STEPS = [(True, 0.1), (False, 0.0), pytest.param(True, 0.0, marks=SLOW),
         pytest.param(False, 0.1, marks=SLOW)]  # fmt: skip
_MADE = {}


@pytest.fixture
def shared_backbone(tiny_backbone):
    def get(kind):
        if kind not in _MADE:
            _MADE[kind] = tiny_backbone(kind)
        return _MADE[kind]

    return get


def method_of(name, **changes):
    bottleneck = {"bottleneck": 8} if "bottleneck" in METHODS[name].model_fields else {}
    return METHODS[name](**{**bottleneck, **SETTINGS.get(name, {}), **changes})


def batch_of(padded, source=11, target=5):
    generator = torch.Generator().manual_seed(3)

    def ids(length):
        return [*torch.randint(2, 64, (length,), generator=generator).tolist(), 1]

    if not padded:
        return collate([ids(source) for _ in range(3)], [ids(target) for _ in range(3)], "cpu")
    sources = [ids(length) for length in (source, source // 3, 1 + source // 2)]
    return collate(sources, [ids(target), ids(0), ids(target // 2)], "cpu")


def model_of(backbone, method, execution, **settings):
    """A model whose trained weights matter: random ones, the same for the same names."""
    model = T5Model(backbone, method, seed=1, execution=execution, **settings)
    generator = np.random.default_rng(0)
    model.assign(
        {
            name: tensor.detach().numpy() + 0.03 * generator.standard_normal(tuple(tensor.shape))
            for name, tensor in model.trained_tensors().items()
        }
    )
    return model


def step_of(backbone, method, execution, batch, seed=5, **settings):
    """`(loss, gradients by name)` of one training step."""
    model = model_of(backbone, method, execution, **settings)
    torch.manual_seed(seed)
    loss = model.loss_of(batch, training=True)
    loss.backward()
    return loss.item(), {name: t.grad for name, t in model.trained_tensors().items()}


def assert_same_step(found, wanted, share):
    """Losses equal, and gradients to `share` of their norm, or of a tenth of the whole's.

    The latter for those that are small by cancellation, such as that of a bias behind all keys.
    """
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    whole = sum(gradient.square().sum() for gradient in wanted[1].values()).sqrt()
    for name, gradient in wanted[1].items():
        limit = share * max(gradient.norm(), 0.1 * whole)
        assert (found[1][name] - gradient).norm() <= limit, name


def both(backbone, batch, method, **settings):
    """A training step of either execution, from the same seed."""
    return [
        step_of(backbone, method, execution, batch, **settings)
        for execution in ("lean", "reference")
    ]


@pytest.mark.parametrize(("padded", "dropout"), STEPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_the_references(shared_backbone, name, kind, padded, dropout):
    found = both(shared_backbone(kind), batch_of(padded), method_of(name), dropout=dropout)
    assert_same_step(*found, share=5e-5 if dropout else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["compacter", "bitfit"])
def test_a_step_with_the_output_layer_is_the_references(shared_backbone, name, kind):
    method = method_of(name, train_output_layer=True)
    found = both(shared_backbone(kind), batch_of(padded=True), method, dropout=0.1)
    assert "head" in found[0][1]
    assert_same_step(*found, share=5e-5)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", ["full", "compacter", "bitfit", "prompt_r"])
def test_a_step_over_rows_one_by_one_is_the_references(shared_backbone, monkeypatch, name, padded):
    monkeypatch.setattr(pairs, "ROW_BY_ROW", 1)
    found = both(shared_backbone("v1_0"), batch_of(padded), method_of(name), dropout=0.1)
    assert_same_step(*found, share=5e-5)


@pytest.mark.parametrize("name", ["full", "compacter", "bitfit"])
def test_a_step_with_long_targets_is_the_references(shared_backbone, name):
    """Longer than 11 * 8 / (11 + 8), beyond which encoder keys and values are built."""
    batch = batch_of(padded=True, target=9)
    found = both(shared_backbone("v1_0"), batch, method_of(name), dropout=0.1)
    assert_same_step(*found, share=5e-5)


@pytest.mark.parametrize("changes", [{"activation": "silu"}, {"use_gated_activation": True}])
def test_a_step_with_another_feed_forward_is_the_references(tiny_backbone, changes):
    backbone = tiny_backbone(num_layers=1, **changes)
    for name in ("full", "compacter", "bitfit"):
        found = both(backbone, batch_of(padded=True), method_of(name), dropout=0.1)
        assert_same_step(*found, share=5e-5)


def test_a_mask_with_holes_is_the_references(shared_backbone):
    batch = batch_of(padded=False)
    batch.source_mask[0, 3] = batch.source_mask[1, 0] = False
    found = both(shared_backbone("v1_0"), batch, method_of("compacter"), dropout=0.1)
    assert_same_step(*found, share=5e-5)


@pytest.mark.parametrize("kind", ["gated", pytest.param("v1_0", marks=SLOW)])
@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_is_as_near_float32_as_the_reference_is(shared_backbone, name, kind):
    """Over three steps the gradients' error is at most twice the reference's own."""
    backbone, batch, method = shared_backbone(kind), batch_of(padded=True), method_of(name)
    errors = [0.0, 0.0]
    for seed in range(3):
        settings = {"seed": seed, "dropout": 0.1}
        exact = step_of(backbone, method, "reference", batch, **settings)
        steps = both(backbone, batch, method, **settings, compute_dtype="bfloat16")
        assert steps[0][0] == pytest.approx(exact[0], rel=0.02)
        for place, (_, gradients) in enumerate(steps):
            errors[place] += sum((gradients[n] - exact[1][n]).square().sum() for n in exact[1])
    assert errors[0] <= 2**2 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_answers_and_scores_are_the_references(shared_backbone, name, kind):
    batch = batch_of(padded=True)
    source = batch.source_ids, batch.source_mask
    lean, reference = (
        model_of(shared_backbone(kind), method_of(name), execution)
        for execution in ("lean", "reference")
    )
    for length in (2, 12):  # keys and values of the source are not built, and built
        assert torch.equal(lean.greedy(*source, length), reference.greedy(*source, length))
    labels = [[5, 1], [7, 9, 1]]
    torch.testing.assert_close(
        lean.label_scores(*source, labels), reference.label_scores(*source, labels)
    )


@pytest.mark.parametrize("execution", ["lean", "reference"])
@pytest.mark.parametrize("name", METHODS)
def test_remat_is_the_same_step(shared_backbone, name, execution):
    backbone, batch = shared_backbone("v1_0"), batch_of(padded=True)
    again, once = (
        step_of(backbone, method_of(name), execution, batch, dropout=0.1, remat=remat)
        for remat in (True, False)
    )
    assert again[0] == once[0]
    assert_same_step(again, once, share=1e-6)


@pytest.mark.parametrize("execution", ["lean", "reference"])
def test_remat_keeps_nothing_of_the_blocks_but_their_inputs(shared_backbone, execution):
    def kept(remat):
        model = T5Model(shared_backbone("v1_0"), method_of("compacter"), execution=execution,
                        dropout=0.1, remat=remat)  # fmt: skip
        widths = []

        def keep(tensor):
            widths.append(tensor.shape[-1] if tensor.dim() > 1 else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            model.loss_of(batch_of(padded=True), training=True)
        return widths

    bottleneck = 8
    assert bottleneck in kept(remat=False)
    assert bottleneck not in kept(remat=True)


def test_short_answers_are_written_without_keys_and_values_of_the_source(shared_backbone):
    model = model_of(shared_backbone("v1_0"), method_of("compacter"), "lean")
    batch = batch_of(padded=True)
    forward = model.forward_pass()
    with torch.no_grad():
        encoded = forward.encode(batch.source_ids, batch.source_mask)
        # 12 * 8 / (12 + 8) = 4.8 tokens cost the same either way
        assert isinstance(forward.start_cache(*encoded, 4), StatesCache)
        assert not isinstance(forward.start_cache(*encoded, 5), StatesCache)


def test_both_draw_a_seed_only_where_something_is_dropped(shared_backbone):
    for execution in ("lean", "reference"):
        for dropout, drawn in ((0.1, True), (0.0, False)):
            model = T5Model(shared_backbone("v1_0"), execution=execution, dropout=dropout)
            state = torch.get_rng_state()
            model.forward_pass(training=True)
            assert torch.equal(torch.get_rng_state(), state) != drawn
            state = torch.get_rng_state()
            model.forward_pass()
            assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_embeddings_gradient_is_made_once_and_then_added_to(shared_backbone, kind):
    model = model_of(shared_backbone(kind), METHODS["full"](), "lean")
    shape = list(model.trained_tensors()["embedding"].shape)
    loss = model.summed_loss(batch_of(padded=True))
    with profile(record_shapes=True) as seen:
        loss.backward()
    dense = model.trained_tensors()["embedding"].grad
    assert (dense.layout, dense.is_contiguous()) == (torch.strided, True)
    names = [event.name for event in seen.events() if event.input_shapes[:1] == [shape]]
    assert names.count("aten::add_") == 1  # the few rows of a lookup, or of both with a tied head
    assert "aten::clone" not in names
    whole = sum(event.name == "aten::embedding_dense_backward" for event in seen.events())
    assert whole == (3 if kind == "gated" else 2)  # of which two are of relative positions
