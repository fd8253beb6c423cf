"""A run on a GPU: what it saves is loaded on a CPU, and answers the same there.

Without a GPU all is skipped; COMPACTER_TEST_DEVICE=cpu rehearses it, a CPU against itself.
"""

import json
import math
import os

import keras
import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.predictor import Predictor
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import load_backbone

DEVICE = os.environ.get("COMPACTER_TEST_DEVICE", "cuda")
if DEVICE != "cpu" and not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
# A GPU often comes with other versions of everything: what those warn of is not the question.
pytestmark = [pytest.mark.cuda, pytest.mark.filterwarnings("ignore")]

TEXTS = ["sentence: iron apple zinc", "sentence: peach", "sentence: zinc iron copper silver iron"]
SHORT = ["train.epochs=2", "train.warmup_steps=10"]


def trained(directory, *changes):
    """The directory of a finished run of the smoke recipe on the device."""
    from compacter_cli.training.run import train

    recipe = load_recipe("demo/smoke_compacterpp", [*SHORT, *changes])
    train(recipe=recipe, directory=directory, device=DEVICE)
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in float32. Do not change it."""
    return trained(tmp_path_factory.mktemp("runs") / "float32")


def predictor_on(device, run):
    with keras.device(device):
        return Predictor(load_backbone("random/tiny"), run / "best")


def test_a_run_records_finite_losses_and_a_score(run):
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if line["kind"] == "update"]
    assert losses
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


def test_what_is_saved_is_loaded_to_a_cpu_in_float32(run):
    tensors = load_adapter(run / "best").tensors
    assert tensors
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors.values()} == {
        ("cpu", torch.float32)
    }


def test_a_saved_adapter_answers_on_a_cpu_as_where_it_was_trained(run):
    found = []
    for device in (DEVICE, "cpu"):
        predictor = predictor_on(device, run)
        on = {weight.value.device.type for weight in predictor.model.named_weights.values()}
        assert on == {torch.device(device).type}
        with keras.device(device):
            found.append((predictor.answers(TEXTS), predictor.probabilities(TEXTS)))
    (answers, shares), (wanted, wanted_shares) = found
    assert answers == wanted
    for one, other in zip(shares, wanted_shares, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_a_run_in_bfloat16_is_saved_in_float32_and_answers_on_a_cpu(tmp_path):
    run = trained(tmp_path / "bfloat16", "backbone.precision=bfloat16")
    assert {tensor.dtype for tensor in load_adapter(run / "best").tensors.values()} == {
        torch.float32
    }
    assert len(predictor_on("cpu", run).answers(TEXTS)) == len(TEXTS)
