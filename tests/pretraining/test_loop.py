"""The loop: its schedule, what it yields, and that going on is going on bit for bit."""

import math

import numpy as np
import pytest
import torch

from compacter_cli.errors import CompacterError
from compacter_cli.pretraining.batches import Batches, Exercises, Spans
from compacter_cli.pretraining.loop import Pretraining, mean_loss
from compacter_cli.pretraining.pieces import Pieces
from compacter_cli.pretraining.sections import CorruptionSection, TrainSection
from compacter_cli.training.trainer import State


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def pretrainer(tiny_backbone):
    """Makes a `Pretraining` of a tiny T5 on pieces of tokens that count up."""
    from compacter_cli.methods import METHODS
    from compacter_cli.t5.model import T5Model

    def make(kind="v1_0", dropout=0.1, exercises=False, **changes):
        pieces = Pieces(np.tile(np.arange(20, 60), 6).astype(np.int32), np.arange(25) * 10)
        spans = Spans(pieces, list(range(3, 13)), CorruptionSection(), 42)
        model = T5Model(
            tiny_backbone(kind, num_layers=1), METHODS["full"](), in_place=True, dropout=dropout
        )
        settings = {"steps": 8, "warmup_steps": 2, "learning_rate": 1e-2, "eval_every": 3}
        section = TrainSection(**{"batch_size": 4, **settings, **changes})
        practised = Exercises([([n, 1], [n + 1, 1]) for n in range(20, 29)], 42)
        batches = Batches(spans, practised if exercises else None, section, "cpu")
        held_out = list(spans.batches(4, "cpu"))[:2]
        return Pretraining(model, batches, held_out, section, seed=42)

    return make


def weights_of(trainer):
    return {name: tensor.clone() for name, tensor in trainer.trainer.state().tensors.items()}


def assert_same(one, other):
    assert set(one) == set(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_step_yields_its_update_and_a_validation_where_due(pretrainer):
    events = list(pretrainer().events())
    assert [update and update.step for update, _ in events] == [None, *range(1, 9)]
    assert [v.step for _, v in events if v] == [0, 3, 6, 8]
    rates = [update.learning_rate for update, _ in events if update]
    # By hand: up over 2 steps to 1e-2, then down to 0 at step 8.
    expected = [0, 0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert rates == pytest.approx([1e-2 * factor for factor in expected])
    assert [update.epoch for update, _ in events if update] == [1] * 6 + [2] * 2  # 24 pieces by 4


def test_the_loss_falls(pretrainer):
    trainer = pretrainer(dropout=0.0, steps=60, eval_every=60, learning_rate=0.1)
    losses = [validation.loss for _, validation in trainer.events() if validation]
    assert losses[1] < 0.8 * losses[0]


def test_nothing_is_trained_in_no_steps(pretrainer):
    trainer = pretrainer(steps=0)
    before = weights_of(trainer)
    assert [(update, v.step) for update, v in trainer.events()] == [(None, 0)]
    assert_same(before, weights_of(trainer))


@pytest.mark.parametrize("exercises", [False, True])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(pretrainer, exercises):
    whole = pretrainer(exercises=exercises)
    kept, updates = {}, []
    for update, _ in whole.events():
        updates += [update] if update else []
        kept[whole.trainer.update] = weights_of(whole)
    for step in (0, 1, 6, 8):
        torch.manual_seed(999)  # what another process would have drawn
        other = pretrainer(exercises=exercises)
        other.trainer.restore(State(step, kept[step]))
        assert [update for update, _ in other.events() if update] == updates[step:]
        assert_same(weights_of(other), kept[8])


def test_a_run_stops_after_the_step_in_which_it_is_told_to(pretrainer):
    trainer = pretrainer()
    assert len([u for u, _ in trainer.events(lambda: trainer.trainer.update == 3) if u]) == 3
    assert trainer.trainer.update == 3


def test_the_rate_told_is_the_one_that_adafactor_uses(pretrainer):
    # It never uses more than 1 / sqrt(step).
    trainer = pretrainer(steps=4, warmup_steps=0, learning_rate=0.8)
    rates = [update.learning_rate for update, _ in trainer.events() if update]
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])
    trainer = pretrainer(steps=4, warmup_steps=0, learning_rate=8.0)
    rates = [update.learning_rate for update, _ in trainer.events() if update]
    assert rates == pytest.approx([1.0, 2**-0.5, 3**-0.5, 0.5])


def test_validation_drops_nothing_and_changes_nothing(pretrainer):
    trainer = pretrainer(dropout=0.5)
    before = weights_of(trainer)
    assert trainer.validate() == trainer.validate()
    assert_same(before, weights_of(trainer))


def test_the_mean_is_over_tokens(pretrainer):
    trainer = pretrainer()
    batches = trainer._held_out
    losses = [trainer._model.loss_of(batch).item() for batch in batches]
    tokens = [batch.target_tokens for batch in batches]
    expected = sum(a * b for a, b in zip(losses, tokens, strict=True)) / sum(tokens)
    assert mean_loss(trainer._model, batches) == pytest.approx(expected, rel=1e-6)


def test_no_weight_decays(pretrainer):
    # An untied embedding: only rows of tokens that are read get a gradient.
    trainer = pretrainer("gated", steps=3, warmup_steps=0)
    embedding = trainer._model.trained_tensors()["embedding"]
    before = embedding.clone()
    list(trainer.events())
    assert torch.equal(embedding[13:20], before[13:20])  # tokens that no piece holds
    assert not torch.equal(embedding[20:60], before[20:60])


def test_a_loss_that_is_not_finite_ends_the_run_before_it_changes_a_weight(pretrainer):
    trainer = pretrainer()
    with torch.no_grad():
        trainer._model.trained_tensors()["encoder.0.feed_forward.input"].fill_(math.inf)
    before = weights_of(trainer)
    with pytest.raises(CompacterError, match="is not finite at step 1") as caught:
        list(trainer.events())
    assert "train.learning_rate" in caught.value.hint
    assert_same(before, weights_of(trainer))
