"""Passes captured as CUDA graphs are the passes that are computed kernel by kernel.

Without a GPU all is skipped: there is nothing to capture.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.fused import graphs
from compacter_cli.t5.fused.graphs import GraphedPasses, can_be_captured
from compacter_cli.training.trainer import Group, Trainer, adamw

if not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
pytestmark = [pytest.mark.cuda, pytest.mark.filterwarnings("ignore")]

STEPS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_steps.py"))))
CHANGES = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "t5" / "test_changes.py"))
)
KEYS = [(7, update, 0, 0) for update in range(4)]


def model_of(name, kind="gated", **settings):
    return STEPS.model_of(name, "fused", "cuda", kind, **settings)


def passes_of(model):
    return GraphedPasses(model, list(model.trained_tensors().values()))


def replayed(passes, model, batch, key):
    """`(loss, gradients by name)` of one pass, on the CPU."""
    passes.clear()
    with keras.device("cuda"):
        loss = passes.run(batch, key, batch.target_tokens).item()
    return loss, {name: t.grad.cpu().clone() for name, t in model.trained_tensors().items()}


def computed(model, batch, key):
    """The same without a graph."""
    with keras.device("cuda"):
        loss = model.summed_loss(batch, training=True, key=key) / batch.target_tokens
        tensors = model.trained_tensors()
        gradients = torch.autograd.grad(loss, list(tensors.values()))
    return loss.item(), {name: g.cpu() for name, g in zip(tensors, gradients, strict=True)}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "gated") for name in METHODS), ("full", "v1_0"), ("compacter", "v1_0")],
)
def test_a_replayed_pass_drops_and_computes_what_one_without_a_graph_does(name, kind, precision):
    model = model_of(name, kind, dropout=0.1, compute_dtype=precision)
    passes, batch = passes_of(model), STEPS.batch_of("cuda")
    found = [replayed(passes, model, batch, key) for key in KEYS]  # as is, captured, replayed
    assert len(passes._graphs) == 1
    assert len({loss for loss, _ in found}) == len(KEYS)
    share = 1e-5 if precision == "float32" else 1e-2
    for key, (loss, gradients) in zip(KEYS, found, strict=True):
        wanted_loss, wanted = computed(model, batch, key)
        assert loss == pytest.approx(wanted_loss, rel=1e-6)
        whole = STEPS.norm_of(wanted)
        for place, gradient in wanted.items():
            assert (gradients[place] - gradient).norm() <= share * whole, place


@pytest.mark.parametrize("case", ["both on each", "scales everywhere"])
def test_a_pass_with_deltas_and_scales_is_captured(case):
    backbone = STEPS.backbone_on("cuda", "v1_0")
    with keras.device("cuda"):
        model = STEPS.T5Model(backbone, CHANGES.CASES[case], execution="fused", dropout=0.1)
    passes, batch = passes_of(model), STEPS.batch_of("cuda")
    for key in KEYS:
        loss, _ = replayed(passes, model, batch, key)
        assert loss == pytest.approx(computed(model, batch, key)[0], rel=1e-6)
    assert len(passes._graphs) == 1


def test_a_graph_owns_what_it_reads_whatever_is_computed_between():
    """Position buckets are kept for a few lengths: decoding and scoring drive them out."""
    model = model_of("compacter", dropout=0.0)
    passes, batch = passes_of(model), STEPS.batch_of("cuda")
    for key in KEYS[:2]:
        replayed(passes, model, batch, key)
    with keras.device("cuda"):
        for source in range(3, 15):
            other = STEPS.batch_of("cuda", source)
            model.greedy(other.source_ids, other.source_mask, 12)
            model.label_scores(other.source_ids, other.source_mask, [[5, 1]])
    torch.cuda.empty_cache()
    for source in (70, 70, 130, 130):  # a pass and a capture of other lengths
        other = STEPS.batch_of("cuda", source)
        replayed(passes, model, other, (1,))
    for key in KEYS:
        loss, gradients = replayed(passes, model, batch, key)
        wanted_loss, wanted = computed(model, batch, key)
        assert loss == pytest.approx(wanted_loss, rel=1e-6)
        whole = STEPS.norm_of(wanted)
        assert STEPS.norm_of({n: gradients[n] - wanted[n] for n in wanted}) <= 1e-5 * whole


def test_after_a_capture_that_failed_keys_decide_dropout_as_before():
    model, batch = model_of("compacter", dropout=0.1), STEPS.batch_of("cuda")
    passes = passes_of(model)
    for key in KEYS[:2]:
        replayed(passes, model, batch, key)
    other = STEPS.batch_of("cuda", 70)
    kept = model.loss_of(other, training=True)  # its nodes belong to the default stream
    replayed(passes, model, other, KEYS[0])
    with pytest.warns(RuntimeWarning, match="cannot be captured"):
        replayed(passes, model, other, KEYS[1])
    del kept
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    for key in KEYS[:2]:
        loss, _ = replayed(passes, model, batch, key)
        assert loss == pytest.approx(computed(model, batch, key)[0], rel=1e-6)


def test_batches_of_other_lengths_have_graphs_of_their_own_and_share_what_is_trained():
    model = model_of("compacter", dropout=0.0)
    passes = passes_of(model)
    batches = [STEPS.batch_of("cuda", source) for source in (11, 70, 130)]
    for _ in range(2):
        for batch in batches:
            passes.clear()
            passes.run(batch, (1,), batch.target_tokens)
    assert len(passes._graphs) == 3
    for batch in [*batches, STEPS.batch_of("cuda", 20)]:  # the last is padded to what is there
        loss, gradients = replayed(passes, model, batch, (1,))
        wanted_loss, wanted = computed(model, batch, (1,))
        assert loss == pytest.approx(wanted_loss, rel=1e-6)
        whole = STEPS.norm_of(wanted)
        assert STEPS.norm_of({n: gradients[n] - wanted[n] for n in wanted}) <= 1e-5 * whole
    assert len(passes._graphs) == 3


def test_gradients_of_several_batches_are_summed_and_begin_anew():
    model, batch = model_of("full", dropout=0.0), STEPS.batch_of("cuda")
    passes = passes_of(model)
    _, once = replayed(passes, model, batch, (1,))
    for _ in range(2):
        passes.clear()
        for parameter in model.trained_tensors().values():
            parameter.grad = None  # by whoever else steps over the model
        passes.clear()
        for _ in range(3):
            passes.run(batch, (1,), batch.target_tokens)
        for name, tensor in model.trained_tensors().items():
            torch.testing.assert_close(tensor.grad.cpu(), 3 * once[name], rtol=1e-4, atol=1e-6)


def test_what_other_processes_add_reaches_every_gradient():
    model = model_of("compacter")
    passes, batch = passes_of(model), STEPS.batch_of("cuda")
    _, wanted = replayed(passes, model, batch, KEYS[0])
    passes.combine(lambda flat: flat.mul_(3.0))
    for name, tensor in model.trained_tensors().items():
        torch.testing.assert_close(tensor.grad.cpu(), 3 * wanted[name])


def test_beyond_the_most_graphs_passes_are_computed_without(monkeypatch):
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 1)
    model = model_of("compacter", dropout=0.0)
    passes = passes_of(model)
    for source in (11, 11, 70, 70):
        batch = STEPS.batch_of("cuda", source)
        loss, _ = replayed(passes, model, batch, (1,))
        assert loss == pytest.approx(computed(model, batch, (1,))[0], rel=1e-6)
    assert len(passes._graphs) == 1


@pytest.mark.parametrize("name", ["full", "compacter"])
def test_updates_by_graphs_are_those_without(name, monkeypatch):
    def curve():
        model = model_of(name, dropout=0.1)
        optimizer = adamw(model.trained_tensors().values())
        groups = [Group([STEPS.batch_of("cuda", source)]) for source in (11, 11, 70, 11, 70, 70)]
        trainer = Trainer(model, optimizer, lambda _: 1e-3, groups.__getitem__, 1, clip_norm=1.0)
        with keras.device("cuda"):
            return [trainer.step().loss for _ in groups], trainer

    found, by_graphs = curve()
    monkeypatch.setattr(graphs, "can_be_captured", lambda model: False)
    wanted, without = curve()
    assert len(by_graphs._passes._graphs) == 2
    assert not isinstance(without._passes, GraphedPasses)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_captured_is_computed_without_a_graph():
    model, batch = model_of("compacter", dropout=0.1), STEPS.batch_of("cuda")
    kept = model.loss_of(batch, training=True)  # its nodes belong to the default stream
    passes = passes_of(model)
    replayed(passes, model, batch, KEYS[0])
    with pytest.warns(RuntimeWarning, match="cannot be captured"):
        found = replayed(passes, model, batch, KEYS[1])
    del kept
    assert not passes._graphs
    assert found[0] == pytest.approx(computed(model, batch, KEYS[1])[0], rel=1e-6)
    assert replayed(passes, model, batch, KEYS[2])[0] != found[0]


def test_a_pass_too_large_to_be_captured_is_computed_and_others_are_captured(monkeypatch):
    model = model_of("compacter", dropout=0.1)
    passes, capture = passes_of(model), GraphedPasses._capture

    def without_memory(self, batch):
        with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=self._stream):
            if batch.source_ids.shape[1] > 64:
                torch.empty(2**40, device="cuda")
        return capture(self, batch)

    monkeypatch.setattr(GraphedPasses, "_capture", without_memory)
    for source in (11, 11, 70, 70, 70, 11, 11):
        batch = STEPS.batch_of("cuda", source)
        loss, _ = replayed(passes, model, batch, KEYS[0])
        assert loss == pytest.approx(computed(model, batch, KEYS[0])[0], rel=1e-6)
    assert [lengths[1] for lengths in passes._graphs] == [64]


def test_graphs_give_way_to_a_pass_that_finds_no_memory_beside_them(monkeypatch):
    def curve(full):
        model = model_of("compacter", dropout=0.1)
        optimizer = adamw(model.trained_tensors().values())
        sources = (11, 11, 70, 11, 70, 130)
        groups = [Group([STEPS.batch_of("cuda", source)] * 2) for source in sources]
        trainer = Trainer(model, optimizer, lambda _: 1e-3, groups.__getitem__, 1, clip_norm=1.0)
        passed = GraphedPasses._pass

        def beside_graphs(self, batch, tokens, key=()):
            found = passed(self, batch, tokens, key)
            if full and self._graphs and not torch.cuda.is_current_stream_capturing():
                raise torch.OutOfMemoryError("CUDA out of memory")  # with the gradient half there
            return found

        monkeypatch.setattr(GraphedPasses, "_pass", beside_graphs)
        with keras.device("cuda"):
            losses = [trainer.step().loss for _ in groups]
        monkeypatch.setattr(GraphedPasses, "_pass", passed)
        return losses, trainer._passes

    with pytest.warns(RuntimeWarning, match="cannot be captured .* a pass of another length"):
        found, passes = curve(full=True)
    assert not passes._graphs
    assert found == pytest.approx(curve(full=False)[0], rel=1e-5)


def test_only_the_fused_execution_is_captured_and_not_with_blocks_run_twice():
    assert can_be_captured(model_of("compacter"))
    assert not can_be_captured(model_of("compacter", remat=True))
    assert not can_be_captured(STEPS.model_of("compacter", "lean", "cuda", "gated"))
