"""Losses, gradients, weights and moments that are no numbers: named, and never saved."""

import json
import math

import pytest

from compacter_cli.training.checkpoints import newest

LOSS = """
model = import_module("compacter_cli.t5.model").T5Model
real, calls = model.summed_loss, []
def summed_loss(self, *args, **options):
    calls.append(1)
    return real(self, *args, **options) * ({value} if len(calls) == {number} else 1.0)
model.summed_loss = summed_loss
"""  # two calls an update
GRADIENT = """
import torch
def spoil(parameters, *_):
    parameters[0].grad.view(-1)[0] = float("{value}")
at_call(torch.nn.utils, "clip_grad_norm_", {number}, spoil)
"""
WEIGHT = """
import torch
def spoil(trainer, *_):
    with torch.no_grad():
        trainer._parameters[0].view(-1)[0] = float("{value}")
at_step({number}, spoil, after=True)
"""
MOMENT = """
def spoil(trainer, *_):
    kept = trainer.optimizer.state[trainer._parameters[0]]
    kept["exp_avg_sq"].view(-1)[0] = float("{value}")
at_step({number}, spoil, after=True)
"""


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "fault",
    [LOSS.format(value="math.nan", number=8), LOSS.format(value="math.inf", number=7),
     GRADIENT.format(value="inf", number=4)],
    ids=["nan loss", "infinite loss", "infinite gradient"],
)  # fmt: skip
def test_an_update_that_is_not_finite_stops_and_is_named(train, whole, bits, tmp_path, fault):
    said = train(tmp_path / "run", before="import math\n" + fault).ended(1)
    assert "is not finite at step 4, rate " in said
    named = said.partition("over the training examples ")[2].partition(";")[0]
    examples = [int(number) for number in named.split(", ")]
    assert len(set(examples)) == 8  # two times four
    assert all(0 <= example < 24 for example in examples)
    assert "what was saved last is untouched" in said
    assert "smaller train.learning_rate" in said
    assert newest(tmp_path / "run").checkpoint.state.update == 3
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.parametrize("fault", [
    LOSS.format(value="math.nan", number=8), GRADIENT.format(value="inf", number=4),
])  # fmt: skip
def test_an_update_that_is_not_finite_is_left_out_if_the_recipe_says_so(train, tmp_path, fault):
    sets = ("train.not_finite=skip",)
    said = train(tmp_path / "run", before="import math\n" + fault, sets=sets).ended(0)
    assert said.count("update 4 is left out: its loss or gradient is not finite") == 1
    updates = [line for line in lines_of(tmp_path / "run") if line["kind"] == "update"]
    assert [line.get("skipped", False) for line in updates] == [False] * 3 + [True] + [False] * 2
    assert None in (updates[3]["loss"], updates[3]["gradient_norm"])
    epoch = lines_of(tmp_path / "run")[-1]
    assert math.isclose(epoch["loss"], (updates[4]["loss"] + updates[5]["loss"]) / 2)


def test_a_run_of_nothing_but_skipped_updates_ends_in_words(train, tmp_path):
    fault = """
model = import_module("compacter_cli.t5.model").T5Model
real = model.summed_loss
model.summed_loss = lambda self, *a, **o: real(self, *a, **o) * float("nan")
"""
    said = train(tmp_path / "run", before=fault, sets=("train.not_finite=skip",)).wait().said
    assert "Traceback" not in said
    assert lines_of(tmp_path / "run")[-1]["loss"] is None


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(("fault", "named"), [(WEIGHT, "coder."), (MOMENT, "exp_avg_sq/")])
def test_a_state_that_is_not_finite_is_not_saved(train, whole, bits, tmp_path, fault, named, value):
    said = train(tmp_path / "run", before=fault.format(number=4, value=value)).ended(1)
    assert "is not finite after update 4; what was saved last is untouched" in said
    assert named in said
    found = newest(tmp_path / "run")
    assert (found.checkpoint.state.update, found.damaged) == (3, {})
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()
