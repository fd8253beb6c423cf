"""A GPU computes what a CPU computes: every method's step, answers, scores, and whole curves.

Without a GPU all is skipped; COMPACTER_TEST_DEVICE=cpu rehearses it, a CPU against itself. Dropout
draws another stream on a GPU, so what is compared with a CPU drops nothing.
"""

import functools
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.profiling.saved import saved_tensors
from compacter_cli.t5.batch import collate
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.fused.kernels import FusedKernels
from compacter_cli.t5.model import T5Model
from compacter_cli.training.trainer import Group, Trainer, adamw

DEVICE = os.environ.get("COMPACTER_TEST_DEVICE", "cuda")
if DEVICE != "cpu" and not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
# A GPU often comes with other versions of everything: what those warn of is not the question.
pytestmark = [pytest.mark.cuda, pytest.mark.filterwarnings("ignore")]

CURVES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "golden" / "curves.py")))
EXECUTIONS = ["lean", "fused", "reference"]
RATE = 1e-2
# In float32, in whatever order it is summed. Products rounded to TF32 or bfloat16 miss it by far.
LOSS = 1e-5  # relative
GRADIENTS = 1e-4  # of a tensor's norm, or of a tenth of the whole's
# AdamW's first step is nearly the gradient's sign: an entry that is rounding alone moves anywhere.
UPDATES = 0.05  # of a tensor's norm


def method_of(name):
    fields = METHODS[name].model_fields
    return METHODS[name](**{key: size for key, size in CURVES.SMALL.items() if key in fields})


def batch_of(device, source=11, target=3):
    """Three padded examples, one target a lone end token.

    The seed is one with which no input of a ReLU is so near to 0 that rounding turns its sign.
    """
    draw = np.random.default_rng(57)

    def ids(length):
        return [*draw.integers(2, 64, length).tolist(), 1]

    sources = [ids(length) for length in (source, source // 3, 1 + source // 2)]
    return collate(sources, [ids(target), ids(0), ids(target // 2)], device)


@functools.cache
def backbone_on(device, kind):
    """A backbone that models share: what they train of it they copy."""
    with keras.device(device):
        return CURVES.backbone_of(kind)


@functools.cache
def values_of(name, kind):
    """Trained weights at which all matters; a CPU's, for the same seed draws others on a GPU."""
    backbone, draw = backbone_on("cpu", kind), np.random.default_rng(0)
    with keras.device("cpu"):
        drawn = T5Model(backbone, method_of(name), seed=1).trained_tensors()
    return {
        key: tensor.detach().numpy() + 0.03 * draw.standard_normal(tensor.shape)
        for key, tensor in drawn.items()
    }


def model_of(name, execution, device, kind="v1_0", **settings):
    """A model on `device`, with the same weights on every device."""
    backbone = backbone_on(device, kind)
    with keras.device(device):
        model = T5Model(backbone, method_of(name), execution=execution, **settings)
        model.assign(values_of(name, kind))
    return model


def tensors_of(model):
    return {name: t.detach().cpu().clone() for name, t in model.trained_tensors().items()}


def step_of(model, device, **lengths):
    """`(loss, gradients by name)` of one step, on the CPU."""
    torch.manual_seed(5)
    with keras.device(device):
        loss = model.loss_of(batch_of(device, **lengths), training=True)
        loss.backward()
    return loss.item(), {name: t.grad.cpu() for name, t in model.trained_tensors().items()}


def norm_of(tensors):
    return sum(tensor.square().sum() for tensor in tensors.values()).sqrt()


def assert_same_step(found, wanted):
    assert found[0] == pytest.approx(wanted[0], rel=LOSS)
    whole = norm_of(wanted[1])
    assert whole > 0
    assert norm_of(found[1]).item() == pytest.approx(whole.item(), rel=GRADIENTS)
    for name, gradient in wanted[1].items():
        limit = GRADIENTS * max(gradient.norm(), 0.1 * whole)
        assert (found[1][name] - gradient).norm() <= limit, name


def every_method(function):
    return pytest.mark.parametrize("name", METHODS)(function)


def every_execution(function):
    return pytest.mark.parametrize("execution", EXECUTIONS)(function)


def test_a_model_and_its_batches_are_on_the_device():
    model, batch = model_of("compacter", "lean", DEVICE), batch_of(DEVICE)
    kind = torch.device(DEVICE).type
    found = {name: weight.value.device.type for name, weight in model.named_weights.items()}
    assert found == dict.fromkeys(found, kind)
    assert batch.source_ids.device.type == batch.target_mask.device.type == kind
    assert model.loss_of(batch).device.type == kind


@every_execution
@every_method
def test_a_step_is_that_of_a_cpu(name, execution):
    found, wanted = (
        step_of(model_of(name, how, device, dropout=0.0), device)
        for how, device in ((execution, DEVICE), ("reference", "cpu"))
    )
    assert_same_step(found, wanted)


@every_execution
@pytest.mark.parametrize("name", ["full", "compacter"])
def test_a_gated_step_with_long_targets_is_that_of_a_cpu(name, execution):
    """Gated, an untied head, and keys and values of the source that pay to be built."""
    found, wanted = (
        step_of(model_of(name, how, device, "gated", dropout=0.0), device, target=9)
        for how, device in ((execution, DEVICE), ("reference", "cpu"))
    )
    assert_same_step(found, wanted)


@every_execution
@every_method
def test_updated_weights_are_those_of_a_cpu(name, execution):
    found, before = [], None
    for how, device in ((execution, DEVICE), ("reference", "cpu")):
        model = model_of(name, how, device, dropout=0.0)
        before = tensors_of(model)
        with keras.device(device):
            group = Group([batch_of(device), batch_of(device, source=5)])
            optimizer = adamw(model.trained_tensors().values())
            trainer = Trainer(model, optimizer, lambda _: RATE, Group, seed=1, clip_norm=1.0)
            update = trainer.step(group)
        found.append((update.loss, update.gradient_norm, tensors_of(model)))
    (loss, norm, weights), (wanted_loss, wanted_norm, wanted) = found
    assert loss == pytest.approx(wanted_loss, rel=LOSS)
    assert norm == pytest.approx(wanted_norm, rel=GRADIENTS)
    assert norm_of({key: wanted[key] - before[key] for key in wanted}) > 0
    for key, value in wanted.items():
        difference = weights[key] - value
        if key.endswith("key.bias"):  # moves no attention weight: its gradient is rounding alone
            assert difference.abs().max() <= 2.001 * RATE, key
        else:
            assert difference.norm() <= UPDATES * (value - before[key]).norm(), key


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "gated") for name in METHODS), ("full", "v1_0"), ("compacter", "v1_0")],
)
def test_with_dropout_lean_and_reference_take_the_same_step(name, kind):
    lean, reference = (
        step_of(model_of(name, execution, DEVICE, kind, dropout=0.1), DEVICE)
        for execution in ("lean", "reference")
    )
    assert_same_step(lean, reference)
    undropped, _ = step_of(model_of(name, "lean", DEVICE, kind, dropout=0.0), DEVICE)
    assert abs(lean[0] - undropped) > 1e-3


@every_execution
@pytest.mark.parametrize("name", ["full", "compacter", "prompt_r"])
def test_blocks_that_run_a_second_time_take_the_same_step(name, execution):
    again, once = (
        step_of(model_of(name, execution, DEVICE, dropout=0.1, remat=remat), DEVICE)
        for remat in (True, False)
    )
    assert_same_step(again, once)


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU has no memory-efficient attention")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["full", "compacter"])
def test_queries_keys_and_values_of_self_attention_are_made_again(name, precision, monkeypatch):
    made, by_heads = [], FusedKernels._by_heads

    def spy(self, *tensors_and_scope):
        three, scope = by_heads(self, *tensors_and_scope), tensors_and_scope[-1]
        if scope.queries is scope.keys:
            made.append([x.detach() for x in three])
        return three

    monkeypatch.setattr(FusedKernels, "_by_heads", spy)
    model = model_of(name, "fused", DEVICE, dropout=0.1, compute_dtype=precision)
    with keras.device(DEVICE):
        with saved_tensors({}) as saved:
            loss = model.loss_of(batch_of(DEVICE), training=True)
        blocks = len(made)
        storages = {x.untyped_storage().data_ptr() for three in made for x in three}
        kept = saved.storages.keys() & storages
        loss.backward()
    assert not kept
    assert len(made) == 2 * blocks > 0
    for one, other in zip(made[:blocks], reversed(made[blocks:]), strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("name", ["full", "compacter", "bitfit"])
def test_bfloat16_is_as_near_to_float32_as_on_a_cpu(name):
    """Over three steps the gradients' error is at most twice that of a CPU's reference."""
    cases = *((DEVICE, execution) for execution in EXECUTIONS), ("cpu", "reference")
    errors, whole = [0.0] * len(cases), 0.0
    for source in (11, 7, 5):
        exact = step_of(model_of(name, "reference", "cpu", dropout=0.0), "cpu", source=source)
        whole += norm_of(exact[1])
        for place, (device, execution) in enumerate(cases):
            model = model_of(name, execution, device, dropout=0.0, compute_dtype="bfloat16")
            loss, gradients = step_of(model, device, source=source)
            assert loss == pytest.approx(exact[0], rel=0.02)
            errors[place] += norm_of({key: gradients[key] - exact[1][key] for key in exact[1]})
    assert 0 < errors[-1] <= 0.2 * whole
    assert max(errors) <= 2 * errors[-1]


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_share_that_its_rate_says(rate):
    count = 1_000_000
    dropout = Dropout(rate, 3)
    factors = dropout.factors("place", count, DEVICE)
    assert factors.device.type == torch.device(DEVICE).type
    deviation = (count * rate * (1 - rate)) ** 0.5
    kept = factors.count_nonzero().item()
    assert abs(kept - count * (1 - rate)) < 4 * deviation + count / 65536
    assert torch.equal(dropout.factors("place", count, DEVICE), factors)
    for other in (
        dropout.factors("other", count, DEVICE),
        Dropout(rate, 4).factors("place", count, DEVICE),
    ):
        apart = (other != factors).sum().item()
        assert abs(apart - 2 * count * rate * (1 - rate)) < 6 * deviation


@every_execution
@every_method
def test_answers_and_label_probabilities_are_those_of_a_cpu(name, execution):
    answers, scores = [], []
    for how, device in ((execution, DEVICE), ("reference", "cpu")):
        model, batch = model_of(name, how, device), batch_of(device)
        source = batch.source_ids, batch.source_mask
        with keras.device(device):
            answers.append([model.greedy(*source, length).tolist() for length in (2, 12)])
            scores.append(model.label_scores(*source, [[5, 1], [7, 9, 1]]).cpu())
    assert answers[0] == answers[1]
    assert max(map(len, answers[1][1])) > 2
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*(each.softmax(-1) for each in scores), rtol=1e-4, atol=1e-6)


def assert_same_curve(found, wanted):
    """Losses to 1e-4, gradient and weight norms to 1e-3; answers and rates equal."""
    assert found["rates"] == wanted["rates"]
    assert found["losses"] == pytest.approx(wanted["losses"], rel=1e-4)
    assert found["gradient_norms"] == pytest.approx(wanted["gradient_norms"], rel=1e-3)
    assert found["validation"] == pytest.approx(wanted["validation"], rel=1e-4)
    assert found["norms"] == pytest.approx(wanted["norms"], rel=1e-3)


@every_execution
@pytest.mark.parametrize("name", ["compacter, gated", "full, gated"])  # no ReLU: as above
def test_twelve_updates_and_their_scores_are_those_of_a_cpu(name, execution):
    found = CURVES.curve(name, execution, 0.0, DEVICE)
    wanted = CURVES.curve(name, "reference", 0.0, "cpu")
    assert_same_curve(found, wanted)


@every_execution
def test_updates_with_examples_brought_ahead_are_those_without(execution):
    how = "compacter", execution, 0.1, DEVICE
    with_, without = (CURVES.curve(*how, ahead=ahead) for ahead in (True, False))
    assert_same_curve(with_, without)


def test_a_pretraining_is_that_of_a_cpu():
    found, wanted = (CURVES.pretraining_curve(0.0, device, "gated") for device in (DEVICE, "cpu"))
    assert_same_curve(found, wanted)
